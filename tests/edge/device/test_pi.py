"""What a Raspberry Pi's firmware and kernel print, recorded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge.device import pi
from edge.device.pi import parse_throttled, read_condition


def firmware(**answers: str) -> pi.Vcgencmd:
    return lambda *arguments: answers.get(arguments[0])


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("0.52 0.58 0.59 1/234 5678\n")
    return tmp_path


def with_zones(machine: Path, *zones: tuple[str, str]) -> Path:
    for number, (kind, temperature) in enumerate(zones):
        zone = machine / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(temperature)
    return machine


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


def test_a_pi(machine: Path) -> None:
    with_zones(machine, ("cpu-thermal", "61300\n"))
    condition = read_condition(machine, firmware(get_throttled="throttled=0x50000\n"))
    assert condition.to_json() == {
        "temperatures_c": {"cpu-thermal": 61.3},
        "throttled": ["under-voltage since boot", "throttled since boot"],
        "load_1min": 0.52,
    }


def test_a_machine_that_is_no_pi_says_what_is_absent(machine: Path) -> None:
    said = read_condition(machine, firmware()).to_json()
    assert said["temperatures_c"] == "absent: the kernel shows no thermal zone"
    assert said["throttled"] == "absent: no Raspberry Pi firmware"
    # The kernel tells the flags where vcgencmd is not installed.
    file = machine / "sys/devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    file.write_text("50005\n")
    assert (read_condition(machine, firmware()).throttled or ("",))[0] == "under-voltage"


def test_zones_of_one_name_and_a_sensor_that_is_off(machine: Path) -> None:
    with_zones(machine, ("acpitz", "30000"), ("acpitz", "31000"), ("off", "unknown"))
    found = read_condition(machine, firmware()).temperatures_c
    assert found == {"acpitz": 30.0, "acpitz thermal_zone1": 31.0}


def test_the_firmware_is_asked_by_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x2 && exit 0\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert pi.vcgencmd("get_throttled") == "throttled=0x2\n"
    assert pi.vcgencmd("pmic_read_adc") is None

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("vcgencmd", 5)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", hang)
        assert pi.vcgencmd("get_throttled") is None
    monkeypatch.setenv("PATH", "")
    assert pi.vcgencmd("get_throttled") is None
