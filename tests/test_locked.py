"""What devices and developers install is written down with hashes, and is what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools.lock import BUILD, DEV, DEVICE, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MACHINES = [(python, machine) for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")]


def locked(file: Path, machine: dict[str, str]) -> dict[str, str]:
    """Version by name that a file gives to a machine."""
    versions: dict[str, str] = {}
    for line in re.findall(r"^[a-z].*?(?= \\$)", file.read_text(encoding="utf-8"), re.MULTILINE):
        pinned = Requirement(line)
        if pinned.marker is None or pinned.marker.evaluate(machine):
            assert pinned.name not in versions, line
            (version,) = pinned.specifier
            assert version.operator == "=="
            versions[canonicalize_name(pinned.name)] = version.version
    return versions


def asked(extra: str | None, machine: dict[str, str]) -> Iterator[Requirement]:
    """What the package, or one of its extras, needs on a machine."""
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            for other in requirement.extras:
                yield from asked(other, machine)
        elif requirement.marker is None or requirement.marker.evaluate(machine):
            yield requirement


@pytest.mark.requirement(22)
@pytest.mark.parametrize(("python", "architecture"), MACHINES)
def test_every_need_is_locked_within_its_range(python: str, architecture: str) -> None:
    """Where this fails after a change of pyproject.toml: make lock."""
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": architecture,
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    device, dev, build = (locked(file, machine) for file in (DEVICE, DEV, BUILD))
    for needed, versions in (
        ([*asked(None, machine)], device),
        ([*asked(None, machine), *asked("dev", machine)], dev),
        ([*map(Requirement, PROJECT["build-system"]["requires"])], build),
    ):
        assert needed
        for requirement in needed:
            name = canonicalize_name(requirement.name)
            assert name in versions, requirement
            assert requirement.specifier.contains(versions[name]), (requirement, versions[name])
    assert {name: dev.get(name) for name in build} == build
    # On Python 3.11 developers have tflite-runtime, which lives with nothing newer.
    numbers = ("ai-edge-litert", "pillow", "simplejpeg", "tifffile")
    numbers += () if python == "3.11" else ("numpy", "opencv-python-headless")
    assert {name: dev[name] for name in numbers} == {name: device[name] for name in numbers}
    assert (dev["numpy"] == "1.26.4") == (python == "3.11")


@pytest.mark.requirement(22)
@pytest.mark.parametrize("file", [BUILD, DEVICE, DEV])
def test_every_locked_version_has_hashes_and_no_address(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    entries = re.findall(r"^\S+==.*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.MULTILINE)
    assert "".join(entries) == text
    assert len(entries) >= 4


def test_every_need_has_an_upper_bound() -> None:
    """The program that was tested is not what the next major version of a library makes of it."""
    lines = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        lines += extra
    for requirement in map(Requirement, lines):
        operators = {part.operator for part in requirement.specifier}
        assert operators & {"<", "=="} or requirement.name == "blastcount", requirement
