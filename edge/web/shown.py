"""What is said of a sample's count on every page, and what must not be said to somebody who reads blind."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bloodlog import BloodLog, Sample
from edge.i18n import Catalogue
from edge.results.reading import Reading
from edge.results.stopping import LINE
from edge.results.summary import SampleSummary, summarise
from edge.web.setup import setup

#: Shares that readers know, shown as lines: WHO and FAB.
REFERENCE_LINES = (LINE, 0.25)


@dataclass(frozen=True)
class Figures:
    """A sample's figures for one pair of eyes.

    Attributes
    ----------
    summary : all figures
    observer : who is looking, or None
    """

    summary: SampleSummary
    observer: str | None

    @property
    def reading(self) -> Reading:
        """The sample's cells and words."""
        return self.summary.reading

    @property
    def withheld(self) -> bool:
        """Whether figures that hold others' words would unblind the one who is looking."""
        return self.reading.withholds_results(self.observer)

    def headline(self, _: Catalogue) -> str:
        """Say the program's count."""
        program = self.summary.program
        return _share(_, program.blasts, program.wbc, program.blast_fraction, program.ci_low, program.ci_high)

    def stop_text(self, _: Catalogue) -> str:
        """Say whether to count on."""
        stopping = self.summary.stopping
        text = _(
            f"stop.{stopping.advice}", cells=stopping.cells, quota=stopping.quota, line=_.percent(LINE, 0)
        )
        if stopping.advice == "quota_open" and stopping.more_cells is not None:
            text = f"{text} {_('stop.more', more=stopping.more_cells)}"
        return text

    def own(self, _: Catalogue) -> str | None:
        """Say the count of the one who is looking; None before the first word."""
        return None if self.observer is None else self.of(self.observer, _)

    def of(self, observer: str, _: Catalogue) -> str | None:
        """Say an observer's count of the cells that he or she called blast or normal."""
        for count in self.summary.observers:
            if count.observer == observer and count.cells:
                return _share(_, count.blasts, count.cells, count.share, count.ci_low, count.ci_high)
        return None

    def for_reader(self, _: Catalogue, *, hidden: bool) -> str:
        """Say the reader's own count, else the program's, unless that must stay hidden."""
        own = self.own(_)
        if own is not None:
            return _("figures.own", count=own)
        return "" if hidden else self.headline(_)

    def reviewed(self, _: Catalogue) -> str | None:
        """Say the count with people's words in place of the program's; None without any, or where blind."""
        reviewed = self.summary.reviewed
        if reviewed is None or self.withheld:
            return None
        return _share(
            _, reviewed.blasts, reviewed.wbc, reviewed.blast_fraction, reviewed.ci_low, reviewed.ci_high
        )


def figures_of(log: BloodLog, sample: Sample, observer: str | None) -> Figures:
    """Count a sample up for one pair of eyes."""
    return Figures(summarise(log, sample, denominator=setup().denominator), observer)


def _share(_: Catalogue, blasts: int, cells: int, share: float | None, low: float, high: float) -> str:
    if share is None:
        return _("figures.none")
    return _(
        "figures.share",
        blasts=blasts,
        cells=cells,
        share=_.percent(share),
        low=_.number(100 * low, 1),
        high=_.percent(high),
    )
