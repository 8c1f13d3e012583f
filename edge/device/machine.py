"""Which machine and which software a figure was measured on, and how much memory a process holds."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from edge.version import software_version

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "ai-edge-litert",
    "tflite-runtime",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "scikit-learn",
    "scipy",
)


def describe_machine(root: Path = Path("/")) -> dict[str, object]:
    """Describe processor, memory and kernel.

    Parameters
    ----------
    root : of the file system

    Returns
    -------
    ``processor``, ``board`` (or None), ``architecture``, ``cores`` that this process may use,
    ``memory_mb`` (10^6 bytes), ``governor`` of the processor's clock (or None), ``kernel``
    """
    board = root / "proc/device-tree/model"
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    return {
        "processor": _processor((root / "proc/cpuinfo").read_text()),
        "board": board.read_text().rstrip("\0\n") if board.exists() else None,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": _memory_mb((root / "proc/meminfo").read_text()),
        "governor": governor.read_text().strip() if governor.exists() else None,
        "kernel": platform.release(),
    }


def describe_software() -> dict[str, str]:
    """Name the versions of everything that takes part; what is not installed is left out."""
    versions = {"blastcount": software_version(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def resident_mb(key: str, status: Path = Path("/proc/self/status")) -> float:
    """Read a figure of this process's memory.

    Not ``getrusage``: across fork and exec the kernel carries the parent's peak over into the child's
    ``ru_maxrss``, so that a small process started by a large one looks as large. ``VmHWM`` belongs to the
    program that runs now.

    Parameters
    ----------
    key : ``VmHWM`` for the peak of the resident memory, ``VmRSS`` for what is resident now
    status : the kernel's file

    Returns
    -------
    10^6 bytes

    Raises
    ------
    ValueError
        The kernel does not tell.
    """
    for line in status.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"{status} has no {key}; a Linux kernel is needed to measure memory")


def _processor(cpuinfo: str) -> str:
    """Find the name: x86 says ``model name``, a Pi only the numbers of its maker's part."""
    for key in ("model name", "CPU part"):
        if found := re.search(rf"^{key}\s*: (.+)$", cpuinfo, re.MULTILINE):
            return found[1].strip() if key == "model name" else f"{key} {found[1].strip()}"
    return "unknown"


def _memory_mb(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return round(int(found[1]) * 1024 / 1e6) if found else 0
