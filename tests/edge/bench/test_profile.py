"""Whose time is whose, by samples of the instruction pointer."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import platform
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.bench import profile as profile_module
from edge.bench.profile import KINDS, Profile, profile


def sampled(work: Callable[[], object], rounds: int = 1) -> Profile:
    found = profile(work, rounds)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def python() -> int:
    return sum(number % 7 for number in range(1_500_000))


def opencv() -> None:
    image = np.zeros((800, 800), np.uint8)
    for _ in range(60):
        cv2.medianBlur(image, 5)


def numpy() -> None:
    numbers = np.random.default_rng(1).random(400_000)
    for _ in range(12):
        np.sort(numbers)


def hashing() -> None:
    content = bytes(8_000_000)
    for _ in range(20):
        hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("work", "kind"), [(python, "python"), (opencv, "opencv"), (numpy, "numpy"), (hashing, "log")]
)
def test_work_is_booked_on_whoever_does_it(work: Callable[[], object], kind: str) -> None:
    found = sampled(work)
    assert set(found.counts) == set(KINDS)
    assert found.samples > 30
    assert found.counts[kind] / found.samples > 0.8, found.counts


def test_samples_come_one_a_millisecond_of_the_processor() -> None:
    started = os.times().user
    found = sampled(python, rounds=4)
    spent_ms = 1000 * (os.times().user - started)
    assert found.samples == pytest.approx(spent_ms, rel=0.25, abs=30)


def test_the_figures() -> None:
    found = Profile(dict.fromkeys(KINDS, 0) | {"python": 5, "opencv": 95})
    figures = found.to_json()
    assert figures["samples"] == 100
    assert figures["shares"] == dict.fromkeys(KINDS, 0.0) | {"python": 0.05, "opencv": 0.95}
    assert figures["python_ci95"] == pytest.approx([0.0164, 0.1128], abs=1e-4)


def test_a_machine_whose_call_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert profile(python) == "absent: not known how to sample on riscv64"


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "perf_event_paranoid must be 2"), (errno.ENOSYS, "not implemented")]
)
def test_a_kernel_that_refuses(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        def syscall(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(profile_module.ctypes, "CDLL", lambda *_, **__: Kernel())
    monkeypatch.setattr(profile_module.ctypes, "get_errno", lambda: number)
    found = profile(python)
    assert isinstance(found, str)
    assert found.startswith("absent: ")
    assert words in found


def test_a_sample_around_the_rings_end_and_a_note_of_loss() -> None:
    size = profile_module._PAGES * mmap.PAGESIZE
    ring = mmap.mmap(-1, mmap.PAGESIZE + size)
    tail = 5 * size - 8 - 24 - 16  # three records: 16, 24 and 16 bytes, the last with 8 before the end
    records = struct.pack("<IHHQ", 9, 2, 16, 0x1111) + struct.pack("<IHHQQ", 2, 0, 24, 7, 3)
    records += struct.pack("<IHHQ", 9, 2, 16, 0x2222)
    for offset in range(0, len(records), 8):
        at = mmap.PAGESIZE + (tail + offset) % size
        ring[at : at + 8] = records[offset : offset + 8]
    struct.pack_into("<QQ", ring, 1024, tail + len(records), tail)
    assert list(profile_module._read(ring)) == [0x1111, 0x2222]
    assert struct.unpack_from("<Q", ring, 1032) == (tail + len(records),)
    assert list(profile_module._read(ring)) == []


def test_addresses_are_looked_up_in_the_maps() -> None:
    libraries = profile_module._libraries(
        "1000-2000 r-xp 00000000 fe:00 1   /usr/bin/python3.11\n"
        "2000-3000 rw-p 00000000 00:00 0   [heap]\n"
        "3000-4000 r-xp 00000000 fe:00 1   /a b/python3.11/site-packages/numpy/core/_multiarray.so\n"
        "4000-5000 r-xp 00000000 00:00 0\n"
        "5000-6000 r-xp 00000000 00:00 0   [vdso]\n"
    )
    kinds = [profile_module._kind(address, libraries) for address in (0x1000, 0x2500, 0x3FFF, 0x4000, 0x5001)]
    assert kinds == ["python", "other", "numpy", "other", "c"]
