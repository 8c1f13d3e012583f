"""The gate says no to every figure out of its limit, and shows all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.gate import LIMITS, Finding, Verdict, judge
from convert.parity import RuntimeParity, batch_differences, compare
from edge.errors import GateError
from edge.interpreter import Network
from edge.modelcard import TensorSpec

TINY = Path(__file__).parent.parent / "edge" / "data" / "tiny.tflite"
GOOD = RuntimeParity(
    "x 1.0", n=1000, keras_blasts=300, flipped=5, mean_delta_p=0.005, p99_delta_p=0.03, max_delta_p=0.05
)


class Network2(Network):
    """Real network whose description a test can falsify."""

    false_ops: tuple[str, ...] | None = None

    def ops(self) -> tuple[str, ...]:
        return super().ops() if self.false_ops is None else self.false_ops


def test_the_limits_themselves_pass() -> None:
    verdict = judge([Network(TINY)], [GOOD], {"x 1.0": 0})
    assert verdict.passed
    verdict.refuse()
    assert "verdict: passed" in verdict.table()
    assert "REFUSED" not in verdict.table()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (replace(GOOD, flipped=6), r"agreement with Keras 99\.40 % \(limit >= 99\.5 %\)"),
        (replace(GOOD, mean_delta_p=0.0051), r"mean \|Δp\| 0\.0051 \(limit <= 0\.005\)"),
        (replace(GOOD, p99_delta_p=0.0301), r"p99 \|Δp\| 0\.0301"),
        (replace(GOOD, max_delta_p=0.0501), r"max \|Δp\| 0\.0501"),
        (replace(GOOD, max_delta_p=float("nan")), r"max \|Δp\| nan"),
        (replace(GOOD, n=49, keras_blasts=20, flipped=0), r"held-out crops 49 \(limit >= 50\)"),
        (replace(GOOD, keras_blasts=4), r"of the rarer class \(Keras\) 4 \(limit >= 5\)"),
        (replace(GOOD, keras_blasts=996), r"of the rarer class \(Keras\) 4 \(limit >= 5\)"),
    ],
)
def test_each_figure_alone_refuses(bad: RuntimeParity, message: str) -> None:
    verdict = judge([Network(TINY)], [GOOD, bad], {"x 1.0": 0})
    assert sum(not finding.passed for finding in verdict.findings) == 1
    assert verdict.table().count("REFUSED") == 2
    with pytest.raises(GateError, match=message) as caught:
        verdict.refuse()
    assert caught.value.exit_code == 4
    assert "nothing was written" in str(caught.value)


@pytest.mark.parametrize("op", ["SHAPE", "STRIDED_SLICE", "PACK"])
def test_a_dynamic_graph_refuses(op: str) -> None:
    network = Network2(TINY)
    network.false_ops = ("CONV_2D", op)
    with pytest.raises(GateError, match=f"operations that ask for a shape {op}"):
        judge([network], [GOOD], {}).refuse()


@pytest.mark.parametrize(
    ("attribute", "spec", "message"),
    [
        ("input", TensorSpec((1, 16, 16, 3), "int8", 1.0, -127), "input int8 scale 1 zero point -127"),
        ("input", TensorSpec((1, 16, 16, 3), "int8", 0.99, -128), "input int8 scale 0.99"),
        ("input", TensorSpec((1, 16, 16, 3), "uint8", 1.0, 0), "input uint8"),
        ("output", TensorSpec((1, 2), "float32", 0.0, 0), r"output float32 \(limit int8\)"),
    ],
)
def test_other_tensors_refuse(attribute: str, spec: TensorSpec, message: str) -> None:
    network = Network(TINY)
    setattr(network, attribute, spec)
    with pytest.raises(GateError, match=message):
        judge([network], [GOOD], {}).refuse()


def test_a_batch_that_changes_outputs_refuses() -> None:
    with pytest.raises(GateError, match=r"x 1\.0: outputs that differ in a batch 1 \(limit 0\)"):
        judge([Network(TINY)], [GOOD], {"x 1.0": 1}).refuse()


def test_nothing_looked_at_is_no_pass() -> None:
    with pytest.raises(GateError, match="nothing was judged"):
        Verdict(()).refuse()
    with pytest.raises(GateError, match="interpreters 0"):
        judge([], [], {}).refuse()


def test_the_limits_are_those_agreed_on() -> None:
    assert (LIMITS.agreement, LIMITS.mean_delta_p, LIMITS.p99_delta_p, LIMITS.max_delta_p) == (
        0.995,
        0.005,
        0.03,
        0.05,
    )


def test_findings_go_into_the_card_as_they_are() -> None:
    assert Verdict((Finding("a", "1", "2", True),)).to_json() == [
        {"name": "a", "found": "1", "limit": "2", "passed": True}
    ]


def test_figures_of_a_comparison() -> None:
    p_keras = np.linspace(0, 1, 200, dtype=np.float32)
    p = p_keras.copy()
    p[100] -= 0.25  # from 0.503 to the other side
    parity = compare("x", p, p_keras, 0.5)
    assert (parity.n, parity.keras_blasts, parity.flipped) == (200, 100, 1)
    assert parity.agreement == 0.995
    assert parity.max_delta_p == pytest.approx(0.25)
    assert parity.mean_delta_p == pytest.approx(0.25 / 200)
    # Of 200 crops the 99th percentile is the second or third worst, and only one is wrong.
    assert parity.p99_delta_p == 0


def test_p99_is_a_figure_that_a_crop_had() -> None:
    p_keras = np.zeros(50, np.float32)
    p = p_keras.copy()
    p[7] = 0.25
    assert compare("x", p, p_keras, 0.5).p99_delta_p == 0.25


def test_batches_are_compared_even_with_few_crops() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert batch_differences(Network(TINY), crops) == 0


def test_a_difference_in_batches_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(TINY)
    true_outputs = network.outputs

    def outputs(crops: np.ndarray) -> np.ndarray:
        given = true_outputs(crops)
        if len(crops) > 1:
            given[2, 1] += np.float32(1 / 256)
        return given

    monkeypatch.setattr(network, "outputs", outputs)
    assert batch_differences(network, np.zeros((8, 16, 16, 3), np.uint8)) == 1
