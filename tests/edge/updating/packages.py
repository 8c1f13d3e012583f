"""Small signed packages, and what can be wrong with one."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.updating import MANIFEST, SIGNATURE, sign
from tests.tools.release_usb import make_package

#: What the device of these tests has in use.
INSTALLED = "1.0.0"
MACHINE, PYTHON = "x86_64", (3, 13)


class Maker:
    """Somebody with a key who makes packages; a folder of his own."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("ssh-keygen") is None:
            pytest.skip("needs ssh-keygen: apt-get install openssh-client")
        folder.mkdir()
        self.folder, self.key = folder, folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        kind, public = (folder / "key.pub").read_text().split()[:2]
        self.line = f'maker@example namespaces="blastcount-update" {kind} {public}\n'
        self.made = 0

    def makes(
        self,
        version: str = "1.1.0",
        since: str = "0.1.0",
        machine: str = "x86_64-cp313",
        script: str = "#!/bin/sh\nexit 1\n",
    ) -> Path:
        """Make a package of a version."""
        self.made += 1
        package = self.folder / str(self.made)
        wheels = package / "wheels" / machine
        wheels.mkdir(parents=True)
        with zipfile.ZipFile(wheels / f"blastcount-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("edge/bloodlog/0001_fields.sql", "")
            wheel.writestr("edge/bloodlog/0099_last.sql", "")
        (wheels / "numpy-2.4.0-cp313-cp313-x86_64.whl").write_bytes(random.Random(1).randbytes(20_000))
        (wheels / "requirements.txt").write_text("numpy==2.4.0\n")
        (package / "systemd").mkdir()
        (package / "systemd" / "install.sh").write_text(script)
        make_package(package, self.key, since)
        return package

    def rewrites(self, package: Path, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a manifest and sign it again."""
        content = json.loads((package / MANIFEST).read_text())
        change(content)
        (package / MANIFEST).write_text(json.dumps(content))
        sign(package / MANIFEST, self.key)


def _any_file(package: Path, chance: random.Random) -> Path:
    files = sorted(path for path in package.rglob("*") if path.is_file() and path.parent != package)
    return chance.choice(files)


def _change_a_byte(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(7)
    path.write_bytes(content)


def _altered_file(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    _change_a_byte(_any_file(package, chance), chance)
    return package


def _exchanged_file(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    file = _any_file(package, chance)
    file.write_bytes(chance.randbytes(file.stat().st_size))
    return package


def _longer_file(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    with _any_file(package, chance).open("ab") as file:
        file.write(b"\n")
    return package


def _altered_manifest(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    _change_a_byte(package / MANIFEST, chance)
    return package


def _altered_signature(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    first, *middle, last = (package / SIGNATURE).read_text().splitlines()
    content = bytearray(base64.b64decode("".join(middle)))
    content[-1 - chance.randrange(64)] ^= 1 << chance.randrange(8)  # before it stand key and purpose
    text = base64.b64encode(content).decode()
    (package / SIGNATURE).write_text(f"{first}\n{text}\n{last}\n")
    return package


def _signature_of_another(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package, other = maker.makes(), maker.makes(version="1.2.0")
    shutil.copy(other / SIGNATURE, package)
    return package


def _strangers(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return stranger.makes(version=f"1.{chance.randrange(1, 99)}.0")


def _for_something_else(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    (package / SIGNATURE).unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", maker.key, "-n", "git", package / MANIFEST]
    subprocess.run(command, check=True, capture_output=True)
    return package


def _older(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return maker.makes(version=f"0.{chance.randrange(2, 99)}.{chance.randrange(9)}")


def _before_its_release(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return maker.makes(version=f"1.0.0{chance.choice(['rc', 'a', 'b', '.dev'])}{chance.randrange(9)}")


def _the_same(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return maker.makes(version=chance.choice(["1.0.0", "1.0", "1.0.0+g1234567"]))


def _older_log(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    maker.rewrites(package, lambda manifest: manifest.update(log_schema=chance.randrange(1, 9)))
    return package


def _too_far(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return maker.makes(version="3.0.0", since=f"2.{chance.randrange(9)}")


def _other_machine(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    return maker.makes(machine=chance.choice(["aarch64-cp313", "x86_64-cp311", "x86_64-cp314"]))


def _missing_file(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    _any_file(package, chance).unlink()
    return package


def _copied_up_to(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    """As a copy that was stopped leaves it: manifest first, files up to one that is cut off."""
    package = maker.makes()
    files = sorted(path for path in package.rglob("*") if path.is_file() and path.parent != package)
    at = chance.randrange(len(files))
    for path in files[at + 1 :]:
        path.unlink()
    content = files[at].read_bytes()
    files[at].write_bytes(content[: chance.randrange(len(content))])
    return package


def _without_signature(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    (package / SIGNATURE).unlink()
    return package


def _without_manifest(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    (package / MANIFEST).unlink()
    return package


def _another_form(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    maker.rewrites(package, lambda manifest: manifest.update(schema="other.update/1"))
    return package


def _leads_out(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    """Even who may sign cannot name a file outside of the package."""
    package = maker.makes()
    name = chance.choice(["../../etc/passwd", "/etc/passwd", "systemd/../x", "wheels//x", "-e", "a b"])
    entry = {"sha256": 64 * "0", "bytes": 1}
    maker.rewrites(package, lambda manifest: manifest["files"].update({name: entry}))
    return package


def _not_a_file(maker: Maker, stranger: Maker, chance: random.Random) -> Path:
    package = maker.makes()
    file = _any_file(package, chance)
    file.unlink()
    file.symlink_to("/dev/zero")
    return package


#: Makes a bad package of two makers, of whom the device knows the first; and the refusal's name.
BAD: list[tuple[Callable[[Maker, Maker, random.Random], Path], str]] = [
    (_altered_file, "altered"),
    (_exchanged_file, "altered"),
    (_longer_file, "altered"),
    (_altered_manifest, "altered"),
    (_altered_signature, "altered"),
    (_signature_of_another, "altered"),
    (_not_a_file, "altered"),
    (_strangers, "foreign"),
    (_for_something_else, "foreign"),
    (_older, "older"),
    (_before_its_release, "older"),
    (_the_same, "older"),
    (_older_log, "older"),
    (_too_far, "too_far"),
    (_other_machine, "other_machine"),
    (_missing_file, "incomplete"),
    (_copied_up_to, "incomplete"),
    (_without_signature, "unsigned"),
    (_without_manifest, "no_package"),
    (_another_form, "no_package"),
    (_leads_out, "no_package"),
]
