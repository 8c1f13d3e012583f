"""The base install stays small, and has nothing of the extras."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tools.install_sizes import base, size_mb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: Most that a device's install may take.
MOST_MB = 400.0
#: What only extras bring.
EXTRAS = ("dask", "distributed", "pyarrow", "fsspec", "paho", "psycopg", "tensorflow", "sklearn", "gpiozero")


def test_the_base_install_is_small_and_counts_alone(repository: Path, tmp_path: Path) -> None:
    environment = base(tmp_path)
    assert size_mb(environment) <= MOST_MB
    blastcount = environment / "bin" / "blastcount"
    counted = subprocess.run(
        [blastcount, "count", repository / "edge" / "samples"], cwd=tmp_path, capture_output=True, text=True
    )
    assert counted.returncode == 0, counted.stderr
    script = (
        "from importlib.util import find_spec; import sys; print([n for n in sys.argv[1:] if find_spec(n)])"
    )
    asked = [environment / "bin" / "python", "-c", script, *EXTRAS, "edge"]
    found = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "['edge']\n"
    archived = subprocess.run(
        [blastcount, "archive", "x", "--out", "y"], cwd=tmp_path, capture_output=True, text=True
    )
    assert archived.returncode == 3
    assert "pip install 'blastcount[archive]'" in archived.stderr
