"""Libraries in C that OpenCV and Pillow bring, asked for what these do not pass on."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path


@cache
def loaded_library(name: str) -> ctypes.CDLL | None:
    """Find a library that this process has loaded by a part of its file's name; None where it has not."""
    with Path("/proc/self/maps").open() as maps:
        files = (line.split(maxsplit=5)[-1].rstrip("\n") for line in maps if name in line)
        return next(map(ctypes.CDLL, files), None)
