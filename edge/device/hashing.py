"""SHA-256 of files and of pixels, by which reports, caches and manifests know what they are about."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def file_sha256(path: Path) -> str:
    """Hash a file without reading all of it at once.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixels_sha256(pixels: NDArray[Any]) -> str:
    """Hash an array's values in row order; its shape and type are not among them.

    Examples
    --------
    >>> pixels_sha256(np.zeros((2, 2), np.uint8)) == hashlib.sha256(bytes(4)).hexdigest()
    True
    """
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
