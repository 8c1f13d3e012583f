"""Logs of many days, for the charts of quality control."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.structures import Readings, RedCellScale, Scale
from tests.edge.bloodlog.fields import PROVENANCE, make_result

#: Noon in most of the world is the same day here and there.
FIRST = datetime(2026, 5, 3, 4, 0, tzinfo=UTC)


def readings(light: float = 2.28, stain: float = 1.0, blur_um: float = 0.28) -> Readings:
    red_cells, nuclei = (0.04 * stain, 0.1 * stain, 0.09 * stain), (0.39 * stain, 0.9 * stain, 0.17 * stain)
    return Readings((light, light, light - 0.01), 0.02, blur_um, red_cells, nuclei)


def log_days(
    log: BloodLog,
    days: Iterable[int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    light: float = 2.28,
    um_per_px: float = 0.1,
    fields: int = 4,
    sample_id: int | None = None,
    clock_trusted: bool | None = None,
) -> None:
    """Log fields of some days, counted from the first: light and stain differ a little, seeded by the day."""
    for day in days:
        rng = np.random.default_rng(day)
        of_day = rng.normal(light, 0.01)
        for number in range(fields):
            at = FIRST + timedelta(days=day, minutes=number)
            monkeypatch.setattr("edge.bloodlog.core.utc_now", lambda at=at: at)
            read = readings(rng.normal(of_day, 0.004), rng.normal(1, 0.05), rng.normal(0.28, 0.01))
            scale = um_per_px * rng.normal(1, 0.02)
            result = replace(
                make_result(f"day {day}"),
                readings=read,
                scale=Scale(um_per_px, "red_cells", 0.9, red_cells=RedCellScale(scale, 0.5)),
            )
            log.append(result, **PROVENANCE, sample_id=sample_id, clock_trusted=clock_trusted)
