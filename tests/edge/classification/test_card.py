"""The model bundle: complete and consistent, or refused in one line that says why."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.classification.card import (
    FREE_SECTIONS,
    Decision,
    GoldenCrops,
    GoldenSpec,
    ModelCard,
    TensorSpec,
    bundle_paths,
    default_bundle_path,
    load_bundle,
    parse_card,
)
from edge.errors import ModelError
from edge.structures import InputSpec, ModelIdentity

DATA = Path(__file__).parents[1] / "data"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """Writable copy of the tiny bundle."""
    for file in DATA.glob("tiny.*"):
        shutil.copy(file, tmp_path)
    return tmp_path


def tiny_card() -> dict[str, Any]:
    card: dict[str, Any] = json.loads((DATA / "tiny.json").read_text(encoding="utf-8"))
    return card


def test_load_bundle_reads_what_was_written() -> None:
    bundle = load_bundle(DATA / "tiny.tflite")
    assert bundle.card.name == "tiny"
    assert bundle.card.labels == ("normal", "blast")
    assert bundle.card.input == InputSpec(size_px=16)
    assert bundle.card.input_tensor == TensorSpec((1, 16, 16, 3), "int8", 1.0, -128)
    assert bundle.card.output_tensor == TensorSpec((1, 2), "int8", 1 / 256, -128)
    assert bundle.card.decision == Decision(0.5, 0.4, 0.6, 1.5)
    assert bundle.golden.crops.shape == (16, 16, 16, 3)
    assert bundle.tflite_path == DATA / "tiny.tflite"
    digest = hashlib.sha256((DATA / "tiny.tflite").read_bytes()).hexdigest()
    assert bundle.card.identity == ModelIdentity("tiny", digest)


@pytest.mark.parametrize("name", ["tiny", "tiny.tflite", "tiny.json", "tiny.golden.npz"])
def test_any_file_or_the_stem_names_the_bundle(name: str) -> None:
    assert load_bundle(str(DATA / name)).card.name == "tiny"
    assert bundle_paths(DATA / name) == bundle_paths(DATA / "tiny")


def test_default_bundle_lies_in_the_package() -> None:
    import edge

    path = default_bundle_path()
    assert path.suffix == ".tflite"
    assert path.parent == Path(str(edge.__file__)).parent / "classification" / "models"


@pytest.mark.parametrize("missing", ["tiny.tflite", "tiny.json", "tiny.golden.npz"])
def test_a_missing_file_is_named(bundle_dir: Path, missing: str) -> None:
    (bundle_dir / missing).unlink()
    with pytest.raises(
        ModelError, match=rf"{re.escape(missing)} cannot be read \(No such file.*side by side"
    ):
        load_bundle(bundle_dir / "tiny")


@pytest.mark.parametrize("changed", ["tiny.tflite", "tiny.golden.npz"])
def test_a_stale_card_is_refused(bundle_dir: Path, changed: str) -> None:
    content = bytearray((bundle_dir / changed).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_dir / changed).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{re.escape(changed)}: sha256 is .* the card says .* one bundle"):
        load_bundle(bundle_dir / "tiny")


def _set(*path: str, value: object) -> Edit:
    def edit(card: dict[str, Any]) -> None:
        for key in path[:-1]:
            card = card[key]
        card[path[-1]] = value

    return edit


def _drop(*path: str) -> Edit:
    def edit(card: dict[str, Any]) -> None:
        for key in path[:-1]:
            card = card[key]
        del card[path[-1]]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("schema", value="blastcount.model/2"), r"'blastcount.model/2' - at `\$\.schema`"),
        (_drop("schema"), "missing required field `schema`"),
        (_drop("decision", "temperature"), r"missing required field `temperature` - at `\$\.decision`"),
        (_set("verdict", value=1), "unknown field `verdict`"),
        (_set("tensors", "input", "bits", value=8), r"unknown field `bits` - at `\$\.tensors\.input`"),
        (_set("name", value=""), r"\$\.name"),
        (_set("labels", value=["blast", "normal"]), r"\$\.labels"),
        (_set("sha256", value="Z" * 64), r"\$\.sha256"),
        (_set("sha256", value="0" * 64 + "\n"), r"\$\.sha256"),
        (_set("input", value=[]), r"Expected `object`, got `array` - at `\$\.input`"),
        (_set("input", "size_px", value=16.0), r"Expected `int`, got `float` - at `\$\.input\.size_px`"),
        (_set("input", "size_px", value=8), "size_px must be 16 to 512, got 8"),
        (_set("input", "channels", value="BGR"), "channels must be .*, got 'BGR'"),
        (_set("decision", "threshold", value=True), r"got `bool` - at `\$\.decision\.threshold`"),
        (_set("decision", "threshold", value=0.7), "uncertain_low <= threshold <= uncertain_high"),
        (_set("decision", "uncertain_low", value=0.55), "uncertain_low <= threshold <= uncertain_high"),
        (_set("decision", "uncertain_high", value=1.5), "uncertain_high <= 1, got 0.4, 0.5, 1.5"),
        (_set("decision", "temperature", value=0), "temperature must be 0.05 to 20, got 0"),
        (_set("golden", "sha256", value=None), r"\$\.golden\.sha256"),
        (_set("golden", "max_delta_p", value=0.5), r"<= 0\.2 - at `\$\.golden\.max_delta_p`"),
        (_set("golden", "max_delta_p", value=-0.1), r">= 0\.0 - at `\$\.golden\.max_delta_p`"),
        (_set("tensors", "output", "dtype", value="int16"), r"\$\.tensors\.output\.dtype"),
        (_set("tensors", "input", "shape", value=[1, 16, 0, 3]), r"\$\.tensors\.input\.shape\[2\]"),
        (_set("tensors", "input", "shape", value=[]), r"\$\.tensors\.input\.shape"),
        (_set("tensors", "input", "zero_point", value=-128.5), r"\$\.tensors\.input\.zero_point"),
        (_set("decision", "threshold", value=float("nan")), "malformed"),
        (_set("tensors", "input", "scale", value=10**400), r"out of range - at `\$\.tensors\.input\.scale`"),
    ],
)
def test_a_wrong_card_is_refused(bundle_dir: Path, edit: Edit, message: str) -> None:
    card = tiny_card()
    edit(card)
    (bundle_dir / "tiny.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        load_bundle(bundle_dir / "tiny")
    assert "tiny.json" in str(caught.value) or "card" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "truncated"),
        ("[1]", "Expected `object`, got `array`"),
        (b"\xff\xfe\x00", "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        ('{"training":' + "[" * 100_000, "recursion"),
    ],
)
def test_text_that_is_no_card_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_card(text)


def _golden(crops: np.ndarray, p: np.ndarray) -> bytes:
    return GoldenCrops(crops, p).to_bytes()


CROPS = np.zeros((2, 16, 16, 3), np.uint8)
P_BLAST = np.array([0.1, 0.9], np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK no archive", "no golden crops in it"),
        (b"", "no golden crops in it"),
        (_golden(CROPS.astype(np.float32), P_BLAST), r"crops must be .* float32"),
        (_golden(CROPS[:, :8], P_BLAST), r"crops must be \(n, 16, 16, 3\) uint8.*got \(2, 8, 16, 3\)"),
        (_golden(CROPS[:0], P_BLAST[:0]), "n of 1 or more"),
        (_golden(np.uint8(3), P_BLAST), r"crops must be .*got \(\) uint8"),
        (_golden(CROPS, P_BLAST[:1]), r"p_blast must be \(2,\) float32 in 0 to 1, got \(1,\)"),
        (_golden(CROPS, P_BLAST.astype(np.float64)), r"p_blast must be .*float64"),
        (_golden(CROPS, P_BLAST + 1), "p_blast must be .* in 0 to 1"),
        (_golden(CROPS, P_BLAST * np.float32("nan")), "p_blast must be .* in 0 to 1"),
    ],
)
def test_wrong_golden_crops_are_refused(bundle_dir: Path, content: bytes, message: str) -> None:
    (bundle_dir / "tiny.golden.npz").write_bytes(content)
    card = tiny_card()
    card["golden"]["sha256"] = hashlib.sha256(content).hexdigest()
    (bundle_dir / "tiny.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_bundle(bundle_dir / "tiny")


def test_golden_crops_without_an_array_are_refused(bundle_dir: Path) -> None:
    np.savez(bundle_dir / "tiny.golden.npz", crops=CROPS)
    card = tiny_card()
    card["golden"]["sha256"] = hashlib.sha256((bundle_dir / "tiny.golden.npz").read_bytes()).hexdigest()
    (bundle_dir / "tiny.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=r"no golden crops in it .*p_blast"):
        load_bundle(bundle_dir / "tiny")


def test_golden_bytes_do_not_depend_on_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _golden(CROPS, P_BLAST)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert _golden(CROPS, P_BLAST) == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    name=st.text(min_size=1, max_size=20),
    band=st.tuples(*[st.floats(0, 1)] * 3).map(sorted),
    temperature=st.floats(0.05, 20),
    scale=st.floats(1e-6, 10),
    sections=st.dictionaries(st.sampled_from(FREE_SECTIONS), json_values),
)
def test_a_card_survives_the_round_trip(
    name: str, band: list[float], temperature: float, scale: float, sections: dict[str, object]
) -> None:
    card = ModelCard(
        name=name,
        sha256="0" * 64,
        input=InputSpec(),
        input_tensor=TensorSpec((1, 128, 128, 3), "uint8", scale, 0),
        output_tensor=TensorSpec((1, 2), "float32", 0.0, 0),
        decision=Decision(
            threshold=band[1], uncertain_low=band[0], uncertain_high=band[2], temperature=temperature
        ),
        golden=GoldenSpec("f" * 64, 0.05),
        sections=sections,
    )
    assert parse_card(card.to_json()) == card
    assert parse_card(replace(card, name="other").to_json()) != card


@given(st.binary(max_size=200) | json_values.map(json.dumps))
def test_no_input_gives_anything_but_a_model_error(text: str | bytes) -> None:
    with pytest.raises(ModelError):
        parse_card(text)
