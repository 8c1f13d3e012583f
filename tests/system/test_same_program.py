"""Two installs on two days are one program: same files, same counts, whatever newer packages are offered."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import DEVICE, SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

Chroot = Callable[[Path, str], subprocess.CompletedProcess[str]]
#: Optimised kernels of two Pythons are the same; what differs is what NumPy and OpenCV were built with.
MAX_DELTA_P = 0.01
#: Run twice, the second time with the clock a day ahead.
ASK = """
set -eu
export PIP_FIND_LINKS=/root/newer PIP_UPGRADE=1 PIP_PRE=1
{clock} /root/systemd/install.sh /root/wheels >&2
cd /opt/blastcount/lib/python3.*/site-packages
{clock} /usr/local/bin/blastcount check --program --json >/root/check.json
{clock} /usr/local/bin/blastcount count --json --masks /root/masks edge/samples >/root/count.jsonl
find . -type f ! -name '*.pyc' -exec sha256sum {{}} + | sort -k 2 >/root/files.txt
(cd /root/masks && sha256sum *) >/root/masks.txt
date=$({clock} date +%F)
echo "$date"
"""


@dataclass(frozen=True)
class Outcome:
    """What one installation is and counts."""

    date: str
    files: str
    masks: str
    count: str
    golden: list[dict[str, Any]]

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.count.splitlines()]


@pytest.fixture(scope="module")
def outcomes(
    repository: Path,
    debian: Callable[..., Path],
    wheels: Callable[..., Path],
    chroot: Chroot,
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], list[Outcome]]:
    """Function that installs in two trees of a Debian release, in the second a day later."""

    @cache
    def of(suite: str) -> list[Outcome]:
        (python,) = (f"{major}.{minor}" for (major, minor), name in SUITES.items() if name == suite)
        found = []
        for clock in ("", "faketime -f +1d"):
            root = debian(tmp_path_factory.mktemp(suite) / "root", *DEVICE, suite=suite)
            shutil.copytree(wheels(python), root / "root/wheels")
            shutil.copytree(repository / "systemd", root / "root/systemd")
            for folder in (root / "root/newer", root / "root/wheels"):
                offer_newer(folder)
            with mounted(root):
                (root / "etc/resolv.conf").write_text("")
                done = chroot(root, ASK.format(clock=clock))
            assert done.returncode == 0, done.stdout + done.stderr[-3000:]
            answers = {path.name: path.read_text() for path in (root / "root").glob("*.*") if path.is_file()}
            checks = json.loads(answers["check.json"])["checks"]
            golden = [check for check in checks if check["name"].startswith("golden")]
            date = done.stdout.split()[-1]
            found.append(
                Outcome(date, answers["files.txt"], answers["masks.txt"], answers["count.jsonl"], golden)
            )
            shutil.rmtree(root)
        return found

    return of


def offer_newer(folder: Path) -> None:
    """Put newer versions beside the wheels, which break what imports them."""
    folder.mkdir(exist_ok=True)
    for name in ("numpy", "click", "pillow"):
        info = f"{name}-99.0.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-99.0.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise ImportError('a newer package was taken')")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.requirement(22)
@pytest.mark.parametrize("suite", SUITES.values())
def test_a_day_later_it_is_the_same_program(outcomes: Callable[[str], list[Outcome]], suite: str) -> None:
    today, tomorrow = outcomes(suite)
    assert today.date < tomorrow.date
    assert today.files.count("\n") > 1000
    assert today.files == tomorrow.files
    assert "99.0.0" not in today.files


@pytest.mark.requirement(22)
@pytest.mark.parametrize("suite", SUITES.values())
def test_a_day_later_it_counts_the_same_bit_for_bit(
    outcomes: Callable[[str], list[Outcome]], suite: str
) -> None:
    today, tomorrow = outcomes(suite)
    assert sum(field["wbc"] for field in today.fields) > 20
    assert today.count == tomorrow.count
    assert today.masks == tomorrow.masks
    assert [check["passed"] for check in today.golden] == [True, True]
    assert today.golden == tomorrow.golden


def test_both_releases_count_the_same_cells(outcomes: Callable[[str], list[Outcome]]) -> None:
    older, newer = (outcomes(suite)[0] for suite in SUITES.values())
    cells, largest = 0, 0.0
    for one, other in zip(older.fields, newer.fields, strict=True):
        for a, b in zip(one.pop("cells"), other.pop("cells"), strict=True):
            cells += 1
            p_a, p_b = a.pop("p_blast"), b.pop("p_blast")
            if p_a is not None:
                largest = max(largest, abs(p_a - p_b))
            assert a == b
        assert one == other
    assert cells > 20
    assert largest <= MAX_DELTA_P
    print(f"{cells} cells, largest difference of p {largest}")  # noqa: T201
    assert older.masks == newer.masks
