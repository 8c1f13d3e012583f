"""Alarms of the fleet: a device is silent, its counts have moved, or its own quality control alarms.

An alarm is a row that stands until what raised it has passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from edge.fleet.database import Database
from edge.fleet.moments import moment

#: The newest fields of a device are held against those before them: a day's work against some weeks'.
NEWEST_FIELDS, EARLIER_FIELDS = 200, 2000
#: A share has moved where the difference could hardly be chance, in standard errors of two proportions (4 is
#: one in 16,000, and forty devices are looked at every day), and is large enough to matter.
_ERRORS, _MATTERS = 4.0, 0.05

_NEWEST = """
SELECT count(*) AS fields, sum(CASE WHEN status = 'rejected' THEN 1 ELSE 0 END) AS rejected,
       sum(uncertain) AS uncertain, sum(blasts + normal + uncertain) AS cells
FROM (SELECT * FROM field WHERE device = %s ORDER BY number DESC LIMIT %s OFFSET %s) AS newest
"""


#: Alarms of a device's own charts that stand here at most, the newest: nobody looks at more.
MOST_OF_CHARTS = 100
_UNSEEN = """
SELECT device, chart, day, cause FROM (
    SELECT device, body -> 'row' ->> 'chart' AS chart, body -> 'row' ->> 'day' AS day,
           body -> 'row' ->> 'cause' AS cause,
           row_number() OVER (PARTITION BY device ORDER BY number DESC) AS place
    FROM link WHERE kind = 'alarm' AND NOT EXISTS (
        SELECT 1 FROM link AS seen WHERE seen.device = link.device AND seen.kind = 'acknowledgement'
        AND CAST(seen.body -> 'row' ->> 'alarm_id' AS BIGINT) = link.row_id)) AS unseen
WHERE place <= %s
"""


class Alarm(NamedTuple):
    """Something that stands.

    Attributes
    ----------
    device : which
    kind : ``silent``, ``drift`` or ``qc``
    what : in words that stay the same while it stands
    """

    device: str
    kind: str
    what: str


def watch(database: Database, now: datetime, silent_h: float) -> None:
    """Raise the alarms that are due, and clear those that have passed; a device out of use has none.

    Parameters
    ----------
    database : open for writing
    now : aware UTC
    silent_h : hours after which a device is silent
    """
    with database.transaction():
        names = [row["name"] for row in database.rows("SELECT name FROM device ORDER BY name")]
        retired = {row["device"] for row in database.rows("SELECT device FROM retired")}
        found = (
            *_silent(database, now, silent_h),
            *_quality_control(database),
            *(alarm for name in names for alarm in _drift(database, name)),
        )
        due = {alarm for alarm in found if alarm.device not in retired}
        query = "SELECT device, kind, what FROM alarm WHERE cleared_at IS NULL"
        standing = {Alarm(row["device"], row["kind"], row["what"]) for row in database.rows(query)}
        at = now.isoformat(timespec="seconds")
        for alarm in sorted(due - standing):
            database.execute(
                "INSERT INTO alarm (device, kind, what, raised_at) VALUES (%s, %s, %s, %s)", (*alarm, at)
            )
        for alarm in sorted(standing - due):
            database.execute(
                "UPDATE alarm SET cleared_at = %s WHERE device = %s AND kind = %s AND what = %s "
                "AND cleared_at IS NULL",
                (at, *alarm),
            )


def _silent(database: Database, now: datetime, silent_h: float) -> Iterator[Alarm]:
    for row in database.rows("SELECT name, last_heard FROM device"):
        heard = moment(row["last_heard"])
        if heard is not None and now - heard > timedelta(hours=silent_h):
            yield Alarm(row["name"], "silent", f"not heard since {heard.isoformat(timespec='seconds')}")


def _quality_control(database: Database) -> Iterator[Alarm]:
    """Alarms of devices' own charts that nobody there has acknowledged."""
    for row in database.rows(_UNSEEN, (MOST_OF_CHARTS,)):
        yield Alarm(row["device"], "qc", f"{row['chart']} on {row['day']}: {row['cause']}")


def _drift(database: Database, name: str) -> Iterator[Alarm]:
    (new,) = database.rows(_NEWEST, (name, NEWEST_FIELDS, 0))
    (old,) = database.rows(_NEWEST, (name, EARLIER_FIELDS, NEWEST_FIELDS))
    for what, part, whole in (
        ("refused fields", "rejected", "fields"),
        ("uncertain cells", "uncertain", "cells"),
    ):
        if has_moved(int(new[part] or 0), int(new[whole] or 0), int(old[part] or 0), int(old[whole] or 0)):
            yield Alarm(name, "drift", f"the share of {what} is another than before")


def has_moved(part: int, whole: int, earlier_part: int, earlier_whole: int) -> bool:
    """Whether a share differs from an earlier one, by the pooled test of two proportions [1]_.

    Parameters
    ----------
    part, whole : of the newest fields
    earlier_part, earlier_whole : of those before; fewer than ``NEWEST_FIELDS`` say nothing

    References
    ----------
    .. [1] J. L. Fleiss, "Statistical Methods for Rates and Proportions", 3rd ed., section 3.2.

    Examples
    --------
    >>> has_moved(40, 200, 60, 2000), has_moved(8, 200, 60, 2000)
    (True, False)
    """
    if whole < NEWEST_FIELDS or earlier_whole < NEWEST_FIELDS:
        return False
    pooled = (part + earlier_part) / (whole + earlier_whole)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / whole + 1.0 / earlier_whole))
    difference = abs(part / whole - earlier_part / earlier_whole)
    return difference > _MATTERS and difference > _ERRORS * error
