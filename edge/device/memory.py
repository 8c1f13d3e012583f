"""How the C library holds memory between fields."""

from __future__ import annotations

import ctypes

#: Numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: Most that glibc takes for blocks of the heap, 32 MB on 64 bits; a field of 5 Mpx has 15 MB.
_LARGEST_KEPT = 32 * 1024 * 1024
#: Freed memory at the heap's end that is kept for the next field: all planes of a crowded field.
_MOST_KEPT = 64 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let the C library keep what one step has freed for the next, within the peak that a field has anyway.

    By its own rule glibc gives the end of the heap back and asks for it again some hundred times a field,
    and the kernel zeroes each page anew: 3,400 faults and 5 to 10 % of the time of a crowded field, whose
    peak stays what it was. Another C library than glibc keeps its own rule.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
