"""Whatever could change a number of a count changes the provenance's hash, and nothing else does."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.calibration import Calibration, MeasuredScale
from edge.calibration.correction import Correction
from edge.classification.card import load_bundle
from edge.config import Config, SiteConfig
from edge.counting import provenance as module
from edge.counting.provenance import Provenance
from tests.edge.telling import TellingTypes


@pytest.fixture
def now(tiny_model: Path) -> Callable[..., Provenance]:
    card = load_bundle(tiny_model).card
    given = {
        "config": Config(),
        "card": card,
        "runtime": "ai_edge_litert 2.3.0",
        "correction": Correction(None),
    }
    return lambda **changed: Provenance.of(**(given | changed))


def corrected(path: Path, um_per_px: float) -> Correction:
    scale = MeasuredScale(um_per_px, 0.9 * um_per_px, 1.1 * um_per_px, "red_cells", 5)
    Calibration(800, 600, datetime(2026, 1, 31, tzinfo=UTC), scale=scale).save(path)
    return Correction.from_file(path, required=True)


def test_it_is_one_json_form_with_one_hash(now: Callable[..., Provenance], tiny_model: Path) -> None:
    named = Config(site=SiteConfig(microscope="Bench 2", stain="Wright"))
    first, second = now(), now()
    card = replace(load_bundle(tiny_model).card, recalibration="f" * 64)
    typed = now(types=TellingTypes(), config=named, card=card)
    assert first.sha256 == second.sha256
    names = sorted(Provenance.__struct_fields__)
    assert list(json.loads(typed.to_json())) == names
    # Without a network of types, the site's names and a recalibration the form is that of programs which knew
    # of none.
    later = ("type_", "microscope", "stain", "recalibration")
    assert list(json.loads(first.to_json())) == [name for name in names if not name.startswith(later)]
    assert named.sha256 == Config().sha256  # the names stand in the row by themselves


def test_the_calibration_s_content_counts_and_its_place_does_not(
    now: Callable[..., Provenance], tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    none, fine = now(), now(correction=corrected(path, 0.12))
    coarse = now(correction=corrected(path, 0.2))
    moved = now(correction=corrected(tmp_path / "elsewhere.json", 0.2))
    assert len({none.sha256, fine.sha256, coarse.sha256}) == 3
    assert moved.sha256 == coarse.sha256


@pytest.mark.parametrize(
    "decision",
    [{"threshold": 0.55}, {"uncertain_low": 0.3}, {"uncertain_high": 0.7}, {"temperature": 1.6}],
    ids=lambda change: next(iter(change)),
)
def test_the_whole_card_counts(
    now: Callable[..., Provenance], tiny_model: Path, decision: dict[str, float]
) -> None:
    card = load_bundle(tiny_model).card
    assert now(card=replace(card, decision=replace(card.decision, **decision))).sha256 != now().sha256


def test_weights_crop_configuration_and_runtime_count(
    now: Callable[..., Provenance], tiny_model: Path
) -> None:
    card = load_bundle(tiny_model).card
    changed = [
        now(),
        now(card=replace(card, sha256="0" * 64)),
        now(card=replace(card, input=replace(card.input, white_point=230))),
        now(config=Config().changed(scale={"um_per_px": 0.2})),
        now(runtime="ai_edge_litert 2.4.0"),
    ]
    assert len({one.sha256 for one in changed}) == len(changed)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (module, "code_sha256", lambda: "0" * 64),
        (module, "software_version", lambda: "9.9"),
        (np, "__version__", "9.9"),
        (cv2, "__version__", "9.9"),
        (platform, "python_version", lambda: "9.9"),
        (platform, "machine", lambda: "pdp11"),
    ],
)
def test_code_libraries_and_machine_count(
    now: Callable[..., Provenance], monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: object
) -> None:
    before = now().sha256
    monkeypatch.setattr(where, name, value)
    assert now().sha256 != before
