"""The laboratories' own layouts, read into one form; nothing but names, points, boxes and EXIF is read.

=============  =================================================================================
all-idb        ``all-idb1`` (or the official ``ALL_IDB1``) fields with points, ``all-idb2`` crops, which are
               marks in the fields that they were cut from (see :mod:`training.data.allidb`)
all-taleqani   one folder a class: ``benign`` (haematogones), ``early``, ``pre``, ``pro`` (B-ALL); label of
               the field only
jhu-aml        ``cells.csv`` (file, patient, diagnosis, class) and one folder a patient, one cell in the
               middle of each image
lmu-aml        one folder a class (``myeloblast``, ``neutrophil``), one cell in the middle of each image
bccd           Pascal VOC boxes of white cells, all of them mature
wbc-chula      YOLO boxes with types
pbc            one folder a type, one cell in the middle of each image; ``pbc-half`` beside it, further images
               of the same laboratory at half the size
raabin         YOLO boxes of white cells, all of them mature, among boxes of other things
lisc           fields of healthy persons; no cell is marked, so nothing is learnt from it
wbc-seg        ``set1`` and ``set2``, one cell in the middle of each image
own            folders of the form ``blastcount.dataset/1``: cells that people looked at; a cell without a
               person's word, or with two that differ, is marked by nobody and nothing is learnt from it
=============  =================================================================================
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from PIL import Image

from edge.camera.folders import IMAGE_SUFFIXES
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
#: What the classes of jhu-aml are. Promyelocytes and promonocytes are the leukaemic cell itself in some of
#: these leukaemias (promyelocytes in APL, which a third of the patients have) and none in others, and nobody
#: says which of a patient's are; crushed cells may have been anything. Nothing is learnt from these.
JHU_LABELS: dict[str, int | None] = {
    "blast": 1,
    **dict.fromkeys(
        (
            *sorted(MATURE_TYPES), "erythroblast", "metamyelocyte", "myelocyte", "plasma",
        ),
        0,
    ),
    **dict.fromkeys(("giant_platelet", "platelet_clump", "promonocyte", "promyelocyte", "smudge")),
}  # fmt: skip
#: Middle of an image of 28 to 33 µm that was cut around one cell among others: within 5 µm of the middle no
#: neighbour has its own.
_SINGLE = 1 / 3
_LMU_LABELS = {"myeloblast": 1, "neutrophil": 0}
_PBC_TYPES = (MATURE_TYPES & set(CHULA_TYPES)) | {"ig", "erythroblast", PLATELET}
_FOLDERS = {
    "all-taleqani": ("all-taleqani",),
    "jhu-aml": ("jhu-aml",),
    "lmu-aml": ("lmu-aml",),
    "bccd": ("bccd",),
    "wbc-chula": ("wbc-chula",),
    "pbc": ("pbc", "pbc-half"),
    "raabin": ("raabin",),
    "lisc": ("lisc",),
    "wbc-seg1": ("wbc-seg/set1",),
    "wbc-seg2": ("wbc-seg/set2",),
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
    there = {path.name.lower().replace("-", "").replace("_", "") for path in root.iterdir() if path.is_dir()}
    found = tuple(
        lab
        for lab in LABS
        if (lab == "all-idb" and "allidb1" in there)
        or (lab == OWN and own_folders(root))
        or _folders(root, lab)
    )
    if not found:
        names = dict.fromkeys(name.split("/")[0] for (name, *_) in _FOLDERS.values())
        raise DataSetError(
            f"{root}: holds none of the data sets; expected ALL_IDB1 with ALL_IDB2, one of "
            f"{', '.join(names)}, or corrections that `blastcount sample export --training` wrote"
        )
    return found


def read(root: Path, lab: str, also: Sequence[Path] = ()) -> list[SourceField]:
    """List the fields of a laboratory other than all-idb.

    Parameters
    ----------
    root : the data folder
    lab : of ``LABS``
    also : further folders with corrections; a field that is in several is taken from the first

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
        "jhu-aml": _jhu,
        "lmu-aml": _lmu,
        "bccd": _boxes,
        "wbc-chula": _boxes,
        "pbc": _pbc,
        "raabin": _boxes,
        "lisc": _lisc,
        "wbc-seg1": _wbc_seg,
        "wbc-seg2": _wbc_seg,
    }
    if lab == OWN:
        own: dict[str, SourceField] = {}
        for folder in own_folders(root, also):
            for field in _own(folder):
                own.setdefault(field.key, field)
        return list(own.values())
    found = []
    for folder in _folders(root, lab):
        fields = list(readers[lab](folder, lab))
        if not fields:
            raise DataSetError(f"{folder}: no image of {lab} found there; fetch the data set anew")
        found += fields
    return found


def _folders(root: Path, lab: str) -> list[Path]:
    return [root / name for name in _FOLDERS.get(lab, ()) if (root / name).is_dir()]


def own_folders(root: Path, also: Sequence[Path] = ()) -> list[Path]:
    """Folders with corrections: the data folder itself, or folders in it, and further ones likewise.

    Raises
    ------
    DataSetError
        A further folder is not there, or holds none.
    """
    found = []
    for folder in (root, *also):
        there = sorted(folder.iterdir()) if folder.is_dir() else []
        own = [path for path in (folder, *there) if (path / INDEX).is_file()]
        if not own and folder is not root:
            raise DataSetError(
                f"{folder}: holds no corrections; `blastcount sample export SAMPLE --training DIR` makes "
                "such a folder"
            )
        found += own
    return found


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


def _jhu(folder: Path, lab: str) -> Iterator[SourceField]:
    path = folder / "cells.csv"
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        named = [(folder / row["file"], row["patient"], row["class"]) for row in rows]
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataSetError(
            f"{path}: cannot be read ({error}); expected a CSV with the columns file, patient, class"
        ) from error
    for image, patient, cell_type in named:
        if cell_type not in JHU_LABELS:
            raise DataSetError(
                f"{path}: {image.name} is of class {cell_type!r}; expected one of {', '.join(JHU_LABELS)}"
            )
        name = f"{patient}/{image.stem}"
        mark = _central(image, JHU_LABELS[cell_type], cell_type, _SINGLE)
        yield SourceField(lab, name, image, lab, patient, 1, (mark,))


def _lmu(folder: Path, lab: str) -> Iterator[SourceField]:
    for cell_type, path in _by_type(folder, _LMU_LABELS):
        name, label = f"{cell_type}/{path.stem}", _LMU_LABELS[cell_type]
        # Its neutrophils are of patients and of others, and nobody says which.
        yield SourceField(
            lab, name, path, lab, name, 1 if label else None, (_central(path, label, cell_type, _SINGLE),)
        )


def _pbc(folder: Path, lab: str) -> Iterator[SourceField]:
    for cell_type, path in _by_type(folder, _PBC_TYPES):
        label = None if cell_type == PLATELET else 0
        name = f"{cell_type}/{path.stem}"
        yield SourceField(lab, name, path, lab, name, 0, (_central(path, label, cell_type),))


def _lisc(folder: Path, lab: str) -> Iterator[SourceField]:
    for path in _images(folder):
        yield SourceField(lab, path.stem, path, lab, path.stem, 0)


def _by_type(folder: Path, known: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Name the images of a folder with one folder a type, and the type of each."""
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        if subfolder.name not in known:
            raise DataSetError(f"{subfolder}: unknown type; expected {', '.join(sorted(known))}")
        for path in _images(subfolder):
            yield subfolder.name, path


def _wbc_seg(folder: Path, lab: str) -> Iterator[SourceField]:
    for path in sorted(folder.glob("*.bmp")):
        yield SourceField(lab, path.stem, path, lab, path.stem, 0, (_central(path, 0, None),))


def _own(folder: Path) -> Iterator[SourceField]:
    labels = {"blast": 1, "normal": 0, "other": None}
    for field in read_dataset(folder).fields:
        marks = tuple(
            # An erythroblast is no blast, as in the other sources, though no normal white cell.
            Mark(
                "review",
                0 if cell.type == "erythroblast" else labels[cell.label],
                cell.type or None,
                point=(cell.x, cell.y),
            )
            for cell in field.cells
            # A cell that an earlier field shows, too, would be learnt from twice.
            if cell.label != "unknown" and not cell.seen_before
        )
        yield SourceField(
            OWN, field.frame_sha256[:16], field.picture(folder), field.device, field.sample, None, marks,
            field.um_per_px,
        )  # fmt: skip


def _central(path: Path, label: int | None, cell_type: str | None, share: float = 1 / 2) -> Mark:
    """Mark the cell in the middle of an image: any whose centroid lies in the middle ``share`` of it."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError as error:
        raise DataSetError(f"{path}: not a readable image ({error}); fetch the data set anew") from error
    side, left = share, (1 - share) / 2
    return Mark("centre", label, cell_type, box=(width * left, height * left, width * side, height * side))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
