"""A day at a field a second, in minutes: nothing grows or stays open, and a stage at rest costs little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

DAY_FIELDS = 86_400
REAL_FIELDS = 2_000
MAX_GROWTH_MB = 5.0
MAX_IDLE_SHARE = 0.05


def soak(repository: Path, what: str, number: int) -> dict[str, Any]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, repository / "tests/system/soak.py", what, str(number)],
        env=os.environ | threads | {"PYTHONPATH": str(repository)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    sys.stdout.write(f"{what}: {found}\n")
    return found


@pytest.mark.parametrize(("what", "fields"), [("fields", DAY_FIELDS), ("real", REAL_FIELDS)])
def test_nothing_grows_in_a_day(repository: Path, what: str, fields: int) -> None:
    found = soak(repository, what, fields)
    assert found["fields"] == fields
    assert found["looks"] >= 20
    assert found["rss_growth_mb"] < MAX_GROWTH_MB, found["course"]
    # One more while a client is being answered, or a camera opened again.
    assert found["descriptors"][-1] - found["descriptors"][0] <= 3
    assert found["threads"][-1] - found["threads"][0] <= 2


def test_the_camera_s_failures_are_part_of_the_day(repository: Path) -> None:
    assert soak(repository, "fields", 8_000)["camera_failures"] == 1


def test_a_stage_at_rest_costs_little(repository: Path) -> None:
    found = soak(repository, "idle", 30)
    assert found["fields"] == 1  # counted once when it came to rest
    assert found["cpu_share"] < MAX_IDLE_SHARE
