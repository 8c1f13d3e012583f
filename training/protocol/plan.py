"""Which cells train and which judge, in every test of the protocol; no group is ever on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.errors import DataSetError
from training.data.allidb import LAB as ALL_IDB
from training.data.collection import Collection
from training.data.overlaps import connected
from training.data.records import CellRecord

#: Folds of the tests by scene and by session. ALL-IDB1 has six sessions with blasts; with five folds each has
#: some to judge and most to train on.
FOLDS = 5
SEED = 0
WEAK = "all-taleqani"
#: The laboratory whose groups are patients with blasts and normal cells of their own.
PATIENTS = "jhu-aml"
#: Left out together: the two sets of wbc-seg are one publication, so neither trains for the other.
LEFT_OUT = {
    ALL_IDB: (ALL_IDB,),
    WEAK: (WEAK,),
    PATIENTS: (PATIENTS,),
    "lmu-aml": ("lmu-aml",),
    "bccd": ("bccd",),
    "wbc-chula": ("wbc-chula",),
    "pbc": ("pbc",),
    "raabin": ("raabin",),
    "wbc-seg": ("wbc-seg1", "wbc-seg2"),
}
#: Laboratories whose normal cells are of people without leukaemia. No cell of lisc is marked, so that nothing
#: is learnt from it: it is left out of every training.
HEALTHY = {lab: LEFT_OUT[lab] for lab in ("bccd", "wbc-chula", "pbc", "raabin", "wbc-seg")} | {
    "lisc": ("lisc",)
}


@dataclass(frozen=True, slots=True)
class Split:
    """One training of the protocol; all numbers are indices into the collection's cells.

    Attributes
    ----------
    test : name of the test that it belongs to: ``scene``, ``session``, ``camera:NAME``, ``lab:NAME``
    fold : number within the test
    train : cells that the recipe is handed
    inner : part of ``train``: a second network is trained without it, and the decision (temperature,
        threshold, band) is chosen on it. Empty in tests of several folds, where the other folds serve.
    judged : white cells that the test is about; those cut by the border and unmarked ones among them
    """

    test: str
    fold: int
    train: tuple[int, ...]
    inner: tuple[int, ...]
    judged: tuple[int, ...]

    @property
    def without_inner(self) -> tuple[int, ...]:
        """What the network is trained on whose predictions of ``inner`` the decision is chosen on."""
        inner = set(self.inner)
        return tuple(i for i in self.train if i not in inner)


def plan(collection: Collection, labs: Sequence[str], seed: int = SEED) -> list[Split]:
    """Lay out the whole protocol for a recipe.

    Parameters
    ----------
    collection : all cells
    labs : laboratories that the recipe learns from
    seed : of the folds

    Returns
    -------
    list of Split
        Tests by scene and by session (``FOLDS`` each, over the recipe's laboratories), each camera of ALL-IDB
        left out, each laboratory left out. A test whose training side would lack blasts or normal cells is
        left out.

    Raises
    ------
    DataSetError
        A group would be on both sides; that is an error of this module or of the groups, never of the data.
    """
    cells = collection.cells
    scene = [cell.group for cell in cells]
    # Other laboratories know no sessions longer than their groups.
    session = joined(scene, [cell.session for cell in cells])
    splits: list[Split] = []
    for test, groups in (("scene", scene), ("session", session)):
        number = deal(cells, groups, labs, seed)
        splits += [
            _split(test, fold, cells, labs, groups, [n == fold for n in number]) for fold in range(FOLDS)
        ]
    for camera in sorted({cell.camera for cell in cells if cell.lab == ALL_IDB}):
        left_out = [cell.lab == ALL_IDB and cell.camera == camera for cell in cells]
        splits.append(_with_inner(f"camera:{camera}", cells, labs, scene, left_out, seed))
    for name, members in LEFT_OUT.items():
        left_out = [cell.lab in members for cell in cells]
        splits.append(_with_inner(f"lab:{name}", cells, labs, scene, left_out, seed))
    kept = [split for split in splits if split.judged and _classes(cells, split.without_inner) >= {0, 1}]
    for split in kept:
        check(cells, split)
    return kept


def check(cells: Sequence[CellRecord], split: Split) -> None:
    """Refuse a split with a group on both sides, be it of the test or of the choice of the decision.

    Raises
    ------
    DataSetError
        Names the first cell that is.
    """
    for side, among, word in (
        (split.judged, split.train, "judged"),
        (split.inner, split.without_inner, "decided on"),
    ):
        trained = {cells[i].group for i in among}
        for i in side:
            if cells[i].group in trained:
                raise DataSetError(
                    f"{split.test}, fold {split.fold}: {cells[i].key} is {word}, and its group "
                    f"{cells[i].group} is trained on, too; expected whole groups on one side"
                )


def joined(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Join two groupings: what shares a group of either, directly or over others, is together.

    Examples
    --------
    >>> joined(["a", "a", "b", "c"], ["x", "y", "y", "z"])
    ['a', 'a', 'a', 'c']
    """
    seen: dict[str, str] = {}
    name = connected(first, ((seen.setdefault(b, a), a) for a, b in zip(first, second, strict=True)))
    return [name[a] for a in first]


def known_label(cell: CellRecord) -> int | None:
    """Label of a cell; in all-taleqani, which marks no cells, that of its field."""
    return cell.weak_label if cell.label is None and cell.lab == WEAK else cell.label


def _split(
    test: str,
    fold: int,
    cells: Sequence[CellRecord],
    labs: Sequence[str],
    groups: Sequence[str],
    left_out: Sequence[bool],
) -> Split:
    held_back = {group for group, out in zip(groups, left_out, strict=True) if out}
    judged = tuple(i for i, cell in enumerate(cells) if left_out[i] and cell.cell.kind == "wbc")
    train = tuple(
        i for i, cell in enumerate(cells) if cell.usable and cell.lab in labs and groups[i] not in held_back
    )
    return Split(test, fold, train, (), judged)


def _with_inner(
    test: str,
    cells: Sequence[CellRecord],
    labs: Sequence[str],
    groups: Sequence[str],
    left_out: Sequence[bool],
    seed: int,
) -> Split:
    """Leave out what is named, and take one fold of the rest for choosing the decision."""
    split = _split(test, 0, cells, labs, groups, left_out)
    fold_of = deal([cells[i] for i in split.train], [groups[i] for i in split.train], labs, seed)
    inner = tuple(i for i, fold in zip(split.train, fold_of, strict=True) if fold == 0)
    return replace(split, inner=inner)


def deal(cells: Sequence[CellRecord], groups: Sequence[str], labs: Sequence[str], seed: int) -> list[int]:
    """Deal whole groups to ``FOLDS`` folds, camera and label spread as evenly as they allow; else -1.

    Laboratory by laboratory, so that the folds of ALL-IDB are the same whatever else a recipe learns from.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.full(len(cells), -1)
    for lab in labs:
        own = np.array([i for i, cell in enumerate(cells) if cell.lab == lab], dtype=np.int64)
        if not len(own):
            continue
        names = [groups[i] for i in own]
        if len(set(names)) < FOLDS:
            fold_of[own] = np.unique(names, return_inverse=True)[1]
            continue
        strata = [_stratum(cells[i]) for i in own]
        size = Counter(strata)
        # A stratum with fewer cells than folds cannot be spread; it follows the commonest one.
        common = max(size, key=lambda name: (size[name], name))
        codes = np.unique([name if size[name] >= FOLDS else common for name in strata], return_inverse=True)[
            1
        ]
        dealt = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for fold, (_, held_back) in enumerate(dealt.split(codes, codes, names)):
            fold_of[own[held_back]] = fold
    return [int(fold) for fold in fold_of]


def _stratum(cell: CellRecord) -> str:
    return f"{cell.camera} {known_label(cell)}" if cell.usable else ""


def _classes(cells: Sequence[CellRecord], indices: Sequence[int]) -> set[int | None]:
    return {known_label(cells[i]) for i in indices}
