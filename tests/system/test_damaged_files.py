"""Thousands of damaged pictures and videos: refused, or counted as the whole ones are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A hang of one file ends the tool itself; how long all take depends on what else the machine does.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]


@pytest.mark.parametrize("seed", [["--seed", "1"], []], ids=["fixed", "drawn"])
def test_no_damaged_file_is_counted_otherwise_in_silence(repository: Path, seed: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.damaged_files", *seed, "--pictures", "1500", "--videos", "300"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "1842 files, " in done.stdout
