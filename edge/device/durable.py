"""Files that are whole or not there, and still there after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it survives a power cut once this returns; one of the same name is replaced.

    The content is forced to the disk before the file gets its name, and the name after it [1]_. Two threads
    or processes may write the same name: one of them wins, whole.

    Parameters
    ----------
    path : the file; its folder must exist
    content : all of it

    Raises
    ------
    OSError
        It cannot be written; a file of that name is as it was.

    References
    ----------
    .. [1] T. S. Pillai et al., "All file systems are not created equal: on the complexity of crafting
       crash-consistent applications", OSDI 2014.
    """
    # In the same folder, because a rename is atomic only within one file system.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
