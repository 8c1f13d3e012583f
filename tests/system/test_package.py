"""The Debian package: installs without a network, works, and leaves the log where it is when it goes."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import paho
import pytest

from tests.system.conftest import DEVICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

Chroot = Callable[[Path, str], subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[2]
#: Appended to a module of a newer package whose version does not tell that it is newer.
NEWER = "\nIS_NEWER = True\n"
IS_NEWER = "/opt/blastcount/bin/python -c 'import edge.errors as e; print(getattr(e, \"IS_NEWER\", False))'"


def newer_wheel(folder: Path) -> None:
    """Change the package's code in a folder of wheels, and nothing else but its hash."""
    (wheel,) = folder.glob("blastcount-*.whl")
    changed = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (NEWER.encode() if name == "edge/errors.py" else b""))
    changed.rename(wheel)
    subprocess.run([REPOSITORY / "systemd/wheelhouse.sh", "--list", folder], check=True)


@pytest.fixture(scope="module")
def root(
    repository: Path,
    debian: Callable[..., Path],
    wheels: Callable[[], Path],
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """A Debian with a package and a newer one in /root, and no way out."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    root = debian(tmp_path_factory.mktemp("deb") / "root", *DEVICE)
    newer = tmp_path_factory.mktemp("newer") / "wheels"
    shutil.copytree(wheels(), newer)
    newer_wheel(newer)
    for folder, collected in (("old", wheels()), ("new", newer)):
        (root / "root" / folder).mkdir()
        made = subprocess.run(
            [repository / "systemd/make_deb.sh", collected, root / "root" / folder],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert Path(made.stdout.strip()).name.startswith("blastcount_")
    with mounted(root):
        (root / "etc/resolv.conf").write_text("")
        yield root


@pytest.fixture
def run(root: Path, chroot: Chroot) -> Callable[..., str]:
    def run(script: str, code: int = 0) -> str:
        done = chroot(root, f"PATH=/usr/local/bin:$PATH; {script}")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_it_installs_without_a_camera_counts_and_goes(root: Path, run: Callable[..., str]) -> None:
    installed = run("apt-get install -y /root/old/blastcount_*.deb")
    assert "in use: blastcount 0." in installed
    assert (root / "etc/systemd/system/multi-user.target.wants/blastcount.service").is_symlink()
    # The service is there for a camera, and there is none.
    as_the_service = "runuser -u blastcount -- sh -c"
    assert run(f"{as_the_service} 'blastcount check'", 4).endswith("not fit: no camera\n")
    (root / "etc/blastcount/blastcount.toml").write_text('[camera]\nsource = "rendered"\n')
    count = "blastcount run --fields 2 --interval 0.1"
    assert "is another user's log, whose own daemon counts into it" in run(count, 1)
    checked = run(f"{as_the_service} '{count} 2>&1; blastcount check'")
    assert checked.endswith("fit to count\n")
    assert "/var/lib/blastcount/blastcount.db: 2 fields" in checked
    for page in (
        "usr/local/share/man/man1/blastcount.1",
        "usr/share/bash-completion/completions/blastcount",
        "usr/share/zsh/vendor-completions/_blastcount",
        "usr/share/fish/vendor_completions.d/blastcount.fish",
    ):
        assert "blastcount" in (root / page).read_text()
    run("apt-get check")


def test_an_upgrade_replaces_the_code_and_can_be_taken_back(root: Path, run: Callable[..., str]) -> None:
    script = "/usr/share/blastcount/systemd/install.sh"
    assert run(IS_NEWER) == "False\n"
    beside = Path(next((root / "opt/blastcount.a/lib").glob("python3.*")), "site-packages")
    for part in Path(paho.__path__[0]).parent.glob("paho*"):
        shutil.copytree(part, beside / part.name)
    run("apt-get install -y --reinstall /root/new/blastcount_*.deb")
    assert run(IS_NEWER) == "True\n"
    # What sends the log came along, and pip knows it.
    assert "paho-mqtt" in run(
        "/opt/blastcount/bin/pip list && /opt/blastcount/bin/python -c 'import paho.mqtt.client'"
    )
    # Before the newer program opened the log it was backed up, by its owner.
    (backup,) = (root / "var/backups/blastcount").glob("*.db")
    run(f"{script} --rollback")
    assert run(IS_NEWER) == "False\n"
    run(f"{script} --rollback")
    assert run(IS_NEWER) == "True\n"
    # The log that is backed up is the one that the configuration names.
    config = '[camera]\nsource = "rendered"\n[log]\npath = "/srv/the blood/blastcount.db"\n'
    (root / "etc/blastcount/blastcount.toml").write_text(config)
    run("install -d -o blastcount -g blastcount '/srv/the blood'; mv /var/lib/blastcount/* '/srv/the blood'")
    run("runuser -u blastcount -- /usr/local/bin/blastcount run --fields 2 --interval 0.1")
    run("apt-get install -y --reinstall --allow-downgrades /root/old/blastcount_*.deb")
    assert run(IS_NEWER) == "False\n"
    (second,) = set((root / "var/backups/blastcount").glob("*.db")) - {backup}
    assert not second.stem.endswith("-faulty")
    assert (root / "etc/blastcount/blastcount.toml").read_text() == config
    # As the service's user: others have the service write, and none runs in a tree that is not booted.
    assert "4 fields" in run("runuser -u blastcount -- /usr/local/bin/blastcount check")
    # What fails half-way leaves what works.
    (root / "root/empty").mkdir()
    assert "lists no wheels with their hashes" in run(f"{script} /root/empty", 1)
    (root / "root/empty/requirements.txt").write_text("numpy==1 --hash=sha256:" + 64 * "0")
    assert "holds no wheels for this machine's Python" in run(f"{script} /root/empty", 1)
    (root / "root/empty/numpy-1-cp311-cp311-x.whl").touch()
    (root / "root/empty/numpy-1-cp313-cp313-x.whl").touch()
    run(f"{script} /root/empty", 1)
    assert run(IS_NEWER) == "False\n"
    assert "there is no version before this one" in run(f"{script} --rollback", 1)
    assert "no such option" in run(f"{script} --roll-back", 1)


def test_removal_and_purge_leave_the_log(root: Path, run: Callable[..., str]) -> None:
    run("apt-get remove -y blastcount")
    assert not list((root / "opt").glob("blastcount*"))
    assert (root / "etc/blastcount/blastcount.toml").exists()
    said = run("apt-get purge -y blastcount")
    assert "to remove the log, too, for ever: sudo rm -r /var/lib/blastcount" in said
    left = {path for folder in ("etc", "usr", "opt") for path in (root / folder).rglob("*blastcount*")}
    assert left <= set((root / "etc").glob("*/blastcount*"))  # the user's, not the program's
    assert (root / "srv/the blood/blastcount.db").exists()


def test_wheels_that_are_no_set_are_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "list").mkdir()
    (tmp_path / "list/requirements.txt").touch()
    for folder, words in (
        (tmp_path / "absent", "name the folder"),
        (tmp_path, "lists no wheels"),
        (tmp_path / "list", "holds no"),
    ):
        done = subprocess.run(
            [repository / "systemd/make_deb.sh", folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert words in done.stderr
