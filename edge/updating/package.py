"""A package on a stick: a manifest that names every file with its hash, a signature of it, and the files.

=========================  ==========================================================================
``manifest.json``          :class:`Manifest`
``manifest.json.sig``      the maker's signature of it
``wheels/MACHINE-cpNNN/``  what a device of this machine and Python installs, as wheelhouse.sh makes it
``systemd/``               the script that installs it, and the units
=========================  ==========================================================================

Only the manifest is signed, and only what it names is taken: whatever else lies on the stick is left there.
A file is compared with its hash while it is read, and what was compared is what is copied.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge.device.reading import read_bounded
from edge.errors import UpdateRefusedError
from edge.updating.signature import Signer, verify
from edge.updating.versions import version_key

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
#: The script that installs; a package without it is none.
INSTALLER = "systemd/install.sh"
#: A name of a file in a package: no part of it leads out of its folder, or looks like an option.
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]*/)*[A-Za-z0-9_][A-Za-z0-9._+-]*", re.ASCII)
_CHUNK_BYTES = 1 << 20


class FileEntry(Struct, frozen=True):
    """What a file of a package is."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=0)]


class Manifest(Struct, frozen=True):
    """What a package holds, and for whom it is."""

    schema: Literal["blastcount.update/1"]
    version: Annotated[str, Meta(max_length=100)]
    #: The oldest version that may be updated to it.
    minimum_version: Annotated[str, Meta(max_length=100)]
    #: Number of the form that the log has with it.
    log_schema: Annotated[int, Meta(ge=1)]
    #: By its name in the package.
    files: Annotated[dict[str, FileEntry], Meta(min_length=1)]

    def wheels_for(self, machine: str, python: tuple[int, int]) -> str:
        """Name the folder of wheels for a device.

        Parameters
        ----------
        machine : architecture as ``uname -m`` has it
        python : version of Python, as (3, 13)

        Raises
        ------
        UpdateRefusedError
            ``other_machine``: the package has none for it.
        """
        mine = f"wheels/{machine}-cp{python[0]}{python[1]}"
        there = sorted({name.rpartition("/")[0] for name in self.files if name.startswith("wheels/")})
        if mine not in there:
            has = ", ".join(folder.removeprefix("wheels/") for folder in there) or "no wheels"
            raise UpdateRefusedError(
                f"made for {has}, this device is {mine.removeprefix('wheels/')}; ask its maker for that",
                "other_machine",
            )
        return mine

    def check_follows(self, installed: str, log_schema: int) -> None:
        """See that this is a step forward from what is installed.

        Parameters
        ----------
        installed : version in use
        log_schema : newest form of the log that it writes

        Raises
        ------
        UpdateRefusedError
            ``older``: the version in use is this one or newer, or writes a newer form of the log.
            ``too_far``: the version in use is too old for it.
        """
        new, old = version_key(self.version), version_key(installed)
        if new <= old:
            what = "the version in use" if new == old else "older than the one in use"
            raise UpdateRefusedError(
                f"version {self.version} is {what}, {installed}; to go back: "
                "/opt/blastcount/systemd/install.sh --rollback",
                "older",
            )
        if self.log_schema < log_schema:
            raise UpdateRefusedError(
                f"version {self.version} writes the log in form {self.log_schema}, the version in use in "
                f"{log_schema}, which it could not read",
                "older",
            )
        if old < version_key(self.minimum_version):
            raise UpdateRefusedError(
                f"version {self.version} updates {self.minimum_version} and newer, in use is {installed}; "
                f"install {self.minimum_version} first",
                "too_far",
            )


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose manifest was signed by somebody who may.

    Attributes
    ----------
    folder : where it lies
    manifest : what it says
    sha256 : of the manifest's file, and so of all that it names
    signer : who signed it
    """

    folder: Path
    manifest: Manifest
    sha256: str
    signer: Signer


def read_package(folder: Path, signers: Path) -> Package:
    """Read a package's manifest, and find out who signed it; its files are not looked at yet.

    Parameters
    ----------
    folder : the package
    signers : file of those who may sign, root's and nobody else's to write

    Raises
    ------
    UpdateRefusedError
        ``no_package``, ``unsigned``, ``altered``, ``foreign``, or ``no_signers`` where nobody's signature is
        believed on this device.
    RuntimeMissingError
        There is no ssh-keygen.
    """
    try:
        content = read_bounded(folder / MANIFEST)
    except OSError as error:
        raise UpdateRefusedError(
            f"{folder / MANIFEST} cannot be read ({error.strerror}): no package of blastcount; "
            "name the folder blastcount-VERSION",
            "no_package",
        ) from error
    try:
        signature = read_bounded(folder / SIGNATURE)
    except OSError as error:
        raise UpdateRefusedError(
            f"{folder / SIGNATURE} cannot be read ({error.strerror}): nobody vouches for this package",
            "unsigned",
        ) from error
    _check_signers(signers)
    signer = verify(content, signature, signers)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        for version in (manifest.version, manifest.minimum_version):
            version_key(version)
        strange = [name for name in manifest.files if _NAME.fullmatch(name) is None]
        if strange:
            raise ValueError(f"a file in a package cannot be named {strange[0]!r}")
        if INSTALLER not in manifest.files:
            raise ValueError(f"it does not name {INSTALLER}")
    except (msgspec.DecodeError, ValueError) as error:
        raise UpdateRefusedError(
            f"{folder / MANIFEST}: {error}; it may be of a newer form than this version knows", "no_package"
        ) from error
    return Package(folder, manifest, hashlib.sha256(content).hexdigest(), signer)


def _check_signers(signers: Path) -> None:
    """See that nobody but root, or who runs this, can have written whom to believe."""
    try:
        found = signers.stat()
    except OSError as error:
        raise UpdateRefusedError(
            f"{signers} cannot be read ({error.strerror}): it names those whose packages are believed; "
            "docs/pi.md says how it is made",
            "no_signers",
        ) from error
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UpdateRefusedError(
            f"{signers} can be written by others than root: sudo chown root: {signers}; "
            f"sudo chmod 644 {signers}",
            "no_signers",
        )


def copy_checked(package: Package, wheels: str | None = None, target: Path | None = None) -> None:
    """Compare every file of a package with the manifest, and copy what a device installs.

    Parameters
    ----------
    package : of which :func:`read_package` says who signed it
    wheels : folder of the wheels that are copied to ``wheels`` in ``target``
    target : folder that these and ``systemd`` are copied to; None to compare only

    Raises
    ------
    UpdateRefusedError
        ``incomplete``: a file is missing or short. ``altered``: it is another one.
    OSError
        It cannot be copied.
    """
    for name, entry in package.manifest.files.items():
        folder, _, file = name.rpartition("/")
        chunks = _compared(package.folder / name, entry)
        if target is not None and (folder == wheels or name.startswith("systemd/")):
            place = target / ("wheels" if folder == wheels else folder) / file
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as copy:
                copy.writelines(chunks)
            # Rights do not survive a stick's file system.
            place.chmod(0o755 if name.endswith(".sh") else 0o644)
        else:
            deque(chunks, maxlen=0)


def _compared(path: Path, entry: FileEntry) -> Iterator[bytes]:
    """Read a file once, so that what is copied is what was compared; its end says whether it may be used."""
    digest, size = hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UpdateRefusedError(f"{path} is no plain file; copy the package again", "altered")
            # No more than one byte too many of a file that somebody made endless.
            while chunk := file.read(min(_CHUNK_BYTES, entry.bytes + 1 - size)):
                size += len(chunk)
                digest.update(chunk)
                yield chunk
    except OSError as error:
        raise UpdateRefusedError(
            f"{path} cannot be read ({error.strerror}): the package is half-copied, or the stick is damaged; "
            "copy it again",
            "incomplete",
        ) from error
    if size < entry.bytes:
        raise UpdateRefusedError(
            f"{path} has {size} of {entry.bytes} bytes: the package is half-copied; copy it again",
            "incomplete",
        )
    if digest.hexdigest() != entry.sha256:
        raise UpdateRefusedError(
            f"{path} is not the file that was signed; copy the package again from where it was made",
            "altered",
        )
