"""Which fields of a sample a new one overlaps: the last ones, those that must lie under it, or all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.registration.alignment import Alignment, align
from edge.registration.keyframe import Keyframe, correlation_peaks
from edge.registration.transform import RigidTransform

#: Fields that are tried first: the stage has hardly left them.
_RECENT = 2
#: Peaks of the search that are looked at, a field.
_PEAKS = 2
#: Fields that are looked at after a search through all of them, best peaks first.
_BEST_FIELDS = 8
#: Score of a peak below which nothing is looked at: one chance peak in twenty is higher.
_LEAST_PEAK = 15.0
#: How far a place found by way of other fields may be off: a quarter of the field's side, and as much more
#: as 0.1° of error a field adds up to.
_DRIFT, _DRIFT_PER_FIELD = 0.25, 0.002

#: Significance of an alignment that is no chance find among all shifts of all fields: docs/registration.md
#: has the distribution over pairs that do not overlap.
_SURE = 26.0
#: ... and where the overlap is small but alike.
_LIKELY, _LIKELY_CORRELATION = 20.0, 0.85
#: ... and where other fields say that there must be an overlap: chance has but one try.
_CONFIRMING, _CONFIRMING_CORRELATION = 8.0, 0.5


@dataclass(slots=True)
class Entry:
    """A field of the sample, as it is searched.

    Attributes
    ----------
    keyframe : what it is recognised by
    component : number of the group of fields that overlaps connect it to; 0 is the first field's
    pose : transform from its plane to that of the component's first field
    """

    keyframe: Keyframe
    component: int
    pose: RigidTransform


def is_sure(alignment: Alignment) -> bool:
    """Whether an alignment is no chance find among all shifts of all fields."""
    if alignment.significance >= _SURE:
        return True
    return alignment.significance >= _LIKELY and alignment.correlation >= _LIKELY_CORRELATION


def confirms(alignment: Alignment) -> bool:
    """Whether an alignment confirms a place known by way of other fields, where chance has but one try."""
    return alignment.correlation >= _CONFIRMING_CORRELATION and alignment.significance >= _CONFIRMING


def find_overlaps(entries: Sequence[Entry], keyframe: Keyframe) -> tuple[dict[int, Alignment], int]:
    """Find the fields that a new one overlaps.

    Parameters
    ----------
    entries : fields of the sample, in the order in which they came
    keyframe : of the new one

    Returns
    -------
    alignments onto them by index, and how many fields the new one was compared with

    Notes
    -----
    Fields that overlap form connected components, each with one coordinate system. The last fields are tried
    first, since the stage moves by steps; a field that is found says which others of its component must lie
    under the new one, and these are tried at that place. Components that are still apart are then searched
    through, the highest peaks of the cross-correlation first.
    """
    search = _Search(entries, keyframe)
    for index in list(reversed(search.open))[:_RECENT]:
        search.compare_with(index)
    search.compare_with_neighbours()
    search.compare_with_best_of([i for i in search.open if entries[i].component not in search.components()])
    search.compare_with_neighbours()
    return search.found, search.compared


class _Search:
    """One new field against all others."""

    def __init__(self, entries: Sequence[Entry], keyframe: Keyframe) -> None:
        self._entries = entries
        self._keyframe = keyframe
        self._plane = keyframe.fine()
        self.open = [i for i, entry in enumerate(entries) if entry.keyframe.comparable(keyframe)]
        self.found: dict[int, Alignment] = {}
        self.compared = 0

    def components(self) -> set[int]:
        """Return the components that the new field touches."""
        return {self._entries[index].component for index in self.found}

    def compare_with(self, index: int) -> None:
        """Compare with one field at its most likely shifts."""
        self._close(index)
        self._verify(index, correlation_peaks(self._entries[index].keyframe, self._keyframe, _PEAKS))

    def compare_with_best_of(self, indices: Iterable[int]) -> None:
        """Compare with many fields: all are searched, the likeliest are looked at."""
        scored = []
        for index in indices:
            self._close(index)
            scored.append((correlation_peaks(self._entries[index].keyframe, self._keyframe, _PEAKS), index))
        scored.sort(key=lambda item: -item[0][0][0])
        for likely, index in scored[:_BEST_FIELDS]:
            self._verify(index, likely)

    def compare_with_neighbours(self) -> None:
        """Compare with the fields that must lie under the new one because its neighbours are known."""
        while True:
            neighbours = self._neighbours()
            if not neighbours:
                return
            for index, guess in neighbours:
                self._close(index)
                if guess is not None:
                    alignment = align(self._entries[index].keyframe.fine(), self._plane, guess)
                    if alignment is not None and confirms(alignment):
                        self.found[index] = alignment
                        continue
                self._verify(index, correlation_peaks(self._entries[index].keyframe, self._keyframe, _PEAKS))

    def _neighbours(self) -> list[tuple[int, RigidTransform | None]]:
        """Open fields within reach of the new one, and its likely place on each that it should overlap."""
        reached: list[tuple[int, RigidTransform | None]] = []
        h, w = self._plane.shape
        for component in self.components():
            nearest = max(
                (index for index in self.found if self._entries[index].component == component),
                key=lambda index: self.found[index].weight,
            )
            pose = self._entries[nearest].pose.after(self.found[nearest].transform)
            for index in self.open:
                entry = self._entries[index]
                if entry.component != component:
                    continue
                guess = entry.pose.inverse().after(pose)
                slack = _DRIFT + _DRIFT_PER_FIELD * abs(index - nearest)
                middle = np.array([[(w - 1) / 2, (h - 1) / 2]])
                x, y = np.abs(guess.apply(middle)[0] - middle[0])
                if x < w and y < h:
                    reached.append((index, guess))
                elif x < (1 + slack) * w and y < (1 + slack) * h:
                    reached.append((index, None))
        return reached

    def _verify(self, index: int, likely: Iterable[tuple[float, float, float]]) -> None:
        old = self._entries[index].keyframe.fine()
        for score, x, y in likely:
            if score < _LEAST_PEAK:
                return
            alignment = align(old, self._plane, RigidTransform(0.0, x, y))
            if alignment is not None and is_sure(alignment):
                self.found[index] = alignment
                return

    def _close(self, index: int) -> None:
        self.open.remove(index)
        self.compared += 1
