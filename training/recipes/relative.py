"""The compact recipe: a crop without colour, every laboratory, three small networks in one.

What decides the design is in docs/classifier.md: absolute colour tells cameras apart before it tells cells
apart, so the network sees density relative to the cell's own nucleus and the outlines of cell and nucleus, at
physical scale; it learns from every laboratory, each class in equal parts and the sources within a class by
fixed weights; and stain, resolution, noise, scale and outlines vary at random.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.classification import crop as preprocess
from edge.structures import InputSpec
from training.backend import load_keras, make_repeatable
from training.data.allidb_marks import LAB as ALL_IDB
from training.data.collection import Collection, cut
from training.data.records import LABS, CellRecord
from training.protocol.plan import WEAK
from training.protocol.recipe import Tick
from training.recipes import networks, relative_crops
from training.recipes.relative_crops import Views

if TYPE_CHECKING:
    import keras

NAME = "relative"
#: 0.5 µm a pixel: what the weakest sources (all-taleqani, wbc-chula) resolve.
SPEC = InputSpec(size_px=48, field_of_view_um=24.0, white_point=235, channels="density+cell+nucleus")
STEPS = 500
BATCH = 64
LEARNING_RATE = 2e-3
#: Networks that learn from the same crops, each from its own start; their mean is one network.
MEMBERS = 3
#: Targets are this far from 0 and 1: some marks are wrong.
SMOOTHING = 0.02
#: Most white cells of a malignant all-taleqani field are blasts, hardly any of a benign one: not the cell but
#: the field was labelled.
WEAK_TARGET = {1: 0.8, 0: 0.1}
#: Weight of a source within its class. Blasts: each camera of ALL-IDB alike, weak labels half. Normal cells:
#: laboratories by how many kinds of cells they show; wbc-chula has 16 fields only.
WEIGHT = {
    "blast": 2.0,
    "weak 1": 1.0,
    "weak 0": 0.5,
    "healthy": 1.0,
    "patient": 0.8,
    "pbc": 1.0,
    "bccd": 0.6,
    "wbc-seg1": 0.5,
    "wbc-seg2": 0.4,
    "wbc-chula": 0.2,
}
#: Cells judged at once.
_PIECE = 512


@dataclass(frozen=True, slots=True)
class Source:
    """Cells of one kind from one place, drawn from with one weight.

    Attributes
    ----------
    weight : within its class
    target : p_blast that is learned
    members : positions among the cells that were handed over
    """

    weight: float
    target: float
    members: NDArray[np.int64]


def sources(cells: Sequence[CellRecord]) -> list[Source]:
    """Sort cells by what is known of them and where they are from, without unmarked cells of patients."""
    members: dict[tuple[str, str, float], list[int]] = {}
    for index, cell in enumerate(cells):
        key = _kind(cell)
        if key is not None:
            members.setdefault(key, []).append(index)
    return [
        Source(WEIGHT[kind], target, np.array(indices, np.int64))
        for (kind, _camera, target), indices in sorted(members.items())
    ]


def _kind(cell: CellRecord) -> tuple[str, str, float] | None:
    """Kind of ``WEIGHT``, camera and target of a cell; None for one that nothing is known of."""
    if cell.lab == WEAK:
        return f"weak {cell.weak_label}", cell.camera, WEAK_TARGET[cell.weak_label]
    if cell.label == 1:
        return "blast", cell.camera, 1.0
    if cell.lab != ALL_IDB:
        return (cell.lab, cell.camera, 0.0) if cell.label == 0 else None
    if cell.weak_label == 0:
        # All white cells of a healthy person are normal, marked or not.
        return "healthy", cell.camera, 0.0
    return ("patient", cell.camera, 0.0) if cell.label == 0 else None


@dataclass(slots=True)
class FittedRelative:
    """The network, and where the pixels of the cells that it judges are."""

    model: keras.Model
    collection: Collection

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast of cells, (n,), from the crops that the device would cut."""
        parts = [np.zeros(0, np.float32)]
        for first in range(0, len(cells), _PIECE):
            crops = cut(self.collection, cells[first : first + _PIECE], SPEC)
            parts.append(np.asarray(self.model(crops.astype(np.float32), training=False))[:, 1])
        return np.concatenate(parts)


@dataclass(slots=True)
class Relative:
    """The recipe."""

    name: str = NAME
    spec: InputSpec = SPEC
    labs: tuple[str, ...] = LABS
    steps: int = STEPS
    members: int = MEMBERS

    def version(self) -> str:
        """Hash of what decides the training."""
        parts = (Relative, sources, _kind, _train, relative_crops, networks.relative_member, preprocess)
        source = "".join(_meaning(part) for part in parts)
        figures = (self.steps, BATCH, LEARNING_RATE, self.members, SMOOTHING, WEAK_TARGET, WEIGHT, SPEC)
        return hashlib.sha256(f"{figures} {source}".encode()).hexdigest()[:16]

    def fit(
        self, collection: Collection, cells: Sequence[CellRecord], seed: int, tick: Tick
    ) -> FittedRelative:
        """Train ``members`` networks on the same random views, and join them into one."""
        make_repeatable(seed)
        drawn_from = sources(cells)
        views = Views.of(collection, cells)
        members = [networks.relative_member(SPEC.size_px) for _ in range(self.members)]
        _train(members, views, drawn_from, self.steps, np.random.default_rng(seed), tick)
        return FittedRelative(networks.joined_members(members, SPEC.size_px, NAME), collection)


def _meaning(part: object) -> str:
    """Source of a module, class or function without comments, docstrings and layout."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))  # type: ignore[arg-type]  # whatever has source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree)


def _train(
    members: Sequence[keras.Model],
    views: Views,
    drawn_from: Sequence[Source],
    steps: int,
    rng: np.random.Generator,
    tick: Tick,
) -> None:
    """Take the steps: half of every batch blasts, half normal cells."""
    keras, tf = load_keras(), import_module("tensorflow")
    chance = np.array([source.weight for source in drawn_from])
    is_blast = np.array([source.target > 0.5 for source in drawn_from])
    for of_class in (is_blast, ~is_blast):
        chance[of_class] /= 2 * chance[of_class].sum()
    optimisers = []
    for member in members:
        optimisers.append(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)))
        optimisers[-1].build(member.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(crops: Any, targets: Any) -> None:  # noqa: ANN401  # tensors
        for member, optimiser in zip(members, optimisers, strict=True):
            with tf.GradientTape() as tape:
                logits = member(crops, training=True)[:, 0]
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
                loss += tf.add_n(member.losses)
            gradients = tape.gradient(loss, member.trainable_variables)
            optimiser.apply_gradients(zip(gradients, member.trainable_variables, strict=True))

    for _ in range(steps):
        picked = rng.choice(len(drawn_from), BATCH, p=chance)
        cells = [int(rng.choice(drawn_from[source].members)) for source in picked]
        targets = np.array([drawn_from[source].target for source in picked], np.float32)
        crops = np.stack([views.random(cell, rng) for cell in cells]).astype(np.float32)
        step(tf.constant(crops), tf.constant(targets * (1 - 2 * SMOOTHING) + SMOOTHING))
        tick()


def recipe() -> Relative:
    """Make the recipe as it ships."""
    return Relative()
