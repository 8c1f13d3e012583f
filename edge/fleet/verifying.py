"""Whether a message may become a row: its form, its sender, its seal and its place in the device's chain."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from edge.bloodlog.chain import GENESIS
from edge.config import DEVICE_NAME
from edge.errors import EdgeError
from edge.fleet.messages import (
    LINK_SCHEMA,
    MAX_BYTES,
    MAX_PICTURE_BYTES,
    PICTURE_SCHEMA,
    ROOT,
    STATUS_SCHEMA,
    seal,
)
from edge.fleet.moments import moment

#: What is named. The first five are of messages that are refused, the others of what is kept.
Kind = Literal[
    "oversized", "malformed", "stolen_name", "altered", "fork", "restored_backup", "resealed", "gap", "flood"
]  # fmt: skip
_TOPIC = re.compile(rf"{ROOT}/({DEVICE_NAME})/(link|picture|status|online)", re.ASCII)
_OWNER = re.compile(rf"{ROOT}/({DEVICE_NAME})/.*", re.ASCII | re.DOTALL)
#: Where messages come from whose topic names no device.
NOBODY = "?"
#: A time as devices write it. What is none the views could not read, of any device.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_YEARS = range(1970, 2200)
#: Longest side of a cell's picture.
_MOST_PX = 1024
_TOO_DEEP = "is nested too deep; a message has few levels"
#: Of a refused message this much is kept, characters.
KEPT_CHARACTERS = 4096

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Number = Annotated[int, Meta(ge=1, le=2**53)]
Whole = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*\Z")]


class Tally(Struct, frozen=True):
    """Cells of a field."""

    blasts: Count
    normal: Count
    uncertain: Count
    border: Count
    smudges: Count
    seen_before: Count
    erythroblasts: Count


def _check_moment(value: str | None) -> None:
    if value is None:
        return
    found = moment(value) if _MOMENT.fullmatch(value) else None
    if found is None or found.year not in _YEARS:
        raise ValueError(f"expected a time such as 2026-03-01T12:00:00+00:00, got {value!r:.40}")


def _check_names(value: str | None) -> None:
    try:
        msgspec.json.decode(value or "[]", type=list[Text])
    except msgspec.MsgspecError as error:
        raise ValueError(f"expected a JSON array of names, got {value!r:.40}") from error


class FieldRow(Struct, frozen=True):
    """Of a field's row what has a column of its own."""

    id: Number
    logged_at: Text
    status: Literal["counted", "rejected"]
    captured_at: Text | None = None
    sample_id: Number | None = None
    reasons: str | None = None
    warnings: str | None = None
    source_kind: Text | None = None
    model_name: Text | None = None
    model_sha256: Text | None = None
    config_sha256: Text | None = None
    software_version: Text | None = None

    def __post_init__(self) -> None:
        """See that times are times, and reasons and warnings names."""
        for value in (self.logged_at, self.captured_at):
            _check_moment(value)
        for value in (self.reasons, self.warnings):
            _check_names(value)


class SampleRow(Struct, frozen=True):
    """A sample's row."""

    id: Number
    name: Text
    specimen: Literal["blood", "marrow"]
    quota: Number
    opened_at: Text
    search: Literal[1] | None = None

    def __post_init__(self) -> None:
        """See that the time is one."""
        _check_moment(self.opened_at)


class ControlRunRow(Struct, frozen=True):
    """A sample's being a run of a control slide."""

    id: Number
    sample_id: Number
    slide: Text


class _SampleEventRow(Struct, frozen=True):
    id: Number
    sample_id: Number


class RemovalRow(Struct, frozen=True):
    """Of a field the pictures were removed."""

    id: Number
    field_id: Number


class _AlarmRow(Struct, frozen=True):
    id: Number
    chart: Text
    day: Text
    cause: Text


class _AcknowledgementRow(Struct, frozen=True):
    id: Number
    alarm_id: Number


class LinkMessage(Struct, frozen=True):
    """A link as it crossed; what a later version adds is passed over here, and sealed all the same."""

    schema: Literal["blastcount.link/1"]
    device: Text
    number: Number
    kind: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\Z")]
    row: dict[str, Any]
    withheld: list[Text]
    previous: Hash
    sha256: Hash
    previous_seal: Hash
    seal: Hash
    tally: Tally | None = None


class _AnyRow(Struct, frozen=True):
    id: Number


#: Forms of the rows that something is read from here.
_ROWS: Mapping[str, type[Struct]] = {
    "field": FieldRow,
    "sample": SampleRow,
    "control_run": ControlRunRow,
    "removal": RemovalRow,
    "sample_event": _SampleEventRow,
    "alarm": _AlarmRow,
    "acknowledgement": _AcknowledgementRow,
}


class HeadSaid(Struct, frozen=True):
    """Where a device says that its chain ends."""

    number: Whole
    sha256: Hash


class StatusMessage(Struct, frozen=True):
    """What a device says of itself: what of it is read here."""

    schema: Literal["blastcount.device/1"]
    device: Text
    at: Text
    head: HeadSaid
    backlog: Whole = 0
    software_version: Text | None = None
    disk_free_mb: Whole | None = None


class PictureMessage(Struct, frozen=True):
    """A cell's picture as it crossed."""

    schema: Literal["blastcount.picture/1"]
    device: Text
    field_id: Number
    cell_id: Number
    sha256: Hash
    jpeg: Annotated[bytes, Meta(max_length=MAX_PICTURE_BYTES)]


class RefusedError(EdgeError):
    """A message that does not become a row.

    Attributes
    ----------
    kind : its name
    what : in words: what, expected, got
    number : of the link, where the message has one
    """

    def __init__(self, kind: Kind, what: str, number: int | None = None) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.what = what
        self.number = number


@dataclass(frozen=True, slots=True)
class End:
    """Where a device's chain stands: number, hash and seal of a link."""

    number: int = 0
    sha256: str = GENESIS
    seal: str = GENESIS


def parse_topic(topic: str) -> tuple[str, str] | None:
    """Split a topic into device and what it is of; None for one that is none of the fleet's.

    Examples
    --------
    >>> parse_topic("blastcount/1/pi-07/link"), parse_topic("blastcount/1/../link")
    (('pi-07', 'link'), None)
    """
    match = _TOPIC.fullmatch(topic)
    return None if match is None else (match[1], match[2])


def sender(topic: str) -> str:
    """Name the device under whose topics a message came, whatever else is wrong with it.

    Examples
    --------
    >>> sender("blastcount/1/pi-07/nonsense"), sender("blastcount/1")
    ('pi-07', '?')
    """
    match = _OWNER.fullmatch(topic)
    return NOBODY if match is None else match[1]


def read_link(device: str, payload: bytes) -> LinkMessage:
    """Read the message of a link, and see that it is whole and its sender's own.

    Parameters
    ----------
    device : the name in the topic, for which the broker answers
    payload : what came

    Raises
    ------
    RefusedError
        It is not.
    """
    raw = _decode(payload, LINK_SCHEMA)
    try:
        message = msgspec.convert(raw, LinkMessage)
        msgspec.convert(message.row, _ROWS.get(message.kind, _AnyRow))
        if message.kind == "field" and message.tally is None:
            raise msgspec.ValidationError("a field has a tally, got none")
        sealed = seal(raw)
    except RecursionError as error:
        raise RefusedError("malformed", _TOO_DEEP) from error
    except (msgspec.ValidationError, UnicodeError) as error:
        raise RefusedError("malformed", f"is not of the form {LINK_SCHEMA}: {error}") from error
    _check_name(device, message.device, message.number)
    if sealed != message.seal:
        raise RefusedError("altered", "was changed on its way: its seal is of something else", message.number)
    return message


def read_status(device: str, payload: bytes) -> tuple[StatusMessage, Mapping[str, Any]]:
    """Read what a device says of itself: what of it is read here, and all of it.

    Raises
    ------
    RefusedError
        It is malformed, or another's.
    """
    raw = _decode(payload, STATUS_SCHEMA)
    try:
        status = msgspec.convert(raw, StatusMessage)
    except msgspec.ValidationError as error:
        raise RefusedError("malformed", f"is not of the form {STATUS_SCHEMA}: {error}") from error
    _check_name(device, status.device, None)
    return status, raw


def read_picture(device: str, payload: bytes) -> PictureMessage:
    """Read a cell's picture, and see that it is a small one, and its sender's own.

    Raises
    ------
    RefusedError
        It is not.
    """
    import simplejpeg

    raw = _decode(payload, PICTURE_SCHEMA)
    try:
        picture = msgspec.convert(raw, PictureMessage)
        height, width, _, _ = simplejpeg.decode_jpeg_header(picture.jpeg)
    except (msgspec.ValidationError, ValueError) as error:
        raise RefusedError("malformed", f"is not of the form {PICTURE_SCHEMA}: {error}") from error
    _check_name(device, picture.device, None)
    if max(width, height) > _MOST_PX:
        raise RefusedError("oversized", f"shows {width} x {height} px, expected at most {_MOST_PX}")
    if hashlib.sha256(picture.jpeg).hexdigest() != picture.sha256:
        raise RefusedError("altered", "was changed on its way: its hash is of something else")
    return picture


def check_place(message: LinkMessage, before: End | None, after: LinkMessage | None) -> None:
    """See that a new link fits those beside it.

    Parameters
    ----------
    message : the new link
    before : the link before it, where it is here
    after : the message of the link behind it, where it is here

    Raises
    ------
    RefusedError
        It belongs to another chain.
    """
    if before is not None and message.previous != before.sha256:
        raise RefusedError(
            "fork",
            f"link {message.number} follows {message.previous[:12]}..., but link {before.number} here is "
            f"{before.sha256[:12]}...: another log, or one that was put back from a backup",
            message.number,
        )
    if after is not None and after.previous != message.sha256:
        raise RefusedError(
            "fork",
            f"link {message.number} is {message.sha256[:12]}..., but link {after.number} here follows "
            f"{after.previous[:12]}...: another log, or one that was put back from a backup",
            message.number,
        )


def refused_text(payload: bytes) -> tuple[str, str]:
    """Give what is kept of a refused message: its hash, and its beginning without what no database takes."""
    text = payload[: 4 * KEPT_CHARACTERS].decode("utf-8", "backslashreplace")[:KEPT_CHARACTERS]
    return hashlib.sha256(payload).hexdigest(), text.replace("\x00", "\\x00")


def _decode(payload: bytes, schema: str) -> dict[str, Any]:
    if len(payload) > MAX_BYTES:
        raise RefusedError("oversized", f"has {len(payload)} bytes, expected at most {MAX_BYTES}")
    try:
        raw = msgspec.json.decode(payload)
    except RecursionError as error:
        raise RefusedError("malformed", _TOO_DEEP) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("malformed", f"is not JSON: {error}") from error
    if b"\\u0000" in payload:  # no text of a log holds it, and PostgreSQL's cannot
        raise RefusedError("malformed", "holds a character of code 0")
    if not isinstance(raw, dict) or raw.get("schema") != schema:
        got = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
        raise RefusedError("malformed", f"expected {schema}, got {got!r:.60}; update whichever is older")
    return raw


def _check_name(device: str, said: str, number: int | None) -> None:
    if device != said:
        raise RefusedError("stolen_name", f"says that it is {said!r:.40}, but came as {device}", number)
