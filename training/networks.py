"""The networks that the recipes train, as Keras 3 functional models."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    Parameters
    ----------
    size_px : side of the square input in px; 128 in the paper

    Returns
    -------
    keras.Model
        Input (n, size_px, size_px, 3) RGB in 0 to 255, brought to 0 to 1 inside the graph; output
        (n, 2) probabilities of normal and blast.

    Raises
    ------
    RuntimeMissingError
        TensorFlow is not installed.

    References
    ----------
    .. [1] M. Akbar, P. T. Prasetyaningrum, P. W. Setyaningsih, M. Ahsan, A. E. Budianto, "Deteksi
       Leukemia Limfoblastik Akut menggunakan Convolutional Neural Network", 2024.
    """
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((size_px, size_px, 3), name="crop")
    features = layers.Rescaling(1 / 255, name="rescale")(crop)
    scales = []
    for number, filters in enumerate((32, 64, 128), start=1):
        features = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(
            features
        )
        features = layers.MaxPooling2D(2, name=f"pool{number}")(features)
        scales.append(layers.Flatten(name=f"scale{number}")(features))
    joined = layers.Concatenate(name="scales")(scales)
    return keras.Model(crop, layers.Dense(2, activation="softmax", name="p")(joined), name="akbar2024")
