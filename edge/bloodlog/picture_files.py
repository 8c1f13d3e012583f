"""Pictures beside the log as files, named by their content: found and read without NumPy."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from edge.errors import ImageError

#: Name of the folder beside the log.
FOLDER = "pictures"
_NAME = re.compile(r"[0-9a-f]{64}")


class PictureFiles:
    """A folder of JPEG files, each named by the SHA-256 of its bytes.

    Files lie in 256 folders by their first two digits, because a folder of 100,000 files is slow to list on
    an SD card.

    Parameters
    ----------
    folder : need not be there
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Say where a picture lies or would lie.

        Raises
        ------
        ImageError
            This is no SHA-256: names that come from elsewhere never become paths.
        """
        if not _NAME.fullmatch(sha256):
            raise ImageError(f"a picture is named by 64 hexadecimal digits, got {sha256!r}")
        return self.folder / sha256[:2] / f"{sha256}.jpg"

    def read(self, sha256: str) -> bytes | None:
        """Read a picture's file; None where it was removed or is damaged."""
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def size(self, sha256: str) -> int:
        """Bytes that a picture takes, 0 where it is not there."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return 0


def pictures_beside(log: Path) -> Path:
    """Give the folder that belongs to a log's file, by whatever symbolic link one came to it."""
    return log.resolve().parent / FOLDER
