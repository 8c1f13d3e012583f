"""Ten thousand fields through ``count``: the memory is that of a few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.commands.outputs import write_atomically
from edge.device.machine import resident_mb
from edge.rendered import RenderSettings, render_field

pytestmark = pytest.mark.slow

FIELDS = 10_000
#: Fields that really differ; each is counted again under many names.
DIFFERENT = 20
#: By then every size of buffer has been seen: interpreter, caches of SQLite and of OpenCV.
SETTLED = 1_000
#: What the resident memory may grow by from the settled to the last, MB: half of a field's working memory.
GROWTH_MB = 2.0


def growth_mb(rss_mb: list[float]) -> float:
    """Rise of a straight line through the memory after each field, from the settled ones to the last."""
    settled = np.array(rss_mb[SETTLED:])
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    return slope * len(settled)


def test_a_leak_would_be_noticed() -> None:
    """Four hundred bytes a field are 3.6 MB."""
    leaking = [100.0 + 0.0004 * field for field in range(FIELDS)]
    assert growth_mb(leaking) > GROWTH_MB


@pytest.mark.timeout(3600)
def test_memory_is_flat_over_ten_thousand_fields(tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    settings = RenderSettings(width=480, height=360, um_per_px=0.2)
    for seed in range(DIFFERENT):
        image = render_field(seed, settings).image
        done, data = cv2.imencode(".jpg", image[..., ::-1])
        assert done
        write_atomically(folder / f"field_{seed:05d}.jpg", data.tobytes())
    for number in range(DIFFERENT, FIELDS):
        os.link(folder / f"field_{number % DIFFERENT:05d}.jpg", folder / f"field_{number:05d}.jpg")
    log = tmp_path / "log.sqlite"
    command = [sys.executable, "-m", "edge.cli", "count", "--json", "--log", str(log), str(folder)]
    rss_mb: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as counting:
        assert counting.stdout is not None
        status = Path(f"/proc/{counting.pid}/status")
        for _line in counting.stdout:
            if len(rss_mb) < FIELDS - 1:  # after the last one the process may be gone
                rss_mb.append(resident_mb("VmRSS", status))
    assert counting.returncode == 0
    assert len(rss_mb) == FIELDS - 1
    sys.stdout.write(
        f"resident memory, MB: after {SETTLED} fields {rss_mb[SETTLED]:.1f}, last {rss_mb[-1]:.1f}, "
        f"most {max(rss_mb):.1f}, trend {growth_mb(rss_mb):+.2f}\n"
    )
    assert growth_mb(rss_mb) < GROWTH_MB
    with BloodLog.open(log, read_only=True) as written:
        assert written.count() == FIELDS
