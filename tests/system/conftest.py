"""Small Debian systems for the system tests. They need root, debootstrap and Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

#: Debian releases by the Python that they bring: wheels are built by the Python that runs the tests.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
SCRIPT = Path(__file__).parent / "debian_root.sh"


@pytest.fixture(scope="session")
def debian() -> Callable[..., Path]:
    """Function that copies a Debian tree with some packages to a path; the original is kept."""

    def make(target: Path, *packages: str, suite: str | None = None) -> Path:
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            pytest.skip("needs root and debootstrap: apt-get install debootstrap")
        suite = suite or SUITES.get(sys.version_info[:2])
        if suite is None:
            pytest.skip(f"no Debian release with Python {sys.version_info.major}.{sys.version_info.minor}")
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blastcount-tests"
        original = folder / "-".join((suite, *packages))
        if not original.exists():
            folder.mkdir(parents=True, exist_ok=True)
            made = subprocess.run(
                [SCRIPT, suite, original, *packages], capture_output=True, text=True, check=False
            )
            if made.returncode != 0:
                pytest.skip(f"debootstrap {suite} failed: {made.stdout[-300:]} {made.stderr[-300:]}")
        # With owners, rights, links and device nodes.
        subprocess.run(["cp", "-a", "--reflink=auto", original, target], check=True)
        return target

    return make


@pytest.fixture(scope="session")
def source_tree(repository: Path) -> Callable[[Path], Path]:
    """Function that copies the working tree to a path, because building leaves folders in a source tree."""

    def copy(target: Path) -> Path:
        skipped = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "out", "*.egg-info", "tests")
        shutil.copytree(repository, target, ignore=skipped)
        return target

    return copy


@pytest.fixture(scope="session")
def wheels(
    source_tree: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Function that builds wheels of the package, as the working tree has it, and of all it needs."""

    @cache
    def build() -> Path:
        source = source_tree(tmp_path_factory.mktemp("source") / "blastcount")
        folder = tmp_path_factory.mktemp("wheels")
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", folder, source], check=True
        )
        return folder

    return build
