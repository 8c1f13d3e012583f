"""Sets of crops on disk: read, hashed, and kept apart."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edge.device.hashing import pixels_sha256
from edge.errors import DataSetError

#: Arrays looked for in an .npz, first come first taken.
CALIBRATION_KEYS = ("train_crops", "crops")
PARITY_KEYS = ("test_crops", "crops")
#: What may stand beside the crops, under the same key with this word in the place of ``crops``.
_KNOWN = ("labels", "fields", "groups", "touches_border")
#: Names that a message shows; more help nobody.
_FEW = 3
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
    groups : (n,) name of the group of fields (overlapping ones, a session, a laboratory) that calibration and
        judgement must not share; None where the source does not say
    touches_border : (n,) bool, whether its field's edge cuts the cell; None where the source does not say
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    source: str
    fields: NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None
    touches_border: NDArray[np.bool_] | None = None

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
        return Crops(
            self.pixels[index],
            None if self.labels is None else self.labels[index],
            self.source,
            None if self.fields is None else self.fields[index],
            None if self.groups is None else self.groups[index],
            None if self.touches_border is None else self.touches_border[index],
        )


def read_crops(path: Path, size_px: int, keys: Sequence[str]) -> Crops:
    """Read crops from an ``.npz`` file or a folder of lossless images.

    An ``.npz`` holds (n, size_px, size_px, 3) uint8 RGB under one of ``keys``; where a key ends in ``crops``,
    the same key ending in ``labels`` may hold 1 (blast) or 0 (normal), those ending in ``fields`` and
    ``groups`` the names of the fields and of the groups of fields they were cut from, and that ending in
    ``touches_border`` whether the field's edge cuts the cell. A folder holds one image a crop, of exactly the
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
    pixels, parts = _read_folder(path, size_px) if path.is_dir() else _read_npz(path, keys)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size_px, size_px, 3):
        raise DataSetError(
            f"{path}: expected crops (n, {size_px}, {size_px}, 3) uint8 RGB, "
            f"got {pixels.shape} {pixels.dtype}; "
            "cut them with edge.classification.crop.to_input and the model's input spec"
        )
    if len(pixels) == 0:
        raise DataSetError(f"{path}: no crops in it; give at least one")
    labels = parts.get("labels")
    if labels is not None and (labels.shape != (len(pixels),) or not np.isin(labels, (0, 1)).all()):
        raise DataSetError(
            f"{path}: labels must be {len(pixels)} values of 0 (normal) or 1 (blast), got {labels.shape}"
        )
    for name in ("fields", "groups"):
        names = parts.get(name)
        if names is not None and (names.shape != (len(pixels),) or names.dtype.kind != "U"):
            raise DataSetError(
                f"{path}: {name} must be {len(pixels)} names, got {names.shape} {names.dtype}; "
                "give an empty name where one is not known"
            )
    border = parts.get("touches_border")
    if border is not None and (border.shape != (len(pixels),) or border.dtype != np.bool_):
        raise DataSetError(
            f"{path}: touches_border must be {len(pixels)} values true or false, "
            f"got {border.shape} {border.dtype}"
        )
    return Crops(
        pixels,
        None if labels is None else labels.astype(np.int64),
        path.name,
        parts.get("fields"),
        parts.get("groups"),
        border,
    )


def has_key(path: Path, key: str) -> bool:
    """Tell whether a path is an ``.npz`` file that holds this array."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with np.load(path, allow_pickle=False) as archive:
        return key in archive.files


def hold_out(crops: Crops, share: float, seed: int) -> tuple[Crops, Crops]:
    """Divide a set in two such that equal crops, and crops of one group or field, stay on one side.

    Parameters
    ----------
    crops : what is to be divided
    share : of the distinct crops that go to the second part, above 0 and below 1
    seed : of the draw

    Returns
    -------
    tuple of Crops
        The rest, and the part held out, each crop once. Whole groups, where these are not known whole
        fields, are drawn until the share is reached.

    Raises
    ------
    DataSetError
        There are fewer than two distinct crops, or all are of one group or field.
    """
    distinct = {digest: i for i, digest in reversed(list(enumerate(crops.hashes())))}
    known = crops.fields if crops.groups is None else crops.groups
    names = [""] * len(crops) if known is None else known.tolist()
    groups: dict[str, list[int]] = {}
    for digest, i in sorted(distinct.items(), key=lambda pair: pair[1]):
        groups.setdefault(names[i] or digest, []).append(i)
    if len(groups) < 2:
        raise DataSetError(
            f"{crops.source}: one crop, or crops of one group or field, cannot be divided; "
            "give the parity crops with --parity"
        )
    wanted, held = max(1, round(share * len(distinct))), list[int]()
    # The last one drawn stays, whatever the share.
    for name in np.random.default_rng(seed).permutation(np.array(list(groups)))[:-1]:
        if len(held) < wanted:
            held += groups.pop(str(name))
    rest = sorted(i for group in groups.values() for i in group)
    return crops.take(np.array(rest)), crops.take(np.array(sorted(held)))


def check_apart(calibration: Crops, parity: Crops) -> None:
    """Refuse a gate that would judge the conversion on what it was fitted to, or on what is never tallied.

    Raises
    ------
    DataSetError
        A crop, or crops of one field or group, are in both sets, or a parity crop's cell is cut by the edge
        of its field.
    """
    shared = set(calibration.hashes()) & set(parity.hashes())
    if shared:
        raise DataSetError(
            f"{len(shared)} crop(s) of the parity set {parity.source} are calibration crops "
            f"({calibration.source}); give held-out crops with --parity"
        )
    for what, ours, theirs in (
        ("group", calibration.groups, parity.groups),
        ("field", calibration.fields, parity.fields),
    ):
        if ours is None or theirs is None:
            continue
        both = sorted((set(ours.tolist()) & set(theirs.tolist())) - {""})
        if both:
            n = int(np.isin(theirs, both).sum())
            raise DataSetError(
                f"{n} crop(s) of the parity set {parity.source} are of {len(both)} {what}(s) that "
                f"calibration crops ({calibration.source}) are of, too ({_few(both)}); "
                f"give crops of other {what}s"
            )
    border = parity.touches_border
    if border is not None and border.any():
        where = "" if parity.fields is None else f" ({_few(sorted(set(parity.fields[border].tolist())))})"
        raise DataSetError(
            f"{int(border.sum())} crop(s) of the parity set {parity.source} are of cells that the edge of "
            f"their field cuts{where}, which the device never tallies; give whole cells"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + (", …" if len(names) > _FEW else "")


#: Crops, and what is known of each, by the last word of the array's key.
_Arrays = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]


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
                return archive[key], {
                    name: archive[stem + name] for name in _KNOWN if stem + name in archive.files
                }
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
    return pixels, {}
