"""The Keras graph: checked, made static, and rewritten without changing what it computes."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.backend import load_keras, load_model, load_tensorflow, native_silence, predict
from convert.converter import quantise
from convert.gate.crops import Crops
from convert.graph.equalise import MAX_GAIN, centre_logits, equalise_channels
from convert.graph.static import check_model, one_graph, refuse_difference, static_graph
from convert.recipes import REFINED
from edge.classification.interpreter import Network
from edge.errors import ModelError, RuntimeMissingError


def _model(*layers: Any, shape: tuple[int, int, int] = (16, 16, 3)) -> Any:
    keras = load_keras()
    tensor = crop = keras.Input(shape)
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(crop, tensor, name="net")


def test_the_toy_is_accepted(toy_model: Any) -> None:
    assert check_model(toy_model) == 24


@pytest.mark.parametrize(
    ("shape", "outputs", "activation", "message"),
    [
        ((16, 8, 3), 2, "softmax", r"input must be \(None, size, size, 3\), got \(None, 16, 8, 3\)"),
        ((16, 16, 1), 2, "softmax", r"input must be \(None, size, size, 3\), got \(None, 16, 16, 1\)"),
        ((16, 16, 3), 4, "softmax", r"output must be \(None, 2\) \(normal, blast\), got \(None, 4\)"),
        ((16, 16, 3), 2, "sigmoid", r"outputs must be probabilities that sum to 1; end it in a softmax"),
    ],
)
def test_other_models_are_refused(
    shape: tuple[int, int, int], outputs: int, activation: str, message: str
) -> None:
    layers = load_keras().layers
    dense = layers.Dense(outputs, activation=activation, bias_initializer="ones")
    with pytest.raises(ModelError, match=message):
        check_model(_model(layers.Flatten(), dense, shape=shape))


def test_the_static_copy_is_the_same_network(toy_model: Any, held_out: Crops) -> None:
    static = static_graph(toy_model)
    np.testing.assert_allclose(
        predict(static, held_out.pixels), predict(toy_model, held_out.pixels), atol=1e-6
    )
    assert not any(type(layer).__name__ == "Flatten" for layer in static.layers)
    again = static_graph(static)
    np.testing.assert_allclose(predict(again, held_out.pixels), predict(static, held_out.pixels), atol=1e-6)


def test_a_reshape_is_made_static_too() -> None:
    layers = load_keras().layers
    model = _model(layers.Reshape((256, 3)), layers.Flatten(), layers.Dense(2, activation="softmax"))
    assert [type(layer).__name__ for layer in static_graph(model).layers[1:3]] == ["StaticReshape"] * 2


def test_a_copy_that_computes_something_else_is_refused(toy_model: Any) -> None:
    changed = static_graph(toy_model)
    kernel, bias = changed.get_layer("p").get_weights()
    changed.get_layer("p").set_weights([kernel, bias + np.array([0.1, -0.1])])
    with pytest.raises(ModelError, match=r"toy: the copy differs from the model by 0\.0\d+ in p"):
        refuse_difference(toy_model, changed, "the copy")


def test_equalisation_changes_ranges_and_no_output(
    toy_model: Any, calibration: Crops, held_out: Crops
) -> None:
    keras = load_keras()
    network = static_graph(toy_model)
    peaks = keras.Model(network.input, [network.get_layer(name).output for name in ("conv1", "conv2")])
    before = [np.asarray(out).max(axis=(0, 1, 2)) for out in peaks(calibration.pixels.astype(np.float32))]
    assert equalise_channels(network, calibration.pixels) > 0
    after = [np.asarray(out).max(axis=(0, 1, 2)) for out in peaks(calibration.pixels.astype(np.float32))]
    np.testing.assert_allclose(
        predict(network, held_out.pixels), predict(toy_model, held_out.pixels), atol=1e-5
    )
    top = max(peak.max() for peak in before)
    for was, now in zip(before, after, strict=True):
        alive = was > top / MAX_GAIN**2
        assert alive.any()
        np.testing.assert_allclose(now[alive], np.sqrt(was[alive] * top), rtol=1e-3)


def test_a_channel_that_is_never_on_is_left_alone(toy_model: Any, calibration: Crops) -> None:
    network = static_graph(toy_model)
    kernel, bias = network.get_layer("conv1").get_weights()
    kernel[..., 0], bias[0] = 0, -1
    network.get_layer("conv1").set_weights([kernel, bias])
    equalise_channels(network, calibration.pixels)
    weights = network.get_layer("conv1").get_weights()
    assert np.isfinite(weights[0]).all()
    assert weights[1][0] == -1


def test_channels_whose_factor_cannot_be_taken_back_keep_it(calibration: Crops) -> None:
    """A sigmoid is no f(s x) = s f(x), and an addition mixes channels of two layers."""
    keras = load_keras()
    layers = keras.layers
    crop = keras.Input((24, 24, 3))
    first = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(crop))
    second = layers.Conv2D(4, 3, padding="same", activation="relu")(first)
    third = layers.Conv2D(4, 3, padding="same", activation="linear")(layers.Add()([first, second]))
    pooled = layers.GlobalAveragePooling2D()(layers.Activation("sigmoid")(third))
    model = keras.Model(crop, layers.Dense(2, activation="softmax")(pooled))
    network = static_graph(model)
    assert equalise_channels(network, calibration.pixels) == 0
    refuse_difference(model, network, "it", tolerance=1e-6)


def test_a_network_without_convolutions_has_nothing_to_equalise(calibration: Crops) -> None:
    layers = load_keras().layers
    model = _model(layers.Flatten(), layers.Dense(2, activation="softmax"), shape=(24, 24, 3))
    assert equalise_channels(static_graph(model), calibration.pixels) == 0


def test_centred_logits_are_each_others_negative(toy_model: Any) -> None:
    network = static_graph(toy_model)
    assert centre_logits(network)
    for weight in network.get_layer("p").get_weights():
        np.testing.assert_allclose(weight[..., 0], -weight[..., 1], atol=1e-6)
    refuse_difference(toy_model, network, "it", tolerance=1e-5)


def test_logits_that_cannot_be_centred_are_left(toy_model: Any) -> None:
    layers = load_keras().layers
    assert not centre_logits(_model(layers.Flatten(), layers.Dense(2), layers.Softmax()))


def _sequential(*front: Any) -> Any:
    keras = load_keras()
    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(4, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)])
    back = [layers.Flatten(), layers.Dense(2, activation="softmax")]
    return keras.Sequential([*front, layers.Rescaling(1 / 255), inner, *back], name="turn")


def test_a_sequential_model_is_converted(held_out: Crops, tmp_path: Path) -> None:
    _sequential(load_keras().Input((24, 24, 3))).save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    graph = one_graph(model)
    np.testing.assert_allclose(predict(graph, held_out.pixels), predict(model, held_out.pixels), atol=1e-6)
    path = tmp_path / "turn.tflite"
    path.write_bytes(quantise(graph, held_out.pixels[:20], REFINED))
    outputs = Network(path, runtime="ai_edge_litert").outputs(held_out.pixels)
    assert np.abs(outputs - predict(model, held_out.pixels)).max() < 0.05


def test_a_model_that_is_one_graph_is_left_and_one_never_built_refused(toy_model: Any) -> None:
    assert one_graph(toy_model) is toy_model
    with pytest.raises(ModelError, match="turn: the model was never built and holds no weights; train it"):
        one_graph(_sequential())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file is missing"),
        (b"", "the file is empty"),
        (b"no model", "no Keras model, which is a zip file, or cut off"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, the form of older Keras; name it .h5"),
        ({"notes.txt": "x"}, "a zip file without the description of a Keras network"),
        ({"config.json": "no JSON"}, "a zip file without the description of a Keras network"),
        ({"config.json": '{"module": "keras", "class_name": "Nothing"}'}, "not a Keras 3 model"),
        (Path("assets"), "a folder, expected a file"),
        (Path("saved_model.pb"), "a SavedModel folder, which holds TensorFlow's operations"),
    ],
    ids=str,
)
def test_what_is_no_model_is_refused_with_the_reason(
    tmp_path: Path, content: bytes | dict[str, str] | Path | None, reason: str
) -> None:
    path = tmp_path / "model.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    elif content is not None:
        path.mkdir()
        (path / content).touch()
    with pytest.raises(ModelError, match=f"model\\.keras: {reason}"):
        load_model(path)


def test_code_of_the_author_s_is_named_and_never_run(tmp_path: Path) -> None:
    keras = load_keras()

    @keras.saving.register_keras_serializable("mine")
    class Own(keras.layers.Layer):  # type: ignore[misc,name-defined]  # loaded on demand, without types
        def call(self, tensor: Any) -> Any:
            return tensor

    _model(keras.layers.Lambda(lambda crop: crop / 255), Own()).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"layers whose code is not Keras's own \(Lambda, Own\)"):
        load_model(tmp_path / "model.keras")


def test_without_tensorflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(RuntimeMissingError, match=r"conversion needs TensorFlow.*blastcount\[convert\]"):
        load_tensorflow()


def test_chatter_goes_to_the_log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    def chatter_and_fail() -> None:
        with native_silence():
            os.write(1, b"saved a graph\n")
            os.write(2, b"W0000 ignored something\n")
            print("from Python")  # noqa: T201  # what is to be silenced
            raise RuntimeError("failed")

    with caplog.at_level("DEBUG", logger="convert.backend"), pytest.raises(RuntimeError, match="failed"):
        chatter_and_fail()
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == ["saved a graph", "W0000 ignored something"]
    os.write(1, b"loud again\n")
    assert capfd.readouterr().out == "loud again\n"
