"""What is written to the log through the control socket: a record for each operation that writes.

A request ``{"protocol": 1, "command": "write", "bytes": N}`` is followed by N bytes, a JSON object: ``write``
names the operation, the other keys are its values. Pictures are base64 in it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edge.bloodlog import ReviewLabel, Specimen
from edge.bloodlog.control import MAX_NOTE
from edge.bloodlog.samples import SampleChange
from edge.bloodlog.verifications import Event
from edge.structures import FieldResult

#: Longest body. The picture of a camera's field takes 8 MB, a scanner's 50 megapixels 30 MB, base64 a third
#: more; the service may take 1 GB of memory, and reads one such body at a time.
MAX_BODY_BYTES = 64_000_000

_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Row = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Write(Struct, frozen=True, tag_field="write", forbid_unknown_fields=True, kw_only=True):
    """An operation on a log.

    Attributes
    ----------
    log : path of the log that is meant; the daemon has one, and writes to no other
    """

    log: str


class OpenSample(Write, frozen=True, tag="open_sample"):
    """See :meth:`edge.bloodlog.BloodLog.open_sample`."""

    name: _Name
    specimen: Specimen
    quota: Annotated[int, Meta(ge=1, le=1_000_000)]
    who: _Name
    search: bool = False


class ChangeSample(Write, frozen=True, tag="change_sample"):
    """See :meth:`edge.bloodlog.BloodLog.change_sample`."""

    name: _Name
    change: SampleChange
    who: _Name


class AddReviews(Write, frozen=True, tag="add_reviews"):
    """See :meth:`edge.bloodlog.BloodLog.add_reviews`; field, cell and word of each."""

    words: list[tuple[_Row, _Row, ReviewLabel]]
    observer: _Name


class UndoReview(Write, frozen=True, tag="undo_review"):
    """See :meth:`edge.bloodlog.BloodLog.undo_review`."""

    observer: _Name
    sample_id: _Row
    expected: _Row | None


class OpenVerification(Write, frozen=True, tag="open_verification"):
    """See :meth:`edge.bloodlog.BloodLog.open_verification`; field, cell, stratum, weight, twice of each."""

    plan: str
    cells: list[tuple[_Row, _Row, _Name, Annotated[float, Meta(ge=1.0)], bool]]
    keep: list[_Name]
    who: _Name


class SayVerified(Write, frozen=True, tag="say_verified"):
    """See :meth:`edge.bloodlog.BloodLog.say_verified`; field, cell and word of each."""

    verification_id: _Row
    words: list[tuple[_Row, _Row, ReviewLabel]]
    reader: _Name


class UndoVerified(Write, frozen=True, tag="undo_verified"):
    """See :meth:`edge.bloodlog.BloodLog.undo_verified`."""

    verification_id: _Row
    reader: _Name
    expected: _Row | None


class NoteVerification(Write, frozen=True, tag="note_verification"):
    """See :meth:`edge.bloodlog.BloodLog.note_verification`."""

    verification_id: _Row
    event: Event
    record: str
    who: _Name


class AssignFields(Write, frozen=True, tag="assign_fields"):
    """See :meth:`edge.bloodlog.BloodLog.assign_fields`."""

    name: _Name | None
    fields: list[_Row]
    who: _Name


class OpenControl(Write, frozen=True, tag="open_control"):
    """See :meth:`edge.bloodlog.BloodLog.open_control`."""

    name: _Name
    slide: _Name
    who: _Name


class Acknowledge(Write, frozen=True, tag="acknowledge"):
    """See :meth:`edge.bloodlog.BloodLog.acknowledge`."""

    alarm: _Row
    who: _Name
    note: Annotated[str, Meta(max_length=MAX_NOTE)]
    new_baseline: bool


class Retain(Write, frozen=True, tag="retain"):
    """Remove pictures as the service's ``[storage]`` says; see :func:`edge.bloodlog.retention.retain`."""


class AppendField(Write, frozen=True, tag="append_field"):
    """A field that another process has counted from a file; see :meth:`edge.bloodlog.BloodLog.append`.

    Attributes
    ----------
    sample_id, after : row of its sample, and the last field of it that was taken up before this was placed
    provenance, context : as JSON; their records would bring the whole line into the review page's process
    pictures : JPEG files of the field and its cells, by their SHA-256
    contours, overlaps : see :meth:`edge.bloodlog.BloodLog.append`; a client of an earlier version has none
    is_drawn : a program has drawn it, as the truth beside the file says
    """

    result: FieldResult
    sample_id: _Row
    after: Annotated[int, Meta(ge=0)]
    provenance: str
    context: str | None
    image_sha256: str | None
    thumbnails: dict[int, str]
    pictures: dict[str, bytes]
    contours: dict[int, str] = {}
    overlaps: list[tuple[_Row, float, float]] = []
    is_drawn: bool = False


Verifying = OpenVerification | SayVerified | UndoVerified | NoteVerification
AnyWrite = (
    OpenSample | ChangeSample | AssignFields | AddReviews | UndoReview | Verifying | OpenControl | Acknowledge
    | Retain | AppendField
)  # fmt: skip


def encode_write(write: AnyWrite) -> bytes:
    """Write the body of a request."""
    return msgspec.json.encode(write, enc_hook=_plain)


def decode_write(body: bytes) -> AnyWrite:
    """Read the body of a request.

    Raises
    ------
    msgspec.DecodeError, UnicodeError, RecursionError
        It is none.
    """
    write: AnyWrite = msgspec.json.decode(body, type=AnyWrite)
    return write


def _plain(value: Any) -> object:  # noqa: ANN401  # NumPy's scalars, which the line's records may hold
    return value.item()
