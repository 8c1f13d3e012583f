"""Files and folders that are whole or not there, and where asked still there after a power cut."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Rights of what a sample is in, under every umask: never everybody's.
PRIVATE_FILE, PRIVATE_FOLDER = 0o640, 0o750
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: Names of what is not finished, in the folder of what it will be: a rename is atomic only within one file
#: system. What a killed process leaves is known by it.
PART_PREFIX, PART_SUFFIX = ".blastcount-", ".part"


def write_whole(
    path: Path, content: bytes, *, durable: bool = False, mode: int = 0o666, exactly: bool = False
) -> None:
    """Write a file that is whole or not there; one of the same name is replaced.

    A device or a pipe, as ``/dev/stdout`` or ``/dev/null``, is written to and stays what it is. Two threads
    or processes may write the same name: one of them wins, whole.

    Parameters
    ----------
    path : the file; its folder must exist
    content : all of it
    durable : it survives a power cut once this returns: the content is forced to the disk before the file
        gets its name, and the name after it [1]_
    mode : rights of the file, of which the umask takes its share
    exactly : the umask takes none

    Raises
    ------
    OSError
        It cannot be written; a file of that name is as it was.

    References
    ----------
    .. [1] T. S. Pillai et al., "All file systems are not created equal: on the complexity of crafting
       crash-consistent applications", OSDI 2014.
    """
    if _is_device(path):
        with path.open("wb") as file:
            file.write(content)
        return
    part = path.with_name(f"{PART_PREFIX}{os.getpid()}-{os.urandom(4).hex()}{PART_SUFFIX}")
    try:
        with os.fdopen(os.open(part, _NEW, mode), "wb") as file:
            if exactly:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def make_private(path: Path) -> None:
    """Make an empty file with the rights of what a sample is in, for SQLite, which would ask the umask alone.

    Its journal gets the rights of its file. A file that is there stays as it is; where none can be made,
    whoever opens it says why.
    """
    with suppress(OSError):
        os.close(os.open(path, _NEW, PRIVATE_FILE))


@contextmanager
def written_whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a place to write a file or a folder to, which becomes ``path`` when the block ends without error.

    For what is not written in one go. A file or folder of the same name is replaced; a device or a pipe gets
    the content.

    Parameters
    ----------
    path : what it becomes; its folder must exist
    durable : a file survives a power cut, as with :func:`write_whole`

    Yields
    ------
    a path of the same name in a folder of its own, which is removed in any case with all that is left in it

    Raises
    ------
    OSError
        It cannot be made or renamed; what was there is as it was.
    """
    is_device = _is_device(path)
    folder = None if is_device else path.parent
    made = Path(tempfile.mkdtemp(prefix=PART_PREFIX, suffix=PART_SUFFIX, dir=folder))
    try:
        new = made / path.name
        yield new
        if is_device:
            write_whole(path, new.read_bytes())
            return
        if durable:
            with new.open("rb") as file:
                os.fsync(file.fileno())
        if new.is_dir() and path.exists():
            # No rename replaces a folder that holds something.
            old = path.rename(made / f"{path.name[:100]}.old")
            try:
                new.rename(path)
            except BaseException:
                old.rename(path)
                raise
        else:
            new.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        shutil.rmtree(made)


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_device(path: Path) -> bool:
    """Whether a name stands for a device or a pipe, which a rename would put a file in the place of.

    ``/dev/stdout`` is a link, and may lead to a file: the link is what must stay.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return not is_plain or (path.is_symlink() and path.absolute().parent == Path(os.devnull).parent)
