"""The base install stays small, and has nothing of the extras."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tools.install_sizes import base, size_mb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: Most that a device's install may take.
MOST_MB = 400.0


def test_the_base_install_is_small_and_counts_alone(repository: Path, tmp_path: Path) -> None:
    environment = base(tmp_path)
    assert size_mb(environment) <= MOST_MB
    blastcount = environment / "bin" / "blastcount"
    counted = subprocess.run(
        [blastcount, "count", repository / "edge" / "samples"], cwd=tmp_path, capture_output=True, text=True
    )
    assert counted.returncode == 0, counted.stderr
    for command, extra in (("archive x --out y", "archive"), ("collect", "collector"), ("forward", "fleet")):
        refused = subprocess.run([blastcount, *command.split()], cwd=tmp_path, capture_output=True, text=True)
        assert refused.returncode == 3
        assert f"blastcount[{extra}]" in refused.stderr
