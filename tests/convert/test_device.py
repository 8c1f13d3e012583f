"""Interpreters in processes of their own, where TensorFlow cannot answer in their place."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from convert.gate import device, probe
from convert.gate.device import check_golden_on_device, run_on_device
from convert.gate.probe import LARGE_BATCH, batch_differences
from edge.classification.interpreter import Network
from edge.errors import GateError, ModelError

TINY = Path(__file__).parent.parent / "edge" / "data" / "tiny.tflite"
CROPS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def test_a_run_gives_what_the_network_gives() -> None:
    run = run_on_device(TINY, "ai_edge_litert", CROPS, timed=7)
    network = Network(TINY, runtime="ai_edge_litert")
    assert (run.runtime, run.input, run.output, run.lsb) == (
        network.runtime,
        network.input,
        network.output,
        network.lsb,
    )
    np.testing.assert_array_equal(run.outputs, network.outputs(CROPS))
    assert run.batch_differences == 0
    assert run.latency_ms.shape == (7,)
    assert (run.latency_ms > 0).all()


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"TFL3")
    with pytest.raises(ModelError, match=r"bad\.tflite: .* cannot open it"):
        run_on_device(path, "ai_edge_litert", CROPS)
    with pytest.raises(GateError, match="bad"):
        check_golden_on_device(path, "ai_edge_litert")


def test_a_child_that_dies_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match=r"tiny\.tflite: ai_edge_litert ended with 1 \(no message\)"):
        run_on_device(TINY, "ai_edge_litert", CROPS)


def test_beside_tensorflow_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    np.save(tmp_path / "crops.npy", CROPS)
    answer = tmp_path / "answer.npz"
    probe.main(["look", str(TINY), "ai_edge_litert", str(tmp_path / "crops.npy"), "0", str(answer)])
    with np.load(answer) as found:
        assert found.files == ["facts"]
        assert "TensorFlow is loaded" in json.loads(str(found["facts"]))["error"]


def test_a_difference_in_batches_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(TINY)
    assert batch_differences(network, CROPS) == 0
    true_outputs = network.outputs

    def outputs(crops: np.ndarray, batch: int = 4) -> np.ndarray:
        given = true_outputs(crops, batch=batch)
        if batch == LARGE_BATCH:
            given[2, 1] += np.float32(1 / 256)
        return given

    monkeypatch.setattr(network, "outputs", outputs)
    assert batch_differences(network, CROPS) == 1
