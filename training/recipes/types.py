"""The network of types: a crop whose colour travels, every laboratory that names kinds of cells, few filters.

It stands behind the blast call and does not touch it. What decides the design is in docs/classifier.md: types
need colour, and what travels of it is each pixel's density in the basis of its cell's nucleus and its field's
red cells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classification.stains import stain_planes
from edge.structures import InputSpec
from training.backend import load_keras, make_repeatable
from training.data.cell_types import CLASSES, NO_CLASS, classes_of
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.recipes.coloured import ColouredViews
from training.recipes.relative import (
    Trunk,
    decay,
    fold_norms,
    take_steps,
    until_means,
)

if TYPE_CHECKING:
    import keras

NAME = "types"
SPEC = InputSpec(size_px=48, field_of_view_um=24.0, white_point=235, channels="nucleus+red_cells+rest")
#: Laboratories that name kinds of cells; all-idb names its blasts only, lisc is too small and too far off.
LABS = ("jhu-aml", "pbc", "lmu-aml", "all-idb", "wbc-seg1", "wbc-seg2", "wbc-chula")
STEPS = 500
BATCH = 64
LEARNING_RATE = 2e-3
#: Three stages, each of one residual block with stride 2: half of the blast network's cost.
TRUNK = Trunk("types", 16, (24, 48, 64), (2, 2, 2))
DROPOUT = 0.3
SMOOTHING = 0.05
#: What the probabilities are of: a world in which each of the five types is as common as the other, and all
#: that does not circulate as any of them.
_WORLD = {"immature_granulocyte": 1 / 3, "erythroblast": 1 / 3, "debris": 1 / 3}
#: How often a class is drawn beside the five types, and a laboratory within its class. Where a laboratory has
#: fewer than ``_FEW`` cells of a class it is drawn from less often, or each of them would be learnt by heart.
CLASS_WEIGHT = {"immature_granulocyte": 0.7, "erythroblast": 0.7, "debris": 0.5, "blast": 0.7}
LAB_WEIGHT = {
    "jhu-aml": 1.0,
    "pbc": 1.0,
    "lmu-aml": 0.5,
    "all-idb": 0.5,
    "wbc-seg1": 0.5,
    "wbc-seg2": 0.5,
    "wbc-chula": 0.15,
}
_FEW = 60
_PIECE = 512  # cells named at once
#: Spread of the natural logarithm of the density's exponent.
_GAMMA = 0.12
#: Widest blur, px of the crop, and most that a view is sharpened by.
_BLUR_PX, _SHARPEN = 1.6, 0.8
_NOISE = 0.03


class TypeViews(ColouredViews):
    """Cells whose views show the planes of types."""

    __slots__ = ()
    planes = staticmethod(stain_planes)

    def other_camera(self, density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Pass densities, (s, s, 3), through another camera, some of which sharpen."""
        density = cv2.pow(density, float(np.exp(rng.normal(0, _GAMMA))))  # type: ignore[assignment]  # OpenCV's stubs
        blur = rng.uniform(0, _BLUR_PX)
        if blur > 0.25 and rng.random() < 0.7:
            density = cv2.GaussianBlur(density, (0, 0), blur)  # type: ignore[assignment]  # OpenCV's stubs
        else:
            finer = density - cv2.GaussianBlur(density, (0, 0), 0.8)
            density = density + finer * np.float32(rng.uniform(0, _SHARPEN))
        if rng.random() < 0.5:
            noise = rng.standard_normal(density.shape, dtype=np.float32)
            density = density + noise * np.float32(rng.uniform(0, _NOISE) * max(0.3, float(density.max())))
        return np.asarray(np.maximum(density, 0), np.float32)


@dataclass(frozen=True, slots=True)
class FittedTypes:
    """What a training gave: a network, and where the pixels of the cells that it names are.

    Attributes
    ----------
    model : crops in 0 to 255 in, probabilities of ``CLASSES`` out
    collection : that it was fitted with
    """

    model: keras.Model
    collection: Collection

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give the probabilities of cells, (n, classes), from the crops that the device would cut."""
        parts = [np.zeros((0, len(CLASSES)), np.float32)]
        for first in range(0, len(cells), _PIECE):
            crops = cut(self.collection, cells[first : first + _PIECE], SPEC)
            parts.append(np.asarray(self.model(crops.astype(np.float32), training=False)))
        return np.concatenate(parts)


def learnable(cells: Sequence[CellRecord]) -> list[CellRecord]:
    """Choose the whole cells whose kind some data set names."""
    return [
        cell
        for cell, kind in zip(cells, classes_of(cells), strict=True)
        if cell.usable and kind != NO_CLASS and cell.lab in LABS
    ]


def fit(collection: Collection, cells: Sequence[CellRecord], seed: int) -> FittedTypes:
    """Train the network on random views of cells that are :func:`learnable`."""
    make_repeatable(seed)
    trained = network()
    _train(trained, TypeViews.of(collection, cells), cells, np.random.default_rng(seed))
    return FittedTypes(without_norms(trained), collection)


def _train(
    trained: keras.Model, views: TypeViews, cells: Sequence[CellRecord], rng: np.random.Generator
) -> None:
    tf = import_module("tensorflow")
    kinds = classes_of(cells)
    members, chance = _sources(cells, kinds)

    def loss(logits: Any, targets: Any) -> Any:  # noqa: ANN401  # tensors
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))

    def batch() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        drawn = [int(rng.choice(members[source])) for source in rng.choice(len(members), BATCH, p=chance)]
        targets = np.eye(len(CLASSES), dtype=np.float32)[kinds[drawn]]
        crops = np.stack([views.random(cell, rng) for cell in drawn]).astype(np.float32)
        return crops, targets * (1 - SMOOTHING) + SMOOTHING / len(CLASSES)

    take_steps(trained, batch, loss, STEPS, LEARNING_RATE)


def _sources(
    cells: Sequence[CellRecord], kinds: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Sort cells by class and laboratory, and say how often each source is drawn from."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        found[int(kinds[index]), cell.lab].append(index)
    keys = sorted(found)
    chance = np.array([LAB_WEIGHT[lab] * min(1.0, len(found[kind, lab]) / _FEW) for kind, lab in keys])
    for number, name in enumerate(CLASSES):
        own = np.array([kind == number for kind, _ in keys])
        if own.any():
            chance[own] *= CLASS_WEIGHT.get(name, 1.0) / chance[own].sum()
    return [np.array(found[key], np.int64) for key in keys], chance / chance.sum()


def network() -> keras.Model:
    """Build the network for training; output (n, classes) logits."""
    layers = load_keras().layers
    crop = load_keras().Input((SPEC.size_px, SPEC.size_px, 3), name="crop")
    means = until_means(crop, TRUNK, norms=True)
    dropped = layers.Dropout(DROPOUT, name="drop")(means)
    logits = layers.Dense(len(CLASSES), kernel_regularizer=decay(), name="logits")(dropped)
    return load_keras().Model(crop, logits, name=NAME)


def without_norms(trained: keras.Model) -> keras.Model:
    """Write a trained network as the device runs it: with probabilities, of ``_WORLD``."""
    keras = load_keras()
    crop = keras.Input((SPEC.size_px, SPEC.size_px, 3), name="crop")
    means = until_means(crop, TRUNK, norms=False)
    last = keras.layers.Dense(len(CLASSES), activation="softmax", name="p")
    plain = keras.Model(crop, last(means), name=NAME)
    fold_norms(trained, plain)
    kernel, bias = trained.get_layer("logits").get_weights()
    drawn = np.array([CLASS_WEIGHT.get(name, 1.0) for name in CLASSES])
    common = np.array([_WORLD.get(name, CLASS_WEIGHT.get(name, 1.0)) for name in CLASSES])
    last.set_weights([kernel, bias + np.log(common / drawn)])
    return plain
