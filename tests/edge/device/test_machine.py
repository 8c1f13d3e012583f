"""Which machine a run was measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.device.machine import describe_machine, describe_software, resident_mb


def root_of(folder: Path, cpuinfo: str) -> Path:
    (folder / "proc/device-tree").mkdir(parents=True)
    (folder / "proc/cpuinfo").write_text(cpuinfo)
    (folder / "proc/meminfo").write_text("MemTotal:        8063152 kB\nMemFree: 1 kB\n")
    return folder


def test_a_pi(tmp_path: Path) -> None:
    root = root_of(tmp_path, "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n")
    (root / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("ondemand\n")
    machine = describe_machine(root)
    assert machine["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert (machine["processor"], machine["memory_mb"]) == ("CPU part 0xd0b", 8257)
    assert machine["governor"] == "ondemand"


@pytest.mark.parametrize(
    ("cpuinfo", "processor"),
    [
        ("model name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU @ 2 GHz\n", "Some CPU @ 2 GHz"),
        ("", "unknown"),
    ],
)
def test_another_machine(tmp_path: Path, cpuinfo: str, processor: str) -> None:
    machine = describe_machine(root_of(tmp_path, cpuinfo))
    assert (machine["processor"], machine["board"], machine["governor"]) == (processor, None, None)


def test_this_machine() -> None:
    machine = describe_machine()
    assert machine["memory_mb"] > 500
    assert {"blastcount", "python", "numpy"} <= describe_software().keys()


def test_memory_of_a_kernel_that_tells_it(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t   50000 kB\nVmRSS:\t   40000 kB\n")
    assert resident_mb("VmHWM", status) == pytest.approx(51.2)
    assert resident_mb("VmRSS", status) == pytest.approx(40.96)
    with pytest.raises(ValueError, match="has no VmPeak"):
        resident_mb("VmPeak", status)
