"""From crops to probabilities and classes, and the golden crops' veto."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from numpy.typing import NDArray

from edge.classification.card import Decision, GoldenCrops, ModelBundle, load_bundle
from edge.classification.classifier import Classifier, calibrate, decide
from edge.classification.interpreter import BATCH, RuntimeName, installed_runtimes
from edge.errors import GateError, ImageError, ModelError

DATA = Path(__file__).parents[1] / "data"
DEVICE_RUNTIMES: tuple[RuntimeName, ...] = ("ai_edge_litert", "tflite_runtime")


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle(DATA / "tiny")


@pytest.fixture(params=DEVICE_RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    name: RuntimeName = request.param
    if name not in installed_runtimes():
        pytest.skip(f"{name} is not installed")
    return name


def _crops(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


def test_the_tiny_model_says_what_it_said(bundle: ModelBundle, runtime: RuntimeName) -> None:
    classifier = Classifier(bundle, runtime=runtime)
    # One step of the output is 1/256, of p after temperature 1.5 at most as much: other processors' kernels
    # were seen to differ by one.
    assert classifier.check_golden() <= 1.01 / 256
    assert classifier.runtime.startswith(f"{runtime} ")
    # The golden crops show both classes.
    assert bundle.golden.p_blast.min() < 0.2
    assert bundle.golden.p_blast.max() > 0.8


@pytest.mark.parametrize("n", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
def test_batches_give_what_single_crops_give(bundle: ModelBundle, runtime: RuntimeName, n: int) -> None:
    classifier = Classifier(bundle, runtime=runtime)
    crops = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    p_blast = classifier.p_blast(crops)
    assert (p_blast.shape, p_blast.dtype) == ((n,), np.float32)
    # The first answer does not change with later crops.
    assert [float(classifier.p_blast(crops[i : i + 1])[0]) for i in range(n)] == p_blast.tolist()


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((2, 16, 16, 3), np.float32),
        np.zeros((2, 17, 16, 3), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((2, 16, 16, 1), np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_other_arrays_are_refused(bundle: ModelBundle, crops: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"crops must be \(n, 16, 16, 3\) uint8 RGB, got .*to_input"):
        Classifier(bundle).p_blast(crops)


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("input_tensor", {"zero_point": -127}, "input .*-127"),
        ("input_tensor", {"shape": (1, 8, 8, 3)}, "input .*8, 8"),
        ("output_tensor", {"scale": 0.004}, "output .*0.004"),
        ("output_tensor", {"dtype": "uint8"}, "output .*uint8"),
        ("input", {"size_px": 32}, "32 px wide, the network takes 16 px"),
    ],
)
def test_a_card_of_another_network_is_refused(
    bundle: ModelBundle, section: str, change: dict[str, Any], named: str
) -> None:
    told = getattr(bundle.card, section)
    other = replace(told, **change) if section == "input" else structs.replace(told, **change)
    card = replace(bundle.card, **{section: other})
    with pytest.raises(ModelError, match=f"tiny: .*{named}"):
        Classifier(replace(bundle, card=card))


def test_temperature_acts_on_the_outputs(bundle: ModelBundle) -> None:
    card = replace(bundle.card, decision=replace(bundle.card.decision, temperature=1.0))
    cold = Classifier(replace(bundle, card=card)).p_blast(bundle.golden.crops)
    warm = bundle.golden.p_blast
    assert (np.abs(warm - 0.5) <= np.abs(cold - 0.5)).all()
    assert np.abs(warm - cold).max() > 0.05
    np.testing.assert_array_equal(warm >= 0.5, cold >= 0.5)


@pytest.mark.parametrize(
    "fault",
    [
        lambda golden: replace(golden, crops=np.ascontiguousarray(golden.crops[..., ::-1])),
        # What a zero point that is 16 too low does to the input.
        lambda golden: replace(golden, crops=np.maximum(golden.crops, 16) - np.uint8(16)),
        lambda golden: replace(golden, p_blast=golden.p_blast[::-1].copy()),
    ],
    ids=["channels swapped", "zero point shifted", "other answers"],
)
def test_golden_crops_refuse_a_fault(
    bundle: ModelBundle, runtime: RuntimeName, fault: Callable[[GoldenCrops], GoldenCrops]
) -> None:
    classifier = Classifier(replace(bundle, golden=fault(bundle.golden)), runtime=runtime)
    with pytest.raises(GateError, match=rf"tiny disagree in {runtime} .*at most 0\.050"):
        classifier.check_golden()


def _kill_strongest_channel(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    dead = weights.copy()
    dead[np.abs(weights.astype(int)).sum(axis=(1, 2, 3)).argmax()] = 0
    return dead


@pytest.mark.requirement(8)
@pytest.mark.parametrize("fault", [np.negative, _kill_strongest_channel])
def test_golden_crops_refuse_other_weights(
    bundle: ModelBundle,
    runtime: RuntimeName,
    tmp_path: Path,
    fault: Callable[[NDArray[np.int8]], NDArray[np.int8]],
) -> None:
    """The weights changed, the tensors still fit the card: only the golden crops can tell."""
    interpreter = importlib.import_module(f"{runtime}.interpreter").Interpreter(str(bundle.tflite_path))
    kernel = next(t["index"] for t in interpreter.get_tensor_details() if tuple(t["shape"]) == (4, 3, 3, 3))
    weights = interpreter.get_tensor(kernel)
    content = bundle.tflite_path.read_bytes()
    assert content.count(weights.tobytes()) == 1
    path = tmp_path / "tiny.tflite"
    path.write_bytes(content.replace(weights.tobytes(), fault(weights).tobytes()))
    with pytest.raises(GateError, match="golden crops of tiny disagree"):
        Classifier(replace(bundle, tflite_path=path), runtime=runtime).check_golden()


def test_the_tolerance_is_the_cards(bundle: ModelBundle) -> None:
    off = replace(bundle.golden, p_blast=np.clip(bundle.golden.p_blast + np.float32(0.03), 0, 1))
    assert Classifier(replace(bundle, golden=off)).check_golden() == pytest.approx(0.03, abs=0.005)
    strict = replace(bundle.card, golden=structs.replace(bundle.card.golden, max_delta_p=0.02))
    with pytest.raises(GateError, match=r"off by up to 0\.03.*, at most 0\.020 expected"):
        Classifier(replace(bundle, golden=off, card=strict)).check_golden()


@given(st.floats(0, 1), st.tuples(*[st.floats(0, 1)] * 3).map(sorted))
def test_every_probability_has_one_word(p_blast: float, band: list[float]) -> None:
    rule = Decision(threshold=band[1], uncertain_low=band[0], uncertain_high=band[2])
    word = decide(p_blast, rule)
    if band[0] <= p_blast < band[2]:
        assert word == "uncertain"
    else:
        assert word == ("blast" if p_blast >= band[1] else "normal")


def test_label_follows_the_card(bundle: ModelBundle) -> None:
    classifier = Classifier(bundle)
    labels = [classifier.label(p) for p in (0.39, 0.4, 0.59, 0.6)]
    assert labels == ["normal", "uncertain", "uncertain", "blast"]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=20), st.floats(0.05, 20))
def test_calibration_keeps_order_and_symmetry(steps: list[int], temperature: float) -> None:
    outputs = np.float32([[255 - step, step] for step in sorted(steps)]) / 256
    p_blast = calibrate(outputs, temperature, 1 / 256)
    assert (np.diff(p_blast) >= 0).all()
    assert ((p_blast >= 0) & (p_blast <= 1)).all()
    mirrored = calibrate(np.ascontiguousarray(outputs[:, ::-1]), temperature, 1 / 256)
    np.testing.assert_allclose(p_blast + mirrored, 1, atol=1e-6)


def test_temperature_one_changes_nothing_but_the_ends() -> None:
    p = np.linspace(0.01, 0.99, 50, dtype=np.float32)
    np.testing.assert_allclose(calibrate(np.stack([1 - p, p], axis=1), 1.0, 1 / 256), p, atol=1e-6)
