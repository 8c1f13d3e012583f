"""An input shifted inside the graph: folded exactly, in float and in int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import converter
from convert.backend import load_keras, predict
from convert.converter import float_network, quantise
from convert.gate.crops import Crops
from convert.gate.parity import compare
from convert.graph.rescale import CONSTANT_PAD, fold_offset
from convert.graph.static import static_graph
from convert.recipes import FLOAT32, PLAIN, REFINED
from edge.classification.card import TensorSpec
from edge.classification.interpreter import Network, installed_runtimes
from edge.errors import ModelError


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_folding_changes_no_output_at_the_border_either(centred: Any, held_out: Crops) -> None:
    keras = load_keras()
    folded = fold_offset(centred)
    assert CONSTANT_PAD in kinds(folded)
    assert "Rescaling" not in kinds(folded)
    np.testing.assert_allclose(predict(folded, held_out.pixels), predict(centred, held_out.pixels), atol=1e-5)
    first, same = (
        predict(keras.Model(model.input, model.get_layer("conv1").output), held_out.pixels[:8])
        for model in (folded, centred)
    )
    np.testing.assert_allclose(first, same, atol=1e-4)
    # Negative control: black padding, as the raw crop would have, is another network at the border.
    black = fold_offset(centred)
    black.get_layer("rescale").value = 0.0
    other = predict(keras.Model(black.input, black.get_layer("conv1").output), held_out.pixels[:8])
    assert np.abs(other - same).max() > 0.1
    np.testing.assert_allclose(other[:, 1:-1, 1:-1], same[:, 1:-1, 1:-1], atol=1e-4)


def test_a_wrong_fold_is_refused(centred: Any, calibration: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: Any) -> Any:
        folded = fold_offset(model)
        kernel, bias = folded.get_layer("p").get_weights()
        folded.get_layer("p").set_weights([kernel, bias + np.array([50, -50], np.float32)])
        return folded

    monkeypatch.setattr(converter, "fold_offset", wrong)
    with pytest.raises(ModelError, match="centred: the copy without an offset differs from the model"):
        float_network(centred, calibration.pixels, PLAIN)


def test_a_copy_of_it_keeps_the_padding(centred: Any, held_out: Crops) -> None:
    static = static_graph(fold_offset(centred))
    assert CONSTANT_PAD in kinds(static)
    again = static_graph(static)
    np.testing.assert_allclose(predict(again, held_out.pixels), predict(centred, held_out.pixels), atol=1e-5)


@pytest.fixture(scope="module")
def centred_file(centred: Any, calibration: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("centred") / "centred.tflite"
    path.write_bytes(quantise(centred, calibration.pixels, REFINED))
    return path


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_int8_takes_the_raw_crop_and_stays_close(
    centred: Any, centred_file: Path, held_out: Crops, runtime: Any
) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed")
    network = Network(centred_file, runtime=runtime)
    assert network.input == TensorSpec((1, 24, 24, 3), "int8", 1.0, -128)
    assert not {"MUL", "ADD"} & set(network.ops())
    assert "PADV2" in network.ops()
    # Bright borders would show a wrong level of the padding.
    crops = np.concatenate([held_out.pixels, np.full_like(held_out.pixels[:4], 250)])
    parity = compare(runtime, network.outputs(crops)[:, 1], predict(centred, crops)[:, 1], 0.5)
    assert parity.mean_delta_p < 0.005
    assert parity.max_delta_p < 0.05


def test_float_files_are_folded_too(centred: Any, calibration: Crops, held_out: Crops) -> None:
    network = float_network(centred, calibration.pixels, FLOAT32)
    np.testing.assert_allclose(
        predict(network, held_out.pixels), predict(centred, held_out.pixels), atol=1e-5
    )


@pytest.mark.parametrize(
    "settings",
    [{"strides": 2}, {"padding": "valid"}, {"kernel_size": 4}, {"use_bias": False}, {"dilation_rate": 2}],
    ids=str,
)
def test_other_convolutions_are_left_alone(settings: dict[str, Any]) -> None:
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((24, 24, 3))
    options = {"kernel_size": 3, "padding": "same"} | settings
    features = layers.Conv2D(4, **options)(layers.Rescaling(1 / 127.5, offset=-1.0)(crop))
    model = keras.Model(crop, layers.Dense(2, activation="softmax")(layers.Flatten()(features)))
    assert fold_offset(model) is model


def test_without_an_offset_or_with_two_readers_nothing_changes(toy_model: Any) -> None:
    assert fold_offset(toy_model) is toy_model
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((24, 24, 3))
    shifted = layers.Rescaling(1 / 127.5, offset=-1.0)(crop)
    both = [layers.Conv2D(4, 3, padding="same")(shifted), layers.Conv2D(4, 3, padding="same")(shifted)]
    features = layers.Flatten()(layers.Concatenate()(both))
    model = keras.Model(crop, layers.Dense(2, activation="softmax")(features))
    assert fold_offset(model) is model
