"""Every error that a user can cause or meet, in one tree.

The command line turns an :class:`EdgeError` into one line on stderr and the
class's ``exit_code`` (see ``edge/cli.py``); nothing else is ever caught there.
A message says what was wrong, what was expected, what was found and what to do.
"""

from __future__ import annotations

import errno
from typing import ClassVar

#: What the system says of a disk that takes nothing more.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class EdgeError(Exception):
    """Root of all errors with a message meant for a person.

    None of them is an OSError: whoever translates what the system says would have to tell them apart.
    """

    exit_code = 1


class ImageError(EdgeError, ValueError):
    """An image file or array cannot be used."""


class NotAFieldError(ImageError):
    """A picture is none of a field: what this program drew or labelled, or anybody's label image.

    Attributes
    ----------
    kind : what it is, in the plural, as a sum of left-out files names it
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class FieldError(EdgeError):
    """A library failed on one field, which is not counted; the others are."""


class SourceError(EdgeError):
    """A folder, file or video that should give frames cannot."""


class StoreError(SourceError):
    """A file of an archive could not be fetched from where it lies; another time it may be."""


class CameraError(EdgeError):
    """A camera is missing, hung, unplugged or gave an unusable frame.

    Attributes
    ----------
    reason : the failure's name, under which the daemon counts it
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class DamagedFrameError(CameraError):
    """A camera's frame came damaged; the next one may be whole."""


class ConfigError(EdgeError, ValueError):
    """The configuration is missing, malformed or out of range."""

    exit_code = 3


class ModelError(EdgeError, ValueError):
    """A model bundle is missing, incomplete or contradicts itself."""

    exit_code = 3


class RuntimeMissingError(EdgeError, ImportError):
    """A needed interpreter or optional package is not installed."""

    exit_code = 3


class GateError(EdgeError, AssertionError):
    """A gate said no: golden crops, parity or self-test disagree."""

    exit_code = 4


class LogError(EdgeError):
    """The blood log cannot be opened, written or understood."""


class NoLogError(LogError):
    """There is no log of this name, or not yet: not the same as one without rows."""


class LogBehindError(LogError):
    """Another process has counted into the sample since it was looked at; whoever looks again can go on."""


class SampleClosedError(LogError):
    """The sample was closed while one of its fields was being counted, which is not logged."""


class LogBlockedError(LogError):
    """Nothing can be logged at present, for a reason that can pass.

    Attributes
    ----------
    state : the reason's name, which the daemon's status carries
    """

    state: ClassVar[str]


class DiskFullError(LogBlockedError):
    """There is too little room left on the disk to count into the log."""

    state = "disk_full"


class LogBusyError(LogBlockedError):
    """Another process holds the log, a sample or the pictures for longer than anybody waits."""

    state = "log_busy"


class LogLostError(LogBlockedError):
    """The file that is open is no longer the one that is named: deleted, moved, replaced or cut short."""

    state = "log_lost"


class LogDamagedError(LogBlockedError):
    """The log's pages do not belong together: the disk has lost some, or somebody wrote over them."""

    state = "log_damaged"


class ArchiveError(EdgeError):
    """Those who were to count an archive cannot be reached, or are gone."""


class DataSetError(EdgeError, ValueError):
    """A data set does not have the expected layout or content."""


class OutputError(EdgeError):
    """A result cannot be written."""


class ControlError(EdgeError):
    """The daemon cannot be reached, or refuses what it was asked for.

    Attributes
    ----------
    reason : the refusal's name, which the answer on the control socket carries
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class ServerError(EdgeError):
    """The review page cannot be served."""


class UpdateRefusedError(EdgeError):
    """A package of another version is not installed; the one in use stays.

    Attributes
    ----------
    reason : the refusal's name
    """

    exit_code = 4

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
