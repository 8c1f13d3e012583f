"""What the recipes of published systems have in common: the cells, and a short training on two cores.

Each system is a file beside this one that says its network or its features and nothing else. All of them
learn from ALL-IDB alone, from every whole cell that is marked there, so that what a comparison shows is the
system and the split, never the data. What stands in for what a paper does not say, or for what cannot be
trained here, is in docs/published.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.structures import InputSpec
from training.backend import load_keras, make_repeatable
from training.data.allidb import LAB
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol.recipe import Epoch, Fitted

if TYPE_CHECKING:
    import keras

#: 3 times 78 tests: each further split costs one more training of every system.
RANDOM_SPLITS = 3


@dataclass(frozen=True, slots=True)
class Published:
    """A published system; see :class:`training.protocol.recipe.Design`."""

    name: str
    spec: InputSpec
    labs: tuple[str, ...] = (LAB,)
    random_splits: int = RANDOM_SPLITS
    about: Mapping[str, object] = field(default_factory=dict)

    def targets(self, cells: Sequence[CellRecord]) -> list[float | None]:
        """Learn every cell that is marked."""
        return [cell.label for cell in cells]


@dataclass(frozen=True, slots=True)
class PublishedNetwork(Published):
    """A published network, trained with Adam from random weights.

    Attributes
    ----------
    epochs : over the training cells
    batch_size : cells a step
    learning_rate : of Adam
    turned : show each cell in another of its eight turns and mirrors in every epoch, for papers that augment
    """

    epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 1e-3
    turned: bool = True

    def networks(self) -> list[tuple[float, keras.Model]]:
        """Build the networks and the weight of each one's word; most papers have one."""
        raise NotImplementedError

    def loss(self) -> str | Callable[..., Any]:
        """Name or make the loss of class numbers and probabilities."""
        return "sparse_categorical_crossentropy"

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Fitted:
        """Train the networks one after another, each on all cells; the history is the first one's."""
        chosen = [cell for cell in cells if cell.label is not None]
        crops = cut(collection, chosen, self.spec).astype(np.float32)
        labels = np.array([cell.label for cell in chosen], np.int64)
        keras = load_keras()
        make_repeatable(seed)
        networks = self.networks()
        histories = []
        for _, network in networks:
            adam = keras.optimizers.Adam(self.learning_rate)
            network.compile(optimizer=adam, loss=self.loss(), metrics=["accuracy"])
            histories.append(self._train(network, crops, labels, np.random.default_rng(seed)))
        return Fitted(_joined(networks, self.spec), collection, self.spec, histories[0])

    def _train(
        self,
        network: keras.Model,
        crops: NDArray[np.float32],
        labels: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[Epoch, ...]:
        history = []
        for _ in range(self.epochs):
            shown = turned(crops, rng) if self.turned else crops
            found = network.fit(shown, labels, batch_size=self.batch_size, verbose=0).history
            history.append(Epoch(float(found["loss"][0]), float(found["accuracy"][0])))
        return tuple(history)


def turned(crops: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn each of (n, side, side, 3) crops by a random multiple of 90° and mirror half of them."""
    quarters, mirrored = rng.integers(0, 4, len(crops)), rng.random(len(crops)) < 0.5
    return np.stack(
        [
            np.rot90(crop[:, ::-1] if mirror else crop, quarter)
            for crop, quarter, mirror in zip(crops, quarters, mirrored, strict=True)
        ]
    )


def scaled_input(size_px: int) -> tuple[Any, Any]:
    """Lay the input of a network, RGB in 0 to 255, and what brings it to -1 to 1."""
    keras = load_keras()
    crop = keras.Input((size_px, size_px, 3), name="crop")
    return crop, keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(crop)


def _joined(networks: Sequence[tuple[float, keras.Model]], spec: InputSpec) -> keras.Model:
    """Make one network of several that adds their probabilities by weight."""
    if len(networks) == 1:
        return networks[0][1]
    keras = load_keras()
    crop = keras.Input((spec.size_px, spec.size_px, 3), name="crop")
    total = sum(weight for weight, _ in networks)
    said = [keras.layers.Rescaling(weight / total)(network(crop)) for weight, network in networks]
    return keras.Model(crop, keras.layers.Add(name="p")(said))
