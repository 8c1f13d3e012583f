"""A laboratory's own decision comes after the network, is of one card, and is named where it was used."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.classification.recalibration import Calls, Nested, Recalibration
from edge.config import Config
from edge.counting.golden import load_configured
from edge.counting.provenance import Provenance
from edge.counting.recorder import as_configured
from edge.device.clock import WallClock
from edge.errors import ConfigError, OutputError
from edge.rendered import RenderSettings, render_field
from edge.results.summary import known_errors, known_thresholds, summarise_as_configured
from edge.structures import Frame, ModelIdentity

DATA = Path(__file__).parents[1] / "data"
BUNDLE = load_bundle(DATA / "tiny")
NESTED = Nested(0.2, 0.1, Calls(50, 40), Calls(60, 3))


def fitted(**changes: object) -> Recalibration:
    card = BUNDLE.card
    made = Recalibration(
        datetime(2026, 5, 3, tzinfo=UTC), "AK", card.name, card.sha256, card.whole_sha256, 1.5, 0.5, 0.6, 0.5,
        0.7, 9, NESTED,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_file_is_read_back_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "state" / "recalibration.json"
    saved = fitted().save(path)
    assert saved == Recalibration.load(path)
    assert replace(saved, sha256=None) == fitted()
    assert Recalibration.kept(path).name == f"recalibration-{(saved.sha256 or '')[:12]}.json"
    path.chmod(0o400)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        fitted().save(tmp_path / "file" / "r.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"offset": 13.0}, "offset"),
        ({"temperature": 0.1}, "temperature"),
        ({"threshold": 0.9}, "uncertain_low <= threshold"),
        ({"schema": "blastcount.recalibration/2"}, "recalibration/2"),
        ({"more": 1}, "more"),
        ({"card_sha256": "no hash"}, "card_sha256"),
        ({"nested": {"factory_error": 0.2, "error": 0.1, "blast": {"n": 1, "blast": 2}, "normal": {"n": 0, "blast": 0}}}, "2 of 1"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_no_recalibration_says_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "r.json"
    fitted().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=said):
        Recalibration.load(path)
    with pytest.raises(ConfigError, match="no such recalibration"):
        Recalibration.load(tmp_path / "absent.json")


def test_probabilities_are_those_of_the_formula_and_the_card_is_another_one() -> None:
    plain = Classifier(BUNDLE)
    other = plain.recalibrated(fitted(sha256="f" * 64))
    crops = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    p = plain.p_blast(crops).astype(np.float64)
    z = (np.log(p) - np.log1p(-p) + 1.5) / 0.5
    assert other.p_blast(crops) == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-5)
    assert np.ptp(p) > 0.3
    assert [other.label(p) for p in (0.49, 0.5, 0.69, 0.7)] == ["normal", "uncertain", "uncertain", "blast"]
    assert other.card.identity == ModelIdentity(BUNDLE.card.name, BUNDLE.card.sha256, "f" * 64)
    assert other.card.whole_sha256 != plain.card.whole_sha256
    # The first one is as it was, and its golden crops agree.
    assert plain.card == BUNDLE.card
    assert plain.p_blast(crops) == pytest.approx(p)


def test_another_card_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"was fitted for model tiny .* with the card 000000000000, got tiny"
    ):
        Classifier(BUNDLE).recalibrated(fitted(card_sha256="0" * 64))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config().changed(
        model={"path": DATA / "tiny", "recalibration": tmp_path / "recalibration.json"},
        log={"path": tmp_path / "blood.db"},
        calibration={"path": tmp_path / "calibration.json"},
    )


def test_what_went_through_it_says_so_and_is_corrected_by_what_it_measured(config: Config) -> None:
    saved = fitted().save(config.recalibration_path)
    frame = Frame(
        render_field(1, RenderSettings(width=640, height=480, um_per_px=0.2)).image, "drawn", um_per_px=0.2
    )
    classifier = load_configured(config)
    assert classifier.recalibration_problem is None
    with BloodLog.open(config.log_path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        line = as_configured(config, classifier, log, source_kind="file", clock=WallClock())
        line.refresh()
        recorded = line.record(frame)
        (row,) = log.fields()
        assert (
            row.result.model
            == recorded.result.model
            == ModelIdentity("tiny", BUNDLE.card.sha256, saved.sha256)
        )
        assert row.provenance is not None
        made_by = Provenance.from_json(row.provenance)
        assert made_by.recalibration_sha256 == saved.sha256
        assert made_by.card_sha256 == classifier.card.whole_sha256 != BUNDLE.card.whole_sha256
        corrected = summarise_as_configured(log, sample, config).corrected
    assert corrected is not None
    errors = corrected.errors
    assert (errors.blasts, errors.blasts_called, errors.others, errors.others_called) == (50, 40, 60, 3)
    assert "labelled cells of this laboratory" in errors.source
    model = row.result.model
    assert known_thresholds(config)(model) == 0.6
    # Undone, the file is kept beside under its hash; gone, nothing is known of these rows any more.
    kept = Recalibration.kept(config.recalibration_path)
    config.recalibration_path.rename(kept)
    assert known_errors(config)(model) == errors
    kept.unlink()
    assert known_errors(config)(model) is None


@pytest.mark.parametrize("content", ["{}", None])
def test_one_that_does_not_fit_is_warned_of_on_every_field(config: Config, content: str | None) -> None:
    fitted(card_sha256="0" * 64).save(config.recalibration_path)
    if content is not None:
        config.recalibration_path.write_text(content)
    classifier = load_configured(config)
    assert classifier.recalibration_problem is not None
    frame = Frame(
        render_field(1, RenderSettings(width=320, height=240, um_per_px=0.2)).image, "drawn", um_per_px=0.2
    )
    recorded = as_configured(config, classifier, None, source_kind="file", clock=WallClock()).record(frame)
    assert "recalibration_unused" in recorded.result.warnings
    assert recorded.result.model == ModelIdentity("tiny", BUNDLE.card.sha256)


def test_without_one_nothing_changes(config: Config) -> None:
    plain = Config().changed(model={"path": DATA / "tiny"}, log={"path": config.log_path})
    before = msgspec.structs.replace(plain, model=msgspec.structs.replace(plain.model, recalibration=None))
    assert before.sha256 == plain.sha256
    assert load_configured(plain).card == BUNDLE.card
    assert (
        '"recalibration'
        not in Provenance.of(
            plain,
            BUNDLE.card,
            "x",
            as_configured(plain, Classifier(BUNDLE), None, source_kind="file", clock=WallClock())._correction,
        ).to_json()
    )
