"""How often the gate refuses good fields, and how often it lets bad ones pass."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge.camera.files import read_image
from edge.light.field import Field
from edge.quality import FrameWatch, Reference, assess, assess_cells
from edge.quality.reference import REFERENCE_FIELDS
from edge.segmentation import Segmentation, segment
from edge.structures import Frame, UInt8Image
from training.evaluation.degrade import DEGRADATIONS, Degradation
from training.evaluation.figures import Figure, proportion

#: Least side of a picture that shows a field rather than a cell, in µm: ten red cells.
_WHOLE_FIELD_UM = 75.0


@dataclass
class Verdicts:
    """Verdicts on one kind of picture.

    Attributes
    ----------
    n : number of pictures
    rejected : how many of them were refused
    examples : names of the pictures that a person should look at
    """

    n: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, given: tuple[str, ...], *, bad: bool) -> None:
        """Add a good or a bad picture with the reasons given for refusing it."""
        self.n += 1
        self.rejected += bool(given)
        if bool(given) is not bad:
            self.examples.append(name)


@dataclass
class GateFigures:
    """What became of the pictures of one folder.

    Attributes
    ----------
    good : pictures as they are, by what was asked: ``as a file``, ``with known scale`` or ``live``
    bad : the same pictures degraded, by the degradation's name
    """

    good: dict[str, Verdicts] = field(default_factory=lambda: defaultdict(Verdicts))
    bad: dict[str, Verdicts] = field(default_factory=lambda: defaultdict(Verdicts))

    def figures(self) -> list[Figure]:
        """Return shares of good pictures refused and of bad ones let through."""
        refused = [proportion(f"good refused, {name}", v.rejected, v.n) for name, v in self.good.items()]
        passed = [proportion(f"passed: {name}", v.n - v.rejected, v.n) for name, v in self.bad.items()]
        return refused + passed


def evaluate_gate(
    images: Sequence[Path],
    degraded: int | None = None,
    on_image: Callable[[], None] = lambda: None,
    seed: int = 1,
) -> GateFigures:
    """Judge pictures that people found good, then the same pictures degraded.

    Parameters
    ----------
    images : files of one source
    degraded : degrade so many of them only, spread evenly; None for all
    on_image : called after each
    seed : of what is random about the degradations

    Raises
    ------
    ImageError
        An image cannot be read.
    """
    outcome = GateFigures()
    chosen = set(np.linspace(0, len(images) - 1, degraded).astype(int).tolist()) if degraded else None
    for number, path in enumerate(images):
        frame = read_image(path)
        found = segment(Field(frame))
        um_per_px = found.scale.um_per_px
        outcome.good["as a file"].add(path.name, verdict(frame, found=found), bad=False)
        known = replace(frame, um_per_px=um_per_px)
        outcome.good["with known scale"].add(path.name, verdict(known, found=found), bad=False)
        on_image()
        if chosen is not None and number not in chosen:
            continue
        own = _reference([known] * REFERENCE_FIELDS)
        for kind, degradation in enumerate(DEGRADATIONS):
            if degradation.whole_fields and min(frame.image.shape[:2]) * um_per_px < _WHOLE_FIELD_UM:
                continue
            rng = np.random.default_rng([seed, number, kind])
            image = degradation.apply(frame.image, um_per_px, rng)
            _judge(outcome, degradation, path.name, frame.image, replace(known, image=image), own)
    return outcome


def follow_sessions(sessions: Iterable[Sequence[Path]], outcome: GateFigures) -> None:
    """Judge the later fields of each session live, against its first ones.

    Parameters
    ----------
    sessions : files of one slide each, in the order in which they were taken
    outcome : added to
    """
    for session in sessions:
        if len(session) <= REFERENCE_FIELDS:
            continue
        frames = [read_image(path) for path in session]
        reference = _reference(frames[:REFERENCE_FIELDS])
        for path, frame in zip(session[REFERENCE_FIELDS:], frames[REFERENCE_FIELDS:], strict=True):
            outcome.good["live"].add(path.name, verdict(frame, reference), bad=False)


def summed(sources: Iterable[Sequence[Figure]]) -> list[Figure]:
    """Add up shares of the same name over sources, and all bad pictures to one share."""
    hits: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for figures in sources:
        for figure in figures:
            for name in (figure.name, *(["passed: all"] if figure.name.startswith("passed") else [])):
                hits[name] += figure.hits or 0
                numbers[name] += figure.n
    return [proportion(name, hits[name], n) for name, n in numbers.items()]


def read_sessions(folder: Path) -> list[list[Path]]:
    """Read which pictures were taken one after the other, from ``fields.csv`` beside the pictures' folder.

    Parameters
    ----------
    folder : of the pictures

    Returns
    -------
    files by session, in order; empty where there is no such table
    """
    table = folder.parent / "fields.csv"
    if not table.is_file():
        return []
    by_session: dict[tuple[str, str], list[tuple[str, Path]]] = defaultdict(list)
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = folder / f"{row['field']}.jpg"
            if path.is_file() and row.get("exif_time"):
                by_session[row["camera"], row["session"]].append((row["exif_time"], path))
    return [[path for _, path in sorted(fields)] for _, fields in sorted(by_session.items())]


def verdict(
    frame: Frame, reference: Reference | None = None, *, found: Segmentation | None = None
) -> tuple[str, ...]:
    """Return the reasons for which a picture is not counted, before segmentation and after it.

    Parameters
    ----------
    frame : the picture
    reference : how the first fields of its sample looked; None for a file
    found : what segmentation finds in it at its scale, where that is known already
    """
    field = Field(frame)
    judgement = assess(field, reference)
    if not judgement.reasons:
        found = segment(field) if found is None else found
        judgement += assess_cells(field, found.cells, found.scale)
    return judgement.reasons


def _reference(frames: Sequence[Frame]) -> Reference:
    reference = Reference.start()
    for frame in frames:
        reference = reference.after(Field(frame))
    return reference


def _judge(
    outcome: GateFigures,
    degradation: Degradation,
    name: str,
    good: UInt8Image,
    bad: Frame,
    reference: Reference,
) -> None:
    label = f"{degradation.name} ({degradation.mode})"
    if degradation.mode == "camera":
        watch = FrameWatch()
        watch.reasons(good)
        outcome.bad[label].add(name, watch.reasons(bad.image), bad=True)
    elif degradation.mode == "live":
        outcome.bad[label].add(name, verdict(bad, reference), bad=True)
    else:
        outcome.bad[label].add(name, verdict(bad), bad=True)
        if degradation.reasons == ("out_of_focus",):
            unknown = replace(bad, um_per_px=None)
            outcome.bad[f"{label}, scale unknown"].add(name, verdict(unknown), bad=True)
