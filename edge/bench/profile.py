"""Where the time of a field goes by kind of code, from samples of the processor's instruction pointer.

A profiler that is called at every function adds most to what is called most, small Python functions, and
cannot tell the interpreter from NumPy within a line. Here the kernel interrupts the thread a thousand times
a second and notes the instruction that it is at [1]_; the library that this lies in says what was running.
That costs 1 to 2 % and favours nobody.

References
----------
.. [1] perf_event_open(2), Linux man-pages 6.03.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.counting.tally import clopper_pearson

#: What a library belongs to, by what its path contains; the first that fits counts.
_OF_LIBRARY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("network", ("litert", "tflite", "tensorflow")),
    ("opencv", ("cv2", "opencv")),
    ("numpy", ("numpy", "blas")),
    ("decode", ("/PIL/", "pillow", "libjpeg", "libpng", "libtiff", "libwebp")),
    ("log", ("libcrypto", "_hashlib", "sqlite")),
    ("c", ("libc.so", "libc-", "libm.so", "libm-", "libgcc", "libstdc++", "ld-linux", "[vdso]", "libz.so")),
    ("python", ("python",)),
)
KINDS = {
    "network": "the network's interpreter",
    "opencv": "OpenCV",
    "numpy": "NumPy",
    "decode": "decoding of the file",
    "log": "hashing, SQLite",
    "c": "C library: copying, mathematics, memory, whoever asked for it",
    "python": "the Python interpreter with its own modules",
    "other": "anything else",
}
#: Not a divisor of a ms, so that nothing that repeats is always met at the same place.
_PERIOD_NS = 997_000
_PAGES = 64  # of samples, 16 bytes each: 16,000 samples between two readings
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241, "armv7l": 364, "i686": 336}
_SOFTWARE, _TASK_CLOCK = 1, 1
_SAMPLE_IP = 1
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1, 1 << 5, 1 << 6
_ENABLE, _DISABLE = 0x2400, 0x2401
_RECORD_SAMPLE = 9
#: Where the first page of the ring says how far the kernel has written; behind it how far it was read.
_HEAD, _TAIL = 1024, 1032


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples of the instruction pointer by kind of code.

    Attributes
    ----------
    counts : samples by kind of ``KINDS``
    """

    counts: dict[str, int]

    @property
    def samples(self) -> int:
        """Samples in all."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, object]:
        """Give the shares, and the interval of Python's."""
        low, high = clopper_pearson(self.counts["python"], self.samples)
        return {
            "samples": self.samples,
            "shares": {kind: round(count / max(1, self.samples), 4) for kind, count in self.counts.items()},
            "python_ci95": [round(low, 4), round(high, 4)],
        }


def profile(work: Callable[[], object], rounds: int = 1) -> Profile | str:
    """Run some work and share its time in user mode out; what other threads do is not seen.

    Parameters
    ----------
    work : what is run
    rounds : how often

    Returns
    -------
    Profile, or why there is none
    """
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        return f"absent: not known how to sample on {platform.machine()}"
    attributes = struct.pack(
        "<IIQQQQQIIQ", _SOFTWARE, 64, _TASK_CLOCK, _PERIOD_NS, _SAMPLE_IP, 0,
        _DISABLED | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR, 0, 0, 0,
    )  # fmt: skip
    kernel = ctypes.CDLL(None, use_errno=True)
    event = kernel.syscall(number, ctypes.create_string_buffer(attributes, len(attributes)), 0, -1, -1, 0)
    if event < 0:
        return _refusal(ctypes.get_errno())
    counts = dict.fromkeys(KINDS, 0)
    try:
        with mmap.mmap(event, (1 + _PAGES) * mmap.PAGESIZE) as ring:
            for _ in range(rounds):
                fcntl.ioctl(event, _ENABLE)
                try:
                    work()
                finally:
                    fcntl.ioctl(event, _DISABLE)
                libraries = _libraries(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"))
                for address, times in Counter(_read(ring)).items():
                    counts[_kind(address, libraries)] += times
    finally:
        os.close(event)
    return Profile(counts)


def _refusal(number: int) -> str:
    if number in (errno.EACCES, errno.EPERM):
        return "absent: the kernel allows no sampling here (kernel.perf_event_paranoid must be 2 or less)"
    return f"absent: the kernel cannot sample ({os.strerror(number)})"


def _read(ring: mmap.mmap) -> Iterator[int]:
    """Take the samples out of the ring: addresses of instructions."""
    head, tail = struct.unpack_from("<QQ", ring, _HEAD)
    size = _PAGES * mmap.PAGESIZE
    while tail < head:
        # Records are multiples of 8 bytes: one may go around the ring's end, its parts of 8 do not.
        at = mmap.PAGESIZE + tail % size
        kind, _, length = struct.unpack_from("<IHH", ring, at)
        if kind == _RECORD_SAMPLE:
            (address,) = struct.unpack_from("<Q", ring, mmap.PAGESIZE + (tail + 8) % size)
            yield address
        tail += length
    struct.pack_into("<Q", ring, _TAIL, head)


def _libraries(maps: str) -> list[tuple[int, int, str]]:
    """Read the ranges of addresses that hold code: first, behind the last, path."""
    found = []
    for line in maps.splitlines():
        addresses, access, *_, path = (*line.split(maxsplit=5), "")[:6]
        if "x" in access:
            first, _, behind = addresses.partition("-")
            found.append((int(first, 16), int(behind, 16), path))
    return found


def _kind(address: int, libraries: list[tuple[int, int, str]]) -> str:
    path = next((path for first, behind, path in libraries if first <= address < behind), "")
    return next((kind for kind, parts in _OF_LIBRARY if any(part in path for part in parts)), "other")
