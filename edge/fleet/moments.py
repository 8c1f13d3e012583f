"""Times as the databases and the devices write them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(value: object) -> datetime | None:
    """Read a time as either database gives it; None where there is none, or what a device sent is no time.

    Examples
    --------
    >>> moment("2026-03-01T12:00:00+00:00").hour, moment("soon")
    (12, None)
    """
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
