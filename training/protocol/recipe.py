"""What the protocol asks of a recipe: learn from these cells, then say p_blast of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.structures import InputSpec
from training.data.collection import Collection
from training.data.records import CellRecord

if TYPE_CHECKING:
    import keras

Tick = Callable[[], None]


class Fitted(Protocol):
    """What a training gave.

    Attributes
    ----------
    model : crops in 0 to 255 in, probabilities (normal, blast) out
    """

    model: keras.Model

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast of cells of the collection it was fitted with: (n,), before any temperature."""
        ...


class Recipe(Protocol):
    """A way to train a classifier.

    Attributes
    ----------
    name : as ``--recipe`` names it
    spec : what its crops are made of
    labs : laboratories that it can learn from; cells of others are never handed to :meth:`fit`
    """

    name: str
    spec: InputSpec
    labs: tuple[str, ...]

    def version(self) -> str:
        """Everything that decides what :meth:`fit` gives, but data and seed; results are kept under it."""
        ...

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int, tick: Tick) -> Fitted:
        """Train on cells and return what judges others.

        Parameters
        ----------
        collection : gives pixels and outlines (:func:`training.data.collection.cut`)
        cells : whole white cells of the training side, unlabelled ones (``label`` None) among them; the
            recipe chooses what it learns from. Nothing else may be looked at, not even without labels.
        seed : of everything random
        tick : may be called as often as the recipe likes, to show that it is alive
        """
        ...


#: Module and function of each recipe; the function takes nothing and returns a :class:`Recipe`.
RECIPES = {
    "akbar2024": "training.recipes.akbar2024_cells:recipe",
    "relative": "training.recipes.relative:recipe",
}


def load(name: str) -> Recipe:
    """Import a recipe by its name in ``RECIPES``."""
    module, _, function = RECIPES[name].partition(":")
    made: Recipe = getattr(import_module(module), function)()
    return made
