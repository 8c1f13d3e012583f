"""From a frame to its classified cells, with a classifier that is told what to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.classification.card import ModelCard, load_bundle
from edge.classification.crop import to_input
from edge.counting import pipeline as pipeline_module
from edge.counting.pipeline import BATCH, Pipeline, Seen
from edge.light.field import Field
from edge.quality import Judgement
from edge.rendered import RenderedField
from edge.segmentation import Segmentation, segment
from edge.structures import CellClass, Frame, InputSpec
from tests.edge.telling import TellingTypes


class TellingClassifier:
    """Answers with the mean brightness of a crop, and remembers what it was shown."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.batches: list[NDArray[np.uint8]] = []

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(crops)
        return (crops.mean(axis=(1, 2, 3)) / 255).astype(np.float32)

    def label(self, p_blast: float) -> CellClass:
        return "blast" if p_blast > 0.5 else "normal"


@pytest.fixture
def classifier(tiny_model: Path) -> TellingClassifier:
    return TellingClassifier(replace(load_bundle(tiny_model).card, input=InputSpec(size_px=32)))


@pytest.fixture
def frame(small_field: RenderedField) -> Frame:
    return Frame(small_field.image, "rendered:1", datetime(2024, 5, 1, tzinfo=UTC), um_per_px=0.2)


def ticking() -> Iterator[float]:
    """Seconds: 0, 1, 3, 6, 10, ..."""
    return (n * (n + 1) / 2 for n in count())


def test_every_white_cell_gets_the_answer_to_its_own_crop(
    classifier: TellingClassifier, frame: Frame
) -> None:
    field = Pipeline(classifier).process(frame)
    segmentation = field.segmentation
    assert segmentation is not None
    white = [c for c in field.result.cells if c.cell.kind == "wbc"]
    assert white
    for classified in white:
        crop = to_input(
            frame.image,
            classified.cell.x,
            classified.cell.y,
            classifier.card.input,
            um_per_px=0.2,
            background=segmentation.background,
        )
        assert classified.p_blast == pytest.approx(float(crop.mean()) / 255, abs=1e-6)
        assert classified.p_blast is not None
        assert classified.label == classifier.label(classified.p_blast)
    assert len({c.p_blast for c in white}) > 1  # different cells, different answers


def test_the_result_describes_the_frame(classifier: TellingClassifier, frame: Frame) -> None:
    result = Pipeline(classifier).process(frame).result
    assert (result.source, result.width, result.height) == ("rendered:1", 640, 480)
    assert result.captured_at == frame.captured_at
    assert result.frame_sha256 == frame.sha256()
    assert (result.scale.um_per_px, result.scale.source) == (0.2, "configured")
    assert (result.status, result.reasons) == ("counted", ())
    assert result.model == classifier.card.identity


def test_the_same_frame_gives_the_same_result(classifier: TellingClassifier, frame: Frame) -> None:
    first, second = (Pipeline(classifier, ticking().__next__).process(frame).result for _ in range(2))
    assert first == second


def test_blast_calls_are_the_same_with_and_without_types(classifier: TellingClassifier, frame: Frame) -> None:
    plain = Pipeline(classifier, ticking().__next__).process(frame).result
    types = TellingTypes(("lymphocyte", 0.875), ("other", 0.5))
    typed = Pipeline(classifier, ticking().__next__, types).process(frame).result
    white = [cell for cell in typed.cells if cell.cell.kind == "wbc"]
    assert [cell.type for cell in white[:3]] == ["lymphocyte", "other", "lymphocyte"]
    assert [cell.p_type for cell in white[:2]] == [0.875, 0.5]
    assert all(cell.type is None and cell.p_type is None for cell in typed.cells if cell not in white)
    assert {crops.shape[1:] for crops in types.batches} == {(16, 16, 3)}  # crops of its own kind
    assert (plain.type_model, typed.type_model) == (None, types.identity)
    untyped = tuple(replace(cell, type=None, p_type=None) for cell in typed.cells)
    assert replace(typed, cells=untyped, type_model=None) == plain


def test_stages_are_timed_by_the_given_clock(classifier: TellingClassifier, frame: Frame) -> None:
    result = Pipeline(classifier, ticking().__next__).process(frame).result
    assert result.stage_ms == {
        "light": 1000.0, "quality": 2000.0, "segment": 3000.0, "cells": 4000.0, "classify": 5000.0,
    }  # fmt: skip


def test_a_field_is_counted_with_every_doubt_that_somebody_has(
    classifier: TellingClassifier, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Pipeline(classifier).process(frame).result.warnings == ()
    monkeypatch.setattr(pipeline_module, "assess", lambda *_: Judgement(warnings=("overlay",)))
    monkeypatch.setattr(
        pipeline_module, "assess_cells", lambda *_: Judgement(warnings=("overlay", "faint_stain"))
    )
    doubted = replace(frame, warnings=("exposure_unsettled",))
    result = Pipeline(classifier).process(doubted).result
    assert (result.status, result.reasons) == ("counted", ())
    assert result.warnings == ("exposure_unsettled", "overlay", "faint_stain")
    assert result.cells == Pipeline(classifier).process(frame).result.cells


def test_a_field_can_be_refused_for_its_cells_and_then_has_no_number_to_doubt(
    classifier: TellingClassifier, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Judgement(("too_dense",), ("overlay",))
    monkeypatch.setattr(pipeline_module, "assess_cells", lambda *_: refused)
    field = Pipeline(classifier).process(frame)
    assert (field.result.status, field.result.reasons) == ("rejected", ("too_dense",))
    assert (field.result.warnings, field.result.cells, field.segmentation) == ((), (), None)
    assert classifier.batches == []


@pytest.mark.parametrize("um_per_px", [None, 0.15])
def test_a_hopeless_field_is_rejected_before_segmentation(
    classifier: TellingClassifier, monkeypatch: pytest.MonkeyPatch, um_per_px: float | None
) -> None:
    def never(field: Field) -> Segmentation:
        raise AssertionError("a rejected field was segmented")

    monkeypatch.setattr(pipeline_module, "segment", never)
    dark = Frame(np.full((100, 120, 3), 2, np.uint8), "dark", um_per_px=um_per_px)
    field = Pipeline(classifier).process(dark)
    assert field.segmentation is None
    assert (field.result.status, field.result.reasons) == ("rejected", ("underexposed",))
    assert field.result.cells == ()
    assert field.result.scale.reported_um_per_px == um_per_px
    assert set(field.result.stage_ms) == {"light", "quality"}
    assert classifier.batches == []


def test_a_blank_field_is_counted_and_empty(classifier: TellingClassifier) -> None:
    field = Pipeline(classifier).process(Frame(np.full((300, 400, 3), 215, np.uint8), "blank"))
    assert (field.result.status, field.result.cells) == ("counted", ())
    assert classifier.batches == []


def test_smudges_are_reported_but_never_shown_to_the_classifier(
    classifier: TellingClassifier, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_smudge(field: Field, *_: object) -> Segmentation:
        found = segment(field)
        return replace(found, cells=(replace(found.cells[0], kind="smudge"), *found.cells[1:]))

    monkeypatch.setattr(pipeline_module, "segment", with_smudge)
    result = Pipeline(classifier).process(frame).result
    smudge, *others = result.cells
    assert (smudge.label, smudge.p_blast) == (None, None)
    assert sum(len(batch) for batch in classifier.batches) == sum(c.cell.kind == "wbc" for c in others)


def test_crops_are_cut_in_batches_whatever_was_found(
    classifier: TellingClassifier, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(field: Field, *_: object) -> Segmentation:
        found = segment(field)
        cells = tuple(replace(found.cells[0], id=i + 1, x=10.0 + 5 * i) for i in range(2 * BATCH + 3))
        return replace(found, cells=cells, window_of=found.window_of[:1] * len(cells))

    monkeypatch.setattr(pipeline_module, "segment", many)
    result = Pipeline(classifier).process(frame).result
    assert [len(batch) for batch in classifier.batches] == [BATCH, BATCH, 3]
    assert classifier.batches[0].shape[1:] == (32, 32, 3)
    assert [c.cell.id for c in result.cells] == list(range(1, 2 * BATCH + 4))
    assert all(c.p_blast is not None for c in result.cells)


def test_what_was_seen_of_a_picture_is_not_looked_at_again_and_of_another_one_not_used(
    classifier: TellingClassifier, small_field: RenderedField, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Frame(small_field.image, "a picture by itself")
    other = replace(alone, image=np.ascontiguousarray(alone.image[:, ::-1]))
    seen = Seen.of(Field(alone))
    line = Pipeline(classifier, lambda: 0.0)
    expected, mirrored = line.process(alone).result, line.process(other).result
    assert line.process(other, None, seen).result == mirrored
    # A scale that is given is judged by; then the light is looked at again.
    given = replace(alone, um_per_px=0.2)
    assert line.process(given, None, seen).result == line.process(given).result

    def looked(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(pipeline_module, "assess", looked)
    assert line.process(alone, None, seen).result == expected
