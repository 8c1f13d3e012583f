"""What the fleet's page shows, read from the collector's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from edge.counting.tally import denominator_of, with_share, without_share
from edge.device.clock import utc_now
from edge.errors import SourceError
from edge.fleet.database import Database, Row
from edge.fleet.moments import moment
from edge.structures import Tally

#: Samples and incidents of a device that one page shows, the newest.
MOST_SHOWN = 200
#: Weeks that samples are counted by, the running one among them.
WEEKS = 12

_TALLIES = "SELECT * FROM sample_tally WHERE device = %s"
_LAST_SAMPLES = """
SELECT tally.*, (
    SELECT link.body -> 'row' ->> 'event' FROM link
    WHERE link.device = tally.device AND link.kind = 'sample_event'
    AND CAST(link.body -> 'row' ->> 'sample_id' AS BIGINT) = tally.sample_id
    AND link.body -> 'row' ->> 'event' IN ('opened', 'closed', 'reopened')
    ORDER BY link.number DESC LIMIT 1) AS event
FROM sample_tally AS tally
WHERE tally.sample_id = (
    SELECT max(row_id) FROM sample WHERE sample.device = tally.device AND NOT EXISTS (
        SELECT 1 FROM control_run WHERE control_run.device = sample.device AND sample_id = sample.row_id))
"""
_LAST_FIELDS = """
SELECT field.* FROM field
JOIN (SELECT device, max(number) AS number FROM field GROUP BY device) AS newest
ON newest.device = field.device AND newest.number = field.number
"""
_CONTROLLED = "SELECT DISTINCT device FROM link WHERE kind IN ('control_run', 'alarm')"
_VERIFIED = """
SELECT device, max(body -> 'row' ->> 'at') AS at FROM link
WHERE kind = 'verification_event' AND body -> 'row' ->> 'event' = 'closed' GROUP BY device
"""
_INCIDENTS = """
SELECT kind, what, first_at, incident.times, closed_at, seen.at AS seen_at, who, note
FROM incident LEFT JOIN acknowledgement AS seen ON seen.id = (
    SELECT max(id) FROM acknowledgement AS one
    WHERE incident_id = incident.id AND one.times >= incident.times)
WHERE device = %s ORDER BY last_at DESC, incident.id DESC LIMIT %s
"""
_STANDING = "SELECT id, kind, what, times FROM standing_incident WHERE device = %s"
_ADD_SEEN = "INSERT INTO acknowledgement (incident_id, at, who, note, times) VALUES (%s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class SampleFigures:
    """One sample as far as it has come here.

    Attributes
    ----------
    device, name, specimen : of the sample
    number : of its row on the device
    quota : white cells to be counted
    opened_at : aware UTC
    tally : of the program's words, with the share's exact interval; without a share where it is searched
    state : ``open``, ``closed`` or None where no event has come
    search : it is searched for few blasts: the program's share is no result
    control_slide : of which it is a run; None for a patient's sample
    """

    device: str
    name: str
    number: int
    specimen: str
    quota: int
    opened_at: datetime
    tally: Tally
    state: str | None = None
    search: bool = False
    control_slide: str | None = None

    @classmethod
    def of(cls, row: Row) -> SampleFigures:
        """Read a row of ``sample_tally``."""
        counts = with_share(
            Tally(
                fields=int(row["fields"]),
                rejected=int(row["rejected"]),
                blasts=int(row["blasts"]),
                normal=int(row["normal"]),
                uncertain=int(row["uncertain"]),
                smudges=int(row["smudges"]),
                border=int(row["border"]),
                blast_fraction=None,
                ci_low=0.0,
                ci_high=1.0,
                denominator=denominator_of(None, row["specimen"]),
                seen_before=int(row["seen_before"]),
                erythroblasts=int(row["erythroblasts"]),
            )
        )
        event = row.get("event")
        state = None if event is None else "closed" if event == "closed" else "open"
        return cls(
            *(row["device"], row["sample"], row["sample_id"], row["specimen"], row["quota"]),
            moment(row["opened_at"]) or datetime.fromtimestamp(0, UTC),
            without_share(counts) if row["search"] else counts,
            state,
            bool(row["search"]),
            row["control_slide"],
        )


@dataclass(frozen=True)
class DeviceLine:
    """One device on the page of all.

    Attributes
    ----------
    name : of the device
    last_heard : aware UTC
    online : whether the broker has it connected; None where it has not said
    links : its last link's number here
    status : what it said of itself last
    sample : its newest sample that is no control run
    field : its newest field's columns
    alarms : kinds of alarms that stand
    incidents : kinds of what was refused or is missing, with how often
    qc : ``alarm`` where its quality control has one that nobody acknowledged, ``ok`` where it has had runs or
        alarms; None before
    verified : when its last verification on its own slides was closed; None without one
    retired : who has taken it out of use, when and why, unless it was heard since; None without
    """

    name: str
    last_heard: datetime
    online: bool | None
    links: int
    status: Mapping[str, Any]
    sample: SampleFigures | None
    field: Row
    alarms: tuple[str, ...]
    incidents: Mapping[str, int]
    qc: str | None = None
    verified: datetime | None = None
    retired: Row | None = None


def devices(database: Database) -> list[DeviceLine]:
    """Read all devices, by name."""
    samples = {row["device"]: SampleFigures.of(row) for row in database.rows(_LAST_SAMPLES)}
    fields = {row["device"]: row for row in database.rows(_LAST_FIELDS)}
    alarms: dict[str, list[str]] = {}
    for row in database.rows("SELECT device, kind FROM alarm WHERE cleared_at IS NULL ORDER BY id"):
        alarms.setdefault(row["device"], []).append(row["kind"])
    incidents: dict[str, Counter[str]] = {}
    query = "SELECT device, kind, sum(times) AS n FROM standing_incident GROUP BY device, kind"
    for row in database.rows(query):
        incidents.setdefault(row["device"], Counter())[row["kind"]] += int(row["n"])
    lines = []
    controlled = {row["device"] for row in database.rows(_CONTROLLED)}
    verified = {row["device"]: moment(row["at"]) for row in database.rows(_VERIFIED)}
    retired = {row["device"]: row for row in database.rows("SELECT device, at, who, note FROM retired")}
    for row in database.rows("SELECT * FROM device ORDER BY name"):
        name = row["name"]
        lines.append(
            DeviceLine(
                name=name,
                last_heard=moment(row["last_heard"]) or datetime.fromtimestamp(0, UTC),
                online=None if row["online"] is None else bool(row["online"]),
                links=row["highest"],
                status=as_json(row["status"]),
                sample=samples.get(name),
                field=fields.get(name, {}),
                alarms=tuple(dict.fromkeys(alarms.get(name, ()))),
                incidents=incidents.get(name, {}),
                qc="alarm" if "qc" in alarms.get(name, ()) else "ok" if name in controlled else None,
                verified=verified.get(name),
                retired=retired.get(name),
            )
        )
    return lines


def samples_of(database: Database, device: str) -> list[SampleFigures]:
    """Read a device's newest samples, the newest first."""
    rows = database.rows(f"{_TALLIES} ORDER BY sample_id DESC LIMIT %s", (device, MOST_SHOWN))
    return [SampleFigures.of(row) for row in rows]


def sample_of(database: Database, device: str, number: int) -> SampleFigures | None:
    """Read one sample; None where it is not here."""
    rows = database.rows(f"{_TALLIES} AND sample_id = %s", (device, number))
    return SampleFigures.of(rows[0]) if rows else None


def made_by(database: Database, device: str, number: int) -> list[Row]:
    """Read what counted a sample's fields: model and version, with how many fields."""
    return database.rows(
        "SELECT model_name, model_sha256, software_version, count(*) AS fields FROM field "
        "WHERE device = %s AND sample_id = %s GROUP BY model_name, model_sha256, software_version "
        "ORDER BY fields DESC",
        (device, number),
    )


def warnings_of(database: Database, device: str, number: int) -> tuple[dict[str, int], int]:
    """Count warnings of a sample's fields by name, and the fields that have one."""
    rows = database.rows(
        "SELECT warnings, count(*) AS n FROM (SELECT CAST(warnings AS TEXT) AS warnings FROM field "
        "WHERE device = %s AND sample_id = %s AND status = 'counted') AS one GROUP BY warnings",
        (device, number),
    )
    counts: Counter[str] = Counter()
    warned = 0
    for row in rows:
        names = as_list(row["warnings"])
        warned += bool(names) * int(row["n"])
        for name in names:
            counts[name] += int(row["n"])
    return dict(counts.most_common()), warned


def pictures_of(database: Database, device: str, number: int) -> list[Row]:
    """Read which cells' pictures of a sample are here: field and cell, the newest."""
    return database.rows(
        "SELECT field_id, cell_id FROM picture JOIN field ON field.device = picture.device "
        "AND field.row_id = picture.field_id WHERE picture.device = %s AND sample_id = %s "
        "ORDER BY field_id DESC, cell_id LIMIT %s",
        (device, number, MOST_SHOWN),
    )


def picture_of(database: Database, device: str, field_id: int, cell_id: int) -> bytes | None:
    """Read one cell's picture, a JPEG file; None where it is not here."""
    query = "SELECT jpeg FROM picture WHERE device = %s AND field_id = %s AND cell_id = %s"
    rows = database.rows(query, (device, field_id, cell_id))
    return bytes(rows[0]["jpeg"]) if rows else None


def incidents_of(database: Database, device: str) -> list[Row]:
    """Read a device's newest incidents, each with who has seen it where it has not come again since."""
    return database.rows(_INCIDENTS, (device, MOST_SHOWN))


def acknowledge(database: Database, device: str, kind: str | None, who: str, note: str) -> list[Row]:
    """Note that what stands of a device was seen; give that.

    Parameters
    ----------
    database : open for writing
    kind : of the incidents; None for all
    who, note : the person, and what was done about it
    """
    at = utc_now().isoformat(timespec="seconds")
    with database.transaction():
        standing = database.rows(f"{_STANDING} ORDER BY id", (device,))
        seen = [row for row in standing if kind in (None, row["kind"])]
        rows = [(row["id"], at, who, note, row["times"]) for row in seen]
        database.execute_many(_ADD_SEEN, rows)
    return seen


def retire(database: Database, device: str, who: str, note: str) -> None:
    """Note that a device is out of use: until it is heard again it has no alarms.

    Parameters
    ----------
    database : open for writing
    device : that was heard once
    who, note : the person, and why

    Raises
    ------
    SourceError
        No device of this name was heard.
    """
    at = utc_now().isoformat(timespec="microseconds")  # after what was heard in the same second
    with database.transaction():
        names = [row["name"] for row in database.rows("SELECT name FROM device ORDER BY name")]
        if device not in names:
            raise SourceError(
                f"{device}: no device of this name was heard; expected one of {', '.join(names) or '(none)'}"
            )
        database.execute(
            "INSERT INTO retirement (device, at, who, note) VALUES (%s, %s, %s, %s)", (device, at, who, note)
        )
        query = "UPDATE alarm SET cleared_at = %s WHERE device = %s AND cleared_at IS NULL"
        database.execute(query, (at, device))


def alarms_of(database: Database, device: str) -> list[Row]:
    """Read a device's newest alarms."""
    query = "SELECT kind, what, raised_at, cleared_at FROM alarm WHERE device = %s ORDER BY id DESC LIMIT %s"
    return database.rows(query, (device, MOST_SHOWN))


def weeks(database: Database, today: datetime) -> tuple[list[str], dict[str, list[int]]]:
    """Count samples that were opened, by device and ISO week; control runs are none.

    Parameters
    ----------
    today : aware UTC

    Returns
    -------
    the last :data:`WEEKS` weeks as ``2026-W48``; and by device the samples of each
    """
    names = [_week(today - timedelta(weeks=back)) for back in range(WEEKS - 1, -1, -1)]
    since = (today - timedelta(weeks=WEEKS)).date().isoformat()
    rows = database.rows(
        "SELECT device, substr(opened_at, 1, 10) AS day, count(*) AS n FROM sample WHERE opened_at >= %s "
        "AND NOT EXISTS (SELECT 1 FROM control_run "
        "WHERE control_run.device = sample.device AND sample_id = sample.row_id) "
        "GROUP BY device, substr(opened_at, 1, 10)",
        (since,),
    )
    counts: dict[str, list[int]] = {}
    for row in rows:
        day = moment(row["day"])
        if day is not None and (week := _week(day)) in names:
            counts.setdefault(row["device"], [0] * WEEKS)[names.index(week)] += int(row["n"])
    return names, dict(sorted(counts.items()))


def _week(day: datetime) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def as_json(value: object) -> Mapping[str, Any]:
    """Read JSON as either database gives it; empty for anything but an object."""
    if isinstance(value, str | bytes):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[str]:
    """Read a JSON array of names; empty for anything else."""
    try:
        return msgspec.json.decode(value, type=list[str]) if isinstance(value, str | bytes) else []
    except msgspec.MsgspecError:
        return []
