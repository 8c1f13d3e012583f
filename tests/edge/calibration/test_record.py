"""The calibration file: a round trip, every way of being wrong, and never half-written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.calibration import Blank, Calibration, MeasuredScale
from edge.calibration.record import merged
from edge.errors import ConfigError, OutputError

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def calibration() -> Calibration:
    grid = np.linspace(180, 220, 24, dtype=np.float32).reshape(2, 4, 3).round(2)
    return Calibration(800, 600, AT, Blank(grid, 9), MeasuredScale(0.101, 0.1, 0.102, "micrometer", 8))


def test_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "state" / "calibration.json"
    calibration().save(path)
    loaded = Calibration.load(path)
    assert (loaded.width, loaded.height, loaded.made_at) == (800, 600, AT)
    assert loaded.scale == calibration().scale
    assert loaded.blank is not None
    assert loaded.blank.frames == 9
    np.testing.assert_allclose(loaded.blank.grid, calibration().blank.grid, atol=0.005)  # type: ignore[union-attr]
    assert [p.name for p in path.parent.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "blastcount.calibration/9"}, "schema must be"),
        ({"made_at": "yesterday"}, "made_at must be a time such as"),
        ({"made_at": "2026-01-31T12:00:00"}, "offset from UTC"),
        ({"width": 3}, "width must be 30 to 100000"),
        ({"colour": 1}, "unknown colour"),
        ({"scale": {"um_per_px": 0.1, "low": 0.09, "high": 0.11, "method": "guess", "n": 1}}, "scale.method"),
        ({"scale": {"um_per_px": 4, "low": 3, "high": 5, "method": "red_cells", "n": 1}}, "0.01 to 0.4"),
        ({"scale": {"um_per_px": 0.1, "low": 0.2, "high": 0.3, "method": "red_cells", "n": 1}}, "scale.low"),
        ({"blank": {"frames": 1, "rows": 1, "columns": 1, "rgb": [1, 2]}}, "1 x 1 x 3 numbers"),
        ({"blank": {"frames": 1, "rows": 1, "columns": 1, "rgb": [0, 2, 3]}}, "numbers from 1 to 255"),
        ({"blank": {"frames": 0, "rows": 1, "columns": 1, "rgb": [9, 9, 9]}}, "blank.frames"),
    ],
)
def test_what_no_calibration_holds_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "calibration.json"
    calibration().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        Calibration.load(path)


def test_missing_unreadable_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such calibration; make one with `blastcount calibrate`"):
        Calibration.load(tmp_path / "calibration.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.load(tmp_path)
    (tmp_path / "broken.json").write_text('{"schema": ')
    with pytest.raises(ConfigError, match="not JSON"):
        Calibration.load(tmp_path / "broken.json")


def test_a_file_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        calibration().save(tmp_path / "taken" / "calibration.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        calibration().save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "taken"]


def test_a_new_part_keeps_the_other_part_unless_the_size_changed() -> None:
    old = calibration()
    scale = Calibration(800, 600, AT, scale=MeasuredScale(0.2, 0.19, 0.21, "red_cells", 5))
    both = merged(old, scale)
    assert both.blank is old.blank
    assert both.scale is scale.scale
    other_size = Calibration(400, 300, AT, scale=scale.scale)
    assert merged(old, other_size).blank is None
    assert merged(None, scale) is scale
