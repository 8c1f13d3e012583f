"""Two models side by side on the stored pictures of samples, before either counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.bloodlog.pictures import ThumbnailStore, decode, encode
from edge.classification.classifier import Classifier
from edge.counting.pipeline import Pipeline
from edge.counting.sample import thumbnail
from edge.results.reading import Reading
from edge.structures import CellRef, ClassifiedCell, Frame, ModelIdentity, UInt8Image

#: The words in the order of the table.
WORDS = ("blast", "uncertain", "normal")
#: Cells of which pictures are shown: whoever has looked at some hundred has seen what changes.
MOST_PICTURES = 300
NO_PICTURE, OTHER_CELLS = "no stored picture", "refused by the gate of this version"


@dataclass(frozen=True, slots=True)
class Changed:
    """A cell that the two models call differently.

    Attributes
    ----------
    sample : its name
    field, cell : numbers in the log and in the field as it is segmented now
    words : of both models
    p_blast : of both models
    person : what people say, where they agree; None without a word
    jpeg : the cell with its surroundings, or None beyond ``MOST_PICTURES``
    """

    sample: str
    field: int
    cell: int
    words: tuple[str, str]
    p_blast: tuple[float, float]
    person: str | None
    jpeg: bytes | None


@dataclass(slots=True)
class Counts:
    """What both models called the whole cells of a sample that were not seen before.

    Attributes
    ----------
    cells : how many by (word of the first, word of the second)
    agreeing : how many of the cells with a person's word are called so by each of both
    read : cells with a person's word
    """

    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    agreeing: list[int] = field(default_factory=lambda: [0, 0])
    read: int = 0

    @property
    def total(self) -> int:
        """Number of cells."""
        return self.cells.total()

    def blasts(self, which: int) -> int:
        """Count the cells that the first (0) or the second (1) calls blasts."""
        return sum(number for words, number in self.cells.items() if words[which] == "blast")


@dataclass(slots=True)
class Comparison:
    """What two models call the same cells.

    Attributes
    ----------
    models : both
    fields : fields that both have counted
    samples : counts by the sample's name
    changed : cells that they call differently
    left_out : fields that could not serve, by reason
    """

    models: tuple[ModelIdentity, ModelIdentity]
    fields: int = 0
    samples: dict[str, Counts] = field(default_factory=dict)
    changed: list[Changed] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def all(self) -> Counts:
        """All samples together."""
        whole = Counts()
        for counts in self.samples.values():
            whole.cells.update(counts.cells)
            whole.read += counts.read
            whole.agreeing = [a + b for a, b in zip(whole.agreeing, counts.agreeing, strict=True)]
        return whole

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON, without the pictures."""
        return {
            "schema": "blastcount.compare/1",
            "models": [model.to_json() for model in self.models],
            "fields": self.fields,
            "left_out": dict(self.left_out),
            "samples": {
                name: {
                    "cells": counts.total,
                    "blasts": [counts.blasts(0), counts.blasts(1)],
                    "calls": {" to ".join(words): number for words, number in sorted(counts.cells.items())},
                    "read": counts.read,
                    "agreeing": counts.agreeing,
                }
                for name, counts in self.samples.items()
            },
            "changed": [
                {
                    "sample": one.sample,
                    "field": one.field,
                    "cell": one.cell,
                    "words": list(one.words),
                    "p_blast": [round(p, 4) for p in one.p_blast],
                    "person": one.person,
                }
                for one in self.changed
            ],
        }


def compare(
    log: BloodLog,
    samples: Sequence[Sample],
    classifiers: tuple[Classifier, Classifier],
    step: Callable[[], None] = lambda: None,
) -> Comparison:
    """Count the stored pictures of samples by two models.

    Every field is counted from its picture as it was kept, at the scale that its row has, so that both models
    see the same cells; a cell that its row marks as seen before, or that the field's edge cuts, is left out.

    Parameters
    ----------
    log : where the samples are
    samples : which
    classifiers : checked
    step : called after each field
    """
    found = Comparison((classifiers[0].card.identity, classifiers[1].card.identity))
    first, second = (Pipeline(classifier) for classifier in classifiers)
    store = ThumbnailStore.beside(log.path)
    for sample in samples:
        reading = Reading.of(log, sample.id)
        counts = found.samples.setdefault(sample.name, Counts())
        for logged in reading.fields:
            step()
            if logged.result.status != "counted":
                continue
            jpeg = None if logged.image_sha256 is None else store.read(logged.image_sha256)
            if jpeg is None:
                found.left_out[NO_PICTURE] += 1
                continue
            image = decode(jpeg)
            frame = Frame(image, logged.result.source, um_per_px=logged.result.scale.um_per_px)
            counted = first.process(frame)
            if counted.segmentation is None:
                found.left_out[OTHER_CELLS] += 1
                continue
            found.fields += 1
            cells = counted.result.cells, second.classify(counted.field, counted.segmentation)
            for one, other, was in _whole(cells, logged):
                person = None if was is None else reading.agreed_words.get(CellRef(logged.id, was))
                _note(found, counts, sample, logged.id, (one, other), person, image)
    return found


def _whole(
    cells: tuple[Sequence[ClassifiedCell], Sequence[ClassifiedCell]], logged: LoggedField
) -> Iterator[tuple[ClassifiedCell, ClassifiedCell, int | None]]:
    """Go through the whole white cells with the number that the row has for the same one, if any."""
    there = {found.cell.bbox: found for found in logged.result.cells}
    for one, other in zip(*cells, strict=True):
        if not one.counts:
            continue
        was = there.get(one.cell.bbox)
        if was is None:
            yield one, other, None
        elif was.seen_before is None:
            yield one, other, was.cell.id


def _note(
    found: Comparison,
    counts: Counts,
    sample: Sample,
    field_id: int,
    both: tuple[ClassifiedCell, ClassifiedCell],
    person: str | None,
    image: UInt8Image,
) -> None:
    words = (both[0].word, both[1].word)
    counts.cells[words] += 1
    if person is not None:
        counts.read += 1
        for which, word in enumerate(words):
            counts.agreeing[which] += word == person
    if words[0] == words[1]:
        return
    jpeg = None
    if len(found.changed) < MOST_PICTURES:
        jpeg = encode(thumbnail(image, both[0].cell))
    p_blast = (both[0].p_blast or 0.0, both[1].p_blast or 0.0)
    found.changed.append(Changed(sample.name, field_id, both[0].cell.id, words, p_blast, person, jpeg))
