"""What the protocol needs of a recipe: learn from cells, then say p_blast of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import DataSetError
from edge.structures import InputSpec
from training.data.collection import Collection, cut
from training.data.records import CellRecord

if TYPE_CHECKING:
    import keras

#: Cells cut and judged at once: a crop of 128 px is 48 kB.
_PIECE = 512
#: Cells of a class below which nothing is learned: the protocol's five folds have two of them each, and with
#: 10 right of 10 the exact interval goes down to 69 %: a good network could not be told from a poor one.
LEAST_CELLS = 10


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean error (cross-entropy, nats) and accuracy (0 to 1) over the training crops of one epoch."""

    error: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training gave: a network, and where the pixels of the cells that it judges are.

    Attributes
    ----------
    model : crops in 0 to 255 in, probabilities (normal, blast) out
    collection : that it was fitted with
    spec : what its crops are made of
    history : one entry an epoch; empty where the recipe knows no epochs
    """

    model: keras.Model
    collection: Collection
    spec: InputSpec
    history: tuple[Epoch, ...] = ()

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast of cells, (n,), before any temperature, from the crops that the device would cut."""
        parts = [np.zeros(0, np.float32)]
        for first in range(0, len(cells), _PIECE):
            crops = cut(self.collection, cells[first : first + _PIECE], self.spec)
            # Called directly: Model.predict traces a graph for each of the networks and warns about it.
            parts.append(np.asarray(self.model(crops.astype(np.float32), training=False))[:, 1])
        return np.concatenate(parts)


class Judge(Protocol):
    """What a training gave.

    Attributes
    ----------
    history : one entry an epoch; empty where the design knows no epochs
    """

    @property
    def history(self) -> tuple[Epoch, ...]:
        """One entry an epoch."""
        ...

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast of cells, (n,)."""
        ...


class Design(Protocol):
    """A way to tell blasts that the protocol can test; its ``repr`` names every setting.

    Results are kept under that name.

    Attributes
    ----------
    name : as ``--recipe`` names it
    spec : what its crops are made of
    labs : laboratories that it can learn from; cells of others are never handed to :meth:`fit`
    random_splits : how many random splits it is tested on where the command does not say; with one or more,
        the network of the first is the one that is kept, without any it is one trained on everything
    about : what its card says of it beside
    """

    name: str
    spec: InputSpec
    labs: tuple[str, ...]
    random_splits: int
    about: Mapping[str, object]

    def targets(self, cells: Sequence[CellRecord]) -> list[float | None]:
        """Say which p_blast is learned of each cell; None of those that nothing is learned from."""
        ...

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Judge:
        """Train on cells and return what judges others.

        Parameters
        ----------
        collection : gives pixels and outlines (:func:`training.data.collection.cut`)
        cells : whole white cells of the training side, unlabelled ones (``label`` None) among them; the
            recipe chooses what it learns from. Nothing else may be looked at, not even without labels.
        seed : of everything random
        """
        ...


class Recipe(Design, Protocol):
    """A design whose network can be kept, converted and shipped."""

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Fitted:
        """Train on cells and return the network that judges others."""
        ...


def check_enough(recipe: Recipe, cells: Sequence[CellRecord]) -> None:
    """Refuse cells that are too few to learn from.

    Raises
    ------
    DataSetError
        Names the class, what was found of it by laboratory, and how many cells are needed.
    """
    targets = recipe.targets(cells)
    unknown = Counter(cell.lab for cell, target in zip(cells, targets, strict=True) if target is None)
    for name, is_blast in (("blasts", True), ("normal cells", False)):
        found = Counter(
            cell.lab
            for cell, target in zip(cells, targets, strict=True)
            if target is not None and (target > 0.5) is is_blast
        )
        if found.total() < LEAST_CELLS:
            raise DataSetError(
                f"{recipe.name} learns from whole white cells that are known: {found.total()} {name} found "
                f"({_listed(found)}), {LEAST_CELLS} needed; nothing is known of {unknown.total()} "
                f"({_listed(unknown)}); have more cells looked at, or give further data sets"
            )


def _listed(count: Counter[str]) -> str:
    return ", ".join(f"{lab}: {n}" for lab, n in sorted(count.items())) or "none in any data set"


#: Module and class of each recipe.
RECIPES = {
    "akbar2024": "training.recipes.akbar2024:Akbar2024",
    "coloured": "training.recipes.coloured:Coloured",
}


def load(name: str) -> Recipe:
    """Import a recipe by its name in ``RECIPES``, as it ships."""
    module, _, made = RECIPES[name].partition(":")
    recipe: Recipe = getattr(import_module(module), made)()
    return recipe
