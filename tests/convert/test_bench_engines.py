"""The engines of ``bench --compare``: the same network as the bundle's, in other hands."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import bench_engines
from convert.backend import load_keras, load_schema, predict
from convert.bench_engines import KerasEngine, OnnxEngine, to_onnx
from convert.gate.crops import Crops
from convert.quantize import quantise
from convert.recipes import RECIPES
from edge.bench.engines import PLUGIN_GROUP, EngineRequest, TfliteEngine
from edge.classification.card import default_bundle_path, load_bundle
from edge.errors import ModelError, RuntimeMissingError

TINY = Path(__file__).parent.parent / "edge" / "data" / "tiny"


REFERENCE = default_bundle_path().with_stem("akbar2024")


@pytest.fixture(params=[TINY, REFERENCE, default_bundle_path()], ids=["tiny", "akbar2024", "shipped"])
def asked(request: pytest.FixtureRequest) -> EngineRequest:
    return EngineRequest(load_bundle(request.param), None, 1)


def test_onnx_runtime_runs_the_same_network(asked: EngineRequest) -> None:
    onnx, tflite = OnnxEngine(asked), TfliteEngine(asked)
    crops = asked.bundle.golden.crops
    rng = np.random.default_rng(0)
    crops = np.concatenate([crops, rng.integers(0, 256, crops.shape, np.uint8)])
    # Rounding between operations differs by a step or two of the logits, the softmax of TFLite by 1/256.
    assert np.abs(onnx.outputs(crops) - tflite.outputs(crops)).max() < 0.02
    assert onnx.version.startswith("onnxruntime ")


def test_swapped_colours_are_another_network_s_answer(asked: EngineRequest) -> None:
    crops = asked.bundle.golden.crops
    onnx = OnnxEngine(asked)
    assert np.abs(onnx.outputs(crops) - onnx.outputs(crops[..., ::-1])).max() > 0.02


def test_it_runs_in_integers(asked: EngineRequest, tmp_path: Path) -> None:
    onnx, onnxruntime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    content = to_onnx(asked.bundle.tflite_path.read_bytes())
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "QLinearConv" in kinds
    assert not kinds & {"Conv", "FusedConv"}
    # Dense layers, too, unless the bundle's own are in float.
    in_float = asked.bundle.card.output_tensor.dtype == "float32"
    assert ("Gemm" if in_float else "QGemm") in kinds
    assert in_float or not kinds & {"Gemm", "MatMul"}


def test_a_float_head_stays_in_float(toy_model: Any, calibration: Crops, held_out: Crops) -> None:
    onnx, onnxruntime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    content = to_onnx(quantise(toy_model, calibration.pixels, RECIPES["float-head"]))
    assert "Softmax" in {node.op_type for node in onnx.load_from_string(content).graph.node}
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"crops": held_out.pixels})
    assert np.abs(outputs - predict(toy_model, held_out.pixels)).max() < 0.05
    assert len(np.unique(outputs)) > 256  # more than int8 can say


def changed(**settings: Any) -> bytes:  # values of the schema's untyped fields
    """Change the tiny network's first operation, or its input."""
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(TINY.with_suffix(".tflite").read_bytes(), 0)
    graph = model.subgraphs[0]
    if "code" in settings:
        code = model.operatorCodes[graph.operators[0].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, settings["code"])
    if "activation" in settings:
        graph.operators[0].builtinOptions.fusedActivationFunction = settings["activation"]
    if "input_scale" in settings:
        graph.tensors[graph.inputs[0]].quantization.scale = [settings["input_scale"]]
    if "weights" in settings:
        graph.tensors[graph.operators[0].inputs[1]].type = getattr(schema.TensorType, settings["weights"])
    if "flat" in settings:
        for op in graph.operators:
            if model.operatorCodes[op.opcodeIndex].builtinCode == schema.BuiltinOperator.RESHAPE:
                graph.tensors[op.outputs[0]].shape = [1, 2, -1]
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"code": "DEPTHWISE_CONV_2D"}, "operation DEPTHWISE_CONV_2D cannot be rewritten"),
        ({"activation": 3}, "Conv: only ReLU can be fused"),
        ({"input_scale": 0.5}, "input must be int8 of scale 1"),
        ({"weights": "FLOAT32"}, "CONV_2D: weights must be int8"),
        ({"weights": "INT16"}, "weights must be int8 or float"),
        ({"flat": True}, "RESHAPE: only a flattening"),
    ],
)
def test_networks_that_cannot_be_rewritten(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        to_onnx(changed(**settings))


def test_only_flat_branches_can_be_joined() -> None:
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(REFERENCE.with_suffix(".tflite").read_bytes(), 0)
    graph = model.subgraphs[0]
    kinds = [model.operatorCodes[op.opcodeIndex].builtinCode for op in graph.operators]
    joining = graph.operators[kinds.index(schema.BuiltinOperator.CONCATENATION)]
    graph.tensors[joining.outputs[0]].shape = [1, 1, -1]
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ModelError, match="CONCATENATION: only flat tensors"):
        to_onnx(bytes(builder.Output()))


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(bench_engines.importlib, "import_module", absent)
    with pytest.raises(RuntimeMissingError, match="onnxruntime is not installed"):
        OnnxEngine(EngineRequest(load_bundle(TINY), None, 1))


class TestKeras:
    """The Keras model that a bundle was converted from."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        keras = load_keras()
        crop = keras.Input((16, 16, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(crop))
        model = keras.Model(crop, keras.layers.Dense(2, activation="softmax")(pooled))
        model.save(tmp_path / "model.keras")
        return tmp_path / "model.keras"

    @pytest.fixture
    def any_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """TensorFlow takes its threads once a process, and other tests have run it before."""
        threading = importlib.import_module("tensorflow").config.threading
        monkeypatch.setattr(threading, "set_intra_op_parallelism_threads", lambda _: None)
        monkeypatch.setattr(threading, "set_inter_op_parallelism_threads", lambda _: None)

    @pytest.mark.usefixtures("any_threads")
    def test_it_predicts(self, saved: Path) -> None:
        engine = KerasEngine(EngineRequest(load_bundle(TINY), saved, 1))
        outputs = engine.outputs(np.zeros((3, 16, 16, 3), np.uint8))
        assert outputs.shape == (3, 2)
        assert np.allclose(outputs.sum(axis=1), 1)
        assert engine.version.endswith(" predict")

    def test_no_model_is_named(self) -> None:
        with pytest.raises(RuntimeMissingError, match="no Keras model given"):
            KerasEngine(EngineRequest(load_bundle(TINY), None, 1))

    def test_threads_that_are_taken(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: int) -> None:
            raise RuntimeError("cannot be modified after initialization")

        threading = importlib.import_module("tensorflow").config.threading
        monkeypatch.setattr(threading, "set_intra_op_parallelism_threads", refuse)
        with pytest.raises(RuntimeMissingError, match="already runs in this process"):
            KerasEngine(EngineRequest(load_bundle(TINY), saved, 1))


def test_bench_finds_them() -> None:
    found = {entry.name: entry.load() for entry in entry_points(group=PLUGIN_GROUP)}
    assert found == {"keras": KerasEngine, "onnxruntime": OnnxEngine}
