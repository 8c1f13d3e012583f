"""The int8 file: what it is made of, and that the refined recipe is worth its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.backend import load_schema, predict
from convert.converter import convert_network
from convert.flatbuffer.half import halve_dense_weights
from convert.flatbuffer.ranges import pack, percentile_range
from convert.gate.crops import Crops
from convert.gate.parity import compare
from convert.gate.verdict import SHAPE_OPS
from convert.graph.static import static_graph
from convert.quantize import (
    LOGIT_LIMIT,
    correct_biases,
    interleave_logits,
    narrow_logits,
    quantise,
    round_weights,
)
from convert.recipes import PLAIN, RECIPES, REFINED
from edge.classification.card import TensorSpec
from edge.classification.classifier import calibrate
from edge.classification.interpreter import BATCH, Network, installed_runtimes
from edge.errors import ModelError

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
    from convert.graph.equalise import centre_logits

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


def test_interleaved_logits_halve_the_steps_of_their_difference(
    toy_model: Any, calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    from convert.graph.equalise import centre_logits

    network = static_graph(toy_model)
    centre_logits(network)
    last = network.layers[-1]
    last.set_weights([weight / 10 for weight in last.get_weights()])  # unsure: many different probabilities
    content = quantise(network, calibration.pixels, PLAIN)
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
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


def test_logits_in_float_are_left_alone(toy_model: Any, calibration: Crops) -> None:
    content = quantise(toy_model, calibration.pixels[:20], RECIPES["float-head"])
    assert interleave_logits(content) == content


def test_a_float_head_is_in_float_up_to_the_last_pooling(
    toy_model: Any, calibration: Crops, tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(quantise(toy_model, calibration.pixels[:20], RECIPES["float-head"]))
    ops = Network(path, runtime="ai_edge_litert").ops()
    assert "QUANTIZE" not in ops
    # One for the weights in float16, one for each of the two pooled scales.
    assert ops.count("DEQUANTIZE") == 3


def test_halved_weights_are_those_of_before_but_for_their_last_bits(
    toy_model: Any, calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    whole = convert_network(static_graph(toy_model), calibration.pixels[:20], RECIPES["float32"])
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
    from convert.backend import load_keras

    keras = load_keras()
    crop = keras.Input((24, 24, 3))
    flat = keras.layers.Flatten()(keras.ops.erf(keras.layers.Rescaling(1 / 255)(crop)))
    model = keras.Model(crop, keras.layers.Dense(2, activation="softmax")(flat), name="odd")
    with pytest.raises(
        ModelError, match=r"TensorFlow cannot convert odd to int8 \(TFLite has no Erf\); use layers"
    ):
        quantise(model, np.zeros((2, 24, 24, 3), np.uint8), PLAIN)


def _scales(content: bytes) -> list[float]:
    graph = load_schema().ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    noted = [tensor.quantization.scale for tensor in graph.tensors if tensor.quantization is not None]
    return [float(scale[0]) for scale in noted if scale is not None and len(scale) == 1]


@pytest.mark.parametrize(
    ("name", "dtypes", "worst"),
    [
        ("percentile", ("int8", "int8"), 0.05),
        ("float-head", ("int8", "float32"), 0.05),
        ("int16x8", ("float32", "float32"), 0.05),
        ("dynamic", ("float32", "float32"), 0.05),
        ("float16", ("float32", "float32"), 0.002),
        ("float32", ("float32", "float32"), 1e-5),
    ],
)
def test_every_recipe_keeps_what_it_promises(
    toy_model: Any,
    calibration: Crops,
    held_out: Crops,
    tmp_path: Path,
    name: str,
    dtypes: tuple[str, str],
    worst: float,
) -> None:
    recipe = RECIPES[name]
    path = tmp_path / "toy.tflite"
    path.write_bytes(quantise(toy_model, calibration.pixels, recipe))
    network = Network(path, runtime="ai_edge_litert")
    assert (network.input.dtype, network.output.dtype) == dtypes
    assert (recipe.input_dtype, recipe.output_dtype) == dtypes
    assert not set(network.ops()) & set(SHAPE_OPS)
    delta = np.abs(network.outputs(held_out.pixels) - predict(toy_model, held_out.pixels))
    assert delta.max() < worst


def test_percentiles_narrow_the_activations_alone(toy_model: Any, calibration: Crops) -> None:
    network = static_graph(toy_model)
    plain = _scales(convert_network(network, calibration.pixels[:20], PLAIN))
    cut = _scales(convert_network(network, calibration.pixels[:20], replace(PLAIN, percentile=95.0)))
    assert len(plain) == len(cut)
    assert cut[0] == plain[0] == 1.0
    assert sum(b < 0.9 * a for a, b in zip(plain, cut, strict=True)) >= 4
    assert cut[-2:] == plain[-2:]  # logits and probabilities


def test_all_values_held_is_no_narrowing(toy_model: Any, calibration: Crops) -> None:
    network, whole = static_graph(toy_model), replace(PLAIN, percentile=100.0)
    plain = _scales(convert_network(network, calibration.pixels[:20], PLAIN))
    same = _scales(convert_network(network, calibration.pixels[:20], whole))
    # Layers that are joined get the widest of their ranges.
    assert all(b >= 0.999 * a for a, b in zip(plain, same, strict=True))
    assert max(same[1:-2]) == pytest.approx(max(plain[1:-2]), rel=1e-3)


def test_a_range_is_cut_on_both_sides_where_values_are_negative() -> None:
    counts = np.array([1, 0, 0, 49, 49, 0, 0, 1])
    assert percentile_range(counts, -4.0, 4.0, 98.0) == (-1.0, 1.0)
    assert percentile_range(counts, 0.0, 8.0, 98.0) == (0.0, 5.0)
    assert percentile_range(counts, -4.0, 4.0, 100.0) == (-4.0, 4.0)
