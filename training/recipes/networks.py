"""The networks that the recipes train, as Keras 3 functional models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.backend import load_keras

if TYPE_CHECKING:
    import keras


def akbar2024(size_px: int = 128) -> keras.Model:
    """Build the multi-scale network of Akbar et al. 2024 [1]_.

    Three 3×3 convolutions of 32, 64 and 128 filters with ReLU, each followed by 2×2
    max-pooling; the three pooled outputs are flattened and concatenated, so that the one softmax
    layer sees coarse and fine scales alike. The paper does not name the padding: with zero padding to
    the same size the network has 552,002 parameters and 165.6 million multiply-accumulates at
    128 px, without padding 512,642; the former is what was measured for the network it describes.

    Nor does it say how the input is scaled. Inputs whose mean is near zero converge faster [2]_, and the
    paper's Table 1 ends at an error of 0.0001: with -1 to 1 the training ends at 0.0002 to 0.0009, with 0 to
    1 at 0.002 to 0.018 (five splits each). Padding comes after scaling, so it is mid-grey.

    Parameters
    ----------
    size_px : side of the square input in px; 128 in the paper

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) RGB in 0 to 255, brought to -1 to 1 inside the graph; output
        (n, 2) probabilities of normal and blast.

    Raises
    ------
    RuntimeMissingError
        TensorFlow is not installed.

    References
    ----------
    .. [1] M. Akbar, P. T. Prasetyaningrum, P. W. Setyaningsih, M. Ahsan, A. E. Budianto, "Deteksi
       Leukemia Limfoblastik Akut menggunakan Convolutional Neural Network", 2024.
    .. [2] Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller, "Efficient BackProp", in Neural Networks: Tricks of
       the Trade, 1998, section 4.3.
    """
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((size_px, size_px, 3), name="crop")
    features = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(crop)
    scales = []
    for number, filters in enumerate((32, 64, 128), start=1):
        features = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(
            features
        )
        features = layers.MaxPooling2D(2, name=f"pool{number}")(features)
        scales.append(layers.Flatten(name=f"scale{number}")(features))
    joined = layers.Concatenate(name="scales")(scales)
    return keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(joined), name="akbar2024")


def relative_member(size_px: int) -> keras.Model:
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
    members : of :func:`relative_member`, trained
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
    for number, member in enumerate(members, start=1):
        features, scales = scaled, [layers.GlobalAveragePooling2D(name=f"m{number}_scale0")(scaled)]
        for stage in (1, 2, 3):
            if stage > 1:
                features = layers.MaxPooling2D(2, name=f"m{number}_pool{stage - 1}")(features)
            old = member.get_layer(f"conv{stage}")
            factor, addend = _affine(member.get_layer(f"norm{stage}"))
            convolution = layers.Conv2D(
                old.filters, old.kernel_size, strides=old.strides, padding="same", activation="relu",
                name=f"m{number}_conv{stage}",
            )  # fmt: skip
            features = convolution(features)
            convolution.set_weights([old.get_weights()[0] * factor, addend])
            scales.append(layers.GlobalAveragePooling2D(name=f"m{number}_scale{stage}")(features))
        peaks = layers.GlobalMaxPooling2D(name=f"m{number}_peaks")(features)
        means = layers.Concatenate(name=f"m{number}_means")(scales)
        factor, addend = _affine(member.get_layer("norm"))
        kernel, offset = member.get_layer("hidden").get_weights()
        kernel, offset = kernel * factor[:, None], offset + addend @ kernel
        of_means = layers.Dense(kernel.shape[1], name=f"m{number}_of_means")
        of_peaks = layers.Dense(kernel.shape[1], use_bias=False, name=f"m{number}_of_peaks")
        both = layers.Add(name=f"m{number}_sum")([of_means(means), of_peaks(peaks)])
        hidden.append(layers.ReLU(name=f"m{number}_hidden")(both))
        of_means.set_weights([kernel[: means.shape[-1]], offset])
        of_peaks.set_weights([kernel[means.shape[-1] :]])
        last_kernel, last_bias = member.get_layer("logit").get_weights()
        weights.append(last_kernel[:, 0] / len(members))
        bias += float(last_bias[0]) / len(members)
    last = layers.Dense(2, activation="softmax", name="p")
    probabilities = last(layers.Concatenate(name="members")(hidden) if len(hidden) > 1 else hidden[0])
    # The softmax of (-z / 2, z / 2) is the logistic function of z.
    half = np.concatenate(weights) / 2
    last.set_weights([np.stack([-half, half], axis=1), np.array([-bias / 2, bias / 2], np.float32)])
    return keras.Model(crop, probabilities, name=name)


def add_to_logit(model: keras.Model, offset: float) -> None:
    """Add a number to the logit of a blast, in the bias of the last layer.

    Parameters
    ----------
    model : whose last layer is a dense softmax of normal and blast; changed in place
    offset : above 0 makes every blast likelier
    """
    *kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([*kernel, bias + np.array([-offset / 2, offset / 2], bias.dtype)])


def _affine(norm: keras.layers.Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and addend that a trained batch norm is."""
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta - mean * factor
