"""The compact recipe: a crop without colour, every laboratory, three small networks in one.

What decides the design is in docs/classifier.md: absolute colour tells cameras apart before it tells cells
apart, so the network sees density relative to the cell's own nucleus and the outlines of cell and nucleus, at
physical scale; it learns from every laboratory, each class in equal parts and the sources within a class by
fixed weights; and stain, resolution, noise, scale and outlines vary at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

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
#: laboratories by how many kinds of cells they show (wbc-chula had 16 fields), own ones as healthy persons'.
WEIGHT = {
    "blast": 2.0,
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
_WIDE_PX, _WIDE_UM, _WHITE_POINT = 80, 30.0, 235
#: Spread of the natural logarithm of the size: red cells, which give the scale, differ by some 7 %.
_SIZE = 0.07
_ASPECT = 0.03
_SHIFT_PX = 2.0
#: Spread of each channel's share in the density (stains, cameras) and of the density's exponent (gamma).
_STAIN, _GAMMA = 0.15, 0.15
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
        return "blast", cell.camera, 1.0
    if cell.lab != ALL_IDB:
        return (cell.lab, cell.camera, 0.0) if cell.label == 0 else None
    if cell.weak_label == 0:
        # All white cells of a healthy person are normal, marked or not.
        return "healthy", cell.camera, 0.0
    return ("patient", cell.camera, 0.0) if cell.label == 0 else None


@dataclass(frozen=True, slots=True)
class Relative:
    """The recipe."""

    name: str = NAME
    spec: InputSpec = SPEC
    labs: tuple[str, ...] = LABS
    random_splits: int = 0
    about: Mapping[str, object] = field(default_factory=dict)
    steps: int = STEPS
    members: int = MEMBERS

    def targets(self, cells: Sequence[CellRecord]) -> list[float | None]:
        """Every cell of which something is known, be it of its field only."""
        return [None if (kind := _kind(cell)) is None else kind[2] for cell in cells]

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> Fitted:
        """Train ``members`` networks on the same random views, and join them into one."""
        make_repeatable(seed)
        members = [member(SPEC.size_px) for _ in range(self.members)]
        _train(members, Views.of(collection, cells), sources(cells), self.steps, np.random.default_rng(seed))
        return Fitted(joined_members(members, SPEC.size_px, NAME), collection, self.spec)


def _train(
    networks: Sequence[keras.Model],
    views: Views,
    drawn_from: Sequence[Source],
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Take the steps: half of every batch blasts, half normal cells."""
    keras, tf = load_keras(), import_module("tensorflow")
    chance = np.array([source.weight for source in drawn_from])
    is_blast = np.array([source.target > 0.5 for source in drawn_from])
    for of_class in (is_blast, ~is_blast):
        chance[of_class] /= 2 * chance[of_class].sum()
    optimisers = []
    for network in networks:
        optimisers.append(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)))
        optimisers[-1].build(network.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(crops: Any, targets: Any) -> None:  # noqa: ANN401  # tensors
        for network, optimiser in zip(networks, optimisers, strict=True):
            with tf.GradientTape() as tape:
                logits = network(crops, training=True)[:, 0]
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
                loss += tf.add_n(network.losses)
            gradients = tape.gradient(loss, network.trainable_variables)
            optimiser.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    for _ in range(steps):
        picked = rng.choice(len(drawn_from), BATCH, p=chance)
        cells = [int(rng.choice(drawn_from[source].members)) for source in picked]
        targets = np.array([drawn_from[source].target for source in picked], np.float32)
        crops = np.stack([views.random(cell, rng) for cell in cells]).astype(np.float32)
        step(tf.constant(crops), tf.constant(targets * (1 - 2 * SMOOTHING) + SMOOTHING))


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
    def of(cls, collection: Collection, cells: Sequence[CellRecord]) -> Views:
        """Cut cells out of their fields."""
        rgb = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, _WHITE_POINT))
        planes = cut(collection, cells, InputSpec(_WIDE_PX, _WIDE_UM, _WHITE_POINT, "density+cell+nucleus"))
        return cls(rgb, np.ascontiguousarray(planes[..., 1]), np.ascontiguousarray(planes[..., 2]))

    def random(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make one view of a cell: (size_px, size_px, 3) uint8, planes as the device cuts them.

        Turned, mirrored, a little larger or smaller and off centre; with other shares of the colour channels,
        another gamma, blur and noise; outlines drawn a little wider or narrower.
        """
        stain = np.clip(1 + rng.normal(0, _STAIN, 3), 0.5, 1.6).astype(np.float32)
        density = cv2.transform(channel_densities(self.rgb[index], _WHITE_POINT), stain[None])
        planes = cv2.merge(
            [density, self.cell[index].astype(np.float32), self.nucleus[index].astype(np.float32)]
        )
        planes = cv2.GaussianBlur(planes, (3, 3), 0.47)  # half a px of the view: no aliases
        size = (self.size_px, self.size_px)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        planes = cv2.warpAffine(planes, self._affine(rng), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        density, cell, nucleus = cv2.split(planes)
        density = _worse(density, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        outlines = _redrawn(cell, 1.1, 46, rng), _redrawn(nucleus, 0.8, 38, rng)  # type: ignore[arg-type]  # OpenCV's stubs: an array of any dtype
        return np.asarray(planes_of(density[None], *(inside[None] for inside in outlines))[0], np.uint8)

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


def _worse(density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Pass a density plane through another camera."""
    density = cv2.pow(density, float(np.exp(rng.normal(0, _GAMMA))))  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    blur = rng.uniform(0, _BLUR_PX)
    if blur > 0.25:
        density = cv2.GaussianBlur(density, (0, 0), blur)  # type: ignore[assignment]  # OpenCV's stubs: an array of any dtype
    if rng.random() < 0.5:
        noise = rng.standard_normal(density.shape, dtype=np.float32)
        density = density + noise * np.float32(rng.uniform(0, _NOISE) * max(0.3, float(density.max())))
    return np.asarray(np.maximum(density, 0), np.float32)


def _redrawn(
    inside: NDArray[np.float32], blur_px: float, levels: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw an outline a little wider or narrower, and smoother."""
    soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.3, blur_px))
    return np.where(soft > 127 + rng.uniform(-levels, levels), 255, 0).astype(np.uint8)


def member(size_px: int) -> keras.Model:
    """Build one member of the compact network, for training.

    The multi-scale idea of Akbar et al. at a hundredth of the cost: a 5×5 and two 3×3 convolutions of 16, 32
    and 64 filters; what each scale saw is averaged over the crop instead of flattened, so that neither place
    nor turn of a cell matters. The means of the input planes (areas, relative density) are joined, too.

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) in 0 to 255; output (n, 1), the logit of a blast.
    """
    keras = load_keras()
    layers = keras.layers
    decay = keras.regularizers.L2(1e-4)
    crop = keras.Input((size_px, size_px, 3), name="crop")
    features = layers.Rescaling(1 / 255, name="rescale")(crop)
    scales = [layers.GlobalAveragePooling2D(name="scale0")(features)]
    for number, (filters, kernel, stride) in enumerate(((16, 5, 2), (32, 3, 1), (64, 3, 1)), start=1):
        if number > 1:
            features = layers.MaxPooling2D(2, name=f"pool{number - 1}")(features)
        features = layers.Conv2D(
            filters, kernel, strides=stride, padding="same", use_bias=False, kernel_regularizer=decay,
            name=f"conv{number}",
        )(features)  # fmt: skip
        features = layers.BatchNormalization(momentum=0.95, name=f"norm{number}")(features)
        features = layers.ReLU(name=f"relu{number}")(features)
        scales.append(layers.GlobalAveragePooling2D(name=f"scale{number}")(features))
    scales.append(layers.GlobalMaxPooling2D(name="peaks")(features))
    joined = layers.Concatenate(name="scales")(scales)
    joined = layers.BatchNormalization(momentum=0.95, name="norm")(joined)
    joined = layers.Dropout(0.3, name="drop")(joined)
    hidden = layers.Dense(32, activation="relu", kernel_regularizer=decay, name="hidden")(joined)
    hidden = layers.Dropout(0.3, name="drop_hidden")(hidden)
    return keras.Model(crop, layers.Dense(1, name="logit")(hidden), name="relative_member")


def joined_members(members: Sequence[keras.Model], size_px: int, name: str) -> keras.Model:
    """Join trained members into one network that gives the mean of their logits.

    Each batch norm is a factor and an addend by now; they are folded into the convolution before it and the
    dense layer behind it. Peaks have a dense layer of their own: joined with the means, which are a tenth as
    large, they would take nearly all of the 255 steps that int8 has for both.

    Parameters
    ----------
    members : of :func:`member`, trained
    size_px : side of the input, px
    name : of the network

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) in 0 to 255; output (n, 2) probabilities of normal and blast.
    """
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((size_px, size_px, 3), name="crop")
    scaled = layers.Rescaling(1 / 255, name="rescale")(crop)
    hidden, weights, bias = [], [], 0.0
    for number, trained in enumerate(members, start=1):
        features, scales = scaled, [layers.GlobalAveragePooling2D(name=f"m{number}_scale0")(scaled)]
        for stage in (1, 2, 3):
            if stage > 1:
                features = layers.MaxPooling2D(2, name=f"m{number}_pool{stage - 1}")(features)
            old = trained.get_layer(f"conv{stage}")
            factor, addend = _affine(trained.get_layer(f"norm{stage}"))
            convolution = layers.Conv2D(
                old.filters, old.kernel_size, strides=old.strides, padding="same", activation="relu",
                name=f"m{number}_conv{stage}",
            )  # fmt: skip
            features = convolution(features)
            convolution.set_weights([old.get_weights()[0] * factor, addend])
            scales.append(layers.GlobalAveragePooling2D(name=f"m{number}_scale{stage}")(features))
        peaks = layers.GlobalMaxPooling2D(name=f"m{number}_peaks")(features)
        means = layers.Concatenate(name=f"m{number}_means")(scales)
        factor, addend = _affine(trained.get_layer("norm"))
        kernel, offset = trained.get_layer("hidden").get_weights()
        kernel, offset = kernel * factor[:, None], offset + addend @ kernel
        of_means = layers.Dense(kernel.shape[1], name=f"m{number}_of_means")
        of_peaks = layers.Dense(kernel.shape[1], use_bias=False, name=f"m{number}_of_peaks")
        both = layers.Add(name=f"m{number}_sum")([of_means(means), of_peaks(peaks)])
        hidden.append(layers.ReLU(name=f"m{number}_hidden")(both))
        of_means.set_weights([kernel[: means.shape[-1]], offset])
        of_peaks.set_weights([kernel[means.shape[-1] :]])
        last_kernel, last_bias = trained.get_layer("logit").get_weights()
        weights.append(last_kernel[:, 0] / len(members))
        bias += float(last_bias[0]) / len(members)
    last = layers.Dense(2, activation="softmax", name="p")
    probabilities = last(layers.Concatenate(name="members")(hidden) if len(hidden) > 1 else hidden[0])
    # The softmax of (-z / 2, z / 2) is the logistic function of z.
    half = np.concatenate(weights) / 2
    last.set_weights([np.stack([-half, half], axis=1), np.array([-bias / 2, bias / 2], np.float32)])
    return keras.Model(crop, probabilities, name=name)


def _affine(norm: keras.layers.Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and addend that a trained batch norm is."""
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta - mean * factor
