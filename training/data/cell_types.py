"""What kind of cell each data set says a cell is, beside blast or normal, in one set of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.records import CellRecord

#: What the outputs of the network of types name, in their order, by the words of the data sets. Only the
#: first five may be shown; the others are there to be told from them.
CLASSES: dict[str, tuple[str, ...]] = {
    "neutrophil": ("neutrophil", "neutrophil_band"),
    "lymphocyte": ("lymphocyte", "lymphocyte_variant"),
    "monocyte": ("monocyte",),
    "eosinophil": ("eosinophil",),
    "basophil": ("basophil",),
    "immature_granulocyte": ("ig", "metamyelocyte", "myelocyte", "promyelocyte"),
    "erythroblast": ("erythroblast",),
    "debris": ("smudge", "giant_platelet", "platelet_clump", "platelet"),
    "blast": ("blast", "myeloblast"),
}
#: The kinds that circulate in healthy blood.
MATURE = tuple(CLASSES)[:5]
NO_CLASS = -1
_CLASS_OF = {word: number for number, words in enumerate(CLASSES.values()) for word in words}
BLAST = list(CLASSES).index("blast")
#: Types of the images 001, 003, ... of wbc-seg, as its authors give them (X. Zheng, Y. Wang, G. Wang, J. Liu,
#: "Fast and robust segmentation of white blood cell images by self-supervised learning", Micron 107, 2018,
#: with the data set, "Class Labels of Dataset 1" and 2).
_WBC_SEG = {
    "wbc-seg1": (
        "lnnlnnmnnlmnlnllnnnnnnnlnlnnnnnnnlmmlllllmmmmmmllllllllllmmmmmmmmmennlnmnnennnnnnnnnnnnnnn"
        "nnnnnnneeennnnnnnnmnmnnnnnnnennnnnnnnnnnnmnnnnnennnnlllbeeen"
    ),
    "wbc-seg2": "lnnelmllmnnlnnnmlmmlmnmmllllllllnlnnennnnneeblleen",
}
_LETTERS = {"n": "neutrophil", "l": "lymphocyte", "m": "monocyte", "e": "eosinophil", "b": "basophil"}
#: Beginnings of lisc's names: the type of the one or few white cells of a field.
_LISC = {
    "neut": "neutrophil",
    "lymp": "lymphocyte",
    "mono": "monocyte",
    "eosi": "eosinophil",
    "baso": "basophil",
}


def classes_of(cells: Sequence[CellRecord]) -> NDArray[np.int64]:
    """Give the number of each cell's kind in ``CLASSES``; ``NO_CLASS`` where no data set names it."""
    return np.array([_class_of(cell) for cell in cells], np.int64)


def _class_of(cell: CellRecord) -> int:
    if cell.label == 1:
        return BLAST
    name = cell.field.rpartition("/")[2]
    word = cell.cell_type
    if cell.lab in _WBC_SEG and cell.label == 0:
        word = _LETTERS[_WBC_SEG[cell.lab][(int(name) - 1) // 2]]
    elif cell.lab == "lisc":
        word = _LISC.get(name[:4])
    return _CLASS_OF.get(word or "", NO_CLASS)
