"""Which images show the same thing: equal pixels, and copies that were encoded, shrunk or tinted anew."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.structures import UInt8Image

#: Bits of 64 that may differ between two perceptual hashes before a look at the pixels is worth it. In
#: all-taleqani (1,085 fields numbered as they were taken) every pair within 6 bits whose thumbnails
#: correlate lies within 11 numbers of each other; of the pairs with 8 to 14 bits none does.
MAX_BITS = 6
#: Correlation of the 64×64 px thumbnails from which two images show the same. The 19 pairs of all-taleqani
#: give 0.898 to 0.999; pbc, bccd and wbc-chula (998 images) have no pair above 0.85.
MIN_CORRELATION = 0.89
_THUMBNAIL = 64


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What of an image is compared.

    Attributes
    ----------
    sha256 : of the pixels and their shape
    phash : perceptual hash, 64 bit
    thumbnail : (64, 64) uint8 grey
    """

    sha256: str
    phash: int
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two images that show the same; ``exact`` where all pixels are equal.

    ``correlation`` is that of the thumbnails, 1 for exact ones.
    """

    first: str
    second: str
    exact: bool
    correlation: float


def fingerprint(image: UInt8Image) -> Fingerprint:
    """Take an image's fingerprint.

    The perceptual hash is the sign of the 64 lowest DCT coefficients of the 32×32 px grey image against
    their median [1]_.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    Fingerprint

    References
    ----------
    .. [1] C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    >>> fingerprint(image).phash == fingerprint(image + np.uint8(0)).phash
    True
    """
    digest = hashlib.sha256(f"{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).data)
    grey = Image.fromarray(image).convert("L")
    small = np.asarray(grey.resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    phash = int("".join("1" if bit else "0" for bit in bits), 2)
    thumbnail = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
    return Fingerprint(digest.hexdigest(), phash, thumbnail)


def find_duplicates(prints: Mapping[str, Fingerprint]) -> list[Duplicate]:
    """Find all pairs of images that show the same.

    Parameters
    ----------
    prints : fingerprint by name

    Returns
    -------
    list of Duplicate
        Sorted; of n equal images the n - 1 pairs with the first by name.
    """
    found = []
    by_hash: dict[str, list[str]] = defaultdict(list)
    for name in sorted(prints):
        by_hash[prints[name].sha256].append(name)
    for first, *others in by_hash.values():
        found += [Duplicate(first, other, True, 1.0) for other in others]
    names = sorted(members[0] for members in by_hash.values())
    # As 8 bytes each, because numpy counts the bits of a number from 2.0 on only.
    packed = np.array([list(prints[name].phash.to_bytes(8, "big")) for name in names], dtype=np.uint8)
    hashes = np.unpackbits(packed.reshape(-1, 8), axis=1)
    thumbnails = [_standardised(prints[name].thumbnail) for name in names]
    for i in range(len(names)):
        bits = (hashes[i + 1 :] != hashes[i]).sum(axis=1)
        for j in (np.nonzero(bits <= MAX_BITS)[0] + i + 1).tolist():
            correlation = float((thumbnails[i] * thumbnails[j]).mean())
            if correlation >= MIN_CORRELATION:
                found.append(Duplicate(names[i], names[j], False, correlation))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def _standardised(thumbnail: NDArray[np.uint8]) -> NDArray[np.float64]:
    values = thumbnail.astype(np.float64)
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))
