"""What a Raspberry Pi's firmware and kernel print, recorded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge.device import pi
from edge.device.pi import parse_throttled, read_condition


def firmware(**answers: str) -> pi.Vcgencmd:
    return lambda *arguments: answers.get(arguments[0])


def machine(root: Path, *, zones: dict[str, str] | None = None) -> Path:
    (root / "proc").mkdir(parents=True)
    (root / "proc/loadavg").write_text("0.52 0.58 0.59 1/234 5678\n")
    for number, (kind, temperature) in enumerate((zones or {}).items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind.partition('#')[0]}\n")
        (zone / "temp").write_text(temperature)
    return root


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("throttled=0x0\n", ()),
        ("throttled=0x1\n", ("under-voltage",)),
        ("throttled=0x20000\n", ("frequency capped since boot",)),
        ("80008\n", ("soft temperature limit", "soft temperature limit since boot")),
        ("VCHI initialization failed\n", None),
        ("", None),
    ],
)
def test_flags(text: str, flags: tuple[str, ...] | None) -> None:
    assert parse_throttled(text) == flags


def test_a_pi(tmp_path: Path) -> None:
    root = machine(tmp_path, zones={"cpu-thermal": "61300\n"})
    condition = read_condition(root, firmware(get_throttled="throttled=0x50000\n"))
    assert condition.to_json() == {
        "temperatures_c": {"cpu-thermal": 61.3},
        "throttled": ["under-voltage since boot", "throttled since boot"],
        "load_1min": 0.52,
    }


def test_flags_from_the_kernel_where_vcgencmd_is_not_installed(tmp_path: Path) -> None:
    root = machine(tmp_path)
    file = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    file.write_text("50005\n")
    condition = read_condition(root, firmware())
    assert condition.throttled is not None
    assert condition.throttled[0] == "under-voltage"


def test_a_machine_that_is_no_pi_says_what_is_absent(tmp_path: Path) -> None:
    said = read_condition(machine(tmp_path), firmware()).to_json()
    assert said["temperatures_c"] == "absent: the kernel shows no thermal zone"
    assert said["throttled"] == "absent: no Raspberry Pi firmware"


def test_zones_of_one_name_and_a_sensor_that_is_off(tmp_path: Path) -> None:
    root = machine(tmp_path, zones={"acpitz#1": "30000", "acpitz#2": "31000", "off": "unknown"})
    assert read_condition(root, firmware()).temperatures_c == {
        "acpitz": 30.0,
        "acpitz thermal_zone1": 31.0,
    }


@pytest.fixture
def fake_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x2 && exit 0\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


@pytest.mark.usefixtures("fake_vcgencmd")
def test_the_firmware_is_asked_by_vcgencmd() -> None:
    assert pi.vcgencmd("get_throttled") == "throttled=0x2\n"
    assert pi.vcgencmd("pmic_read_adc") is None


def test_no_vcgencmd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert pi.vcgencmd("get_throttled") is None


@pytest.mark.usefixtures("fake_vcgencmd")
def test_a_firmware_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("vcgencmd", 5)

    monkeypatch.setattr(subprocess, "run", hang)
    assert pi.vcgencmd("get_throttled") is None
