"""A device install on arm64 Debian, emulated: the golden crops agree, and x86 counts the same cells."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: Debian 12 is what Raspberry Pi OS Bookworm is made of; its Python is 3.11.
SUITE = "bookworm"
#: QEMU 7.2 (Debian 12) dies of SIGSEGV in the arm64 wheel of ai-edge-litert 2.3; 10.0 (Debian 13) runs it.
LEAST_QEMU = 10
#: Optimised int8 kernels of two architectures round apart by one step at most, 1/256 before the temperature.
MAX_DELTA_P = 0.01
#: OpenCV's floating-point filters round apart, too: of 49 cells two had another area, by 0.05 % (a nucleus by
#: 0.2 %), and one a box one pixel larger.
MAX_AREA_CHANGE = 0.005
MAX_SHIFT_PX = 1.0
#: Read after `make count`, by the environment that it has made.
ASK = """
set -eu
cd /root/blastcount
unset PIP_FIND_LINKS
make count >/root/count.txt 2>/root/count.err || { cat /root/count.err >&2; exit 1; }
.venv/bin/blastcount count --json edge/samples >/root/count.jsonl
.venv/bin/blastcount check --json >/root/check.json || true
"""


def skip_without_emulator() -> None:
    """Look at what the kernel runs arm64 programs with."""
    entry = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
    if platform.machine() != "x86_64":
        pytest.skip("compares an emulated arm64 with x86")
    if not entry.exists():
        pytest.skip("needs qemu-user-static and binfmt: apt-get install qemu-user-static binfmt-support")
    (emulator,) = re.findall(r"^interpreter (.*)$", entry.read_text(), re.MULTILINE)
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"version (\d+)", version)[0]) < LEAST_QEMU:
        pytest.skip(f"{version.splitlines()[0]} crashes in the interpreter's wheel; {LEAST_QEMU} does not")


@pytest.fixture(scope="module")
def clone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` gives: the last commit, and nothing that lies about in the working tree."""
    target = tmp_path_factory.mktemp("clone") / "blastcount"
    subprocess.run(
        ["git", "clone", "-q", "--no-local", "--depth=1", f"file://{repository}", target], check=True
    )
    return target


@pytest.fixture(scope="module")
def counted(
    clone: Path,
    debian: Callable[..., Path],
    chroot: Callable[[Path, str], subprocess.CompletedProcess[str]],
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Folder with the outcome, by architecture."""
    skip_without_emulator()
    outcome = {}
    for architecture in ("arm64", "amd64"):
        folder = tmp_path_factory.mktemp(architecture)
        root = debian(folder / "root", "make", "git", suite=SUITE, architecture=architecture)
        subprocess.run(["cp", "-a", clone, root / "root/blastcount"], check=True)
        with mounted(root):
            done = chroot(root, ASK)
        assert done.returncode == 0, f"{architecture}: {done.stderr[-3000:]}"
        outcome[architecture] = root / "root"
    return outcome


def fields(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "count.jsonl").read_text().splitlines()]


def table(folder: Path) -> list[list[str]]:
    """Words of the table, without the milliseconds and the line that names the versions."""
    rows = []
    for line in (folder / "count.txt").read_text().splitlines():
        words = line.split()
        if words and words[0].endswith(".jpg"):
            del words[8]
        if words and words[0] != "model":
            rows.append(words)
    return rows


def test_it_is_arm64(counted: dict[str, Path]) -> None:
    assert "aarch64" in (counted["arm64"] / "check.json").read_text()
    assert "x86_64" in (counted["amd64"] / "check.json").read_text()


def test_the_golden_crops_agree(counted: dict[str, Path]) -> None:
    for folder in counted.values():
        checks = {check["name"]: check for check in json.loads((folder / "check.json").read_text())["checks"]}
        assert checks["golden crops"]["passed"], checks["golden crops"]["detail"]
        assert re.search(r"largest difference of p 0\.0", checks["golden crops"]["detail"])


def test_make_count_prints_the_same_table(counted: dict[str, Path]) -> None:
    assert table(counted["arm64"]) == table(counted["amd64"])
    assert any(row[0].endswith(".jpg") for row in table(counted["arm64"]))


def test_every_cell_is_the_same(counted: dict[str, Path]) -> None:
    arm, x86 = fields(counted["arm64"]), fields(counted["amd64"])
    cells = 0
    for on_arm, on_x86 in zip(arm, x86, strict=True):
        for a, b in zip(on_arm.pop("cells"), on_x86.pop("cells"), strict=True):
            cells += 1
            p_a, p_b = a.pop("p_blast"), b.pop("p_blast")
            assert (p_a is None and p_b is None) or abs(p_a - p_b) <= MAX_DELTA_P
            for key in ("area_px", "nucleus_area_px"):
                assert a.pop(key) == pytest.approx(b.pop(key), rel=MAX_AREA_CHANGE)
            for key in ("x", "y", "bbox"):
                assert a.pop(key) == pytest.approx(b.pop(key), abs=MAX_SHIFT_PX)
            assert a == b  # number, kind, class, at the border or not
        assert on_arm == on_x86
    assert cells > 20
