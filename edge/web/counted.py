"""The sample that was looked at last: read and counted up once for all who ask, until the log has more."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.chain import Head
from edge.results.reading import Reading, ThresholdOf
from edge.results.summary import ErrorsOf, SampleSummary, summarise
from edge.structures import Denominator


@dataclass(slots=True)
class Counted:
    """Counts samples up, and keeps the last one.

    5,000 cells are 5 MB in memory, for every request that reads them by itself. The end of the log's chain
    says whether anything was written since; a word alone leaves the cells as they are.

    Parameters
    ----------
    errors_of, denominator, threshold_of : see :func:`edge.results.summary.summarise`
    """

    errors_of: ErrorsOf
    denominator: Denominator | None
    threshold_of: ThresholdOf
    _lock: Lock = field(default_factory=Lock)
    _kept: tuple[Head, tuple[int, int], SampleSummary] | None = None

    def of(self, log: BloodLog, sample: Sample) -> SampleSummary:
        """Give what a sample holds now.

        Raises
        ------
        LogError
            The file is damaged.
        """
        with self._lock, log.at_one_moment():
            head, fields = log.head(), log.last_numbers()
            if self._kept is not None and self._kept[2].sample.id != sample.id:
                self._kept = None  # before the next one is read: there is room for one
            reading = None
            if self._kept is not None:
                then, fields_then, summary = self._kept
                if then == head:
                    return summary
                if fields_then == fields:
                    reading = summary.reading.with_words(log.reviews(sample.id), log.settlements(sample.id))
                self._kept = None
            if reading is None:
                reading = Reading.of(log, sample.id, self.threshold_of)
            summary = summarise(
                log,
                log.numbered_sample(sample.id) or sample,
                self.errors_of,
                self.denominator,
                reading=reading,
            )
            self._kept = head, fields, summary
            return summary
