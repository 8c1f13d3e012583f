"""Cells that people have a word on, with the probability that the card alone gave them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.bloodlog.reviews import class_of
from edge.bloodlog.verifications import Verification
from edge.classification.card import ModelCard
from edge.classification.recalibration import Recalibration
from edge.results.dataset import Dataset
from edge.results.reading import Reading
from edge.structures import ClassifiedCell
from edge.verification import measured
from edge.verification.fitting import Labelled, Line, expit, logit

_OTHER_MODEL = "counted by another model, card or recalibration"
_DIFFER = "readers differ"


@dataclass(slots=True)
class Words:
    """Labelled cells, as they are found.

    Parameters
    ----------
    card : that of the model that is to be recalibrated, as its file has it
    in_force : the recalibration that is there now, whose part is taken out of a row's probabilities

    Attributes
    ----------
    left_out : how many labelled cells could not serve, by reason
    """

    card: ModelCard
    in_force: Recalibration | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    _found: dict[tuple[str, int], tuple[float, bool, str, float]] = field(default_factory=dict)

    def add_sample(self, log: BloodLog, sample: Sample) -> None:
        """Take the cells of a sample that count and on which people agree, or that were settled."""
        reading = Reading.of(log, sample.id)
        row = {logged.id: logged for logged in reading.fields}
        for cell in reading.cells:
            word = reading.last_words.get(cell.ref)
            if not cell.counts or cell.found.p_blast is None or word not in ("blast", "normal"):
                continue
            if cell.ref in reading.differing:
                self.left_out[_DIFFER] += 1
                continue
            self._add(row[cell.ref.field_id], cell.found, word == "blast", sample.name)

    def add_verification(self, log: BloodLog, verification: Verification) -> None:
        """Take the cells that were drawn to verify the program, with what each stands for.

        Readers called them blind, without the program's word.
        """
        blind = measured.Words.of(log, verification)
        for drawn in blind.read:
            words = {class_of(label) for label in blind.said[drawn.id]}
            if len(words) > 1:
                self.left_out[_DIFFER] += 1
            elif words <= {"blast", "normal"}:
                logged, found = blind.fields[drawn.cell.field_id], blind.found[drawn.cell]
                self._add(logged, found, words == {"blast"}, str(logged.sample_id), drawn.weight)

    def add_dataset(self, dataset: Dataset) -> None:
        """Take the labelled cells of a data set that are whole and were not seen before."""
        for one in dataset.fields:
            for cell in one.cells:
                if cell.label not in ("blast", "normal") or cell.p_blast is None:
                    continue
                if not cell.touches_border and not cell.seen_before:
                    key = (one.frame_sha256, cell.id)
                    self._put(key, cell.p_blast, cell.label == "blast", one.sample, one.provenance, 1.0)

    def cells(self) -> Labelled:
        """Give all that were found, each once."""
        found = list(self._found.values())
        p, is_blast, sample, weight = zip(*found, strict=True) if found else ((),) * 4
        return Labelled.of(p, is_blast, sample, weight)

    def _add(
        self, logged: LoggedField, found: ClassifiedCell, is_blast: bool, sample: str, weight: float = 1.0
    ) -> None:
        if found.p_blast is None:
            return
        made_by = {} if logged.provenance is None else json.loads(logged.provenance)
        key = (logged.result.frame_sha256, found.cell.id)
        self._put(key, found.p_blast, is_blast, sample, made_by, weight)

    def _put(
        self,
        key: tuple[str, int],
        p: float,
        is_blast: bool,
        sample: str,
        made_by: Mapping[str, Any],
        weight: float,
    ) -> None:
        line = self._line(made_by)
        if line is None:
            self.left_out[_OTHER_MODEL] += 1
            return
        z = logit(np.array([p])) * line.temperature - line.offset
        self._found[key] = (float(expit(z)[0]), is_blast, sample, weight)

    def _line(self, made_by: Mapping[str, Any]) -> Line | None:
        """Say what a row's log odds went through after the card; None where that is not known."""
        recalibration = made_by.get("recalibration_sha256")
        if recalibration is None:
            return Line() if made_by.get("card_sha256") == self.card.whole_sha256 else None
        now = self.in_force
        if now is None or recalibration != now.sha256 or now.card_sha256 != self.card.whole_sha256:
            return None
        return Line(now.offset, now.temperature)


def closed_samples(log: BloodLog, names: Iterable[str] = ()) -> list[Sample]:
    """List the named samples, or all patients' that are closed."""
    named = [log.sample(name) for name in names]
    return named or [sample for sample in log.samples() if not sample.is_open and sample.slide is None]


def closed_verifications(log: BloodLog) -> list[Verification]:
    """List the verifications that were closed, not abandoned."""
    return [one for one in log.verifications() if one.end is not None and one.end.event == "closed"]
