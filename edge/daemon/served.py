"""A log that another user's daemon writes: read from its file, written through the daemon's socket.

After the service was installed there is one log a device. Its files are the service's; members of its group
read them, and ask the service to write. Whoever opens a log here need not know which of the two it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from edge.bloodlog import BloodLog, Review, ReviewLabel, Sample, Specimen
from edge.bloodlog.control import Alarm
from edge.bloodlog.locks import USUAL, Patience
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import Removed
from edge.bloodlog.samples import NOBODY, SampleChange
from edge.bloodlog.users import Role
from edge.bloodlog.verifications import DrawnCell, Event, Verification, VerificationEvent, VerifiedWord
from edge.config import SYSTEM_STATE
from edge.daemon.client import ask, find_socket
from edge.daemon.writes import (
    Acknowledge,
    AddReviews,
    AnyWrite,
    AppendField,
    AssignFields,
    ChangeSample,
    NoteVerification,
    OpenControl,
    OpenSample,
    OpenVerification,
    Retain,
    SayVerified,
    UndoReview,
    UndoVerified,
    encode_write,
)
from edge.device.rights import refusal, user_name
from edge.errors import (
    ControlError,
    DiskFullError,
    EdgeError,
    LogBehindError,
    LogBusyError,
    LogDamagedError,
    LogError,
    LogLostError,
    OutputError,
    SampleClosedError,
)
from edge.structures import CellRef, FieldResult

#: What the daemon says went wrong, as the local log would have raised it.
_RAISED: dict[str, type[EdgeError]] = {
    error.state: error for error in (DiskFullError, LogBusyError, LogLostError, LogDamagedError)
} | {
    "log": LogError,
    "log_behind": LogBehindError,
    "sample_closed": SampleClosedError,
    "output": OutputError,
}
#: Removing the pictures of years from a slow card takes minutes.
_RETENTION_S = 3600.0


def open_log(path: Path, *, must_exist: bool = False, patience: Patience = USUAL) -> BloodLog:
    """Open a log to write to: its file where it is this user's, else through the daemon that owns it.

    Parameters
    ----------
    path : the log's file
    must_exist : refuse to make one
    patience : how long to wait for others who hold the log

    Raises
    ------
    LogError
        As :meth:`edge.bloodlog.BloodLog.open`.
    """
    if writes_itself(path):
        return BloodLog.open(path, must_exist=must_exist, patience=patience)
    if refusal(path) is None and not path.exists():
        raise LogError(f"{path}: no such log yet; the service makes it: `sudo systemctl start blastcount`")
    return ServedLog.open(path, read_only=True, patience=patience)


def writes_itself(path: Path) -> bool:
    """Whether this user writes a log's file, rather than asking the daemon of the user whose it is.

    Root may write anything, and would leave files that the service cannot write any more.
    """
    try:
        owner = path.stat().st_uid
    except FileNotFoundError:
        folder = path.parent
        return folder != SYSTEM_STATE or not folder.exists() or folder.stat().st_uid == os.geteuid()
    except OSError:
        return True  # opening it says what is wrong
    may = os.geteuid() != 0 and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return owner == os.geteuid() or may


class ServedLog(BloodLog):
    """A log that is read from its file and written by its owner's daemon."""

    def __init__(self, *given: Any) -> None:  # noqa: ANN401  # those of BloodLog
        super().__init__(*given)
        self._sent = SentPictures(self.pictures.folder)
        self.pictures = self._sent

    def _ask(self, write: AnyWrite, failed: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401  # of `ask`
        try:
            return ask(find_socket(self.path), "write", body=encode_write(write), **options)
        except ControlError as error:
            message = str(error)
            if error.reason in _RAISED:
                raise _RAISED[error.reason](message) from error
            if error.reason == "not_running":
                message += f"; the log is user {self._owner}'s, for whom that daemon writes"
            raise LogError(f"{self.path}: {failed}: {message}") from error

    @property
    def _name(self) -> str:
        return str(self._real)

    def append(
        self,
        result: FieldResult,
        *,
        source_kind: str = "file",
        sample_id: int | None = None,
        thumbnails: Mapping[int, str] | None = None,
        image_sha256: str | None = None,
        provenance: str | None = None,
        context: str | None = None,
        contours: Mapping[int, str] | None = None,
        overlaps: Sequence[tuple[int, float, float]] = (),
        after: int | None = None,
        **_known_from_provenance: object,
    ) -> int:
        """Have a field written with its pictures; see :meth:`edge.bloodlog.BloodLog.append`."""
        if sample_id is None or provenance is None or after is None:
            raise LogError(
                f"{self.path}: is the service's log, which takes pictures into a sample only; name one with "
                "--sample, or another log with --log"
            )
        write = AppendField(
            log=self._name,
            result=result,
            is_drawn=source_kind == "rendered",
            sample_id=sample_id,
            after=after,
            provenance=provenance,
            context=context,
            image_sha256=image_sha256,
            thumbnails=dict(thumbnails or {}),
            pictures=self._sent.take(),
            contours=dict(contours or {}),
            overlaps=list(overlaps),
        )
        return int(self._ask(write, f"field {result.source} was not logged")["field"])

    def _refuse_role(self, role: Role | None) -> None:
        """Refuse what somebody says who has signed in elsewhere: passwords are asked for by the owner."""
        if role is not None:
            raise LogError(f"{self.path}: who signs in does so on the page of its owner, user {self._owner}")

    @property
    def _owner(self) -> str:
        return user_name(self.path.stat().st_uid)

    def open_sample(
        self,
        name: str,
        specimen: Specimen,
        quota: int,
        *,
        who: str = NOBODY,
        role: Role | None = None,
        search: bool = False,
    ) -> Sample:
        """Have a sample opened; see :meth:`edge.bloodlog.BloodLog.open_sample`."""
        self._refuse_role(role)
        write = OpenSample(log=self._name, name=name, specimen=specimen, quota=quota, who=who, search=search)
        return _sample(self._ask(write, f"sample {name} was not opened"))

    def change_sample(
        self, name: str, change: SampleChange, *, who: str = NOBODY, role: Role | None = None
    ) -> Sample:
        """Have a sample changed; see :meth:`edge.bloodlog.BloodLog.change_sample`."""
        self._refuse_role(role)
        write = ChangeSample(log=self._name, name=name, change=change, who=who)
        return _sample(self._ask(write, f"sample {name} was not {change}"))

    def assign_fields(self, name: str | None, fields: Sequence[int], *, who: str = NOBODY) -> int:
        """Have fields put into a sample; see :meth:`edge.bloodlog.BloodLog.assign_fields`."""
        write = AssignFields(log=self._name, name=name, fields=list(fields), who=who)
        return int(self._ask(write, "no field was assigned")["assigned"])

    def add_reviews(
        self, words: Mapping[CellRef, ReviewLabel], observer: str, *, role: Role | None = None
    ) -> int:
        """Have words on cells written down; see :meth:`edge.bloodlog.BloodLog.add_reviews`."""
        self._refuse_role(role)
        said = [(cell.field_id, cell.cell_id, word) for cell, word in words.items()]
        write = AddReviews(log=self._name, words=said, observer=observer)
        return int(self._ask(write, "the reviews were not logged")["added"])

    def undo_review(
        self, observer: str, sample_id: int, expected: int | None = None, *, role: Role | None = None
    ) -> Review | None:
        """Have a word taken back; see :meth:`edge.bloodlog.BloodLog.undo_review`."""
        self._refuse_role(role)
        write = UndoReview(log=self._name, observer=observer, sample_id=sample_id, expected=expected)
        undone = self._ask(write, "the review was not undone")["undone"]
        return None if undone is None else msgspec.convert(undone, Review)

    def open_verification(
        self,
        plan: str,
        cells: Sequence[DrawnCell],
        keep: Collection[str] = (),
        *,
        who: str = NOBODY,
        role: Role | None = None,
    ) -> Verification:
        """Have a verification begun; see :meth:`edge.bloodlog.BloodLog.open_verification`."""
        self._refuse_role(role)
        rows = [(one.cell.field_id, one.cell.cell_id, one.stratum, one.weight, one.twice) for one in cells]
        write = OpenVerification(log=self._name, plan=plan, cells=rows, keep=list(keep), who=who)
        return msgspec.convert(self._ask(write, "no verification was opened")["answer"], Verification)

    def say_verified(
        self,
        verification_id: int,
        words: Mapping[CellRef, ReviewLabel],
        reader: str,
        *,
        role: Role | None = None,
    ) -> int:
        """Have words on drawn cells written down; see :meth:`edge.bloodlog.BloodLog.say_verified`."""
        self._refuse_role(role)
        said = [(cell.field_id, cell.cell_id, word) for cell, word in words.items()]
        write = SayVerified(log=self._name, verification_id=verification_id, words=said, reader=reader)
        return int(self._ask(write, "the words were not logged")["answer"])

    def undo_verified(
        self, verification_id: int, reader: str, expected: int | None = None, *, role: Role | None = None
    ) -> VerifiedWord | None:
        """Have a word taken back; see :meth:`edge.bloodlog.BloodLog.undo_verified`."""
        self._refuse_role(role)
        write = UndoVerified(
            log=self._name, verification_id=verification_id, reader=reader, expected=expected
        )
        undone = self._ask(write, "the word was not undone")["answer"]
        return None if undone is None else msgspec.convert(undone, VerifiedWord)

    def note_verification(
        self,
        verification_id: int,
        event: Event,
        record: str,
        *,
        who: str = NOBODY,
        role: Role | None = None,
    ) -> VerificationEvent:
        """Have a verification ended or checked; see :meth:`edge.bloodlog.BloodLog.note_verification`."""
        self._refuse_role(role)
        write = NoteVerification(
            log=self._name, verification_id=verification_id, event=event, record=record, who=who
        )
        answer = self._ask(write, "the verification was left as it is")["answer"]
        return msgspec.convert(answer, VerificationEvent)

    def open_control(self, name: str, slide: str, *, who: str = NOBODY, role: Role | None = None) -> Sample:
        """Have a run of a control slide opened; see :meth:`edge.bloodlog.BloodLog.open_control`."""
        self._refuse_role(role)
        write = OpenControl(log=self._name, name=name, slide=slide, who=who)
        return _sample(self._ask(write, f"control slide {slide} was not opened"))

    def acknowledge(
        self,
        alarm_id: int,
        who: str,
        *,
        note: str = "",
        new_baseline: bool = False,
        role: Role | None = None,
    ) -> Alarm:
        """Have an alarm acknowledged; see :meth:`edge.bloodlog.BloodLog.acknowledge`."""
        self._refuse_role(role)
        write = Acknowledge(log=self._name, alarm=alarm_id, who=who, note=note, new_baseline=new_baseline)
        found = self._ask(write, f"alarm {alarm_id} was not acknowledged")["alarm"]
        return msgspec.convert(found, Alarm)

    def retain(self) -> Removed:
        """Have pictures removed as the service's ``[storage]`` says."""
        found = self._ask(Retain(log=self._name), "no pictures were removed", timeout_s=_RETENTION_S)
        return msgspec.convert(found, Removed)

    @contextmanager
    def counting_lock(self, sample: Sample) -> Iterator[None]:
        """Do nothing: the daemon refuses a field that was placed without what came meanwhile."""
        yield

    @contextmanager
    def writing(self, failed: str) -> Iterator[Any]:
        """Refuse: what has no operation of its own is the owner's to do.

        Raises
        ------
        LogError
            Always.
        """
        raise LogError(f"{self.path}: {failed}: only its owner, user {self._owner}, can")
        yield  # makes it a generator


class SentPictures(ThumbnailStore):
    """Reads the pictures beside a log, and keeps new ones until they are sent with their row."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._new: dict[str, bytes] = {}

    def put_jpeg(self, data: bytes) -> str:
        """Keep a picture; return its SHA-256."""
        name = sha256(data).hexdigest()
        self._new[name] = data
        return name

    def take(self) -> dict[str, bytes]:
        """Give what was kept."""
        taken, self._new = self._new, {}
        return taken

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Begin a row's pictures."""
        self._new = {}
        yield


def _sample(answer: Mapping[str, Any]) -> Sample:
    return msgspec.convert(answer["sample"], Sample)
