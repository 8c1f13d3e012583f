"""The model bundle: complete and consistent, or refused in one line that says why."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.classification import card as card_module
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
#: In place of a value: the key is taken out.
ABSENT = object()


class Bundle:
    """Writable copy of the tiny bundle, to be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for file in DATA.glob("tiny.*"):
            shutil.copy(file, folder)

    def change(self, key: str, value: object) -> None:
        """Give the card another value under a dotted key."""
        card: dict[str, Any] = json.loads((DATA / "tiny.json").read_text(encoding="utf-8"))
        *sections, last = key.split(".")
        place = card
        for section in sections:
            place = place[section]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
        (self.folder / "tiny.json").write_text(json.dumps(card), encoding="utf-8")

    def refusal(self) -> str:
        with pytest.raises(ModelError) as caught:
            load_bundle(self.folder / "tiny")
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path)


@pytest.mark.parametrize("name", ["tiny", "tiny.tflite", "tiny.json", "tiny.golden.npz"])
def test_any_file_or_the_stem_names_the_bundle(name: str) -> None:
    bundle = load_bundle(str(DATA / name))
    assert bundle.card.labels == ("normal", "blast")
    assert bundle.card.input == InputSpec(size_px=16)
    assert bundle.card.input_tensor == TensorSpec((1, 16, 16, 3), "int8", 1.0, -128)
    assert bundle.card.output_tensor == TensorSpec((1, 2), "int8", 1 / 256, -128)
    assert bundle.card.decision == Decision(0.5, 0.4, 0.6, 1.5)
    assert bundle.golden.crops.shape == (16, 16, 16, 3)
    assert bundle.tflite_path == DATA / "tiny.tflite"
    digest = hashlib.sha256((DATA / "tiny.tflite").read_bytes()).hexdigest()
    assert bundle.card.identity == ModelIdentity("tiny", digest)
    assert bundle_paths(DATA / name) == bundle_paths(DATA / "tiny")


def test_default_bundle_lies_in_the_package() -> None:
    assert default_bundle_path().parent == Path(card_module.__file__).parent / "models"
    assert default_bundle_path().suffix == ".tflite"


@pytest.mark.parametrize("file", ["tiny.tflite", "tiny.json", "tiny.golden.npz"])
def test_a_file_that_is_missing_or_not_the_cards_is_named(bundle: Bundle, file: str) -> None:
    content = bytearray((bundle.folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle.folder / file).write_bytes(content)
    if file != "tiny.json":
        assert re.search(rf"{re.escape(file)}: sha256 is .* the card says", bundle.refusal())
    (bundle.folder / file).unlink()
    assert f"{file} cannot be read" in bundle.refusal()


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("schema", "blastcount.model/2", r"'blastcount.model/2' - at `\$\.schema`"),
        ("decision.temperature", ABSENT, r"`temperature` - at `\$\.decision`"),
        ("tensors.input.bits", 8, r"`bits` - at `\$\.tensors\.input`"),
        ("name", "", r"\$\.name"),
        ("labels", ["blast", "normal"], r"\$\.labels"),
        ("sha256", "0" * 64 + "\n", r"\$\.sha256"),
        ("input.size_px", 16.0, r"\$\.input\.size_px"),
        ("input.size_px", 8, "size_px .* got 8"),
        ("input.channels", "BGR", "channels .* got 'BGR'"),
        ("decision.threshold", True, r"\$\.decision\.threshold"),
        ("decision.threshold", 0.7, "uncertain_low <= threshold <= uncertain_high"),
        ("decision.uncertain_low", 0.55, "uncertain_low <= threshold <= uncertain_high"),
        ("decision.uncertain_high", 1.5, "got 0.4, 0.5, 1.5"),
        ("decision.threshold", float("nan"), "malformed"),
        ("decision.temperature", 0, "temperature .* got 0"),
        ("golden.max_delta_p", 0.5, r"<= 0\.2 - at `\$\.golden\.max_delta_p`"),
        ("golden.max_delta_p", -0.1, r">= 0\.0 - at `\$\.golden\.max_delta_p`"),
        ("tensors.output.dtype", "int16", r"\$\.tensors\.output\.dtype"),
        ("tensors.input.shape", [1, 16, 0, 3], r"\$\.tensors\.input\.shape\[2\]"),
        ("tensors.input.shape", [], r"\$\.tensors\.input\.shape"),
        ("tensors.input.scale", 10**400, r"\$\.tensors\.input\.scale"),
    ],
)
def test_a_wrong_card_is_refused(bundle: Bundle, key: str, value: object, named: str) -> None:
    bundle.change(key, value)
    message = bundle.refusal()
    assert re.search(named, message), message
    assert "card" in message or "tiny.json" in message


CROPS = np.zeros((2, 16, 16, 3), np.uint8)
P_BLAST = np.array([0.1, 0.9], np.float32)


@pytest.mark.parametrize(
    ("crops", "p_blast", "named"),
    [
        (CROPS.astype(np.float32), P_BLAST, "crops .* float32"),
        (CROPS[:, :8], P_BLAST, r"crops .*got \(2, 8, 16, 3\)"),
        (CROPS[:0], P_BLAST[:0], "n of 1 or more"),
        (np.uint8(3), P_BLAST, r"crops .*got \(\) uint8"),
        (CROPS, P_BLAST[:1], r"p_blast .*got \(1,\)"),
        (CROPS, P_BLAST.astype(np.float64), "p_blast .*float64"),
        (CROPS, P_BLAST + 1, "p_blast .* in 0 to 1"),
        (CROPS, P_BLAST * np.float32("nan"), "p_blast .* in 0 to 1"),
        (CROPS, None, "no golden crops in it .*p_blast"),
        (None, None, "no golden crops in it"),
    ],
)
def test_wrong_golden_crops_are_refused(bundle: Bundle, crops: Any, p_blast: Any, named: str) -> None:
    file = bundle.folder / "tiny.golden.npz"
    if crops is None:
        file.write_bytes(b"PK no archive")
    elif p_blast is None:
        np.savez(file, crops=crops)
    else:
        file.write_bytes(GoldenCrops(crops, p_blast).to_bytes())
    bundle.change("golden.sha256", hashlib.sha256(file.read_bytes()).hexdigest())
    assert re.search(named, bundle.refusal())


def test_golden_bytes_do_not_depend_on_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    before = GoldenCrops(CROPS, P_BLAST).to_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert GoldenCrops(CROPS, P_BLAST).to_bytes() == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
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
        decision=Decision(band[1], band[0], band[2], temperature),
        golden=GoldenSpec("f" * 64, 0.05),
        sections=sections,
    )
    assert parse_card(card.to_json()) == card
    assert parse_card(replace(card, name="other").to_json()) != card


@given(st.binary(max_size=200) | json_values.map(json.dumps))
@example('{"training":' + "[" * 100_000)
@example(b"\xef\xbb\xbf{}")
def test_no_input_gives_anything_but_a_model_error(text: str | bytes) -> None:
    with pytest.raises(ModelError):
        parse_card(text)
