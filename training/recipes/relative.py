"""The compact recipe: a crop without colour, every laboratory, a small residual network.

What decides the design is in docs/classifier.md: absolute colour tells cameras apart before it tells cells
apart, so the network sees density relative to the cell's own nucleus and the outlines of cell and nucleus, at
physical scale; it learns from every laboratory, each class in equal parts and the sources within a class by
fixed weights; and stain, resolution, noise, scale and outlines vary at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classification.crop import channel_densities, planes_of
from edge.structures import InputSpec
from training.backend import load_keras, make_repeatable
from training.data.allidb import LAB as ALL_IDB
from training.data.collection import Collection, cut
from training.data.records import LABS, CellRecord
from training.protocol.plan import WEAK
from training.protocol.recipe import Fitted

if TYPE_CHECKING:
    import keras

NAME = "relative"
#: 0.5 µm a pixel: what the weakest sources (all-taleqani, wbc-chula) resolve.
SPEC = InputSpec(size_px=48, field_of_view_um=24.0, white_point=235, channels="density+cell+nucleus")
STEPS = 800
BATCH = 96
LEARNING_RATE = 2e-3


@dataclass(frozen=True, slots=True)
class Trunk:
    """One way from a crop to a logit: a convolution of 5×5 with stride 2, then stages.

    Attributes
    ----------
    name : that its layers begin with
    stem : filters of the first convolution
    widths, strides : of its stages
    sees : which of the three planes, 1 or 0 each
    """

    name: str
    stem: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    sees: tuple[int, int, int] = (1, 1, 1)


TRUNK = Trunk("plain", 16, (16, 32, 64, 96), (1, 2, 2, 2))
#: Activations end here, as ``relu6`` says: without an end the sums of the residual blocks reach three times
#: as far on some cell as on the usual one, which leaves that a third of int8's steps (docs/classifier.md).
_TOP = 6.0
DROPOUT = 0.3
_WEIGHT_DECAY = 1e-4
#: What the second head names while the network is trained; it is left out of what ships. Cells that the data
#: sets name more finely share a kind, because some sets do not.
KINDS = (
    ("blast", "myeloblast"),
    ("lymphocyte", "lymphocyte_variant"),
    ("monocyte",),
    ("neutrophil", "neutrophil_band"),
    ("eosinophil",),
    ("basophil",),
    ("ig", "metamyelocyte", "myelocyte"),
    ("erythroblast",),
)
#: Weight of the second head's cross-entropy beside the first's.
KIND_WEIGHT = 0.3
_NO_KIND = -1
#: Targets are this far from 0 and 1: some marks are wrong.
SMOOTHING = 0.02
#: Most white cells of a malignant all-taleqani field are blasts, hardly any of a benign one: not the cell but
#: the field was labelled.
WEAK_TARGET = {1: 0.8, 0: 0.1}
#: Weight of a source within its class. Blasts: each camera alike, weak labels half, lmu-aml, whose patients
#: nobody knows, a quarter. Normal cells: laboratories by how many kinds of cells they show (wbc-chula had 16
#: fields), own ones as healthy persons'.
WEIGHT = {
    "blast": 2.0,
    "lmu-aml blast": 0.5,
    "weak 1": 1.0,
    "weak 0": 0.5,
    "healthy": 1.0,
    "patient": 0.8,
    "jhu-aml": 1.5,
    "lmu-aml": 0.5,
    "pbc": 1.0,
    "raabin": 0.5,
    "bccd": 0.6,
    "wbc-seg1": 0.5,
    "wbc-seg2": 0.4,
    "wbc-chula": 0.2,
    "own": 1.0,
}
#: What views are made from: finer and wider than the network's crop, so that turning and shifting lose
#: nothing.
_WIDE_PX, _WIDE_UM, WHITE_POINT = 80, 30.0, 235
#: Spread of the natural logarithm of the size: red cells, which give the scale, differ by some 7 %.
_SIZE = 0.07
_ASPECT = 0.03
_SHIFT_PX = 2.0
#: Spread of each channel's share in the density (stains, cameras) and of the density's exponent (gamma).
STAIN, _GAMMA = 0.15, 0.15
#: Widest blur, px of the crop: half a µm of defocus, or a camera of half the resolution.
_BLUR_PX = 1.1
_NOISE = 0.04


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
        weak_label = cell.weak_label or 0
        return f"weak {weak_label}", cell.camera, WEAK_TARGET[weak_label]
    if cell.label == 1:
        return ("lmu-aml blast" if cell.lab == "lmu-aml" else "blast"), cell.camera, 1.0
    if cell.lab != ALL_IDB:
        return (cell.lab, cell.camera, 0.0) if cell.label == 0 else None
    if cell.weak_label == 0:
        # All white cells of a healthy person are normal, marked or not.
        return "healthy", cell.camera, 0.0
    return ("patient", cell.camera, 0.0) if cell.label == 0 else None


def kinds(cells: Sequence[CellRecord]) -> NDArray[np.int32]:
    """Give the number of each cell's kind in ``KINDS``; -1 where it is not known."""
    number = {cell_type: i for i, types in enumerate(KINDS) for cell_type in types}
    return np.array(
        [0 if cell.label == 1 else number.get(cell.cell_type or "", _NO_KIND) for cell in cells], np.int32
    )


@dataclass(frozen=True, slots=True)
class Relative:
    """The recipe."""

    name: str = NAME
    spec: InputSpec = SPEC
    labs: tuple[str, ...] = LABS
    random_splits: int = 0
    about: Mapping[str, object] = field(default_factory=dict)
    steps: int = STEPS
    trunks: tuple[Trunk, ...] = (TRUNK,)

    def targets(self, cells: Sequence[CellRecord]) -> list[float | None]:
        """Every cell of which something is known, be it of its field only."""
        return [None if (kind := _kind(cell)) is None else kind[2] for cell in cells]

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Fitted:
        """Train the network on random views."""
        make_repeatable(seed)
        trained = network(self.spec.size_px, self.trunks, self.name)
        rng = np.random.default_rng(seed)
        _train(trained, self.views(collection, cells), sources(cells), kinds(cells), self.steps, rng)
        shipped = without_norms(trained, self.spec.size_px, self.trunks, self.name)
        return Fitted(shipped, collection, self.spec)

    def views(self, collection: Collection, cells: Sequence[CellRecord]) -> Views:
        """Cut the cells that views are made of."""
        return Views.of(collection, cells)


def _train(
    network: keras.Model,
    views: Views,
    drawn_from: Sequence[Source],
    kind_of: NDArray[np.int32],
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Take the steps: half of every batch blasts, half normal cells."""
    tf = import_module("tensorflow")
    chance = np.array([source.weight for source in drawn_from])
    is_blast = np.array([source.target > 0.5 for source in drawn_from])
    for of_class in (is_blast, ~is_blast):
        chance[of_class] /= 2 * chance[of_class].sum()

    def loss_of_trunk(logits: Any, targets: Any, kinds: Any) -> Any:  # noqa: ANN401  # tensors
        of_class = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits[:, 0]))
        known = tf.cast(kinds >= 0, tf.float32)
        of_kind = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(kinds, 0), logits[:, 1:])
        return of_class + (
            KIND_WEIGHT * tf.reduce_sum(of_kind * known) / tf.maximum(tf.reduce_sum(known), 1.0)
        )

    def loss(logits: Any, targets: Any, kinds: Any) -> Any:  # noqa: ANN401  # tensors
        return tf.add_n([loss_of_trunk(logits[:, i], targets, kinds) for i in range(logits.shape[1])])

    def batch() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
        picked = rng.choice(len(drawn_from), BATCH, p=chance)
        cells = [int(rng.choice(drawn_from[source].members)) for source in picked]
        targets = np.array([drawn_from[source].target for source in picked], np.float32)
        crops = np.stack([views.random(cell, rng) for cell in cells]).astype(np.float32)
        return crops, targets * (1 - 2 * SMOOTHING) + SMOOTHING, kind_of[cells]

    take_steps(network, batch, loss, steps, LEARNING_RATE)


def take_steps(
    network: keras.Model,
    batch: Callable[[], Sequence[NDArray[Any]]],
    loss: Callable[..., Any],
    steps: int,
    learning_rate: float,
) -> None:
    """Train a network with Adam, whose rate falls to 0 along half a cosine.

    Parameters
    ----------
    network : to be trained; the losses of its layers are added
    batch : makes crops and what is learned of them, anew for each step
    loss : of the network's output and what is learned
    steps : how many
    learning_rate : of the first
    """
    keras, tf = load_keras(), import_module("tensorflow")
    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimiser.build(network.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(crops: Any, *learned: Any) -> None:  # noqa: ANN401  # tensors
        with tf.GradientTape() as tape:
            total = loss(network(crops, training=True), *learned) + tf.add_n(network.losses)
        gradients = tape.gradient(total, network.trainable_variables)
        optimiser.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    # One thread makes the next views while the others take a step: views are a third of the work.
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(batch)
        for number in range(steps):
            made = following.result()
            if number + 1 < steps:
                following = ahead.submit(batch)
            step(*(tf.constant(array) for array in made))


@dataclass(frozen=True, slots=True)
class Views:
    """Cells with room around them.

    Attributes
    ----------
    rgb : (n, 80, 80, 3) uint8, white point applied
    cell, nucleus : (n, 80, 80) uint8, 255 inside
    size_px, field_of_view_um : of the views that are made
    """

    rgb: NDArray[np.uint8]
    cell: NDArray[np.uint8]
    nucleus: NDArray[np.uint8]
    size_px: int = 48
    field_of_view_um: float = 24.0

    @classmethod
    def of(cls, collection: Collection, cells: Sequence[CellRecord]) -> Self:
        """Cut cells out of their fields."""
        rgb = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, WHITE_POINT))
        planes = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, WHITE_POINT, "density+cell+nucleus"))
        return cls(rgb, np.ascontiguousarray(planes[..., 1]), np.ascontiguousarray(planes[..., 2]))

    def random(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make one view of a cell: (size_px, size_px, 3) uint8, planes as the device cuts them.

        Turned, mirrored, a little larger or smaller and off centre; with other shares of the colour channels,
        another gamma, blur and noise; outlines drawn a little wider or narrower.
        """
        stain = np.clip(1 + rng.normal(0, STAIN, 3), 0.5, 1.6).astype(np.float32)
        density = cv2.transform(channel_densities(self.rgb[index], WHITE_POINT), stain[None])
        planes = cv2.merge(
            [density, self.cell[index].astype(np.float32), self.nucleus[index].astype(np.float32)]
        )
        density, cell, nucleus = cv2.split(self.placed(np.asarray(planes, np.float32), rng))
        density = worse(density, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        outlines = redrawn(cell, 1.1, 46, rng), redrawn(nucleus, 0.8, 38, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        return np.asarray(planes_of(density[None], *(inside[None] for inside in outlines))[0], np.uint8)

    def placed(self, planes: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Turn, mirror, size and shift planes of a wide crop, and bring them to the size of a view."""
        planes = cv2.GaussianBlur(planes, (3, 3), 0.47)  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
        size = (self.size_px, self.size_px)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # blurred by half a px of the view: no aliases
        affine = self._affine(rng)
        placed = cv2.warpAffine(planes, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(placed, np.float32)

    def _affine(self, rng: np.random.Generator) -> NDArray[np.float32]:
        angle = rng.uniform(0, 2 * np.pi)
        size = float(np.exp(np.clip(rng.normal(0, _SIZE), -2.2 * _SIZE, 2.2 * _SIZE)))
        aspect = float(np.exp(rng.normal(0, _ASPECT)))
        step = self.field_of_view_um / self.size_px * _WIDE_PX / _WIDE_UM / size
        cosine, sine = np.cos(angle) * step, np.sin(angle) * step
        mirror = 1 if rng.random() < 0.5 else -1
        turn = np.array(
            [[cosine * mirror * aspect, -sine / aspect], [sine * mirror * aspect, cosine / aspect]]
        )
        middle = (_WIDE_PX - 1) / 2
        offset = middle - turn @ np.full(2, (self.size_px - 1) / 2) + rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2)
        return np.column_stack([turn, offset]).astype(np.float32)


def worse(density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Pass density planes through another camera."""
    density = cv2.pow(density, float(np.exp(rng.normal(0, _GAMMA))))  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    blur = rng.uniform(0, _BLUR_PX)
    if blur > 0.25:
        density = cv2.GaussianBlur(density, (0, 0), blur)  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    if rng.random() < 0.5:
        noise = rng.standard_normal(density.shape, dtype=np.float32)
        density = density + noise * np.float32(rng.uniform(0, _NOISE) * max(0.3, float(density.max())))
    return np.asarray(np.maximum(density, 0), np.float32)


def redrawn(
    inside: NDArray[np.float32], blur_px: float, levels: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw an outline a little wider or narrower, and smoother."""
    soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.3, blur_px))
    return np.where(soft > 127 + rng.uniform(-levels, levels), 255, 0).astype(np.uint8)


def network(size_px: int, trunks: Sequence[Trunk] = (TRUNK,), name: str = NAME) -> keras.Model:
    """Build the network for training.

    Each trunk is a 5×5 convolution with stride 2, then stages of one residual block each [1]_. What its last
    two stages saw is averaged over the crop instead of flattened, so that neither place nor turn of a cell
    matters.

    Parameters
    ----------
    size_px : side of the input, px
    trunks : that it has; each learns by itself
    name : of the network

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) in 0 to 255; output (n, trunks, 1 + kinds): of each trunk the logit of
        a blast, then those of ``KINDS``, which only help to find what tells cells apart.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
    """
    layers = load_keras().layers
    crop = load_keras().Input((size_px, size_px, 3), name="crop")
    logits = []
    for trunk in trunks:
        means = until_means(crop, trunk, norms=True)
        dropped = layers.Dropout(DROPOUT, name=f"{trunk.name}_drop")(means)
        head = layers.Dense(1 + len(KINDS), kernel_regularizer=decay(), name=f"{trunk.name}_logits")
        logits.append(layers.Reshape((1, 1 + len(KINDS)))(head(dropped)))
    joined = layers.Concatenate(axis=1)(logits) if len(logits) > 1 else logits[0]
    return load_keras().Model(crop, joined, name=name)


def without_norms(
    trained: keras.Model, size_px: int, trunks: Sequence[Trunk] = (TRUNK,), name: str = NAME
) -> keras.Model:
    """Write a trained network as the device runs it: the mean of its trunks' logits, as probabilities.

    Each batch norm is a factor and an addend by now; they are folded into the convolution before it.

    Parameters
    ----------
    trained : of :func:`network`
    size_px : side of the input, px
    trunks : that it has
    name : of the network

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) in 0 to 255; output (n, 2) probabilities of normal and blast.
    """
    keras = load_keras()
    crop = keras.Input((size_px, size_px, 3), name="crop")
    means = [until_means(crop, trunk, norms=False) for trunk in trunks]
    seen = keras.layers.Concatenate(name="means")(means) if len(means) > 1 else means[0]
    last = keras.layers.Dense(2, activation="softmax", name="p")
    plain = keras.Model(crop, last(seen), name=name)
    fold_norms(trained, plain)
    heads = [trained.get_layer(f"{trunk.name}_logits").get_weights() for trunk in trunks]
    # The softmax of (-z / 2, z / 2) is the logistic function of z, the mean of the trunks' logits.
    kernel = np.concatenate([kernel[:, :1] for kernel, _ in heads]) / (2 * len(heads))
    bias = np.sum([bias[:1] for _, bias in heads], axis=0) / (2 * len(heads))
    last.set_weights([np.concatenate([-weights, weights], axis=-1) for weights in (kernel, bias)])
    return plain


def fold_norms(trained: keras.Model, plain: keras.Model) -> None:
    """Give the convolutions of a copy those of a trained network with their batch norms in them."""
    for layer in plain.layers:
        if isinstance(layer, load_keras().layers.Conv2D):
            gamma, beta, mean, variance = (norm := trained.get_layer(f"{layer.name}_norm")).get_weights()
            factor = gamma / np.sqrt(variance + norm.epsilon)
            (kernel,) = trained.get_layer(layer.name).get_weights()
            layer.set_weights([kernel * factor, beta - mean * factor])


def until_means(crop: Any, trunk: Trunk, *, norms: bool) -> Any:  # noqa: ANN401  # tensors
    """Lay a trunk out from the crop to the means of its last two stages, with its batch norms or in them."""
    layers = load_keras().layers
    convolved = partial(_convolved, norms=norms)
    features = layers.Rescaling(1 / 255, name=f"{trunk.name}_rescale")(crop)
    features = convolved(features, trunk.stem, 5, 2, f"{trunk.name}_stem", sees=trunk.sees)
    means = []
    for number, (filters, stride) in enumerate(zip(trunk.widths, trunk.strides, strict=True), start=1):
        stage = f"{trunk.name}_stage{number}"
        halfway = convolved(features, filters, 3, stride, f"{stage}_first")
        second = convolved(halfway, filters, 3, 1, f"{stage}_second", relu=False)
        if stride > 1:
            features = convolved(features, filters, 1, stride, f"{stage}_shortcut", relu=False)
        features = layers.Add(name=f"{stage}_sum")([second, features])
        features = layers.ReLU(_TOP, name=f"{stage}_relu")(features)
        means.append(layers.GlobalAveragePooling2D(name=f"{stage}_mean")(features))
    return layers.Concatenate(name=f"{trunk.name}_means")(means[-2:])


def _convolved(
    features: Any,  # noqa: ANN401  # tensors
    filters: int,
    size: int,
    stride: int,
    name: str,
    *,
    norms: bool,
    relu: bool = True,
    sees: tuple[int, ...] = (),
) -> Any:  # noqa: ANN401  # tensors
    """Lay a convolution with its batch norm, or one that holds it.

    While it is trained, its kernel is held at 0 for channels that it does not see.
    """
    layers = load_keras().layers
    convolution = partial(layers.Conv2D, filters, size, strides=stride, padding="same", name=name)
    if not norms:
        return convolution(activation="relu6" if relu else None)(features)
    held = None if all(sees) else _only(sees)
    features = convolution(use_bias=False, kernel_regularizer=decay(), kernel_constraint=held)(features)
    features = layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(features)
    return layers.ReLU(_TOP, name=f"{name}_relu")(features) if relu else features


def _only(sees: tuple[int, ...]) -> Callable[[Any], Any]:
    """Hold a kernel (rows, columns, channels, filters) at 0 where its channel is not seen."""
    mask = np.array(sees, np.float32)[:, None]
    return lambda kernel: kernel * mask


def decay() -> Any:  # noqa: ANN401  # a regulariser of Keras, which has no types here
    """Make the decay of the weights of a layer."""
    return load_keras().regularizers.L2(_WEIGHT_DECAY)
