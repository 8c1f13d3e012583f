"""One frame becomes one row of the log, as part of the sample that is open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration import Correction
from edge.counting.pipeline import ProcessedField
from edge.counting.sample import OpenSample
from edge.device.clock import WallClock
from edge.quality import Reference
from edge.structures import Denominator, FieldResult, Frame


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every row of the log says about its making; see :meth:`edge.bloodlog.BloodLog.append`."""

    config_sha256: str
    software_version: str
    runtime: str
    source_kind: str


class FieldCounter(Protocol):
    """What is needed of :class:`edge.counting.pipeline.Pipeline`."""

    def process(self, frame: Frame, reference: Reference | None = None) -> ProcessedField:
        """Count one field."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A field that is in the log.

    Attributes
    ----------
    field_id : its row
    result : as it was logged
    sample : name of the sample that it belongs to, or None
    """

    field_id: int
    result: FieldResult
    sample: str | None


class Recorder:
    """Counts frames into the log, into the open sample where there is one.

    Which sample is open is what the log says, each time: it is opened and closed by other processes, and is
    still open after a power cut.

    Parameters
    ----------
    counter : the pipeline
    log : where results go
    provenance : what the rows say about their making
    store : where pictures of cells and fields go
    correction : evens out light and knows the scale, or None
    clock : says whether the wall clock can be believed
    denominator : which cells the share of blasts in the status is of
    """

    def __init__(
        self,
        counter: FieldCounter,
        log: BloodLog,
        provenance: Provenance,
        *,
        store: ThumbnailStore,
        correction: Correction | None = None,
        clock: WallClock | None = None,
        denominator: Denominator = "classified",
    ) -> None:
        self._counter = counter
        self._log = log
        self._provenance = provenance
        self._store = store
        self._correction = correction or Correction(None)
        self._clock = clock or WallClock()
        self._denominator: Denominator = denominator
        self._sample: OpenSample | None = None

    @property
    def calibration_problem(self) -> str | None:
        """Why frames are not corrected as configured; None where all is well."""
        return self._correction.problem

    def refresh(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Look which sample is open, and resume one that has fields already.

        Parameters
        ----------
        go_on : asked between the fields of a sample that is resumed, which takes a while; where it says no,
            the sample is not resumed, and looked at again the next time

        Returns
        -------
        whether it is another one than before
        """
        now_open = self._log.current_sample()
        before = None if self._sample is None else self._sample.sample.id
        if before == (None if now_open is None else now_open.id):
            return False
        self._sample = None
        if now_open is not None:
            sample = OpenSample(now_open, self._store, self._correction.white_point, self._denominator)
            if not sample.resume(self._log.fields(now_open.id), go_on):
                return False
            self._sample = sample
        return True

    def record(self, frame: Frame) -> Recorded:
        """Count a field and log it; :meth:`refresh` has looked for the sample.

        Raises
        ------
        LogError, OutputError
            It could not be logged, or its pictures not stored.
        """
        frame = self._correction.applied(frame)
        sample, provenance = self._sample, self._provenance
        processed = self._counter.process(frame, None if sample is None else sample.reference)
        # What nobody has named yet is rubbish to retention: it waits until the row is there.
        with nullcontext() if sample is None else self._store.holding():
            entry = None if sample is None else sample.enter(frame, processed)
            result = processed.result if entry is None else entry.result
            row = self._log.append(
                result,
                config_sha256=provenance.config_sha256,
                software_version=provenance.software_version,
                runtime=provenance.runtime,
                source_kind=provenance.source_kind,
                sample_id=None if sample is None else sample.sample.id,
                clock_trusted=self._clock.is_trusted(self._log.newest_trusted()),
                thumbnails={} if entry is None else entry.thumbnails,
                image_sha256=None if entry is None else entry.image_sha256,
            )
        if sample is not None and entry is not None:
            sample.logged(row, entry)
        return Recorded(row, result, None if sample is None else sample.sample.name)

    def sample_status(self) -> dict[str, Any] | None:
        """Tell about the open sample; None where there is none."""
        return None if self._sample is None else self._sample.status()
