"""Sets of crops on disk: read, hashed, and kept apart."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edge.device.hashing import pixels_sha256
from edge.errors import DataSetError

#: Arrays looked for in an .npz, first come first taken.
CALIBRATION_KEYS = ("train_crops", "crops")
PARITY_KEYS = ("test_crops", "crops")
_IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """A set of crops as the network takes them.

    Attributes
    ----------
    pixels : (n, s, s, 3) uint8 RGB
    labels : (n,) int64, 1 blast, 0 normal; None where the source does not say
    source : where they come from, for messages and the card
    fields : (n,) name of the field each was cut from, empty where unknown; None where the source does not say
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    source: str
    fields: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.pixels)

    def hashes(self) -> tuple[str, ...]:
        """SHA-256 of every crop's bytes in row order."""
        return tuple(pixels_sha256(crop) for crop in self.pixels)

    def set_hash(self) -> str:
        """SHA-256 of the set whatever its order."""
        return hashlib.sha256("".join(sorted(self.hashes())).encode()).hexdigest()

    def take(self, index: NDArray[np.intp]) -> Crops:
        """Return the crops at these places."""
        labels = None if self.labels is None else self.labels[index]
        fields = None if self.fields is None else self.fields[index]
        return Crops(self.pixels[index], labels, self.source, fields)


def read_crops(path: Path, size_px: int, keys: Sequence[str]) -> Crops:
    """Read crops from an ``.npz`` file or a folder of lossless images.

    An ``.npz`` holds (n, size_px, size_px, 3) uint8 RGB under one of ``keys``; where a key ends in ``crops``,
    the same key ending in ``labels`` may hold 1 (blast) or 0 (normal), and the same key ending in ``fields``
    the names of the fields they were cut from. A folder holds one image a crop, of exactly the
    network's size: nothing is resized here.

    Parameters
    ----------
    path : file or folder
    size_px : side of the network's input in px
    keys : arrays to look for in an ``.npz``, first come first taken

    Returns
    -------
    Crops

    Raises
    ------
    DataSetError
        Nothing is there, or not crops of that size.
    """
    pixels, labels, fields = _read_folder(path, size_px) if path.is_dir() else _read_npz(path, keys)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size_px, size_px, 3):
        raise DataSetError(
            f"{path}: expected crops (n, {size_px}, {size_px}, 3) uint8 RGB, "
            f"got {pixels.shape} {pixels.dtype}; "
            "cut them with edge.classification.crop.to_input and the model's input spec"
        )
    if len(pixels) == 0:
        raise DataSetError(f"{path}: no crops in it; give at least one")
    if labels is not None and (labels.shape != (len(pixels),) or not np.isin(labels, (0, 1)).all()):
        raise DataSetError(
            f"{path}: labels must be {len(pixels)} values of 0 (normal) or 1 (blast), got {labels.shape}"
        )
    if fields is not None and (fields.shape != (len(pixels),) or fields.dtype.kind != "U"):
        raise DataSetError(
            f"{path}: fields must be {len(pixels)} names, got {fields.shape} {fields.dtype}; "
            "give an empty name where a field is not known"
        )
    return Crops(pixels, None if labels is None else labels.astype(np.int64), path.name, fields)


def has_key(path: Path, key: str) -> bool:
    """Tell whether a path is an ``.npz`` file that holds this array."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with np.load(path, allow_pickle=False) as archive:
        return key in archive.files


def hold_out(crops: Crops, share: float, seed: int) -> tuple[Crops, Crops]:
    """Divide a set in two such that equal crops, and crops of one field, stay on one side.

    Parameters
    ----------
    crops : what is to be divided
    share : of the distinct crops that go to the second part, above 0 and below 1
    seed : of the draw

    Returns
    -------
    tuple of Crops
        The rest, and the part held out, each crop once. Whole fields are drawn until the share is reached.

    Raises
    ------
    DataSetError
        There are fewer than two distinct crops, or all are of one field.
    """
    distinct = {digest: i for i, digest in reversed(list(enumerate(crops.hashes())))}
    groups: dict[str, list[int]] = {}
    for digest, i in sorted(distinct.items(), key=lambda pair: pair[1]):
        field = "" if crops.fields is None else str(crops.fields[i])
        groups.setdefault(field or digest, []).append(i)
    if len(groups) < 2:
        raise DataSetError(
            f"{crops.source}: one crop, or crops of one field, cannot be divided; "
            "give the parity crops with --parity"
        )
    wanted, held = max(1, round(share * len(distinct))), list[int]()
    # The last one drawn stays, whatever the share.
    for name in np.random.default_rng(seed).permutation(np.array(list(groups)))[:-1]:
        if len(held) < wanted:
            held += groups.pop(str(name))
    rest = sorted(i for group in groups.values() for i in group)
    return crops.take(np.array(rest)), crops.take(np.array(sorted(held)))


def refuse_overlap(calibration: Crops, parity: Crops) -> None:
    """Refuse a gate that would judge the conversion on what it was fitted to.

    Raises
    ------
    DataSetError
        A crop is in both sets.
    """
    shared = set(calibration.hashes()) & set(parity.hashes())
    if shared:
        raise DataSetError(
            f"{len(shared)} crop(s) of the parity set {parity.source} are calibration crops "
            f"({calibration.source}); give held-out crops with --parity"
        )


_Arrays = tuple[NDArray[np.uint8], NDArray[np.int64] | None, NDArray[np.str_] | None]


def _read_npz(path: Path, keys: Sequence[str]) -> _Arrays:
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataSetError(
            f"{path}: cannot be read as crops ({error}); give an .npz file or a folder of images"
        ) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataSetError(f"{path}: a single array; give an .npz file with one of {', '.join(keys)}")
    with archive:
        for key in keys:
            if key in archive.files:
                stem = key.removesuffix("crops")
                labels, fields = (
                    archive[stem + name] if stem + name in archive.files else None
                    for name in ("labels", "fields")
                )
                return archive[key], labels, fields
        raise DataSetError(f"{path}: expected one of {', '.join(keys)}, got {', '.join(archive.files)}")


def _read_folder(path: Path, size_px: int) -> _Arrays:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
    pixels = np.empty((len(files), size_px, size_px, 3), np.uint8)
    for i, file in enumerate(files):
        try:
            with Image.open(file) as image:
                if image.size != (size_px, size_px):
                    raise DataSetError(
                        f"{file}: {image.width}x{image.height} px, the network takes {size_px}x{size_px}; "
                        "cut crops with edge.classification.crop.to_input"
                    )
                pixels[i] = np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise DataSetError(f"{file}: cannot be read ({error}); take it out of the folder") from error
    return pixels, None, None
