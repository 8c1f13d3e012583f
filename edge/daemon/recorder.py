"""One frame becomes one row of the log, as part of the sample that is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from edge.bloodlog import BloodLog
from edge.pipeline import ProcessedField
from edge.structures import FieldResult, Frame


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every row of the log says about its making; see :meth:`edge.bloodlog.BloodLog.append`."""

    config_sha256: str
    software_version: str
    runtime: str
    source_kind: str


class FieldCounter(Protocol):
    """What is needed of :class:`edge.pipeline.Pipeline`."""

    def process(self, frame: Frame) -> ProcessedField:
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
    """Counts frames into the log.

    Parameters
    ----------
    counter : the pipeline
    log : where results go
    provenance : what the rows say about their making
    """

    def __init__(self, counter: FieldCounter, log: BloodLog, provenance: Provenance) -> None:
        self._counter = counter
        self._log = log
        self._provenance = provenance

    def record(self, frame: Frame) -> Recorded:
        """Count a field and log it.

        Raises
        ------
        LogError
            It could not be logged.
        """
        result = self._counter.process(frame).result
        provenance = self._provenance
        row = self._log.append(
            result,
            config_sha256=provenance.config_sha256,
            software_version=provenance.software_version,
            runtime=provenance.runtime,
            source_kind=provenance.source_kind,
        )
        return Recorded(row, result, None)

    def sample_status(self) -> dict[str, Any] | None:
        """Tell about the open sample; None where there is none."""
        return None
