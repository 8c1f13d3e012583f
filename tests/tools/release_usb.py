"""A signed package for ``blastcount update``: ``python -m tests.tools.release_usb --key KEY MACHINE...``.

MACHINE is ``aarch64-cp313`` and the like. Makes ``blastcount-VERSION`` in the working folder: wheels for
each, by ``systemd/wheelhouse.sh``, the folder ``systemd``, and a signed manifest. To be run on a clean
checkout of the tag: the version is git's.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import msgspec

from edge.device.hashing import file_sha256
from edge.updating import MANIFEST, SIGNATURE, FileEntry, Manifest, sign
from tests.tools.lock import ROOT

_MACHINE = re.compile(r"(?P<machine>aarch64|x86_64)-cp3(?P<python>[0-9]+)")
#: Since which version a log can be brought to the newest form, where nothing else is said: all.
_FIRST = "0.1.0"


def main() -> None:
    """Collect and sign a package."""
    parser = argparse.ArgumentParser(description="A signed package for `blastcount update`.")
    parser.add_argument("--key", type=Path, required=True, help="private key, see ssh-keygen(1)")
    parser.add_argument("--since", default=_FIRST, help="the oldest version that may be updated to it")
    parser.add_argument("machines", nargs="+", metavar="MACHINE", help="as aarch64-cp313")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        made = Path(folder) / "package"
        for name in given.machines:
            found = _MACHINE.fullmatch(name)
            if found is None:
                parser.error(f"{name}: expected aarch64-cp313, x86_64-cp311 or the like")
            collect(made / "wheels" / name, found["machine"], f"3.{found['python']}")
        shutil.copytree(ROOT / "systemd", made / "systemd")
        manifest = make_package(made, given.key, given.since)
        target = Path(f"blastcount-{manifest.version}")
        made.rename(target)
    said = f"{target}: {len(manifest.files)} files, signed\n"
    if not (target / "systemd" / "update-signers").exists():
        said += "systemd/update-signers is missing: new installations will believe no package\n"
    parser.exit(0, said)


def collect(folder: Path, machine: str, python: str) -> None:
    """Collect the wheels for a machine and a version of Python in a new folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / "systemd" / "wheelhouse.sh", folder, machine, python], check=True)


def make_package(folder: Path, key: Path, since: str = _FIRST) -> Manifest:
    """Write a folder's manifest and sign it.

    Parameters
    ----------
    folder : with ``wheels/MACHINE-cpNNN`` and ``systemd``
    key : that signs
    since : the oldest version that may be updated to it
    """
    for old in (MANIFEST, SIGNATURE):
        (folder / old).unlink(missing_ok=True)
    files = {
        str(path.relative_to(folder)): FileEntry(file_sha256(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    # What the wheels say themselves, whatever this tree is.
    own = [name for name in files if re.fullmatch(r"wheels/[^/]+/blastcount-.*\.whl", name)]
    versions = {name.rpartition("/")[2].split("-")[1] for name in own}
    (version,) = versions
    with zipfile.ZipFile(folder / own[0]) as wheel:
        numbers = re.findall(r"edge/bloodlog/(\d{4})_\w+\.sql$", "\n".join(wheel.namelist()), re.MULTILINE)
    manifest = Manifest("blastcount.update/1", version, since, max(map(int, numbers)), files)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    sign(folder / MANIFEST, key)
    return manifest


if __name__ == "__main__":
    main()
