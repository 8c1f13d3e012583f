"""The engines that run the network: the device's interpreters, and those that other packages provide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import ModelBundle
from edge.classification.interpreter import Network, RuntimeName, installed_runtimes
from edge.errors import EdgeError

#: Engines outside the device package announce a function from :class:`EngineRequest` to :class:`Engine`
#: here, so that `edge` never names TensorFlow; see pyproject.toml.
PLUGIN_GROUP = "blastcount.bench_engines"


class Engine(Protocol):
    """Something that runs the network."""

    @property
    def name(self) -> str:
        """Short name without spaces, e.g. ``onnxruntime``."""
        ...

    @property
    def version(self) -> str:
        """Name and version for the report."""
        ...

    def outputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run (n, size, size, 3) uint8 RGB crops; (n, 2) float32 (normal, blast)."""
        ...


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine is made of.

    Attributes
    ----------
    bundle : the model under test
    keras_path : the Keras model it was converted from, where known
    threads : that the engine may use
    """

    bundle: ModelBundle
    keras_path: Path | None
    threads: int


@dataclass(frozen=True, slots=True)
class MissingEngine:
    """An engine that was asked for and could not take part.

    Attributes
    ----------
    name : of the engine
    reason : why not
    """

    name: str
    reason: str


class TfliteEngine:
    """One of the device's interpreters.

    Parameters
    ----------
    request : model and threads
    runtime : which interpreter; None takes the one that ``count`` takes

    Raises
    ------
    RuntimeMissingError, ModelError
        The interpreter is not there or refuses the network.
    """

    def __init__(self, request: EngineRequest, runtime: RuntimeName | None = None) -> None:
        self._network = Network(request.bundle.tflite_path, threads=request.threads, runtime=runtime)
        self.version = self._network.runtime
        self.name = self.version.partition(" ")[0]

    def outputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the crops as ``count`` does."""
        return self._network.outputs(crops)


def other_engines(request: EngineRequest) -> Iterator[Engine | MissingEngine]:
    """Go through every installed engine but the one that ``count`` takes.

    Yields
    ------
    the engine, or why it cannot take part
    """
    for runtime in installed_runtimes()[1:]:
        try:
            yield TfliteEngine(request, runtime)
        except EdgeError as error:
            yield MissingEngine(runtime, str(error))
    for entry in sorted(_plugins(), key=lambda plugin: plugin.name):
        try:
            yield entry.load()(request)
        except (ImportError, EdgeError) as error:
            yield MissingEngine(entry.name, str(error))


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=PLUGIN_GROUP))
