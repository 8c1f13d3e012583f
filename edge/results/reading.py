"""A sample as people read it: its cells, who said what about each, and who may see whose words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from edge.bloodlog import BloodLog, ClassWord, LoggedField, Review, ReviewLabel
from edge.bloodlog.reviews import class_of, not_undone, standing_words, type_of
from edge.bloodlog.settlements import Settlement
from edge.structures import CellRef, CellType, ClassifiedCell, ModelIdentity

WORDS: tuple[ClassWord, ...] = get_args(ClassWord)

#: Gives the threshold of a model, or None where its card is not known.
ThresholdOf = Callable[[ModelIdentity], float | None]


def _unknown(_model: ModelIdentity) -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class ReadCell:
    """One cell, as it is shown.

    Attributes
    ----------
    ref : field and cell
    found : what the program found and said
    thumbnail : hash of its picture, or None where none was stored
    counts : the cell is in the program's tally: whole, white, not seen before
    threshold : probability from which the model that counted it would say blast
    field_px : width and height of its field
    um_per_px : of its field; None where that was only assumed
    """

    ref: CellRef
    found: ClassifiedCell
    thumbnail: str | None
    counts: bool
    threshold: float = 0.5
    field_px: tuple[int, int] = (0, 0)
    um_per_px: float | None = None

    @property
    def program(self) -> str:
        """The program's word: ``blast``, ``normal``, ``uncertain`` or ``smudge``."""
        return self.found.word

    @property
    def is_smudge(self) -> bool:
        """Whether the cell is in the program's tally as a smudge."""
        return self.found.cell.kind == "smudge" and self.found.seen_before is None

    @property
    def doubt(self) -> tuple[int, float]:
        """What cells are sorted by, the most doubtful first.

        Uncertain cells come first, then those near the threshold of the model that counted them, whose word
        would be another one with little less or more; smudges, which have no probability, come after all.
        """
        if self.found.p_blast is None:
            return 2, 0.0
        return int(self.program != "uncertain"), abs(self.found.p_blast - self.threshold)


class Reading:
    """Cells and words of one sample at one moment.

    Parameters
    ----------
    fields : of the sample
    reviews : of the sample, in the order in which they were written
    threshold_of : gives a model's threshold; where it is not known, it lies between the model's own words
    settlements : of the sample, in the order in which they were written
    """

    def __init__(
        self,
        fields: Iterable[LoggedField],
        reviews: Iterable[Review],
        threshold_of: ThresholdOf = _unknown,
        settlements: Iterable[Settlement] = (),
    ) -> None:
        self.fields = tuple(fields)
        self.reviews = tuple(reviews)
        self._settlements = tuple(settlements)
        self._threshold_of = threshold_of

    @classmethod
    def of(cls, log: BloodLog, sample_id: int, threshold_of: ThresholdOf = _unknown) -> Reading:
        """Read a sample from the log."""
        return cls(log.fields(sample_id), log.reviews(sample_id), threshold_of, log.settlements(sample_id))

    def with_words(self, reviews: Iterable[Review], settlements: Iterable[Settlement]) -> Reading:
        """Give the same cells with the words that people have said by now."""
        read = Reading(self.fields, reviews, self._threshold_of, settlements)
        read.cells, read.to_read = self.cells, self.to_read
        return read

    @cached_property
    def _counted(self) -> tuple[LoggedField, ...]:
        return tuple(logged for logged in self.fields if logged.result.status == "counted")

    @cached_property
    def _thresholds(self) -> Mapping[ModelIdentity, float]:
        found: dict[ModelIdentity, list[ClassifiedCell]] = {}
        for logged in self._counted:
            found.setdefault(logged.result.model, []).extend(logged.result.cells)
        known = {model: self._threshold_of(model) for model in found}
        return {
            model: _between(found[model]) if threshold is None else threshold
            for model, threshold in known.items()
        }

    @cached_property
    def cells(self) -> tuple[ReadCell, ...]:
        """All cells of counted fields, in the order in which they were found."""
        return tuple(
            ReadCell(
                CellRef(logged.id, found.cell.id),
                found,
                logged.thumbnails.get(found.cell.id),
                found.counts,
                self._thresholds[logged.result.model],
                field_px,
                logged.result.scale.reported_um_per_px,
            )
            for logged in self._counted
            for field_px in [(logged.result.width, logged.result.height)]
            for found in logged.result.cells
        )

    @cached_property
    def to_read(self) -> frozenset[CellRef]:
        """Cells on which an observer must have a word to be done."""
        return frozenset(cell.ref for cell in self.cells if cell.counts)

    @cached_property
    def words(self) -> Mapping[str, Mapping[CellRef, str]]:
        """Class by cell, by observer; who took all words back is still there, with none."""
        return _classes(self._all_said)

    @cached_property
    def _all_said(self) -> Mapping[str, Mapping[CellRef, ReviewLabel]]:
        return _said(self.reviews)

    @cached_property
    def types(self) -> Mapping[CellRef, frozenset[CellType]]:
        """The types that people say a cell has: one where all who name one agree."""
        named: dict[CellRef, frozenset[CellType]] = {}
        for said in self._all_said.values():
            for ref, word in said.items():
                kind = type_of(word)
                if kind is not None:
                    named[ref] = named.get(ref, frozenset()) | {kind}
        return named

    @cached_property
    def differing_types(self) -> frozenset[CellRef]:
        """Cells that are normal, and that people give different types, until a supervisor names one."""
        several = {ref for ref, kinds in self.types.items() if len(kinds) > 1}
        settled = {ref for ref, (word, _who) in self.settled_words.items() if type_of(word) is not None}
        return frozenset(ref for ref in several - settled if self.last_words.get(ref) == "normal")

    def type_of(self, cell: ReadCell) -> CellType | None:
        """Give a cell's type: the settled one, that on which people agree, else the program's, if any."""
        word, _who = self.settled_words.get(cell.ref, ("normal", ""))
        settled, named = type_of(word), self.types.get(cell.ref, frozenset())
        return settled or (next(iter(named)) if len(named) == 1 else cell.found.type)

    def said(self, observer: str | None, ref: CellRef) -> ReviewLabel | None:
        """Give one observer's word on one cell, as it was said: a class, or a type."""
        return None if observer is None else self._all_said.get(observer, {}).get(ref)

    @cached_property
    def last_words(self) -> Mapping[CellRef, str]:
        """The word that holds on each cell that a person has a word on: the settled one, else the last."""
        # A word that was taken back gives way to what that person said before, or to nothing.
        last = {review.cell: self.word(review.observer, review.cell) for review in self.reviews}
        words = {ref: word for ref, word in last.items() if word is not None}
        return {**words, **{ref: word for ref, (word, _by) in self.settled.items()}}

    @cached_property
    def agreed_words(self) -> Mapping[CellRef, str]:
        """The word that holds on each cell that people have a word on and agree."""
        return {ref: word for ref, word in self.last_words.items() if ref not in self.differing}

    @cached_property
    def settled(self) -> Mapping[CellRef, tuple[str, str]]:
        """The class that a supervisor put a cell into on which readers differed, and who that was."""
        return {ref: (class_of(word), who) for ref, (word, who) in self.settled_words.items()}

    @cached_property
    def settled_words(self) -> Mapping[CellRef, tuple[ReviewLabel, str]]:
        """What a supervisor said of a cell on which readers differed, a class or a type, and who that was.

        It holds until somebody says something else of the cell than before: then readers differ again.
        """
        holding = {settled.cell: settled for settled in self._settlements}
        before = {
            after: _said(review for review in self.reviews if review.id <= after)
            for after in {settled.after_review for settled in holding.values()}
        }

        def is_contradicted(settled: Settlement, word: ReviewLabel) -> bool:
            then = before[settled.after_review]
            return any(
                _is_new(self.said(name, settled.cell), then.get(name, {}).get(settled.cell), word)
                for name in self.observers
            )

        return {
            ref: (settled.label, settled.who)
            for ref, settled in holding.items()
            if settled.label is not None and not is_contradicted(settled, settled.label)
        }

    @cached_property
    def differing(self) -> Mapping[CellRef, Mapping[str, str]]:
        """Each one's word on every cell on which words differ as they stand now, in the order of the cells.

        They are settled by whoever takes the other's word, or by a supervisor.
        """
        said: dict[CellRef, dict[str, str]] = {}
        for observer, words in self.words.items():
            for ref, word in words.items():
                said.setdefault(ref, {})[observer] = word
        refs = [cell.ref for cell in self.cells if len(set(said.get(cell.ref, {}).values())) > 1]
        return {ref: said[ref] for ref in refs if ref not in self.settled}

    @cached_property
    def unsettled(self) -> frozenset[CellRef]:
        """Cells on which people differ, in class or type, until they are settled."""
        return self.differing_types.union(self.differing)

    def word(self, observer: str | None, ref: CellRef) -> str | None:
        """Give the class that one observer puts one cell into."""
        return None if observer is None else self.words.get(observer, {}).get(ref)

    def read_by(self, observer: str | None) -> int:
        """Count the cells that count and that an observer has a word on."""
        return 0 if observer is None else len(self.to_read & self.words.get(observer, {}).keys())

    def is_done(self, observer: str | None) -> bool:
        """Whether an observer has a word on every cell that counts."""
        return bool(self.to_read) and self.read_by(observer) == len(self.to_read)

    @property
    def observers(self) -> tuple[str, ...]:
        """Who has said something, in the order of their first words."""
        return tuple(self.words)

    @cached_property
    def done(self) -> tuple[str, ...]:
        """Observers who are done, in the order of their first words."""
        return tuple(observer for observer in self.observers if self.is_done(observer))

    def is_blind(self, observer: str | None) -> bool:
        """Whether an observer must not see the others' words yet.

        Two readings are independent only while neither reader knows the other's: both must be done first.
        """
        others = [other for other in self.observers if other != observer]
        return bool(others) and not (self.is_done(observer) and any(map(self.is_done, others)))

    def stands(self, observer: str, ref: CellRef) -> bool:
        """Whether an observer's word on a cell stands, as the cell is a supervisor's to settle.

        Where there are users, two readings that differ stand once both are done: whoever sees the other's
        word does not give way by a word of his own, however it comes. What was settled stands, too.
        """
        is_in_dispute = ref in self.unsettled or ref in self.settled
        return is_in_dispute and not self.is_blind(observer)

    def withholds_results(self, observer: str | None) -> bool:
        """Whether a report would unblind somebody who reads beside another, or has a sign and still may.

        Who has said nothing sees the results of those who are done, and of nobody who is in the middle. Who
        has no sign can say nothing, and only prints.
        """
        if observer is None:
            return False
        if self.words.get(observer):
            return self.is_blind(observer)
        return any(
            words and not self.is_done(other) for other, words in self.words.items() if other != observer
        )

    def last_review(self, observer: str | None) -> Review | None:
        """Find what an undo would take back: an observer's newest word that was not taken back yet."""
        own = not_undone([review for review in self.reviews if review.observer == observer])
        return own[-1] if own else None

    def blind_words(self, first: str, second: str) -> list[tuple[CellRef, str, str]]:
        """Give two observers' words on the cells as they stood when the later of them was done.

        What either says after that may have been said in view of the other's words, and is no measure of
        agreement.
        """
        end = self._both_done_at(first, second)
        words = _classes(_said(self.reviews[:end]))
        one, other = words.get(first, {}), words.get(second, {})
        both = [cell.ref for cell in self.cells if cell.counts and cell.ref in one and cell.ref in other]
        return [(ref, one[ref], other[ref]) for ref in both]

    def _both_done_at(self, first: str, second: str) -> int:
        missing = {observer: set(self.to_read) for observer in (first, second)}
        for number, review in enumerate(self.reviews, start=1):
            if review.observer in missing:
                if review.label is not None:
                    missing[review.observer].discard(review.cell)
                elif review.cell in self.to_read:
                    missing[review.observer].add(review.cell)
                if not any(missing.values()):
                    return number
        return len(self.reviews)


def _is_new(now: ReviewLabel | None, then: ReviewLabel | None, settled: ReviewLabel) -> bool:
    """Whether a reader says something that neither was settled nor had been said by the same reader then."""
    if now is None:
        return False
    known = (settled,) if then is None else (settled, then)
    kind = type_of(now)
    return class_of(now) not in map(class_of, known) or (kind is not None and kind not in map(type_of, known))


def _between(cells: Iterable[ClassifiedCell]) -> float:
    """Give what lies between the greatest probability that was called normal and the least called blast."""
    normal = max(
        (cell.p_blast for cell in cells if cell.label == "normal" and cell.p_blast is not None), default=0.0
    )
    blast = min(
        (cell.p_blast for cell in cells if cell.label == "blast" and cell.p_blast is not None), default=1.0
    )
    return (normal + blast) / 2.0


def _said(reviews: Iterable[Review]) -> dict[str, dict[CellRef, ReviewLabel]]:
    return standing_words((review.observer, review.cell, review.label) for review in reviews)


def _classes(words: Mapping[str, Mapping[CellRef, ReviewLabel]]) -> dict[str, dict[CellRef, str]]:
    return {observer: {ref: class_of(word) for ref, word in own.items()} for observer, own in words.items()}
