"""The laboratories' own layouts, read into one form; nothing but names, points, boxes and EXIF is read.

=============  =================================================================================
all-idb        ``all-idb1`` (or the official ``ALL_IDB1``) fields with points, ``all-idb2`` crops, which are
               marks in the fields that they were cut from (see :mod:`training.data.allidb`)
all-taleqani   one folder a class: ``benign`` (haematogones), ``early``, ``pre``, ``pro`` (B-ALL); label of
               the field only
bccd           Pascal VOC boxes of white cells, all of them mature
wbc-chula      YOLO boxes with types
pbc            one folder a type, one cell in the middle of each image
wbc-seg        ``set1`` and ``set2``, one cell in the middle of each image
own            folders of the form ``blastcount.dataset/1``: cells that people looked at; a cell without a
               person's word, or with two that differ, is marked by nobody and nothing is learnt from it
=============  =================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from edge.camera.files import IMAGE_SUFFIXES
from edge.errors import DataSetError
from edge.results.dataset import INDEX, read_dataset
from training.data.records import LABS, MATURE_TYPES, OWN, Mark, SourceField
from training.evaluation.truth import read_truth

#: Consecutive numbers of all-taleqani that stay together: 1,085 fields of 89 patients are 12 a patient, so
#: that 24 hold two and a patient is in two blocks at most. The data set has no patient numbers.
BLOCK = 24
#: Classes of wbc-chula's boxes, by their number.
CHULA_TYPES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
PLATELET = "platelet"
_TALEQANI_LABELS = {"benign": 0, "early": 1, "pre": 1, "pro": 1}
_FOLDERS = {
    "all-taleqani": "all-taleqani",
    "bccd": "bccd",
    "wbc-chula": "wbc-chula",
    "pbc": "pbc",
    "wbc-seg1": "wbc-seg/set1",
    "wbc-seg2": "wbc-seg/set2",
}


def present(root: Path) -> tuple[str, ...]:
    """Name the laboratories that a data folder holds, in the order of ``LABS``.

    Raises
    ------
    DataSetError
        There is no such folder, or none of them is in it.
    """
    if not root.is_dir():
        raise DataSetError(f"{root}: no such folder; --data names the folder that holds the data sets")
    names = {path.name.lower().replace("-", "").replace("_", "") for path in root.iterdir() if path.is_dir()}
    found = tuple(
        lab
        for lab in LABS
        if (lab == "all-idb" and "allidb1" in names)
        or (lab == OWN and own_folders(root))
        or (lab in _FOLDERS and (root / _FOLDERS[lab]).is_dir())
    )
    if not found:
        raise DataSetError(
            f"{root}: holds none of the data sets; expected ALL_IDB1 with ALL_IDB2, one of "
            f"{', '.join(dict.fromkeys(name.split('/')[0] for name in _FOLDERS.values()))}, or corrections "
            "that `blastcount sample export --training` wrote"
        )
    return found


def read(root: Path, lab: str) -> list[SourceField]:
    """List the fields of a laboratory other than all-idb.

    Parameters
    ----------
    root : the data folder
    lab : of ``LABS``

    Returns
    -------
    list of SourceField

    Raises
    ------
    DataSetError
        The folder has another layout.
    """
    readers: dict[str, Callable[[Path, str], Iterator[SourceField]]] = {
        "all-taleqani": _taleqani,
        "bccd": _boxes,
        "wbc-chula": _boxes,
        "pbc": _pbc,
        "wbc-seg1": _wbc_seg,
        "wbc-seg2": _wbc_seg,
    }
    if lab == OWN:
        return [field for folder in own_folders(root) for field in _own(folder)]
    folder = root / _FOLDERS[lab]
    fields = list(readers[lab](folder, lab))
    if not fields:
        raise DataSetError(f"{folder}: no image of {lab} found there; fetch the data set anew")
    return fields


def own_folders(root: Path) -> list[Path]:
    """Folders with corrections: the data folder itself, or folders in it."""
    return [path for path in (root, *sorted(root.iterdir())) if (path / INDEX).is_file()]


def block_of(number: int) -> int:
    """Block of a field number of all-taleqani, from 1.

    Examples
    --------
    >>> block_of(1), block_of(24), block_of(25)
    (1, 1, 2)
    """
    return (number - 1) // BLOCK + 1


def _taleqani(folder: Path, lab: str) -> Iterator[SourceField]:
    for name, label in _TALEQANI_LABELS.items():
        if not (folder / name).is_dir():
            raise DataSetError(f"{folder}: no folder {name}; expected {', '.join(_TALEQANI_LABELS)}")
        for path in _images(folder / name):
            match = re.search(r"(\d+)$", path.stem)
            if match is None:
                raise DataSetError(f"{path}: expected a name that ends with the field's number")
            session = f"{name}-{block_of(int(match[1])):02d}"
            yield SourceField(lab, f"{name}/{path.stem}", path, lab, session, label)


def _boxes(folder: Path, lab: str) -> Iterator[SourceField]:
    chula = lab == "wbc-chula"
    for truth in read_truth(folder)[1]:
        boxes, name = truth.boxes or (), truth.image.stem
        classes = (truth.box_classes if chula else None) or (None,) * len(boxes)
        if unknown := [kind for kind in classes if kind is not None and kind >= len(CHULA_TYPES)]:
            raise DataSetError(
                f"{truth.image}: box of class {unknown[0]}; expected 0 to {len(CHULA_TYPES) - 1}"
            )
        marks = tuple(
            Mark("box", 0, None if kind is None else CHULA_TYPES[kind], box=box)
            for box, kind in zip(boxes, classes, strict=True)
        )
        session = name.split("_")[0] if chula else name  # the slide
        yield SourceField(lab, name, truth.image, lab, session, 0, marks)


def _pbc(folder: Path, lab: str) -> Iterator[SourceField]:
    known = MATURE_TYPES | {"ig", "erythroblast", PLATELET}
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        if subfolder.name not in known:
            raise DataSetError(f"{subfolder}: unknown type; expected {', '.join(sorted(known))}")
        for path in _images(subfolder):
            label = None if subfolder.name == PLATELET else 0
            name = f"{subfolder.name}/{path.stem}"
            yield SourceField(lab, name, path, lab, name, 0, (_central(path, label, subfolder.name),))


def _wbc_seg(folder: Path, lab: str) -> Iterator[SourceField]:
    for path in sorted(folder.glob("*.bmp")):
        yield SourceField(lab, path.stem, path, lab, path.stem, 0, (_central(path, 0, None),))


def _own(folder: Path) -> Iterator[SourceField]:
    labels = {"blast": 1, "normal": 0, "other": None}
    for field in read_dataset(folder).fields:
        marks = tuple(
            Mark("review", labels[cell.label], point=(cell.x, cell.y))
            for cell in field.cells
            # A cell that an earlier field shows, too, would be learnt from twice.
            if cell.label != "unknown" and not cell.seen_before
        )
        yield SourceField(
            OWN, field.frame_sha256[:16], field.picture(folder), field.device, field.sample, None, marks,
            field.um_per_px,
        )  # fmt: skip


def _central(path: Path, label: int | None, cell_type: str | None) -> Mark:
    """Mark the cell in the middle of an image: any whose centroid lies in the middle half."""
    with Image.open(path) as image:
        width, height = image.size
    return Mark("centre", label, cell_type, box=(width / 4, height / 4, width / 2, height / 2))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
