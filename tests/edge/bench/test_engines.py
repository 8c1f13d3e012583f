"""The device's interpreters and the engines of other packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bench import engines
from edge.bench.engines import EngineRequest, MissingEngine, TfliteEngine, other_engines
from edge.classification.card import load_bundle
from edge.classification.interpreter import installed_runtimes
from edge.errors import RuntimeMissingError


class Constant:
    """An engine of another package."""

    name = "constant"
    version = "constant 1"

    def __init__(self, request: EngineRequest) -> None:
        self.request = request

    def outputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.tile(np.float32([1, 0]), (len(crops), 1))


class Plugin:
    """Stands in for an entry point."""

    def __init__(self, name: str, load: Callable[[], object]) -> None:
        self.name = name
        self.load = load


@pytest.fixture
def request_for_tiny(tiny_model: Path) -> EngineRequest:
    return EngineRequest(load_bundle(tiny_model), None, 1)


def test_the_own_engine_gives_what_the_network_gives(request_for_tiny: EngineRequest) -> None:
    engine = TfliteEngine(request_for_tiny)
    assert engine.name == installed_runtimes()[0]
    assert engine.version.startswith(f"{engine.name} ")
    golden = request_for_tiny.bundle.golden
    blasts = engine.outputs(golden.crops)[:, 1] > 0.5
    assert np.array_equal(blasts, golden.p_blast > 0.5)


def test_engines_of_others_and_why_some_cannot_take_part(
    request_for_tiny: EngineRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: EngineRequest) -> None:
        raise RuntimeMissingError("no model given")

    def unimportable() -> None:
        raise ImportError("no module")

    plugins = [
        Plugin("z", lambda: Constant),
        Plugin("b", lambda: refuse),
        Plugin("a", unimportable),
    ]
    monkeypatch.setattr(engines, "_plugins", lambda: plugins)
    found = list(other_engines(request_for_tiny))
    others = installed_runtimes()[1:]
    assert [engine.name for engine in found] == [*others, "a", "b", "constant"]
    assert found[-3:-1] == [MissingEngine("a", "no module"), MissingEngine("b", "no model given")]
    constant = found[-1]
    assert isinstance(constant, Constant)
    assert constant.request is request_for_tiny


def test_an_interpreter_that_refuses_the_network(
    request_for_tiny: EngineRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeMissingError("does not start")

    monkeypatch.setattr(engines, "installed_runtimes", lambda: ("ai_edge_litert", "tflite_runtime"))
    monkeypatch.setattr(engines, "TfliteEngine", broken)
    monkeypatch.setattr(engines, "_plugins", list)
    assert list(other_engines(request_for_tiny)) == [MissingEngine("tflite_runtime", "does not start")]


def test_engines_are_looked_for_under_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("x", "y:z", engines.PLUGIN_GROUP)
    monkeypatch.setattr(engines, "entry_points", lambda group: [entry] if group == entry.group else [])
    assert engines._plugins() == [entry]
