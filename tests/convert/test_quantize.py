"""The int8 file: what it is made of, and that the refined recipe is worth its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.backend import load_schema, predict
from convert.crops import Crops
from convert.gate import SHAPE_OPS
from convert.graph import static_graph
from convert.parity import run_parity
from convert.quantize import (
    LOGIT_LIMIT,
    PLAIN,
    REFINED,
    correct_biases,
    narrow_logits,
    quantise,
    round_weights,
)
from edge.errors import ModelError
from edge.interpreter import BATCH, Network, installed_runtimes
from edge.modelcard import Decision, TensorSpec

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture(scope="module")
def refined(toy_tflite: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refined") / "toy.tflite"
    path.write_bytes(toy_tflite)
    return path


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_the_file_is_int8_static_and_close_to_keras(
    refined: Path, toy_model: Any, held_out: Crops, runtime: Any
) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed")
    network = Network(refined, runtime=runtime)
    assert network.input == TensorSpec((1, 24, 24, 3), "int8", 1.0, -128)
    assert network.output == TensorSpec((1, 2), "int8", 1 / 256, -128)
    assert not set(network.ops()) & set(SHAPE_OPS)
    parity = run_parity(network, held_out.pixels, predict(toy_model, held_out.pixels), Decision())
    assert parity.max_delta_p < 0.05
    assert parity.flipped == 0
    assert network.outputs(held_out.pixels[: 2 * BATCH + 1]).shape == (2 * BATCH + 1, 2)


def test_the_input_stays_plain_where_calibration_crops_are_dim(
    toy_model: Any, calibration: Crops, tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(quantise(toy_model, calibration.pixels // 4 + 60, PLAIN))
    assert Network(path).input == TensorSpec((1, 24, 24, 3), "int8", 1.0, -128)


def test_the_original_is_not_changed(toy_model: Any, toy_tflite: bytes, held_out: Crops) -> None:
    before = [weight.copy() for weight in toy_model.get_weights()]
    quantise(toy_model, held_out.pixels[:20], REFINED)
    for was, now in zip(before, toy_model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_correction_moves_biases_and_takes_the_mean_error_out(
    toy_model: Any, calibration: Crops, held_out: Crops
) -> None:
    network, coarse = static_graph(toy_model), static_graph(toy_model)

    # Weights of 4 bits instead of 8 make the error large enough to see.
    def logits(model: Any) -> np.ndarray:
        p = predict(model, held_out.pixels).astype(np.float64)
        return np.log(p[:, 1] + 1e-9) - np.log(p[:, 0] + 1e-9)

    reference = logits(toy_model)
    correct_biases(network, calibration.pixels)
    for layer in coarse.layers:
        if layer.get_weights():
            kernel, bias = layer.get_weights()
            layer.set_weights([round_weights(kernel), bias])
    uncorrected = abs((logits(coarse) - reference).mean())
    for layer in coarse.layers:
        if layer.get_weights():
            layer.set_weights([layer.get_weights()[0], network.get_layer(layer.name).get_weights()[1]])
    corrected = abs((logits(coarse) - reference).mean())
    assert corrected < uncorrected


def test_narrow_logits_change_one_scale(toy_model: Any, calibration: Crops) -> None:
    from convert.equalise import centre_logits

    network = static_graph(toy_model)
    centre_logits(network)
    schema = load_schema()
    wide = quantise(network, calibration.pixels, PLAIN)
    narrow = narrow_logits(wide)

    def scale(content: bytes) -> float:
        graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
        return float(graph.tensors[graph.operators[-1].inputs[0]].quantization.scale[0])

    assert scale(wide) > scale(narrow) == pytest.approx(LOGIT_LIMIT / 127)
    assert narrow_logits(narrow) == narrow


def test_what_cannot_be_int8_is_refused() -> None:
    from convert.backend import load_keras

    keras = load_keras()
    crop = keras.Input((24, 24, 3))
    flat = keras.layers.Flatten()(keras.ops.erf(keras.layers.Rescaling(1 / 255)(crop)))
    model = keras.Model(crop, keras.layers.Dense(2, activation="softmax")(flat), name="odd")
    with pytest.raises(
        ModelError, match=r"TensorFlow cannot convert odd to int8 \(TFLite has no Erf\); use layers"
    ):
        quantise(model, np.zeros((2, 24, 24, 3), np.uint8), PLAIN)
