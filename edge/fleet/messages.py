"""What crosses the network: one message a link of the log's chain, its form, and what never crosses.

A message carries the allowed columns of one row and a field's tally. What is withheld is named, and nothing
else is said of it. The log's own link hashes are in it, in their order. They are of whole rows, withheld
columns among them: whoever has the log can hold every message against it, the collector alone can check their
order. What crossed has a chain of its own, the *seal*: SHA-256 of the message in its one canonical form, in
which the previous message's seal stands.

People's names cross as pseudonyms: HMAC-SHA256 under a key that never leaves the device.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge.bloodlog.chain import Head, canonical
from edge.bloodlog.pseudonym import personal_doubt

LINK_SCHEMA = "blastcount.link/1"
STATUS_SCHEMA = "blastcount.device/1"
PICTURE_SCHEMA = "blastcount.picture/1"
#: Largest message, bytes. A field's row takes 2 kB; a larger row crosses without what is large.
MAX_BYTES = 64 * 1024
#: Pictures of one field that cross at most, and the largest, bytes: a cell's takes 2 to 6 kB.
MOST_PICTURES, MAX_PICTURE_BYTES = 20, 16 * 1024
ROOT = "blastcount/1"

#: Columns that cross, by kind; of a kind that is not named here the number alone does. A file's name
#: (`source`) may hold a patient's, cells are many, and a picture's hash says nothing without the picture.
ALLOWED: Mapping[str, frozenset[str]] = {
    kind: frozenset(columns.split())
    for kind, columns in {
        "field": "id logged_at captured_at clock_trusted source_kind width height um_per_px um_per_px_low "
        "um_per_px_high scale_source scale_confidence status reasons warnings frame_sha256 model_name "
        "model_sha256 type_model_name type_model_sha256 config_sha256 software_version runtime stage_ms "
        "sample_id provenance",
        "sample": "id name specimen quota opened_at search",
        "sample_event": "id sample_id at event who role",
        "review": "id field_id cell_id label observer at undoes role",
        "removal": "id field_id at reason",
        "repair": "id at damaged_sha256 damaged_head lost",
        "assignment": "id field_id sample_id at who",
        "settlement": "id field_id cell_id label who role at after_review",
        "verification": "id at who role",
        "verification_cell": "id verification_id field_id cell_id stratum weight twice",
        "verification_word": "id drawn_id label reader role at undoes",
        "verification_event": "id verification_id at event who role",
        "software_update": "id at from_version to_version package_sha256 result",
        "control_run": "id sample_id slide",
        "alarm": "id at clock_trusted day slide chart rule rises value centre spread fields cause",
        "acknowledgement": "id alarm_id at who role new_baseline",
        "signature": "id sample_id at clock_trusted who role meaning content_sha256",
    }.items()
}
#: Codes that people choose: they cross unless they look like a person's name.
_CODES = frozenset({("sample", "name"), ("control_run", "slide"), ("alarm", "slide")})
#: Of a row that is too large these are left.
_SMALL = frozenset({"id", "logged_at", "status", "sample_id"})
#: Of these the pseudonym crosses.
PEOPLE = frozenset({"who", "observer", "reader"})


def topic(device: str, what: str) -> str:
    """Name where a device's messages go: ``link``, ``picture``, ``status`` or ``online``.

    Examples
    --------
    >>> topic("pi-07", "link")
    'blastcount/1/pi-07/link'
    """
    return f"{ROOT}/{device}/{what}"


def pseudonym(key: bytes, name: str, of: str = "p") -> str:
    """Give a name under which nobody without the key finds a person, the same every time.

    Examples
    --------
    >>> pseudonym(bytes(32), "Ani") == pseudonym(bytes(32), "Ani") != pseudonym(bytes(32), "Budi")
    True
    """
    return f"{of}-{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:12]}"


def seal(message: Mapping[str, Any]) -> str:
    """Hash a message without its seal, in its canonical form."""
    rest = {name: value for name, value in message.items() if name != "seal"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def link_message(
    device: str,
    link: Head,
    previous: Head,
    previous_seal: str,
    content: Mapping[str, Any],
    key: bytes,
) -> dict[str, Any]:
    """Make the message of one link. The same row gives the same message, whenever it is made.

    Parameters
    ----------
    device : name of this device
    link, previous : the link and the one before it
    previous_seal : of the message before; ``GENESIS`` for the first
    content : what the link vouches for, see :func:`edge.bloodlog.chain.read_content`
    key : of people's pseudonyms
    """
    kind, row = content["kind"], content["row"]
    allowed = ALLOWED.get(kind, frozenset({"id"}))
    crossing = {name: _crossing(name, value, kind, key) for name, value in row.items() if name in allowed}
    withheld = sorted([*(row.keys() - allowed), *(name for name in content if name not in ("kind", "row"))])
    message: dict[str, Any] = {
        "schema": LINK_SCHEMA,
        "device": device,
        "number": link.number,
        "kind": kind,
        "row": crossing,
        "withheld": withheld,
        "previous": previous.sha256,
        "sha256": link.sha256,
        "previous_seal": previous_seal,
    }
    if kind == "field":
        message["tally"] = tally(content["cells"])
    if len(encoded(message)) + len(previous_seal) > MAX_BYTES:
        small = {name: value for name, value in crossing.items() if name in _SMALL}
        message |= {"row": small, "withheld": sorted(row.keys() - _SMALL | set(withheld))}
    return message | {"seal": seal(message)}


def _crossing(name: str, value: object, kind: str, key: bytes) -> object:
    if name in PEOPLE:
        return pseudonym(key, str(value))
    if (kind, name) in _CODES and personal_doubt(str(value)) is not None:
        return pseudonym(key, str(value), "s")  # what looks like a person's name does not cross
    return value


def tally(cells: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Sort a field's cells as :class:`edge.counting.tally.RunningTally` does, without loading NumPy."""
    counts = dict.fromkeys(
        ("blasts", "normal", "uncertain", "border", "smudges", "seen_before", "erythroblasts"), 0
    )
    for cell in cells:
        counts[_group(cell)] += 1
    return counts


def _group(cell: Mapping[str, Any]) -> str:
    if "seen_field_id" in cell:
        return "seen_before"
    if cell["kind"] == "smudge":
        return "smudges"
    if cell["touches_border"]:
        return "border"
    if cell.get("label") == "normal" and cell.get("type") == "erythroblast":
        return "erythroblasts"
    return {"blast": "blasts", "normal": "normal"}.get(cell.get("label", ""), "uncertain")


def doubtful(cells: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Find a field's cells that are called uncertain and have a picture: id and the picture's SHA-256."""
    found = [
        (cell["id"], cell["thumbnail_sha256"])
        for cell in cells
        if "thumbnail_sha256" in cell and _group(cell) == "uncertain"
    ]
    return found[:MOST_PICTURES]


def picture_message(device: str, field_id: int, cell_id: int, sha256: str, jpeg: bytes) -> dict[str, Any]:
    """Make the message of one cell's picture.

    Parameters
    ----------
    device : name of this device
    field_id, cell_id : of the cell in the device's log
    sha256 : of the file, as the field's link has it
    jpeg : the file; nothing is in it but the picture
    """
    return {
        "schema": PICTURE_SCHEMA,
        "device": device,
        "field_id": field_id,
        "cell_id": cell_id,
        "sha256": sha256,
        "jpeg": base64.b64encode(jpeg).decode("ascii"),
    }


def encoded(message: Mapping[str, Any]) -> bytes:
    """Write a message as it crosses."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
