"""The seam to the runtimes: which is taken, what is said when none can be, and that C++ keeps quiet."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge.classification.card import TensorSpec
from edge.classification.interpreter import BATCH, Network, RuntimeName, installed_runtimes
from edge.errors import ModelError, RuntimeMissingError

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


class FakeInterpreter:
    """Network of one 16 px crop whose tensors a test can choose."""

    inputs = ({"index": 0, "shape": np.array([1, 16, 16, 3]), "dtype": np.int8, "quantization": (1.0, -128)},)
    outputs = ({"index": 1, "shape": np.array([1, 2]), "dtype": np.int8, "quantization": (1 / 256, -128)},)
    answer = np.array([[-128, 127]], np.int8)
    seen: Any = None

    def __init__(self, model_path: str, num_threads: int) -> None:
        self.num_threads = num_threads
        self.batch = 1

    def get_input_details(self) -> list[dict[str, Any]]:
        return list(self.inputs)

    def get_output_details(self) -> list[dict[str, Any]]:
        return list(self.outputs)

    def resize_tensor_input(self, input_index: int, tensor_size: tuple[int, ...]) -> None:
        self.batch = tensor_size[0]

    def allocate_tensors(self) -> None: ...

    def invoke(self) -> None: ...

    def set_tensor(self, tensor_index: int, value: Any) -> None:
        type(self).seen = value.copy()

    def get_tensor(self, tensor_index: int) -> Any:
        return np.repeat(self.answer, self.batch, axis=0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeInterpreter]:
    """Put a fake in the place of ai_edge_litert; a test may change its class attributes."""
    fresh = type("Fresh", (FakeInterpreter,), {})
    module = ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = fresh  # type: ignore[attr-defined]  # a module made on the spot
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    return fresh


class _Missing(MetaPathFinder):
    """Answers for packages as the import system does where they are not installed."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        package = fullname.partition(".")[0]
        if package in self.packages:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _remove(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages look as if they were not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(packages), *sys.meta_path])


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_the_first_runtime_that_is_installed_is_taken(
    monkeypatch: pytest.MonkeyPatch, runtime: RuntimeName
) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed")
    if runtime != "ai_edge_litert":
        _remove(monkeypatch, "ai_edge_litert")
        assert installed_runtimes() == (runtime,)
    assert Network(TINY).runtime.startswith(f"{runtime} 2.")


@pytest.mark.parametrize(
    ("runtime", "removed", "named"),
    [
        (None, ("ai_edge_litert", "tflite_runtime", "tensorflow"), "pip install ai-edge-litert"),
        # One that was asked for is not replaced by another.
        ("ai_edge_litert", ("ai_edge_litert",), "ai_edge_litert .*pip install ai-edge-litert"),
        ("tflite_runtime", ("tflite_runtime",), "tflite_runtime .*pip install tflite-runtime"),
        ("onnx", (), "ai_edge_litert, .* got 'onnx'"),
    ],
)
def test_a_runtime_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, runtime: RuntimeName | None, removed: tuple[str, ...], named: str
) -> None:
    _remove(monkeypatch, *removed)
    with pytest.raises(RuntimeMissingError, match=named):
        Network(TINY, runtime=runtime)


def test_a_broken_runtime_is_said_and_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("ai_edge_litert.interpreter")  # imports, but has no Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", broken)
    for ask in (lambda: Network(TINY), installed_runtimes):
        with pytest.raises(RuntimeMissingError, match="ai_edge_litert is installed but does not start"):
            ask()


def test_a_runtime_that_lacks_a_part_of_itself_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ai_edge_litert"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    (tmp_path / "ai_edge_litert" / "interpreter.py").write_text("import a_library_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"does not start .*a_library_that_is_not_there"):
        Network(TINY)
    # What was imported from the folder must not outlive it.
    monkeypatch.delitem(sys.modules, "ai_edge_litert")


def test_a_runtime_that_dies_at_construction_is_broken(
    monkeypatch: pytest.MonkeyPatch, fake: type[FakeInterpreter]
) -> None:
    def die(self: FakeInterpreter) -> None:
        raise AttributeError("_ARRAY_API not found")

    monkeypatch.setattr(fake, "allocate_tensors", die)
    with pytest.raises(RuntimeMissingError, match=r"does not start \(_ARRAY_API not found\).*numpy<2"):
        Network(TINY)


@pytest.mark.parametrize("content", [None, b"", b"no network", TINY.read_bytes()[:1500], bytes(4000)])
def test_a_file_that_is_missing_or_no_network_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    for runtime in installed_runtimes():
        named = "is missing" if content is None else f": {runtime} .* cannot open it"
        with pytest.raises(ModelError, match=f"model.tflite.*{named}"):
            Network(path, runtime=runtime)


def test_two_threads_give_the_same() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, 16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Network(TINY, threads=2).outputs(crops), Network(TINY).outputs(crops))


def test_what_a_network_says_of_itself() -> None:
    network = Network(TINY)
    assert (network.size_px, network.lsb) == (16, 1 / 256)
    assert network.input == TensorSpec((1, 16, 16, 3), "int8", 1.0, -128)
    assert network.output == TensorSpec((1, 2), "int8", 1 / 256, -128)
    assert network.ops()[0] == "CONV_2D"
    assert "SHAPE" not in network.ops()
    for threads in (0, -1):
        with pytest.raises(ModelError, match=f"threads .* got {threads}"):
            Network(TINY, threads=threads)


@pytest.mark.parametrize(
    ("where", "change", "named"),
    [
        ("inputs", {"shape": np.array([1, 16, 8, 3])}, r"input .* got \(1, 16, 8, 3\)"),
        ("inputs", {"shape": np.array([1, 16, 16, 1])}, r"input .* got \(1, 16, 16, 1\)"),
        ("inputs", {"shape": np.array([4, 16, 16, 3])}, r"input .* got \(4, 16, 16, 3\)"),
        ("inputs", {"dtype": np.int16}, "int8, uint8, float32, got int16"),
        ("inputs", {"quantization": (0.0, 0)}, "a int8 tensor without a scale"),
        ("outputs", {"shape": np.array([1, 4])}, r"output .* got \(1, 4\)"),
        ("inputs", None, "expected one input and one output, got 2 and 1"),
    ],
)
def test_a_network_of_another_kind_is_refused(
    fake: type[FakeInterpreter], where: str, change: dict[str, Any] | None, named: str
) -> None:
    (usual,) = getattr(fake, where)
    setattr(fake, where, (usual, usual) if change is None else ({**usual, **change},))
    with pytest.raises(ModelError, match=named):
        Network(TINY)


@pytest.mark.parametrize(
    ("dtype", "quantization", "stored"),
    [
        (np.int8, (1.0, -128), [-128, -127, 0, 127]),
        (np.int8, (2.0, -100), [-100, -100, -36, 28]),  # 0.5 rounds to even
        (np.int8, (0.5, -128), [-128, -126, 127, 127]),  # saturates
        (np.uint8, (1.0, 0), [0, 1, 128, 255]),
        (np.uint8, (1.0, 3), [3, 4, 131, 255]),
        (np.float32, (0.0, 0), [0.0, 1.0, 128.0, 255.0]),
    ],
)
def test_pixels_are_stored_as_the_input_wants_them(
    fake: type[FakeInterpreter], dtype: type, quantization: tuple[float, int], stored: list[float]
) -> None:
    fake.inputs = ({**fake.inputs[0], "dtype": dtype, "quantization": quantization},)  # type: ignore[assignment]
    crops = np.zeros((1, 16, 16, 3), np.uint8)
    crops[0, 0, :4, 0] = [0, 1, 128, 255]
    Network(TINY).outputs(crops)
    assert fake.seen.dtype == dtype
    assert fake.seen[0, 0, :4, 0].tolist() == stored


@pytest.mark.parametrize(
    ("dtype", "quantization", "answer", "p"),
    [
        (np.int8, (1 / 256, -128), [-128, 127], [0.0, 255 / 256]),
        (np.uint8, (1 / 256, 0), [64, 192], [0.25, 0.75]),
        (np.float32, (0.0, 0), [0.25, 0.75], [0.25, 0.75]),
        (np.float32, (0.0, 0), [0.5, np.nan], None),
    ],
)
def test_outputs_are_read_as_they_are_stored(
    fake: type[FakeInterpreter], dtype: type, quantization: Any, answer: list[float], p: list[float] | None
) -> None:
    fake.outputs = ({**fake.outputs[0], "dtype": dtype, "quantization": quantization},)  # type: ignore[assignment]
    fake.answer = np.array([answer], dtype)
    crops = np.zeros((BATCH + 1, 16, 16, 3), np.uint8)
    if p is None:
        with pytest.raises(ModelError, match="values that are no numbers"):
            Network(TINY).outputs(crops)
        return
    outputs = Network(TINY).outputs(crops)
    assert outputs.dtype == np.float32
    assert outputs.tolist() == [p] * (BATCH + 1)


def test_the_greeting_goes_to_the_log_and_the_rest_to_stderr(
    monkeypatch: pytest.MonkeyPatch,
    fake: type[FakeInterpreter],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def speak(self: FakeInterpreter) -> None:
        os.write(2, b"INFO: Created a delegate.\nERROR: something is wrong\n")

    monkeypatch.setattr(fake, "allocate_tensors", speak)
    with caplog.at_level(logging.DEBUG, logger="edge.classification.interpreter"):
        Network(TINY)
    assert capfd.readouterr().err == "ERROR: something is wrong\n"
    assert "Created a delegate." in caplog.messages


@pytest.mark.parametrize("closed", [True, False])
def test_a_real_runtime_writes_nothing_to_stderr_and_needs_none(repository: Path, closed: bool) -> None:
    script = (
        "import os, sys; from pathlib import Path; from edge.classification.interpreter import Network\n"
        f"if {closed}: os.close(2)\n"
        "print(Network(Path(sys.argv[1])).size_px)"
    )
    command = [sys.executable, "-c", script, str(TINY)]
    done = subprocess.run(command, cwd=repository, capture_output=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (b"16", b"")
