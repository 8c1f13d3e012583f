"""The reference recipe under the leak-free protocol: the same network and training, cells instead of crops.

The paper's own split is in :mod:`training.recipes.akbar2024`. Here the network learns from the marked cells
of ALL-IDB that it is given: blasts, and normal cells of healthy persons' fields, as there.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.structures import InputSpec
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol.recipe import Tick
from training.recipes import akbar2024, networks

if TYPE_CHECKING:
    import keras


#: Cells cut and judged at once: a crop of 128 px is 48 kB.
_PIECE = 512


@dataclass(slots=True)
class FittedAkbar2024:
    """The network, and where the pixels of the cells that it judges are."""

    model: keras.Model
    collection: Collection
    spec: InputSpec

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast of cells, (n,)."""
        parts = [
            akbar2024.predict(self.model, cut(self.collection, cells[first : first + _PIECE], self.spec))
            for first in range(0, len(cells), _PIECE)
        ]
        return np.concatenate([np.zeros(0, np.float32), *parts])


@dataclass(slots=True)
class Akbar2024:
    """The recipe; ``epochs`` 20 in the paper."""

    name: str = akbar2024.NAME
    spec: InputSpec = akbar2024.SPEC
    labs: tuple[str, ...] = ("all-idb",)
    epochs: int = akbar2024.EPOCHS

    def version(self) -> str:
        """Hash of what decides the training."""
        source = inspect.getsource(akbar2024.fit) + inspect.getsource(networks.akbar2024)
        return hashlib.sha256(f"{self.epochs} {source}".encode()).hexdigest()[:16]

    def fit(
        self, collection: Collection, cells: Sequence[CellRecord], seed: int, tick: Tick
    ) -> FittedAkbar2024:
        """Train the network of the paper on blasts and on normal cells of healthy persons' fields.

        Where no healthy person's field is among them (one camera of ALL-IDB has none), the normal cells of
        patients' fields serve.
        """
        healthy = any(cell.label == 0 and cell.weak_label == 0 for cell in cells)
        chosen = [
            cell for cell in cells if cell.label == 1 or (cell.label == 0 and cell.weak_label == 1 - healthy)
        ]
        labels = np.array([cell.label for cell in chosen], dtype=np.int64)
        model, _ = akbar2024.fit(cut(collection, chosen, self.spec), labels, seed, self.epochs, tick)
        return FittedAkbar2024(model, collection, self.spec)


def recipe() -> Akbar2024:
    """Make the recipe as in the paper."""
    return Akbar2024()
