from __future__ import annotations

import sys

import numpy as np
import pytest

from edge.errors import RuntimeMissingError
from training.backend import load_keras, make_repeatable
from training.recipes import networks


@pytest.fixture
def model() -> object:
    make_repeatable(0)
    return networks.akbar2024()


def test_network_has_the_papers_size(model: object) -> None:
    assert model.count_params() == 552_002  # type: ignore[attr-defined]  # Keras ships no types
    convolutions = [layer for layer in model.layers if layer.name.startswith("conv")]  # type: ignore[attr-defined]
    macs = 229_376 * 2  # the dense layer
    for layer in convolutions:
        _, height, width, filters = layer.output.shape
        macs += height * width * filters * 9 * layer.input.shape[-1]
    assert round(macs / 1e6, 1) == 165.6


def test_network_is_built_as_the_paper_says(model: object) -> None:
    layers = {layer.name: layer for layer in model.layers}  # type: ignore[attr-defined]
    assert [
        (layers[f"conv{i}"].filters, layers[f"conv{i}"].kernel_size, layers[f"pool{i}"].pool_size)
        for i in (1, 2, 3)
    ] == [(32, (3, 3), (2, 2)), (64, (3, 3), (2, 2)), (128, (3, 3), (2, 2))]
    assert all(layers[f"conv{i}"].activation.__name__ == "relu" for i in (1, 2, 3))
    assert layers["scales"].output.shape == (None, 64 * 64 * 32 + 32 * 32 * 64 + 16 * 16 * 128)
    assert (layers["p"].units, layers["p"].activation.__name__) == (2, "softmax")
    assert model.input.shape == (None, 128, 128, 3)  # type: ignore[attr-defined]


def test_rescaling_is_inside_the_graph(model: object) -> None:
    keras = load_keras()
    inner = keras.Model(model.input, model.get_layer("rescale").output)  # type: ignore[attr-defined]
    crop = np.zeros((1, 128, 128, 3), np.float32)
    crop[0, 0, 0] = (255, 51, 0)
    np.testing.assert_allclose(np.asarray(inner(crop))[0, 0, 0], (1, -0.6, -1), atol=1e-6)
    p = np.asarray(model(crop))  # type: ignore[operator]
    assert p.sum() == pytest.approx(1, abs=1e-6)


def test_missing_tensorflow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        RuntimeMissingError, match=r"training needs TensorFlow.*pip install 'blastcount\[train\]'"
    ):
        load_keras()
