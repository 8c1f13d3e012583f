"""The seam to the TFLite interpreters: a network opened in one of them, crops in, probabilities out."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import DTYPES, TensorSpec
from edge.errors import ImageError, ModelError, RuntimeMissingError

log = logging.getLogger(__name__)


class Interpreter(Protocol):
    """What is used of the three runtimes' class of this name."""

    def get_input_details(self) -> list[dict[str, Any]]:
        """Describe the inputs."""

    def get_output_details(self) -> list[dict[str, Any]]:
        """Describe the outputs."""

    def resize_tensor_input(self, input_index: int, tensor_size: tuple[int, ...]) -> None:
        """Change the shape of an input."""

    def allocate_tensors(self) -> None:
        """Make the tensors."""

    def set_tensor(self, tensor_index: int, value: NDArray[Any]) -> None:
        """Copy a value into a tensor."""

    def get_tensor(self, tensor_index: int) -> NDArray[Any]:
        """Copy a tensor."""

    def invoke(self) -> None:
        """Run the graph."""

    def _get_ops_details(self) -> list[dict[str, Any]]: ...


RuntimeName = Literal["ai_edge_litert", "tflite_runtime", "tf.lite"]
#: In the order in which they are taken: module with ``Interpreter``, and distributions that name the version.
_RUNTIMES: dict[RuntimeName, tuple[str, tuple[str, ...]]] = {
    "ai_edge_litert": ("ai_edge_litert.interpreter", ("ai-edge-litert",)),
    "tflite_runtime": ("tflite_runtime.interpreter", ("tflite-runtime",)),
    "tf.lite": ("tensorflow.lite.python.interpreter", ("tensorflow", "tensorflow-cpu")),
}
RUNTIMES: tuple[RuntimeName, ...] = tuple(_RUNTIMES)
#: Crops per invocation where there are that many. Measured with the seed network on x86, one thread, CPU ms a
#: crop at batch 1/2/4/8: litert 1.39/1.30/1.16/1.19, tflite-runtime 10.9/10.8/10.1/9.7. Larger batches gain
#: nothing more, take 0.6 to 3 MB of working memory a crop, and fall out of the second-level cache.
BATCH = 4


def installed_runtimes() -> tuple[RuntimeName, ...]:
    """Name the runtimes that can be imported, best first.

    Only the device's two are looked for: ``tf.lite`` costs a TensorFlow import and is what an engineer
    asks for by name.

    Raises
    ------
    RuntimeMissingError
        One is installed but broken.
    """
    return tuple(name for name in RUNTIMES[:2] if _interpreter_class(name) is not None)


class Network:
    """One ``.tflite`` file in one interpreter: uint8 crops in, the network's own probabilities out.

    Not safe to share between threads: an interpreter has one set of tensors.

    Parameters
    ----------
    path : the ``.tflite`` file
    threads : threads that one invocation may use, 1 or more
    runtime : which interpreter; None takes the first installed of ``RUNTIMES``

    Attributes
    ----------
    runtime : name and version of the interpreter, e.g. ``ai_edge_litert 2.3.0``
    input, output : the file's tensors

    Raises
    ------
    RuntimeMissingError
        The runtime asked for (or any, where none is) is missing or broken.
    ModelError
        The file is missing, no TFLite model, or not a crop classifier.
    """

    def __init__(self, path: Path, *, threads: int = 1, runtime: RuntimeName | None = None) -> None:
        if threads < 1:
            raise ModelError(f"threads must be 1 or more, got {threads}")
        if not path.is_file():
            raise ModelError(f"model file {path} is missing; give the path of a .tflite file")
        name, self._class = _choose(runtime)
        self.runtime = f"{name} {_version(name)}"
        self._path = path
        self._threads = threads
        # One interpreter for single crops and one for full batches: going back and forth in one costs an
        # allocation of 1 ms each time, nearly a crop's; a second one costs its tensors (about 6 MB).
        self._interpreters: dict[int, Interpreter] = {1: self._open(1)}
        first = self._interpreters[1]
        inputs, outputs = first.get_input_details(), first.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{path.name}: expected one input and one output, got {len(inputs)} and {len(outputs)}; "
                "this is not a cell classifier"
            )
        self.input = _tensor_spec(inputs[0], path.name)
        self.output = _tensor_spec(outputs[0], path.name)
        shape = self.input.shape
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3:
            raise ModelError(f"{path.name}: input must be (1, size, size, 3), got {shape}")
        if self.output.shape != (1, 2):
            raise ModelError(f"{path.name}: output must be (1, 2) (normal, blast), got {self.output.shape}")
        self._levels = _input_levels(self.input)
        log.info("model %s runs in %s with %d thread(s)", path.name, self.runtime, threads)

    @property
    def size_px(self) -> int:
        """Side of the square crop in px."""
        return self.input.shape[1]

    @property
    def lsb(self) -> float:
        """Smallest step of the output; for float32 the step below 1."""
        if self.output.dtype == "float32":
            return float(np.finfo(np.float32).epsneg)
        return self.output.scale

    def ops(self) -> tuple[str, ...]:
        """Names of the graph's operations in order, as the interpreter sees them."""
        # The only way to the operations short of parsing the file; both runtimes have it.
        return tuple(op["op_name"] for op in self._interpreters[1]._get_ops_details())

    def outputs(self, crops: NDArray[np.uint8], batch: int = BATCH) -> NDArray[np.float32]:
        """Run the network.

        Parameters
        ----------
        crops : (n, size_px, size_px, 3) uint8 RGB; n may be 0
        batch : crops an invocation, 1 or more; what is left over runs one by one

        Returns
        -------
        (n, 2) float32
            What the softmax gave for (normal, blast), before any temperature.

        Raises
        ------
        ImageError
            The crops have another shape or dtype.
        ModelError
            The network gave something that is no number.
        """
        expected = (len(crops) if crops.ndim else 0, *self.input.shape[1:])
        if crops.dtype != np.uint8 or crops.shape != expected:
            raise ImageError(
                f"crops must be (n, {self.size_px}, {self.size_px}, 3) uint8 RGB, "
                f"got {crops.shape} {crops.dtype}; cut them with edge.classification.crop.to_input"
            )
        stored = np.empty((len(crops), 2), self.output.dtype)
        done = 0
        while done < len(crops):
            size = batch if len(crops) - done >= batch else 1
            stored[done : done + size] = self._invoke(crops[done : done + size])
            done += size
        if self.output.dtype == "float32":
            if not np.isfinite(stored).all():
                raise ModelError(
                    f"{self._path.name}: the network gives values that are no numbers; convert it again"
                )
            return np.asarray(stored, np.float32)
        real = (stored.astype(np.float32) - np.float32(self.output.zero_point)) * np.float32(
            self.output.scale
        )
        return np.asarray(real, np.float32)

    def _invoke(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        interpreter = self._interpreters.get(len(crops))
        if interpreter is None:
            interpreter = self._interpreters[len(crops)] = self._open(len(crops))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], self._quantise(crops))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    def _quantise(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        if self._levels is None:
            # scale 1, zero point -128: subtracting 128 is a flip of the top bit.
            return np.bitwise_xor(crops, np.uint8(0x80)).view(np.int8)
        return self._levels[crops]

    def _open(self, batch: int) -> Interpreter:
        with _native_log(), warnings.catch_warnings():
            # tf.lite advises moving to LiteRT, which was looked for before it.
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            try:
                interpreter = self._class(model_path=str(self._path), num_threads=self._threads)
                if batch != 1:
                    details = interpreter.get_input_details()[0]
                    interpreter.resize_tensor_input(details["index"], (batch, *details["shape"][1:]))
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{self._path.name}: {self.runtime} cannot open it "
                    f"({_first_line(error)}); convert the model again for this runtime"
                ) from error
            except (ImportError, AttributeError, SystemError) as error:
                # tflite-runtime 2.14 imports under numpy 2 and only then finds out.
                raise _broken(self.runtime, error) from error
        return interpreter


def check_tensors(
    network: Network, expected_input: TensorSpec, expected_output: TensorSpec, name: str
) -> None:
    """Refuse a network whose tensors are not the ones its card promises.

    Raises
    ------
    ModelError
        Shape, dtype, scale or zero point differ.
    """
    for role, found, expected in (
        ("input", network.input, expected_input),
        ("output", network.output, expected_output),
    ):
        # float32 rounds the scale that the card holds as a float64.
        same_scale = np.float32(found.scale) == np.float32(expected.scale)
        if (found.shape, found.dtype, found.zero_point) != (
            expected.shape,
            expected.dtype,
            expected.zero_point,
        ) or not same_scale:
            raise ModelError(
                f"{name}: the card says {role} {_describe(expected)}, the network has {_describe(found)}; "
                "use the card that was written with this network"
            )


def _describe(spec: TensorSpec) -> str:
    return f"{spec.shape} {spec.dtype} scale {spec.scale:g} zero point {spec.zero_point}"


def _tensor_spec(details: dict[str, Any], name: str) -> TensorSpec:
    found = np.dtype(details["dtype"]).name
    dtype = next((known for known in DTYPES if known == found), None)
    if dtype is None:
        raise ModelError(
            f"{name}: tensors must be one of {', '.join(DTYPES)}, got {found}; convert it to full int8"
        )
    scale, zero_point = details["quantization"]
    if dtype != "float32" and not scale > 0:
        raise ModelError(f"{name}: a {dtype} tensor without a scale; convert the model again")
    return TensorSpec(tuple(int(n) for n in details["shape"]), dtype, float(scale), int(zero_point))


def _input_levels(spec: TensorSpec) -> NDArray[Any] | None:
    """Look up the stored value of each of the 256 pixel values; None where a flip of the top bit does it."""
    pixel_values = np.arange(256, dtype=np.float32)
    if spec.dtype == "float32":
        return pixel_values
    if spec.dtype == "int8" and spec.scale == 1.0 and spec.zero_point == -128:
        return None
    limits = np.iinfo(spec.dtype)
    stored = np.rint(pixel_values / np.float32(spec.scale)) + spec.zero_point
    return np.asarray(np.clip(stored, limits.min, limits.max), dtype=spec.dtype)


def _choose(runtime: RuntimeName | None) -> tuple[RuntimeName, Callable[..., Interpreter]]:
    """Find the interpreter class; what is installed but broken is said, not passed over."""
    for name in RUNTIMES if runtime is None else (runtime,):
        if name not in _RUNTIMES:
            raise RuntimeMissingError(f"runtime must be one of {', '.join(RUNTIMES)}, got {name!r}")
        found = _interpreter_class(name)
        if found is not None:
            return name, found
    wanted = "no TFLite interpreter is" if runtime is None else f"{runtime} is not"
    package = "ai-edge-litert" if runtime is None else _RUNTIMES[runtime][1][0]
    raise RuntimeMissingError(f"{wanted} installed; install it with: pip install {package}")


def _interpreter_class(name: RuntimeName) -> Callable[..., Interpreter] | None:
    """Import a runtime's ``Interpreter``; None where it is not installed."""
    module = _RUNTIMES[name][0]
    if name == "tf.lite":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return cast(Callable[..., Interpreter], importlib.import_module(module).Interpreter)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            return None
        raise _broken(name, error) from error
    except (ImportError, AttributeError) as error:
        raise _broken(name, error) from error


def _broken(runtime: str, error: Exception) -> RuntimeMissingError:
    return RuntimeMissingError(
        f"{runtime} is installed but does not start ({_first_line(error)}); reinstall it "
        "(tflite-runtime 2.14 needs numpy<2)"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().partition("\n")[0][:160]


def _version(name: RuntimeName) -> str:
    for distribution in _RUNTIMES[name][1]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


@contextmanager
def _native_log() -> Iterator[None]:
    """Pass what the interpreter's C++ code writes to stderr through, but its INFO lines to the log.

    The C++ library has no switch for its greeting ("INFO: Created TensorFlow Lite XNNPACK delegate for
    CPU."), which would stand in front of a table. Everything else it writes still reaches stderr, at the end.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield  # a process without stderr has nobody to disturb
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().splitlines(keepends=True):
                if line.startswith(b"INFO: "):
                    log.debug("%s", line[6:].decode(errors="replace").rstrip())
                else:
                    os.write(2, line)
