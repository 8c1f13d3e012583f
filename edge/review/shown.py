"""What is said of a sample's count on every page."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bloodlog import BloodLog, Sample
from edge.i18n import Catalogue
from edge.statistics.reading import Reading
from edge.structures import Tally
from edge.tally import clopper_pearson, tally


@dataclass(frozen=True)
class Figures:
    """Counts of a sample.

    Attributes
    ----------
    sample : whose
    reading : its cells and words
    program : the program's tally
    observer : who is looking, or None
    """

    sample: Sample
    reading: Reading
    program: Tally
    observer: str | None

    def headline(self, _: Catalogue) -> str:
        """Say the program's count."""
        return _share(_, self.program.blasts, self.program.wbc)

    def of(self, observer: str, _: Catalogue) -> str:
        """Say an observer's count of the cells that he or she called blast or normal."""
        words = self.reading.words.get(observer, {})
        said = [words[ref] for ref in self.reading.to_read if ref in words]
        blasts = said.count("blast")
        return _share(_, blasts, blasts + said.count("normal"))


def figures_of(log: BloodLog, sample: Sample, reading: Reading, observer: str | None) -> Figures:
    """Count a sample."""
    del log
    return Figures(sample, reading, tally(logged.result for logged in reading.fields), observer)


def _share(_: Catalogue, blasts: int, cells: int) -> str:
    if not cells:
        return _("figures.none")
    low, high = clopper_pearson(blasts, cells)
    return _(
        "figures.share",
        blasts=blasts,
        cells=cells,
        share=_.percent(blasts / cells),
        low=_.number(100 * low, 1),
        high=_.percent(high),
    )
