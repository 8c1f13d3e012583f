"""The calibration file: a round trip, every way of being wrong, and never half-written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.calibration import Blank, Calibration, MeasuredScale
from edge.calibration.record import merged
from edge.errors import ConfigError, OutputError

SCALE = {"um_per_px": 0.1, "low": 0.09, "high": 0.11, "method": "red_cells", "n": 1}
BLANK = {"frames": 1, "rows": 1, "columns": 1, "rgb": [9, 9, 9]}
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
        ({"schema": "blastcount.calibration/9"}, r"\$\.schema"),
        ({"made_at": "2026-01-31T12:00:00"}, r"timezone component - at `\$\.made_at`"),
        ({"width": 3}, r">= 30 - at `\$\.width`"),
        ({"colour": 1}, "`colour`"),
        ({"scale": SCALE | {"method": "guess"}}, r"'guess' - at `\$\.scale\.method`"),
        ({"scale": SCALE | {"um_per_px": 4}}, r"<= 1\.25 - at `\$\.scale\.um_per_px`"),
        ({"scale": SCALE | {"low": 0.2}}, r"low and high .* um_per_px 0\.1, .* `\$\.scale`"),
        ({"blank": BLANK | {"rgb": [1, 2]}}, r"1 x 1 x 3 numbers, got 2 - at `\$\.blank`"),
        ({"blank": BLANK | {"rgb": [0, 2, 3]}}, r">= 1\.0 - at `\$\.blank\.rgb\[0\]`"),
        ({"blank": BLANK | {"frames": 0}}, r"\$\.blank\.frames"),
    ],
)
def test_what_no_calibration_holds_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "calibration.json"
    calibration().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        Calibration.load(path)


def test_files_that_cannot_be_read_or_written_say_so_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make one with `blastcount calibrate`"):
        Calibration.load(tmp_path / "calibration.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.load(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "folder").mkdir()
    for path in ("taken/calibration.json", "folder"):
        with pytest.raises(OutputError, match="cannot be written"):
            calibration().save(tmp_path / path)
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


@given(st.binary(max_size=200))
@example(b'{"schema": ')
@example(b"[[null]]")
def test_no_text_gives_anything_but_a_configuration_error(text: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.json"
        path.write_bytes(text)
        with pytest.raises(ConfigError):
            Calibration.load(path)
