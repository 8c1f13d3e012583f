"""Counted files on their way into the log: by themselves, or as fields of a sample."""

from __future__ import annotations

from contextlib import nullcontext

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.pictures import ThumbnailStore
from edge.counting.pipeline import ProcessedField
from edge.counting.sample import OpenSample
from edge.errors import LogError
from edge.structures import FieldResult, Frame
from edge.version import software_version


class Recording:
    """Appends fields to a log.

    Parameters
    ----------
    log : open for writing
    config_sha256, runtime : what counts
    sample : the sample that the fields belong to, or None. Its cells' pictures are stored, and a cell that
        an earlier field of the sample shows is marked and not counted again

    Raises
    ------
    LogError
        The sample is closed.
    """

    def __init__(self, log: BloodLog, config_sha256: str, runtime: str, sample: Sample | None) -> None:
        if sample is not None and not sample.is_open:
            raise LogError(
                f"sample {sample.name} is closed; "
                f"`blastcount sample reopen {sample.name}` lets it take fields"
            )
        self._log = log
        self._config_sha256 = config_sha256
        self._runtime = runtime
        self._store = ThumbnailStore.beside(log.path)
        self._sample: OpenSample | None = None
        if sample is not None:
            self._sample = OpenSample(sample, self._store, None)
            self._sample.resume(log.fields(sample.id), lambda: True)

    def add(self, frame: Frame, processed: ProcessedField) -> FieldResult:
        """Append a field.

        Returns
        -------
        its result as it was logged, with the cells marked that were counted before

        Raises
        ------
        LogError, OutputError
            It was not logged, or its pictures not stored.
        """
        sample = self._sample
        # A picture that no row names yet is rubbish to whoever makes room meanwhile.
        with nullcontext() if sample is None else self._store.holding():
            entry = None if sample is None else sample.enter(frame, processed)
            result = processed.result if entry is None else entry.result
            row = self._log.append(
                result,
                config_sha256=self._config_sha256,
                software_version=software_version(),
                runtime=self._runtime,
                sample_id=None if sample is None else sample.sample.id,
                thumbnails=None if entry is None else entry.thumbnails,
                image_sha256=None if entry is None else entry.image_sha256,
            )
        if sample is not None and entry is not None:
            sample.logged(row, entry)
        return result
