"""The straight line from a frame to its classified cells, for files and cameras alike.

It owns no clock, signal, thread or file: the same frame gives the same result wherever it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import ModelCard
from edge.classification.crop import Cutter
from edge.classification.stains import red_cell_colour
from edge.light.field import Field
from edge.quality import Judgement, Reference, assess, assess_cells, readings_of
from edge.segmentation import FirstLook, Segmentation, first_look, has_changed, segment
from edge.structures import (
    Cell,
    CellClass,
    CellType,
    ClassifiedCell,
    FieldResult,
    Frame,
    InputSpec,
    ModelIdentity,
    Readings,
    Scale,
)

#: Crops that exist at once: 32 of 128 px are 1.6 MB, whatever segmentation found.
BATCH = 32
#: Stands in for the scale of a rejected field, which nothing looks at.
_NO_SCALE_UM_PER_PX = 0.2


class CellClassifier(Protocol):
    """What the pipeline needs of :class:`edge.classification.classifier.Classifier`."""

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        ...

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give (n, size, size, 3) uint8 RGB crops their calibrated probabilities, (n,) float32."""
        ...

    def label(self, p_blast: float) -> CellClass:
        """Name the class of a probability."""
        ...


class TypeClassifier(Protocol):
    """What the pipeline needs of the network that names types; it never sees what the first one said."""

    @property
    def identity(self) -> ModelIdentity:
        """Which network it is."""
        ...

    @property
    def card_sha256(self) -> str:
        """Hash of its whole card, in which it says when it abstains."""
        ...

    @property
    def input(self) -> InputSpec:
        """What its crops are made of."""
        ...

    def types_of(self, crops: NDArray[np.uint8]) -> Sequence[tuple[CellType, float]]:
        """Name the type of each of (n, size, size, 3) uint8 crops, with its probability."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessedField:
    """A field's result with what outlines and masks are drawn from.

    Attributes
    ----------
    result : what is tallied and logged
    segmentation : None for a rejected field
    field : the frame with what was computed of its light
    """

    result: FieldResult
    segmentation: Segmentation | None
    field: Field


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a picture by itself, before it is counted.

    Attributes
    ----------
    checksum : of the picture, see :attr:`edge.light.field.Field.checksum`
    judgement : of its light
    look : at its scale and its red cells; None where the light is refused
    """

    checksum: int
    judgement: Judgement
    look: FirstLook | None

    @classmethod
    def of(cls, field: Field) -> Seen:
        """Judge a field whose scale is not given, and look at it once."""
        judgement = assess(field)
        return cls(field.checksum, judgement, None if judgement.reasons else first_look(field))


class Pipeline:
    """Quality gate, segmentation, the one crop, classification.

    Parameters
    ----------
    classifier : a loaded model whose golden crops agree
    clock : seconds, for ``stage_ms``; only differences are used
    types : names the types of white cells beside the blast call, which is the same without it; None for none
    """

    def __init__(
        self,
        classifier: CellClassifier,
        clock: Callable[[], float] = time.perf_counter,
        types: TypeClassifier | None = None,
    ) -> None:
        self._classifier = classifier
        self._types = types
        self._clock = clock

    def process(
        self, frame: Frame, reference: Reference | None = None, seen: Seen | None = None
    ) -> ProcessedField:
        """Count one field.

        Parameters
        ----------
        frame : the field
        reference : how the sample's first fields looked, for a live sample; None for a picture by itself
        seen : what was seen of it before; of another picture it is not used

        Returns
        -------
        ProcessedField whose ``stage_ms`` has ``light`` (the blank slide and the density over it, which gate
        and segmentation share), ``quality`` and, as far as it came, ``segment``, ``cells`` (the gate's second
        look) and ``classify``
        """
        stage_ms: dict[str, float] = {}
        started = self._clock()
        field = Field(frame)
        _ = field.total
        started = self._lap(stage_ms, "light", started)
        if seen is not None and seen.checksum != field.checksum:
            seen = None
        alone = reference is None and frame.um_per_px is None
        judgement = Judgement(warnings=frame.warnings)
        judgement += seen.judgement if seen is not None and alone else assess(field, reference)
        started = self._lap(stage_ms, "quality", started)
        if judgement.reasons:
            scale = _known_scale(frame)
            return ProcessedField(self._result(frame, scale, judgement, (), stage_ms), None, field)
        segmentation = segment(field, None if seen is None else seen.look)
        started = self._lap(stage_ms, "segment", started)
        judgement += assess_cells(field, segmentation.cells, segmentation.scale)
        if has_changed(segmentation.scale, frame):
            judgement += Judgement(warnings=("scale_changed",))
        started = self._lap(stage_ms, "cells", started)
        if judgement.reasons:
            result = self._result(frame, segmentation.scale, judgement, (), stage_ms)
            return ProcessedField(result, None, field)
        cells = self.classify(field, segmentation)
        self._lap(stage_ms, "classify", started)
        readings = readings_of(field, segmentation.cells, segmentation.scale)
        result = self._result(frame, segmentation.scale, judgement, cells, stage_ms, readings)
        return ProcessedField(result, segmentation, field)

    def classify(self, field: Field, segmentation: Segmentation) -> tuple[ClassifiedCell, ...]:
        """Classify the white cells of a field in batches; smudges pass unclassified."""
        p_blast: dict[int, float] = {}
        for batch, crops in _crops(field, segmentation, self._classifier.card.input):
            probabilities = self._classifier.p_blast(crops)
            p_blast |= {cell.id: float(p) for cell, p in zip(batch, probabilities, strict=True)}
        types: dict[int, tuple[CellType, float]] = {}
        if self._types is not None:
            for batch, crops in _crops(field, segmentation, self._types.input):
                named = self._types.types_of(crops)
                types |= {cell.id: (kind, float(p)) for cell, (kind, p) in zip(batch, named, strict=True)}

        def classified(cell: Cell) -> ClassifiedCell:
            if cell.id not in p_blast:
                return ClassifiedCell(cell, None, None)
            p, (kind, p_type) = p_blast[cell.id], types.get(cell.id, (None, None))
            return ClassifiedCell(cell, self._classifier.label(p), p, type=kind, p_type=p_type)

        return tuple(map(classified, segmentation.cells))

    def _result(
        self,
        frame: Frame,
        scale: Scale,
        judgement: Judgement,
        cells: tuple[ClassifiedCell, ...],
        stage_ms: dict[str, float],
        readings: Readings | None = None,
    ) -> FieldResult:
        return FieldResult(
            source=frame.source,
            width=frame.width,
            height=frame.height,
            captured_at=frame.captured_at,
            frame_sha256=frame.sha256(),
            scale=scale,
            status="rejected" if judgement.reasons else "counted",
            reasons=judgement.reasons,
            cells=cells,
            model=self._classifier.card.identity,
            stage_ms=stage_ms,
            warnings=() if judgement.reasons else judgement.warnings,
            type_model=None if self._types is None else self._types.identity,
            readings=readings,
        )

    def _lap(self, stage_ms: dict[str, float], stage: str, started: float) -> float:
        now = self._clock()
        stage_ms[stage] = (now - started) * 1000.0
        return now


def _crops(
    field: Field, segmentation: Segmentation, spec: InputSpec
) -> Iterator[tuple[list[Cell], NDArray[np.uint8]]]:
    """Cut the white cells, a batch at a time."""
    white = [cell for cell in segmentation.cells if cell.kind == "wbc"]
    red_cells = red_cell_colour(field, segmentation.cells) if spec.shows_red_cells else None
    cutter = Cutter(field, spec, um_per_px=segmentation.scale.um_per_px, red_cells=red_cells)
    for first in range(0, len(white), BATCH):
        batch = white[first : first + BATCH]
        outlines = [segmentation.outline(cell) for cell in batch]
        yield batch, cutter.cut([(cell.x, cell.y) for cell in batch], outlines)


def _known_scale(frame: Frame) -> Scale:
    if frame.um_per_px is not None:
        return Scale(frame.um_per_px, "configured", 1.0, frame.um_per_px_interval)
    return Scale(_NO_SCALE_UM_PER_PX, "assumed", 0.0)
