"""Small Debian systems for the system tests. They need root, debootstrap and Debian's packages."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge.device.durable import written_whole
from edge.device.hashing import file_sha256

if TYPE_CHECKING:
    from tests.system.browser import Chrome

#: Debian releases by the Python that they bring: wheels are built by the Python that runs the tests.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
#: What a device has of Debian; with the clock that tests set forward, so that one tree does for all of them.
DEVICE = ("systemd", "systemd-sysv", "dbus", "openssh-client", "faketime")
SCRIPT = Path(__file__).parent / "debian_root.sh"


def cache_folder() -> Path:
    """Where trees and packages are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blastcount-tests"


def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def debian() -> Callable[..., Path]:
    """Function that copies a Debian tree with some packages to a path; the original is kept."""

    def make(target: Path, *packages: str, suite: str | None = None, architecture: str | None = None) -> Path:
        if os.geteuid() != 0 or not (shutil.which("mmdebstrap") or shutil.which("debootstrap")):
            pytest.skip("needs root and one of these: apt-get install mmdebstrap debootstrap")
        suite = suite or SUITES.get(sys.version_info[:2])
        if suite is None:
            pytest.skip(f"no Debian release with Python {sys.version_info.major}.{sys.version_info.minor}")
        folder = cache_folder()
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
) -> Callable[..., Path]:
    """Function that collects wheels of the package, as the working tree has it, and of all it needs."""

    @cache
    def build(python: str = "{}.{}".format(*sys.version_info[:2])) -> Path:
        source = source_tree(tmp_path_factory.mktemp("source") / "blastcount")
        folder = tmp_path_factory.mktemp("wheels") / "wheels"
        script = source / "systemd/wheelhouse.sh"
        locked = file_sha256(source / "systemd/locked/device.txt")[:12]
        # Of other projects', which are the same until another version is locked, and 150 MB.
        kept = cache_folder() / f"wheels-{platform.machine()}-{python}-{locked}"
        if not kept.exists():
            subprocess.run([script, folder, platform.machine(), python], check=True)
            with written_whole(kept) as part:
                shutil.copytree(folder, part, ignore=shutil.ignore_patterns("blastcount-*", "*.txt"))
            return folder
        shutil.copytree(kept, folder)
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
        subprocess.run([script, "--list", folder], check=True)
        return folder

    return build


@pytest.fixture(scope="session")
def installed(
    repository: Path,
    debian: Callable[..., Path],
    wheels: Callable[[], Path],
    chroot: Callable[[Path, str], subprocess.CompletedProcess[str]],
    mounted: Callable[[Path], AbstractContextManager[None]],
) -> Callable[..., Path]:
    """Function that makes a Debian with some packages where the program was installed, without a network.

    It believes the packages of those whom a text names, in the form of ssh-keygen's ALLOWED SIGNERS.
    """

    def install(target: Path, *packages: str, signers: str | None = None) -> Path:
        root = debian(target, *DEVICE, *packages)
        shutil.copytree(wheels(), root / "root/wheels")
        shutil.copytree(repository / "systemd", root / "root/systemd")
        if signers is not None:
            (root / "root/systemd/update-signers").write_text(signers)
        with mounted(root):
            done = chroot(root, "/root/systemd/install.sh /root/wheels")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "in use: blastcount 0." in done.stdout
        assert (root / "etc/blastcount/blastcount.toml").exists()
        return root

    return install


@pytest.fixture
def log_sample() -> Callable[[Path, int], None]:
    """Function that logs an open sample S-0142 of so many cells with pictures."""
    import numpy as np

    from edge.bloodlog import BloodLog
    from edge.bloodlog.pictures import ThumbnailStore
    from edge.rendered import render_field
    from edge.structures import Cell, ClassifiedCell, FieldResult, ModelIdentity, Scale

    def write(path: Path, number: int) -> None:
        rng = np.random.default_rng(1)
        image, store = render_field(7).image, ThumbnailStore.beside(path)
        stored = store.put(image)
        with BloodLog.open(path) as log:
            sample = log.open_sample("S-0142", "blood", 200)
            for first in range(0, number, 13):
                cells, pictures = [], {}
                for cell_id in range(1, min(13, number - first) + 1):
                    x, y = (int(rng.integers(64, side - 64)) for side in (image.shape[1], image.shape[0]))
                    p_blast = float(rng.random())
                    label = "blast" if p_blast > 0.75 else "normal" if p_blast < 0.25 else "uncertain"
                    cell = Cell(cell_id, x, y, (x - 40, y - 40, 80, 80), 5000, 3000, "wbc", False)
                    cells.append(ClassifiedCell(cell, label, p_blast))  # type: ignore[arg-type]
                    # No two pictures are alike, so that none is stored or sent once for two.
                    noise = rng.integers(0, 4, (128, 128, 3), np.uint8)
                    pictures[cell_id] = store.put(image[y - 64 : y + 64, x - 64 : x + 64] // 4 * 4 + noise)
                log.append(
                    FieldResult(
                        f"rendered:7#{first}", image.shape[1], image.shape[0], None, f"{first:064x}",
                        Scale(0.1, "red_cells", 0.9), "counted", (), tuple(cells),
                        ModelIdentity("m", "ab" * 32),
                    ),
                    config_sha256="cd" * 32, software_version="1", runtime="r 1", source_kind="rendered",
                    sample_id=sample.id, thumbnails=pictures, image_sha256=stored,
                )  # fmt: skip

    return write


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Chrome]]:
    """Function that opens a browser of its own, see :func:`tests.system.browser.opened`."""
    pytest.importorskip("selenium")
    from tests.system.browser import opened

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    with ExitStack() as browsers:
        profiles = (tmp_path / f"chromium{number}" for number in count())

        def open_(*further: str, **settings: Any) -> Chrome:
            chrome = opened(str(binary), str(driver), next(profiles), *further, **settings)
            browsers.callback(chrome.quit)
            return chrome

        yield open_


@pytest.fixture(scope="session")
def axe() -> str:
    """The checker's script, downloaded once."""
    from tests.system.browser import AXE

    folder = cache_folder() / AXE
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            pytest.skip("needs npm: apt-get install npm")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, check=True, timeout=300)
        (packed,) = folder.glob("*.tgz")
        subprocess.run(["tar", "xzf", packed.name], cwd=folder, check=True, timeout=60)
    return script.read_text(encoding="utf-8")
