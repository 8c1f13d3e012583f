"""Files of settings read whole, whatever a path that a person gave leads to."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

#: Far more than any configuration, calibration or card has.
MOST_TEXT_BYTES = 4_000_000


def read_bounded(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """Read a file that is small unless it is the wrong one; never wait for a writer, never fill the memory.

    Parameters
    ----------
    path : file; ``/dev/null`` is an empty one
    most_bytes : from which it is refused

    Raises
    ------
    OSError
        It cannot be read, is a pipe, or is larger.
    """
    # Opened without waiting, because a named pipe would wait for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ESPIPE, "is a pipe, not a file", str(path))
        content = file.read(most_bytes + 1)
    if content is None or len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes / 1e6:.0f} MB", str(path))
    return content
