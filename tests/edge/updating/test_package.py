"""A package is taken only whole, as it was signed, from somebody known, and if it is newer."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from edge.errors import OutputError, RuntimeMissingError, UpdateRefusedError
from edge.updating import copy_checked, read_package, sign
from tests.edge.commands.invoking import blastcount
from tests.edge.updating.packages import BAD, Maker
from tests.tools import release_usb

Device = Callable[..., Result]
#: Bad packages in the slow test, of which each has other bytes changed or missing.
REFUSALS = 200


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("maker") / "stranger")


def test_a_package_that_is_taken(device: Device, maker: Maker) -> None:
    package = maker.makes()
    # What else lies on the stick is nobody's business.
    (package / ".Trash").mkdir()
    (package / "wheels" / "x86_64-cp313" / "numpy-99.whl").write_text("not named")
    result = device(package)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{package}: version 1.1.0 can be put in use after 1.0.0\n"
    assert result.stderr.startswith("version 1.1.0, signed by maker@example (ED25519 key SHA256:")


@pytest.mark.requirement(23)
@pytest.mark.parametrize(("make", "reason"), BAD, ids=[make.__name__.strip("_") for make, _ in BAD])
def test_a_package_that_is_refused_by_name(
    device: Device, maker: Maker, stranger: Maker, make: Callable[..., Path], reason: str
) -> None:
    result = device(make(maker, stranger, random.Random(7)))
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith(f"blastcount: error: {reason}: ")


def test_what_is_copied_is_what_was_signed_and_no_more(maker: Maker, signers: Path, tmp_path: Path) -> None:
    package = read_package(maker.makes(), signers)
    assert str(package.signer).startswith("maker@example (ED25519 key SHA256:")
    (package.folder / "wheels" / "x86_64-cp313" / "numpy-99.whl").write_text("not named")
    target = tmp_path / "target"
    copy_checked(package, "wheels/x86_64-cp313", target)
    copied = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert sorted(copied) == [
        "systemd/install.sh",
        "wheels/blastcount-1.1.0-py3-none-any.whl",
        "wheels/numpy-2.4.0-cp313-cp313-x86_64.whl",
        "wheels/requirements.txt",
    ]
    assert copied["systemd/install.sh"].stat().st_mode & 0o777 == 0o755
    assert copied["wheels/requirements.txt"].read_text() == "numpy==2.4.0\n"
    with pytest.raises(FileExistsError):
        copy_checked(package, "wheels/x86_64-cp313", target)


def test_whose_packages_are_believed_is_root_s_to_say(device: Device, signers: Path, maker: Maker) -> None:
    package = maker.makes()
    signers.chmod(0o666)
    assert "error: no_signers: " in (refused := device(package).stderr)
    assert "can be written by others than root" in refused
    signers.chmod(0o644)
    assert device(package).exit_code == 0
    signers.write_text("")
    assert "error: foreign: " in device(package).stderr
    signers.unlink()
    assert "error: no_signers: " in device(package).stderr


def test_without_ssh_keygen(maker: Maker, signers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = maker.makes()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeMissingError, match="apt install openssh-client"):
        read_package(package, signers)


def test_a_key_that_cannot_sign(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UpdateRefusedError, match="absent does not sign it"):
        sign(tmp_path / "file", tmp_path / "absent")


def test_nothing_is_installed_by_another_user_or_another_installation(
    device: Device, maker: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = maker.makes()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "error: not_root: " in blastcount("update", package).stderr
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("edge.commands.update.IN_USE", tmp_path / "opt")
    assert "error: not_installed: " in blastcount("update", package).stderr


def test_two_updates_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edge.commands import update

    monkeypatch.setattr(update, "_WORKSPACE", tmp_path / "work")
    (tmp_path / "work" / "left").mkdir(parents=True)
    (tmp_path / "work" / "left.txt").touch()
    with update._workspace() as folder:
        assert list(folder.iterdir()) == []
        with pytest.raises(UpdateRefusedError, match="busy: another update"), update._workspace():
            pass
    assert not folder.exists()
    monkeypatch.setattr(update, "_WORKSPACE", tmp_path / "no" / "work")
    with pytest.raises(OutputError, match="cannot be made"), update._workspace():
        pass


def test_what_a_maker_s_command_makes_is_taken(
    device: Device,
    maker: Maker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With wheels of these tests instead of those that wheelhouse.sh would download."""
    wheels = maker.makes("1.3.0") / "wheels" / "x86_64-cp313"
    monkeypatch.setattr(release_usb, "collect", lambda to, *_machine: shutil.copytree(wheels, to))
    monkeypatch.chdir(tmp_path)
    command = ["release_usb", "--key", str(maker.key), "--since", "1.0.0", "aarch64-cp311", "x86_64-cp313"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="0"):
        release_usb.main()
    assert "blastcount-1.3.0" in capsys.readouterr().err
    (made,) = (path for path in tmp_path.iterdir() if path.is_dir())
    result = device(made)
    assert result.exit_code == 0, result.stderr
    assert (made / "systemd" / "wheelhouse.sh").exists()
    assert {path.name for path in (made / "wheels").iterdir()} == {"aarch64-cp311", "x86_64-cp313"}
    monkeypatch.setattr("sys.argv", [*command, "sparc-cp313"])
    with pytest.raises(SystemExit, match="2"):
        release_usb.main()
    assert "sparc-cp313: expected aarch64-cp313" in capsys.readouterr().err


def test_two_hundred_bad_packages_are_refused_by_name(device: Device, maker: Maker, stranger: Maker) -> None:
    refused: Counter[str] = Counter()
    for number in range(REFUSALS):
        make, reason = BAD[number % len(BAD)]
        result = device(make(maker, stranger, random.Random(number)))
        said = result.stderr.splitlines()[-1]
        assert (result.exit_code, result.stdout) == (4, ""), f"{make.__name__} {number}: {said}"
        assert said.startswith(f"blastcount: error: {reason}: "), f"{make.__name__} {number}: {said}"
        refused[reason] += 1
    print(dict(refused))  # noqa: T201
    assert refused.total() == REFUSALS
    # The same device takes a good one.
    assert device(maker.makes()).exit_code == 0
