"""The gate says no to every figure out of its limit, and shows all of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from convert.flatbuffer.accumulators import Accumulator
from convert.gate.crops import Crops
from convert.gate.device import DeviceRun
from convert.gate.parity import Loss, RuntimeParity, compare, field_changes, loss
from convert.gate.verdict import LIMITS, Evidence, Finding, Verdict, judge
from convert.recipes import FLOAT32, PLAIN
from edge.classification.card import TensorSpec
from edge.errors import GateError

LOSS = Loss(n=500, kept=480, lost=3, gained=1, points=0.4, low=-0.5, high=1.5, mcnemar_p=0.6)
GOOD = RuntimeParity(
    "x 1.0",
    n=1000,
    keras_blasts=300,
    flipped=5,
    mean_delta_p=0.005,
    p99_delta_p=0.03,
    max_delta_p=0.05,
    sensitivity=LOSS,
    specificity=LOSS,
    fields=40,
    p95_field_points=1.0,
)
RUN = DeviceRun(
    runtime="x 1.0",
    input=TensorSpec((1, 16, 16, 3), "int8", 1.0, -128),
    output=TensorSpec((1, 2), "int8", 1 / 256, -128),
    lsb=1 / 256,
    ops=("CONV_2D", "SOFTMAX"),
    outputs=np.zeros((8, 2), np.float32),
    batch_differences=0,
    latency_ms=np.empty(0, np.float32),
)
SUM = Accumulator("conv1/Relu", 2**31 - 1, 2**31 - 1)
WHOLE = Evidence(recipe=PLAIN, runs=[RUN], parities=[GOOD], accumulators=[SUM], groups=12, whole=True)


def test_the_limits_themselves_pass_and_nothing_is_left_open() -> None:
    verdict = judge(WHOLE)
    assert verdict.passed
    verdict.refuse()
    assert verdict.table().endswith("verdict: passed")
    assert "REFUSED" not in verdict.table()
    assert "open\n" not in verdict.table()


def _refused_alone(evidence: Evidence, message: str) -> None:
    verdict = judge(evidence)
    assert sum(finding.passed is False for finding in verdict.findings) == 1
    assert verdict.table().count("REFUSED") == 2
    with pytest.raises(GateError, match=message) as caught:
        verdict.refuse()
    assert caught.value.exit_code == 4
    assert "nothing was written" in str(caught.value)


@pytest.mark.requirement(10)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flipped": 6}, r"agreement with Keras 99\.40 % \(98\.7 to 99\.8\) \(limit >= 99\.5 %\)"),
        ({"mean_delta_p": 0.0051}, r"mean \|Δp\| 0\.0051 \(limit <= 0\.005\)"),
        ({"p99_delta_p": 0.0301}, r"p99 \|Δp\| 0\.0301"),
        ({"max_delta_p": 0.0501}, r"max \|Δp\| 0\.0501"),
        ({"max_delta_p": float("nan")}, r"max \|Δp\| nan"),
        ({"n": 49, "keras_blasts": 20, "flipped": 0}, r"held-out crops 49 \(limit >= 50\)"),
        ({"keras_blasts": 4}, r"of the rarer class \(Keras\) 4 \(limit >= 5\)"),
        ({"keras_blasts": 996}, r"of the rarer class \(Keras\) 4 \(limit >= 5\)"),
        (
            {"sensitivity": replace(LOSS, points=0.51)},
            r"sensitivity lost \(McNemar p\) 0\.51 \(-0\.5 to 1\.5, n 500, p 0\.6\) \(limit <= 0\.5 points\)",
        ),
        ({"specificity": replace(LOSS, points=0.51)}, r"specificity lost .* 0\.51"),
        (
            {"p95_field_points": 1.01},
            r"p95 change of blast % a field 1\.01 \(40 fields\) \(limit <= 1 point\)",
        ),
    ],
)
def test_each_figure_alone_refuses(change: dict[str, Any], message: str) -> None:
    _refused_alone(replace(WHOLE, parities=[GOOD, replace(GOOD, **change)]), message)


@pytest.mark.parametrize("op", ["SHAPE", "STRIDED_SLICE", "PACK"])
def test_a_dynamic_graph_refuses(op: str) -> None:
    _refused_alone(
        replace(WHOLE, runs=[replace(RUN, ops=("CONV_2D", op))]), f"operations that ask for a shape {op}"
    )


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
    _refused_alone(replace(WHOLE, runs=[replace(RUN, **{attribute: spec})]), message)


def test_a_float_input_is_what_a_float_recipe_promises() -> None:
    tensor = TensorSpec((1, 16, 16, 3), "float32", 0.0, 0)
    run = replace(RUN, input=tensor, output=structs.replace(tensor, shape=(1, 2)))
    evidence = replace(WHOLE, runs=[run], accumulators=[], recipe=FLOAT32)
    assert judge(evidence).passed
    _refused_alone(replace(evidence, runs=[replace(run, input=RUN.input)]), r"input int8 \(limit float32\)")


def test_a_sum_that_could_overflow_refuses() -> None:
    _refused_alone(
        replace(WHOLE, accumulators=[SUM, Accumulator("conv2/Relu", 2**31, 2**31 - 1)]),
        r"largest integer sum, proved 1e\+02 % \(conv2/Relu\)",
    )
    _refused_alone(replace(WHOLE, accumulators=[]), "no integer layer")


def test_a_batch_that_changes_outputs_refuses() -> None:
    _refused_alone(
        replace(WHOLE, runs=[replace(RUN, batch_differences=1)]),
        r"x 1\.0: outputs that differ in a batch 1 \(limit 0\)",
    )


def test_an_interpreter_that_cannot_open_it_refuses() -> None:
    _refused_alone(
        replace(WHOLE, unopened={"tflite_runtime": "version 12"}), "tflite_runtime: opens it version 12"
    )


def test_an_interpreter_that_is_not_installed_is_left_open_and_said() -> None:
    verdict = judge(replace(WHOLE, absent=["tflite_runtime"]))
    assert verdict.passed
    assert verdict.headline == "passed, 1 questions open"


@pytest.mark.parametrize(
    ("parity", "change", "name"),
    [
        ({"n": 999, "flipped": 4}, {}, "x 1.0: crops advised"),
        ({"sensitivity": None}, {}, "x 1.0: sensitivity lost (McNemar p)"),
        ({"specificity": None}, {}, "x 1.0: specificity lost (McNemar p)"),
        ({"p95_field_points": None}, {}, "x 1.0: p95 change of blast % a field"),
        ({}, {"groups": None}, "groups of fields that calibration never saw"),
        ({}, {"whole": False}, "parity crops of whole cells"),
    ],
)
def test_what_the_crops_leave_open_refuses_unless_it_is_allowed(
    parity: dict[str, Any], change: dict[str, Any], name: str
) -> None:
    evidence = replace(WHOLE, parities=[replace(GOOD, **parity)], **change)
    verdict = judge(evidence)
    assert verdict.left_open == (name,)
    with pytest.raises(GateError, match=rf"leave open: {re.escape(name)}; give whole cells .*--allow-open"):
        verdict.refuse()
    allowed = judge(evidence, allow_open=True)
    allowed.refuse()
    assert [finding.name for finding in allowed.findings if finding.word == "open"] == [name]
    # What is out of its limit refuses all the same.
    with pytest.raises(GateError, match="of the rarer class"):
        judge(replace(evidence, parities=[replace(GOOD, keras_blasts=4)]), allow_open=True).refuse()


def test_nothing_looked_at_is_no_pass() -> None:
    with pytest.raises(GateError, match="nothing was judged"):
        Verdict(()).refuse()
    assert not Verdict((Finding("a", "b", "c", None),)).passed
    with pytest.raises(GateError, match="interpreters that open it 0"):
        judge(Evidence(PLAIN, [], [], [])).refuse()


@pytest.mark.requirement(10)
def test_the_limits_are_those_agreed_on() -> None:
    assert (LIMITS.agreement, LIMITS.mean_delta_p, LIMITS.p99_delta_p, LIMITS.max_delta_p) == (
        0.995,
        0.005,
        0.03,
        0.05,
    )
    assert (LIMITS.loss_points, LIMITS.field_points, LIMITS.advised_crops) == (0.5, 1.0, 1000)


def test_findings_go_into_the_card_as_they_are() -> None:
    assert Verdict((Finding("a", "1", "2", True),)).to_json() == [
        {"name": "a", "found": "1", "limit": "2", "passed": True}
    ]


def test_figures_of_a_comparison() -> None:
    p_keras = np.linspace(0, 1, 200, dtype=np.float32)
    p = p_keras.copy()
    p[100] -= 0.25  # from 0.503 to the other side
    labels = (np.arange(200) >= 100).astype(np.int64)
    fields = np.array(["a"] * 50 + ["b"] * 100 + [""] * 50)
    crops = Crops(np.zeros((200, 1, 1, 3), np.uint8), labels, "x", fields)
    parity = compare("x", p, p_keras, 0.5, crops)
    assert (parity.n, parity.keras_blasts, parity.flipped) == (200, 100, 1)
    assert parity.agreement == 0.995
    assert parity.max_delta_p == pytest.approx(0.25)
    assert parity.mean_delta_p == pytest.approx(0.25 / 200)
    # Of 200 crops the 99th percentile is the second or third worst, and only one is wrong.
    assert parity.p99_delta_p == 0
    assert parity.sensitivity is not None
    assert parity.specificity is not None
    assert (parity.sensitivity.lost, parity.sensitivity.points) == (1, 1.0)
    assert (parity.specificity.n, parity.specificity.points) == (100, 0.0)
    assert (parity.fields, parity.p95_field_points) == (2, 1.0)


def test_without_labels_of_a_class_nothing_is_said_of_it() -> None:
    p = np.array([0.2, 0.9], np.float32)
    crops = Crops(np.zeros((2, 1, 1, 3), np.uint8), np.array([1, 1]), "x", np.array(["", ""]))
    parity = compare("x", p, p, 0.5, crops)
    assert parity.sensitivity is not None
    assert parity.specificity is None
    assert (parity.fields, parity.p95_field_points) == (0, None)


def test_p99_is_a_figure_that_a_crop_had() -> None:
    p_keras = np.zeros(50, np.float32)
    p = p_keras.copy()
    p[7] = 0.25
    assert compare("x", p, p_keras, 0.5).p99_delta_p == 0.25


@pytest.mark.parametrize("blasts", [True, False])
def test_a_loss_is_counted_on_the_right_side(blasts: bool) -> None:
    right, wrong = (0.9, 0.1) if blasts else (0.1, 0.9)
    p_keras = np.array([right, right, right, wrong], np.float32)
    p = np.array([right, wrong, wrong, right], np.float32)
    found = loss(p, p_keras, 0.5, blasts=blasts)
    assert (found.n, found.kept, found.lost, found.gained, found.points) == (4, 3, 2, 1, 25.0)
    assert found.low < 25.0 < found.high
    assert found.mcnemar_p == 1.0  # of three flips two against one


def test_no_flip_is_not_certainty() -> None:
    p = np.full(47, 0.9, np.float32)
    found = loss(p, p, 0.5, blasts=True)
    assert (found.points, found.mcnemar_p) == (0, 1.0)
    assert -found.low == found.high == pytest.approx(8.91, abs=0.01)


def test_the_interval_covers() -> None:
    """Of 400 draws at most 5 % may miss the truth; Bonferroni's interval is wider than it need be."""
    rng = np.random.default_rng(0)
    p_keras = np.full(100, 0.9, np.float32)
    missed = 0
    for _ in range(400):
        p = np.where(rng.random(100) < 0.04, 0.1, 0.9).astype(np.float32)
        found = loss(p, p_keras, 0.5, blasts=True)
        missed += not found.low <= 4.0 <= found.high
    assert missed <= 20


def test_fields_without_a_name_are_left_out() -> None:
    p, p_keras = np.array([0.9, 0.9, 0.1], np.float32), np.array([0.1, 0.9, 0.9], np.float32)
    assert field_changes(p, p_keras, np.array(["", "b", "b"]), 0.5).tolist() == [50.0]
    assert len(field_changes(p, p_keras, np.array(["", "", ""]), 0.5)) == 0
