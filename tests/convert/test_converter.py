"""The int8 file: what it is made of, and that the refined recipe is worth its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.backend import load_keras, predict
from convert.converter import quantise
from convert.flatbuffer.half import halve_dense_weights
from convert.flatbuffer.logits import LOGIT_LIMIT, interleave_logits, narrow_logits
from convert.flatbuffer.schema import pack, unpack
from convert.gate.crops import Crops
from convert.gate.parity import compare
from convert.gate.verdict import SHAPE_OPS
from convert.graph.biases import correct_biases, round_weights
from convert.graph.equalise import centre_logits
from convert.graph.static import static_graph
from convert.recipes import FLOAT32, FLOAT_HEAD, PLAIN, Recipe
from edge.classification.card import TensorSpec
from edge.classification.classifier import calibrate
from edge.classification.interpreter import BATCH, Network, installed_runtimes
from edge.errors import ModelError


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
    p, p_keras = (
        calibrate(outputs, 1.0, network.lsb)
        for outputs in (network.outputs(held_out.pixels), predict(toy_model, held_out.pixels))
    )
    parity = compare(runtime, p, p_keras, 0.5)
    assert parity.max_delta_p < 0.05
    assert parity.flipped == 0
    assert network.outputs(held_out.pixels[: 2 * BATCH + 1]).shape == (2 * BATCH + 1, 2)


def test_the_input_stays_plain_where_calibration_crops_are_dim(
    toy_model: Any, calibration: Crops, tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(quantise(toy_model, calibration.pixels // 4 + 60, PLAIN))
    assert Network(path).input == TensorSpec((1, 24, 24, 3), "int8", 1.0, -128)


@pytest.mark.usefixtures("toy_tflite")
def test_the_original_is_not_changed(toy_model: Any, as_trained: list[np.ndarray]) -> None:
    for was, now in zip(as_trained, toy_model.get_weights(), strict=True):
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
    network = static_graph(toy_model)
    centre_logits(network)
    wide = quantise(network, calibration.pixels, PLAIN)
    narrow = narrow_logits(wide)

    def scale(content: bytes) -> float:
        graph = unpack(content).subgraphs[0]
        return float(graph.tensors[graph.operators[-1].inputs[0]].quantization.scale[0])

    assert scale(wide) > scale(narrow) == pytest.approx(LOGIT_LIMIT / 127)
    assert narrow_logits(narrow) == narrow


def test_interleaved_logits_halve_the_steps_of_their_difference(
    toy_model: Any, calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    network = static_graph(toy_model)
    centre_logits(network)
    last = network.layers[-1]
    last.set_weights([weight / 10 for weight in last.get_weights()])  # unsure: many different probabilities
    content = quantise(network, calibration.pixels, PLAIN)
    model = unpack(content)
    graph = model.subgraphs[0]
    graph.tensors[graph.operators[-1].inputs[0]].quantization.scale = np.array(
        [LOGIT_LIMIT / 127], np.float32
    )
    content = pack(model, len(content))
    runs = []
    for name, file in (("together", content), ("in turn", interleave_logits(content))):
        (tmp_path / f"{name}.tflite").write_bytes(file)
        runs.append(Network(tmp_path / f"{name}.tflite", runtime="ai_edge_litert").outputs(held_out.pixels))
    together, in_turn = (np.diff(np.unique(run[:, 1])).min() for run in runs)
    # A step of one logit is a quarter of that in p where p is near 0.5.
    assert together == pytest.approx(2 * LOGIT_LIMIT / 127 / 4, rel=0.4)
    assert in_turn == pytest.approx(LOGIT_LIMIT / 127 / 4, rel=0.4)
    expected = predict(network, held_out.pixels)
    errors = [np.abs(run - expected).mean() for run in runs]
    assert errors[1] < errors[0]


def test_logits_in_float_are_left_alone(toy_as: Callable[[Recipe], bytes]) -> None:
    assert interleave_logits(toy_as(FLOAT_HEAD)) == toy_as(FLOAT_HEAD)


def test_a_float_head_is_in_float_up_to_the_last_pooling(
    toy_as: Callable[[Recipe], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(toy_as(FLOAT_HEAD))
    ops = Network(path, runtime="ai_edge_litert").ops()
    assert "QUANTIZE" not in ops
    # One for the weights in float16, one for each of the two pooled scales.
    assert ops.count("DEQUANTIZE") == 3


def test_halved_weights_are_those_of_before_but_for_their_last_bits(
    toy_model: Any, toy_as: Callable[[Recipe], bytes], held_out: Crops, tmp_path: Path
) -> None:
    whole = toy_as(FLOAT32)
    half = halve_dense_weights(whole)
    weights = toy_model.get_layer("p").get_weights()[0]
    assert len(whole) - len(half) == pytest.approx(2 * weights.size, rel=0.2)
    outputs = []
    for name, content in (("whole", whole), ("half", half)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        outputs += [
            Network(path, runtime=runtime).outputs(held_out.pixels) for runtime in installed_runtimes()
        ]
    for other in outputs[1:]:
        np.testing.assert_allclose(other, outputs[0], atol=2e-3)
    assert np.abs(outputs[-1] - outputs[0]).max() > 0


def test_there_is_nothing_to_halve_in_int8(toy_tflite: bytes) -> None:
    assert halve_dense_weights(toy_tflite) == toy_tflite


def test_what_cannot_be_int8_is_refused() -> None:
    keras = load_keras()
    crop = keras.Input((24, 24, 3))
    flat = keras.layers.Flatten()(keras.ops.erf(keras.layers.Rescaling(1 / 255)(crop)))
    model = keras.Model(crop, keras.layers.Dense(2, activation="softmax")(flat), name="odd")
    with pytest.raises(
        ModelError, match=r"TensorFlow cannot convert odd to int8 \(TFLite has no Erf\); use layers"
    ):
        quantise(model, np.zeros((2, 24, 24, 3), np.uint8), PLAIN)


@pytest.mark.parametrize(
    ("recipe", "dtypes", "worst"),
    [
        (PLAIN, ("int8", "int8"), 0.05),
        (FLOAT_HEAD, ("int8", "float32"), 0.05),
        (FLOAT32, ("float32", "float32"), 1e-5),
    ],
    ids=lambda value: value.name if isinstance(value, Recipe) else "",
)
def test_every_recipe_keeps_what_it_promises(
    toy_model: Any,
    toy_as: Callable[[Recipe], bytes],
    held_out: Crops,
    tmp_path: Path,
    recipe: Recipe,
    dtypes: tuple[str, str],
    worst: float,
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(toy_as(recipe))
    network = Network(path, runtime="ai_edge_litert")
    assert (network.input.dtype, network.output.dtype) == dtypes
    assert (recipe.input_dtype, recipe.output_dtype) == dtypes
    assert not set(network.ops()) & set(SHAPE_OPS)
    delta = np.abs(network.outputs(held_out.pixels) - predict(toy_model, held_out.pixels))
    assert delta.max() < worst
