"""Locks between processes: waited for a while and no longer, and never against a request to stop."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.errors import LogBusyError

#: How long to wait for another process. One field is one short transaction; a backup or a checkpoint on a
#: slow SD card takes a few seconds.
WAIT_S = 10.0
#: From one attempt to the next: short beside the time that a field takes.
_STEP_S = 0.02
#: A lock's file holds the number of the process that has the lock, in decimal digits.
_PID_BYTES = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for another process, and what ends the wait before.

    Attributes
    ----------
    wait_s : longest wait
    give_up : asked again and again meanwhile; True ends the wait
    """

    wait_s: float = WAIT_S
    give_up: Callable[[], bool] = lambda: False

    def until(self, attempt: Callable[[], bool]) -> bool:
        """Try until it works; return whether it did.

        Examples
        --------
        >>> tries = iter([False, False, True])
        >>> Patience().until(lambda: next(tries))
        True
        >>> Patience(give_up=lambda: True).until(lambda: False)
        False
        """
        deadline_s = time.monotonic() + self.wait_s
        while not attempt():
            if self.give_up() or time.monotonic() > deadline_s:
                return False
            time.sleep(_STEP_S)
        return True


#: For whom nobody has another wish.
USUAL = Patience()


@contextmanager
def locked(path: Path, kind: Literal["shared", "exclusive"], patience: Patience, what: str) -> Iterator[None]:
    """Hold a lock on a file during the block, or until the process ends, however it ends.

    It is ``flock(2)``, which belongs to the open file and not to the process: two users of one file exclude
    each other within a process, too, and closing another descriptor lets go of nothing.

    Parameters
    ----------
    path : the lock's file; made where it is not there, and never removed
    kind : whether others may hold it at the same time
    patience : how long to wait
    what : what is not done meanwhile, for the message

    Raises
    ------
    LogBusyError
        Another process held it all the time.
    OSError
        The file cannot be made.
    """
    held: list[int] = []
    operation = (fcntl.LOCK_SH if kind == "shared" else fcntl.LOCK_EX) | fcntl.LOCK_NB

    def attempt() -> bool:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(lock, operation)
            # Somebody may have removed the file since: a lock on what has no name any more keeps nobody out.
            if os.path.samestat(os.fstat(lock), path.stat()):
                held.append(lock)
                return True
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
        finally:
            if not held:
                os.close(lock)
        return False

    if not patience.until(attempt):
        raise LogBusyError(f"{what}: {_holder(path)} holds {path}; wait until it has finished, or stop it")
    try:
        if kind == "exclusive":
            _note_holder(held[0])
        yield
    finally:
        os.close(held[0])


def _note_holder(lock: int) -> None:
    """Write down who holds a lock; where that stands there already a card is not written to for it."""
    number = b"%d" % os.getpid()
    with suppress(OSError):  # only a help for a message; a full disk has no room for it
        if os.pread(lock, _PID_BYTES, 0) != number:
            os.ftruncate(lock, 0)
            os.pwrite(lock, number, 0)


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        with path.open("rb") as file:
            number = int(file.read(_PID_BYTES))
        return f"process {number}"
    return "another process"
