"""The Debian package: installs without a network, works, and leaves the log where it is when it goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Chroot = Callable[[Path, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def root(
    repository: Path,
    debian: Callable[..., Path],
    wheels: Callable[[], Path],
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """A Debian with the package in /root, and no way out."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    root = debian(tmp_path_factory.mktemp("deb") / "root", "systemd", "systemd-sysv", "dbus")
    made = subprocess.run(
        [repository / "systemd/make_deb.sh", wheels(), root / "root"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(made.stdout.strip()).name.startswith("blastcount_")
    with mounted(root):
        (root / "etc/resolv.conf").write_text("")
        yield root


def test_it_installs_counts_and_goes(root: Path, chroot: Chroot) -> None:
    installed = chroot(root, "dpkg -i /root/blastcount_*.deb")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "installed blastcount" in installed.stdout
    assert (root / "etc/systemd/system/multi-user.target.wants/blastcount.service").is_symlink()
    count = chroot(
        root,
        "PATH=/usr/local/bin:$PATH; blastcount run --source rendered --fields 2 --interval 0.1 "
        "&& blastcount check",
    )
    assert count.returncode == 0, count.stdout + count.stderr
    assert count.stdout.endswith("fit to count\n")
    assert "/var/lib/blastcount/blastcount.db: 2 fields" in count.stdout
    again = chroot(root, "dpkg -i /root/blastcount_*.deb")
    assert again.returncode == 0, again.stdout + again.stderr
    purged = chroot(root, "dpkg --purge blastcount")
    assert purged.returncode == 0, purged.stdout + purged.stderr
    assert not (root / "opt/blastcount").exists()
    assert not (root / "etc/blastcount").exists()
    assert not list((root / "etc/systemd/system").rglob("blastcount*"))
    assert (root / "var/lib/blastcount/blastcount.db").exists()


def test_wheels_that_are_no_set_are_refused(repository: Path, tmp_path: Path) -> None:
    for folder, words in ((tmp_path / "absent", "name the folder"), (tmp_path, "holds no")):
        done = subprocess.run(
            [repository / "systemd/make_deb.sh", folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert words in done.stderr
