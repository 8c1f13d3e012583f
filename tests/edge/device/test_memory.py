"""What one field has freed is there for the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Fills and frees what no field exceeds, and says how many pages the kernel had to make anew the second time.
PROGRAM = """
import resource
import numpy as np
{}
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(4_000_000, np.uint8) for _ in range(8)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    del blocks
print(faults)
"""


def faults(first: str) -> int:
    program = [sys.executable, "-c", PROGRAM.format(first)]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the switch is glibc's")
def test_freed_memory_is_used_again() -> None:
    assert faults("from edge.device.memory import keep_freed_memory; keep_freed_memory()") < 200
    assert faults("") > 1000  # negative control: glibc's own rule gives it back
