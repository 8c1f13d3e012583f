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
from edge.errors import EdgeError
from edge.fleet.messages import LINK_SCHEMA, MAX_BYTES, ROOT, STATUS_SCHEMA, seal

#: What is named. The first five are of messages that are refused, the others of what is kept.
Kind = Literal[
    "oversized", "malformed", "stolen_name", "altered", "fork", "restored_backup", "resealed", "gap"
]  # fmt: skip
_TOPIC = re.compile(rf"{ROOT}/([A-Za-z0-9][A-Za-z0-9_-]{{0,31}})/(link|status|online)", re.ASCII)
_TOO_DEEP = "is nested too deep; a message has few levels"
#: Of a refused message this much is kept, characters.
KEPT_CHARACTERS = 4096

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Number = Annotated[int, Meta(ge=1, le=2**53)]
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


class SampleRow(Struct, frozen=True):
    """A sample's row."""

    id: Number
    name: Text
    specimen: Literal["blood", "marrow"]
    quota: Number
    opened_at: Text
    search: Literal[1] | None = None


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


_ROWS: Mapping[str, type[Struct]] = {"field": FieldRow, "sample": SampleRow}


class StatusMessage(Struct, frozen=True):
    """What a device says of itself."""

    schema: Literal["blastcount.device/1"]
    device: Text
    at: Text
    head: dict[str, Any]


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


def read_status(device: str, payload: bytes) -> Mapping[str, Any]:
    """Read what a device says of itself.

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
    return raw


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
