"""Small Debian systems for the system tests. They need root, debootstrap and Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

#: Debian releases by the Python that they bring: wheels are built by the Python that runs the tests.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
SCRIPT = Path(__file__).parent / "debian_root.sh"


@pytest.fixture(scope="session")
def debian() -> Callable[..., Path]:
    """Function that copies a Debian tree with some packages to a path; the original is kept."""

    def make(target: Path, *packages: str, suite: str | None = None, architecture: str | None = None) -> Path:
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            pytest.skip("needs root and debootstrap: apt-get install debootstrap")
        suite = suite or SUITES.get(sys.version_info[:2])
        if suite is None:
            pytest.skip(f"no Debian release with Python {sys.version_info.major}.{sys.version_info.minor}")
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blastcount-tests"
        original = folder / "-".join((suite, *([architecture] if architecture else []), *packages))
        if not original.exists():
            folder.mkdir(parents=True, exist_ok=True)
            own = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
            made = subprocess.run(
                [SCRIPT, suite, architecture or own.stdout.strip(), original, *packages],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode != 0:
                pytest.skip(f"debootstrap {suite} failed: {made.stdout[-300:]} {made.stderr[-300:]}")
        # With owners, rights, links and device nodes.
        subprocess.run(["cp", "-a", "--reflink=auto", original, target], check=True)
        return target

    return make


def inside(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a tree, with this machine's network and none of its settings."""
    # Paths and package indexes of this machine mean nothing there.
    kept = {key: value for key, value in os.environ.items() if "proxy" in key.lower()}
    environment = kept | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    environment |= {"PIP_CERT": "/etc/ssl/certs/ca-certificates.crt", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = ["chroot", str(root), "sh", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def chroot() -> Callable[[Path, str], subprocess.CompletedProcess[str]]:
    """Function that runs a script in a tree."""
    return inside


@pytest.fixture(scope="session")
def mounted() -> Callable[[Path], AbstractContextManager[None]]:
    """Context manager with the kernel's file systems and this machine's names and certificates in a tree."""

    @contextmanager
    def mount(root: Path) -> Iterator[None]:
        for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            (root / name).write_bytes(Path("/", name).read_bytes())
        with ExitStack() as mounts:
            for kind, target in (("proc", "proc"), ("sysfs", "sys"), ("devtmpfs", "dev")):
                subprocess.run(["mount", "-t", kind, kind, root / target], check=True)
                mounts.callback(subprocess.run, ["umount", root / target], check=True)
            yield

    return mount


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
