"""``blastcount update``: another version from a stick, where the right person signed it."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click
import msgspec

from edge.bloodlog.schema import shipped_migrations
from edge.bloodlog.updates import SoftwareUpdate
from edge.commands.options import FOLDER
from edge.device.printable import printable
from edge.errors import OutputError, UpdateRefusedError
from edge.updating import Package, copy_checked, read_package
from edge.version import software_version

#: Whose packages are believed, in the form of ssh-keygen's ALLOWED SIGNERS; install.sh puts it there once.
SIGNERS = Path("/etc/blastcount/update-signers")
#: The link to the environment in use, see systemd/install.sh.
IN_USE = Path("/opt/blastcount")
#: Where a package is copied to before anything of it is used.
_WORKSPACE = Path("/opt/blastcount.update")
_PYTHON = sys.version_info[:2]


@click.command("update")
@click.argument("package", type=FOLDER, metavar="PACKAGE")
@click.option("--verify-only", is_flag=True, help="Look whether it would be taken; change nothing.")
def update(package: Path, verify_only: bool) -> None:
    """Put the version in folder PACKAGE in use, which lies on a stick; needs root.

    Only where somebody in /etc/blastcount/update-signers signed it, it is newer, and every file is the one
    that was signed. It is installed beside the version in use, has to agree with its golden field, and takes
    its place at once; else, and where the service then does not start, the version in use stays. The log is
    backed up and goes on, with a row that tells of the update. Exit code 4 where the package is refused.
    """
    found = read_package(package, SIGNERS)
    manifest = found.manifest
    installed = software_version()
    manifest.check_follows(installed, shipped_migrations()[-1].number)
    wheels = manifest.wheels_for(platform.machine(), _PYTHON)
    click.echo(f"version {manifest.version}, signed by {printable(str(found.signer))}", err=True)
    if verify_only:
        copy_checked(found)
        click.echo(f"{package}: version {manifest.version} can be put in use after {installed}")
        return
    _check_can_install()
    with _workspace() as folder:
        try:
            copy_checked(found, wheels, folder)
        except OSError as error:
            raise OutputError(f"{folder}: the package cannot be copied: {error.strerror or error}") from error
        before = IN_USE.resolve()
        _log_step(found, installed, "begun")
        # In a folder that stays, wherever this was called: the stick may be pulled out from now on.
        done = subprocess.run([folder / "systemd/install.sh", folder / "wheels"], cwd=folder, check=False)
        changed = IN_USE.resolve() != before
        _log_step(found, installed, "installed" if changed else "went_back")
    if not changed:
        raise UpdateRefusedError(
            f"version {manifest.version} was not put in use, see above; {installed} stays", "went_back"
        )
    if done.returncode != 0:
        click.echo("blastcount: warning: it is in use, but not all went well, see above", err=True)
    back = "/opt/blastcount/systemd/install.sh --rollback"
    click.echo(f"{manifest.version} is in use, after {installed}; to go back: sudo {back}")


def _check_can_install() -> None:
    if os.geteuid() != 0:
        raise UpdateRefusedError("only root may: sudo blastcount update PACKAGE", "not_root")
    if not IN_USE.is_symlink() or Path(sys.prefix).resolve() != IN_USE.resolve():
        raise UpdateRefusedError(
            f"this is not the program that install.sh or the Debian package put into {IN_USE}, but one in "
            f"{sys.prefix}; use /usr/local/bin/blastcount",
            "not_installed",
        )


@contextmanager
def _workspace() -> Iterator[Path]:
    """Give an empty folder that nobody but root reaches; what a killed update left in it is removed.

    Raises
    ------
    UpdateRefusedError
        Another update has it.
    OutputError
        It cannot be made.
    """
    try:
        _WORKSPACE.mkdir(0o700, exist_ok=True)
        held = os.open(_WORKSPACE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise OutputError(f"{_WORKSPACE}: cannot be made: {error.strerror}") from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UpdateRefusedError("another update is under way; wait for it", "busy") from error
        _empty(_WORKSPACE)
        try:
            yield _WORKSPACE
        finally:
            shutil.rmtree(_WORKSPACE)
    finally:
        os.close(held)


def _empty(folder: Path) -> None:
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def _log_step(package: Package, installed: str, result: Literal["begun", "installed", "went_back"]) -> None:
    """Have the version in use write a row; an update is not given up because the log cannot be written."""
    row = SoftwareUpdate(installed, package.manifest.version, package.sha256, str(package.signer), result)
    done = subprocess.run(
        [IN_USE / "bin/python", "-I", "-m", "edge.bloodlog.updates"],
        input=msgspec.json.encode(row), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        click.echo(f"blastcount: warning: the log has no row of it: {printable(said[-1])}", err=True)
