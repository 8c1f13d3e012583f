"""Room on the disk: counting stops with a clear reason before SQLite fails for want of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.errors import DiskFullError

#: Left free unless configured otherwise, MB of 10^6 bytes. The log's write-ahead file grows to 4 MB between
#: checkpoints, one field with its pictures takes 1 MB, a migration copies at most the largest table; ext4
#: slows down well above that, and journald wants room to say what happened.
RESERVE_MB = 200.0

#: File that is opened for writing to see whether the disk can be written at all. It holds room, MB of 10^6
#: bytes: what makes room on a full disk writes down first what goes, and needs some itself.
PROBE = ".writable"
PROBE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class DiskGuard:
    """Watches the disk that a folder lies on.

    Attributes
    ----------
    folder : anything on that disk
    reserve_mb : room that must be left, MB of 10^6 bytes
    """

    folder: Path
    reserve_mb: float = RESERVE_MB

    def free_mb(self) -> float:
        """Room that this process may still fill, MB of 10^6 bytes; what only root may fill is left out."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize / 1e6

    def free_inodes(self) -> int | None:
        """Files that can still be made; None where the file system has no fixed number of them."""
        disk = os.statvfs(self.folder)
        return disk.f_favail if disk.f_files else None

    def check(self) -> float:
        """Refuse a disk that is nearly full.

        Returns
        -------
        room left, MB

        Raises
        ------
        DiskFullError
            The disk takes no writes, less than the reserve is left, or fewer than 1000 files can still be
            made.
        """
        self._refuse_read_only()
        try:
            free_mb, inodes = self.free_mb(), self.free_inodes()
        except OSError as error:
            raise DiskFullError(
                f"{self.folder}: cannot be looked at: {error.strerror}; nothing is counted until it can"
            ) from error
        low = None
        if free_mb < self.reserve_mb:
            low = f"has {free_mb:.0f} MB left, {self.reserve_mb:g} MB"
        elif inodes is not None and inodes < 1000:
            low = f"has room for {inodes} more files only, 1000"
        if low is not None:
            raise DiskFullError(
                f"{self.folder}: the disk {low} are kept free; nothing is counted until there is room: "
                "make a backup, then `blastcount log retention`"
            )
        keep_room(self.folder)
        return free_mb

    def _refuse_read_only(self) -> None:
        # After an error ext4 refuses writes and says so nowhere: not in statvfs, not in access. Opening a
        # file for writing tells, and writes nothing once the file is there. Never the log itself: closing it
        # would let go of SQLite's locks in this process.
        try:
            os.close(os.open(self.folder / PROBE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660))
        except OSError as error:
            if error.errno == errno.EROFS:
                raise DiskFullError(
                    f"{self.folder}: the disk is mounted read-only, as a failing SD card is; look at "
                    "`dmesg`, copy the log off and replace the card; nothing is counted until it takes writes"
                ) from error
            raise DiskFullError(
                f"{self.folder}: cannot be written: {error.strerror}; nothing is counted until it can"
            ) from error


def keep_room(folder: Path) -> None:
    """Set some room aside, where there is room."""
    with suppress(OSError), (folder / PROBE).open("ab") as file:
        if file.tell() < PROBE_BYTES:
            os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)


@contextmanager
def borrowed_room(folder: Path) -> Iterator[None]:
    """Give back for the block what :func:`keep_room` has set aside, and set it aside again after."""
    kept = False
    with suppress(OSError):
        os.truncate(folder / PROBE, 0)
        kept = True
    try:
        yield
    finally:
        if kept:
            keep_room(folder)
