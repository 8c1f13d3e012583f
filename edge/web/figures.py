"""What is said of a sample's count on every page, and what must not be said to somebody who reads blind."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bloodlog import BloodLog, Sample
from edge.i18n import Catalogue
from edge.results.reading import Reading
from edge.results.search import is_candidate
from edge.results.sheet.kinds import DifferentialTable, differential_table
from edge.results.summary import SampleSummary
from edge.results.texts import (
    differing_text,
    drawn_text,
    found_text,
    search_limits,
    search_text,
    share_text,
    stop_text,
)
from edge.web import preferences
from edge.web.setup import setup

_KEY = "figures.share"


@dataclass(frozen=True)
class Figures:
    """A sample's figures for one pair of eyes.

    Attributes
    ----------
    summary : all figures
    observer : who is looking, or None
    hidden : whether that person wants to know nothing of what the program says
    """

    summary: SampleSummary
    observer: str | None
    hidden: bool = False

    @property
    def reading(self) -> Reading:
        """The sample's cells and words."""
        return self.summary.reading

    @property
    def withheld(self) -> bool:
        """Whether figures that hold others' words, or the program's, would unblind the one who is looking."""
        return self.hidden or self.reading.withholds_results(self.observer)

    def headline(self, _: Catalogue) -> str:
        """Say the program's count; of a search, which has none, what people have found."""
        if self.summary.search is not None:
            return "" if self.withheld else found_text(_, self.summary.search)
        return share_text(_, self.summary.program, _KEY)

    def stop_text(self, _: Catalogue) -> str:
        """Say whether to count on, or how far a closed sample came; of a search what it has found."""
        sample, search = self.summary.sample, self.summary.search
        if search is None:
            return stop_text(_, self.summary.stopping, sample)
        return "" if self.withheld else search_text(_, search, is_open=sample.is_open)

    def search_limits(self, _: Catalogue) -> tuple[str, ...]:
        """Say what the limits of a search rest on; nothing where there is none, or where blind."""
        search = self.summary.search
        return () if search is None or self.withheld else search_limits(_, search)

    @property
    def unanswered(self) -> int:
        """Number of candidates of a search that the one who is looking has no word on."""
        reading = self.reading
        return sum(is_candidate(cell) and not reading.word(self.observer, cell.ref) for cell in reading.cells)

    def of(self, observer: str | None, _: Catalogue) -> str | None:
        """Say an observer's count of the cells that he or she called blast or normal; None without one."""
        for count in self.summary.observers:
            if count.observer == observer and count.tally.wbc:
                return share_text(_, count.tally, _KEY)
        return None

    def for_reader(self, _: Catalogue) -> str:
        """Say the reader's own count, else the program's, unless that must stay hidden."""
        own = self.of(self.observer, _)
        if own is not None:
            return _("figures.own", count=own)
        return "" if self.hidden else self.headline(_)

    def reviewed(self, _: Catalogue) -> str | None:
        """Say the count with people's words in place of the program's; None without any, or where blind."""
        reviewed = self.summary.reviewed
        return None if reviewed is None or self.withheld else share_text(_, reviewed, _KEY)

    def differential(self, _: Catalogue) -> DifferentialTable | None:
        """Give the differentials that may be seen; None where there is none."""
        summary = self.summary
        tallies = [] if self.hidden else [(_("report.program"), summary.program)]
        if summary.reviewed is not None and not self.withheld:
            tallies.append((_("report.reviewed"), summary.reviewed))
        return differential_table(_, tallies, 0 if self.withheld else len(summary.reading.differing_types))

    def drawn(self, _: Catalogue) -> str | None:
        """Say that fields were drawn by a program; None where none was."""
        return drawn_text(_, self.summary)

    def differing(self, _: Catalogue) -> str | None:
        """Say that readers differ, by whose counts; None where none do, or where that would unblind."""
        return None if self.withheld else differing_text(_, self.summary)


def figures_of(log: BloodLog, sample: Sample, observer: str | None) -> Figures:
    """Count a sample up for one pair of eyes."""
    return Figures(setup().counted.of(log, sample), observer, preferences.hides_program())
