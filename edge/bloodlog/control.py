"""Quality control in the log: fields' readings, runs of a control slide, alarms and who has seen them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import starmap

import msgspec

from edge.bloodlog import samples
from edge.bloodlog.chain import append
from edge.bloodlog.connection import LogPart
from edge.bloodlog.samples import NOBODY, Sample
from edge.bloodlog.users import Role, check_person
from edge.device.clock import utc_now
from edge.errors import LogError
from edge.structures import Readings

#: White cells of a run of a control slide: as of a sample of blood, although nobody counts them up to it.
_QUOTA = 200
#: Longest word on an alarm.
MAX_NOTE = 500

_FIELDS = """
SELECT field.id, field.logged_at, field.boot_id, field.clock_trusted, field.status, field.reasons,
       field.warnings, field.readings, field.red_cells_um_per_px, field.red_cells_confidence,
       control_run.slide,
       CASE WHEN control_run.slide IS NOT NULL THEN
           (SELECT avg(p_blast) FROM cell WHERE field_id = field.id AND NOT touches_border) END
FROM field LEFT JOIN control_run ON control_run.sample_id = field.sample_id
WHERE field.id > ?
ORDER BY field.id LIMIT ?
"""
_ALARMS = """
SELECT alarm.id, alarm.at, alarm.clock_trusted, day, slide, chart, rule, rises, value, centre, spread, fields,
       cause, said.at, said.who, said.note, said.new_baseline
FROM alarm LEFT JOIN acknowledgement AS said ON said.alarm_id = alarm.id
"""
#: Fields read in one go, see ``edge.bloodlog.core.PAGE_FIELDS``; these have no cells.
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class ReadField:
    """What the charts need of a field.

    Attributes
    ----------
    id : its row
    logged_at : aware UTC
    boot_id : of the boot that it was logged in, or None
    clock_trusted : whether ``logged_at`` can be believed; None where nobody looked
    rejected : it was refused
    said : names of the reasons that it was refused for, or of the warnings that it was counted with
    readings : of its light and stain; None where it was rejected, or by an earlier version
    um_per_px, confidence : what its own red cells say of its scale, or None
    slide : control slide that it shows; None for a field of a sample
    p : mean p_blast of the whole cells of a control slide's field; None without any
    """

    id: int
    logged_at: datetime
    boot_id: str | None
    clock_trusted: bool | None
    rejected: bool
    said: tuple[str, ...]
    readings: Readings | None
    um_per_px: float | None
    confidence: float | None
    slide: str | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """An alarm as the charts give it, before it is written.

    Attributes
    ----------
    day : by the laboratory's clock
    slide : control slide; None for the fields of samples
    chart, rule, cause : by name
    rises : whether the value lies, or drifts, above what is usual
    value, centre, spread : of the day, what is usual, and the standard deviation of such a day
    fields : number of them
    """

    day: date
    slide: str | None
    chart: str
    rule: str
    rises: bool
    value: float
    centre: float
    spread: float
    fields: int
    cause: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What somebody said of an alarm.

    Attributes
    ----------
    at, who : when, and by whom
    note : in words; may be empty
    new_baseline : something was changed on purpose, so that the charts begin anew
    """

    at: datetime
    who: str
    note: str
    new_baseline: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm of the log.

    Attributes
    ----------
    id : its row
    at : aware UTC when it was written
    clock_trusted : whether that can be believed; None where nobody looked
    found : what it is
    acknowledged : None while it is open
    """

    id: int
    at: datetime
    clock_trusted: bool | None
    found: Found
    acknowledged: Acknowledged | None


class ControlRows(LogPart):
    """The part of a log that quality control reads and writes."""

    def read_fields(self, after: int = 0) -> Iterator[ReadField]:
        """Go through what the charts need of all fields, oldest first, those after a row."""
        while True:
            with self.reading() as connection:
                page = [_read_field(*row) for row in connection.execute(_FIELDS, (after, _PAGE))]
            yield from page
            if not page:
                return
            after = page[-1].id

    def open_control(self, name: str, slide: str, *, who: str = NOBODY, role: Role | None = None) -> Sample:
        """Add a sample that is a run of a control slide, and open it.

        Raises
        ------
        LogError
            The slide's code is a sample's, the name is taken, another sample is open, or a value cannot be.
        """
        with self.writing(f"control slide {slide} was not opened") as connection:
            if samples.named_sample(connection, slide) is not None:
                raise LogError(
                    f"{slide} is a sample, not a control slide; give the control slide a code of its own"
                )
            sample = samples.add_sample(connection, name, "blood", _QUOTA, who, role)
            append(connection, "control_run", {"sample_id": sample.id, "slide": slide})
            return samples.get_sample(connection, name)

    def add_alarms(self, found: Sequence[Found], *, clock_trusted: bool | None = None) -> None:
        """Write alarms down; one that is there already for its chart and day adds nothing."""
        if not found:
            return
        with self.writing("the alarm was not logged") as connection:
            rows = connection.execute("SELECT slide, chart, day FROM alarm").fetchall()
            there = {(slide, chart, date.fromisoformat(day)) for slide, chart, day in rows}
            for one in found:
                if (one.slide, one.chart, one.day) in there:
                    continue
                row = {
                    "at": utc_now().isoformat(),
                    "clock_trusted": None if clock_trusted is None else int(clock_trusted),
                    "day": one.day.isoformat(),
                    "slide": one.slide,
                    "chart": one.chart,
                    "rule": one.rule,
                    "rises": int(one.rises),
                    "value": one.value,
                    "centre": one.centre,
                    "spread": one.spread,
                    "fields": one.fields,
                    "cause": one.cause,
                }
                append(connection, "alarm", row)

    def acknowledge(
        self,
        alarm_id: int,
        who: str,
        *,
        note: str = "",
        new_baseline: bool = False,
        role: Role | None = None,
    ) -> Alarm:
        """Say that an alarm was seen, and what was done about it.

        Raises
        ------
        LogError
            There is no such alarm, it was acknowledged before, or name or note cannot be.
        """
        check_person(who)
        if len(note) > MAX_NOTE:
            raise LogError(f"a word on an alarm has at most {MAX_NOTE} characters, got {len(note)}")
        with self.writing(f"alarm {alarm_id} was not acknowledged") as connection:
            alarm = _one(connection, alarm_id)
            if alarm.acknowledged is not None:
                raise LogError(f"alarm {alarm_id} was acknowledged by {alarm.acknowledged.who} already")
            row = {
                "alarm_id": alarm_id,
                "at": utc_now().isoformat(),
                "who": who,
                "role": role,
                "note": note,
                "new_baseline": int(new_baseline),
            }
            append(connection, "acknowledgement", row)
            return _one(connection, alarm_id)

    def alarms(self) -> tuple[Alarm, ...]:
        """List every alarm, oldest first."""
        with self.reading() as connection:
            return tuple(starmap(_alarm, connection.execute(f"{_ALARMS} ORDER BY alarm.id")))

    def open_alarms(self) -> tuple[Alarm, ...]:
        """List the alarms that nobody has acknowledged, oldest first."""
        with self.reading() as connection:
            query = f"{_ALARMS} WHERE said.id IS NULL ORDER BY alarm.id"
            return tuple(starmap(_alarm, connection.execute(query)))


def _one(connection: sqlite3.Connection, alarm_id: int) -> Alarm:
    row = connection.execute(f"{_ALARMS} WHERE alarm.id = ?", (alarm_id,)).fetchone()
    if row is None:
        raise LogError(f"there is no alarm {alarm_id}; `blastcount qc show` lists them")
    return _alarm(*row)


def _read_field(
    number: int,
    logged_at: str,
    boot_id: str | None,
    trusted: int | None,
    status: str,
    reasons: str,
    warnings: str | None,
    readings: str | None,
    um_per_px: float | None,
    confidence: float | None,
    slide: str | None,
    p: float | None,
) -> ReadField:
    read = None if readings is None else decode_readings(readings)
    at, is_trusted = datetime.fromisoformat(logged_at), None if trusted is None else bool(trusted)
    said = tuple(json.loads(reasons)) + tuple(json.loads(warnings or "[]"))
    return ReadField(
        number, at, boot_id, is_trusted, status == "rejected", said, read, um_per_px, confidence, slide, p
    )


def _alarm(
    number: int,
    at: str,
    trusted: int | None,
    day: str,
    slide: str | None,
    chart: str,
    rule: str,
    rises: int,
    value: float,
    centre: float,
    spread: float,
    fields: int,
    cause: str,
    said_at: str | None,
    who: str,
    note: str,
    new_baseline: int,
) -> Alarm:
    found = Found(
        date.fromisoformat(day), slide, chart, rule, bool(rises), value, centre, spread, fields, cause
    )
    said = (
        None
        if said_at is None
        else Acknowledged(datetime.fromisoformat(said_at), who, note, bool(new_baseline))
    )
    return Alarm(number, datetime.fromisoformat(at), None if trusted is None else bool(trusted), found, said)


def encode_readings(readings: Readings) -> str:
    """Write a field's readings as its row holds them."""
    return msgspec.json.encode(readings, order="sorted").decode()


def decode_readings(text: str) -> Readings:
    """Read :func:`encode_readings` back."""
    return msgspec.json.decode(text, type=Readings)
