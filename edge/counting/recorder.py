"""The straight line, once: a frame goes in, a counted field comes out, and is a row where there is a log.

Flat field and calibration, gate on light, segmentation, gate on cells, the crop, classification, the field's
place in its sample, pictures and the row: files and cameras go through the same steps in the same order. What
counts owns no clock, signal, thread or socket; whoever feeds it does.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.bloodlog.rows import as_text
from edge.calibration.correction import UNUSED, Correction
from edge.classification.classifier import Classifier
from edge.classification.recalibration import UNUSED as RECALIBRATION_UNUSED
from edge.config import Config
from edge.counting.pipeline import Pipeline, ProcessedField, Seen, TypeClassifier
from edge.counting.provenance import Context, Provenance
from edge.counting.sample import Entry, OpenSample
from edge.device.clock import WallClock
from edge.errors import EdgeError, FieldError, LogBehindError, LogError, SampleClosedError
from edge.quality import Reference
from edge.segmentation import Segmentation
from edge.structures import Denominator, FieldResult, Frame

_log = logging.getLogger(__name__)


class FieldCounter(Protocol):
    """What is needed of :class:`edge.counting.pipeline.Pipeline`."""

    def process(
        self, frame: Frame, reference: Reference | None = None, seen: Seen | None = None
    ) -> ProcessedField:
        """Count one field."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A field that was counted.

    Attributes
    ----------
    frame : as it was counted: with even light, and its scale where that is known
    result : as it was logged, with the cells marked that were counted before
    segmentation : what outlines and masks are drawn from; None for a rejected field
    field_id : its row in the log; 0 where there is no log
    sample : name of the sample that it belongs to, or None
    provenance : what produced it
    """

    frame: Frame
    result: FieldResult
    segmentation: Segmentation | None
    field_id: int
    sample: str | None
    provenance: Provenance

    def label_images(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Label images (whole cells, nuclei) of the field; values are cell ids. A rejected one has none."""
        if self.segmentation is not None:
            return self.segmentation.label_images()
        empty = np.zeros((self.frame.height, self.frame.width), np.uint16)
        return empty, empty


class Recorder:
    """Counts frames, into the log where there is one, and into a sample where one was found.

    Parameters
    ----------
    counter : the pipeline
    provenance : what the rows say about their making
    source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``; a frame that was drawn is
        ``rendered`` wherever it comes from
    log : where results and pictures go; None counts only
    new_log : makes the log with the first row, so that a count which comes to nothing leaves none; not for
        samples, which are in a log already
    clock : says whether the wall clock can be believed; None where nobody asks
    correction : evens out light and knows the scale, or None
    denominator : which cells the shares in the status are of, as configured
    resumes : a field without a sample whose row stands in the log is taken from there, not counted again; it
        has the same source, pixels, provenance and scale of its folder
    warnings : that every field is counted with, whatever it shows
    """

    def __init__(
        self,
        counter: FieldCounter,
        provenance: Provenance,
        source_kind: str = "file",
        *,
        log: BloodLog | None = None,
        new_log: Callable[[], BloodLog] | None = None,
        clock: WallClock | None = None,
        correction: Correction | None = None,
        denominator: Denominator | None = None,
        resumes: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self._counter = counter
        self._resumes = resumes
        self._provenance = provenance
        self._source_kind = source_kind
        self._log = log
        self._new_log = new_log
        self._clock = clock
        self._correction = correction or Correction(None)
        self._denominator = denominator
        self._warnings = warnings
        self._sample: OpenSample | None = None
        self._resumed: OpenSample | None = None

    @property
    def provenance(self) -> Provenance:
        """What the rows say about their making."""
        return self._provenance

    @property
    def calibration_problem(self) -> str | None:
        """Why frames are not corrected as configured; None where all is well."""
        return self._correction.problem

    def refresh(self, go_on: Callable[[], bool] = lambda: True, *, name: str | None = None) -> bool:
        """Look which sample takes the next field, and take up what was counted into it by others or before.

        What is open is what the log says, each time: samples are opened and closed by other processes, and
        are still open after a power cut.

        Parameters
        ----------
        go_on : asked between the fields of a sample that is taken up, which takes a while; where it says no,
            the sample is not taken up, and looked at again the next time
        name : of the sample to count into; None takes the one that is open, if one is

        Returns
        -------
        whether it is another one than before

        Raises
        ------
        LogError
            There is no sample of this name.
        SampleClosedError
            It is closed.
        """
        log = self._log
        if log is None:
            return False
        sample = log.current_sample() if name is None else log.sample(name)
        if sample is not None and not sample.is_open:
            raise SampleClosedError(
                f"sample {sample.name} is closed; "
                f"`blastcount sample reopen {sample.name}` lets it take fields"
            )
        same = self._sample is not None and sample is not None and self._sample.record.id == sample.id
        if self._sample is not None and same and not self._sample.is_outdated:
            self._sample.catch_up(go_on)  # a little each time, rather than all of it before the next field
            return False
        if self._sample is None and sample is None:
            return False
        self._sample = None
        if sample is not None:
            opened = self._opened(log, sample)
            self._resumed = opened
            try:
                if not opened.catch_up(go_on):
                    return False
            finally:
                self._resumed = None
            self._sample = opened
            _log.info("sample %(name)s: open, %(fields)d fields counted so far", opened.status())
        return not same

    def record(self, frame: Frame, seen: Seen | None = None) -> Recorded:
        """Count a field and log it; :meth:`refresh` has looked for the sample.

        Parameters
        ----------
        frame : the field
        seen : what was seen of it before, see :meth:`edge.counting.folder.FolderScales.seen`

        Raises
        ------
        FieldError
            A library failed on this field, or its sample was closed meanwhile; nothing was logged, and the
            next one can be counted.
        LogError, OutputError
            It could not be logged, or its pictures not stored.
        """
        with field_guard(frame.source):
            return self._record(frame, seen)

    def corrected(self, frame: Frame) -> Frame:
        """Give a frame as it would be counted: with even light, and with its scale where that is known."""
        corrected = self._correction.applied(frame)
        if not self._warnings:
            return corrected
        return dataclasses.replace(corrected, warnings=(*corrected.warnings, *self._warnings))

    def _record(self, frame: Frame, seen: Seen | None) -> Recorded:
        corrected = self.corrected(frame)
        provenance = self._provenance
        if UNUSED in corrected.warnings and provenance.calibration_sha256 is not None:
            provenance = replace(provenance, calibration_sha256=None)  # it is for frames of another size
        kind = "rendered" if frame.is_drawn else self._source_kind
        sample = self._sample
        if sample is None:
            pooled = corrected.pooled
            context = None if pooled is None else Context(None, pooled)
            if (logged := self._standing(corrected, provenance, context)) is not None:
                return Recorded(corrected, logged.result, None, logged.id, None, provenance)
            processed = self._counter.process(corrected, None, seen)
            row = self._append(Entry.alone(processed), provenance, kind, context=context)
            return Recorded(corrected, processed.result, processed.segmentation, row, None, provenance)
        corrected = sample.kept(corrected)
        sample.catch_up()
        reference = sample.reference
        corrected = sample.prepared(corrected)
        processed = self._counter.process(corrected, reference, seen)
        context = Context(reference, corrected.pooled)
        while True:
            with sample.turn():
                entry = sample.enter(processed)
                try:
                    row = self._append(entry, provenance, kind, sample, context)
                except LogBehindError:  # whoever writes through the service's socket has no turn of his own
                    continue
                except SampleClosedError as error:  # nobody signed for it; the next field has no sample
                    raise FieldError(str(error)) from error
                sample.logged(row, entry)
            name = sample.record.name
            return Recorded(corrected, entry.result, processed.segmentation, row, name, provenance)

    def _standing(self, frame: Frame, provenance: Provenance, context: Context | None) -> LoggedField | None:
        """Look up the row that counting this frame would give, where it is to be taken from the log."""
        if not self._resumes or self._log is None:
            return None
        made = as_text(frame.source), provenance.to_json(), None if context is None else context.to_json()
        for logged in self._log.same_pixels(frame.sha256()):
            if (logged.result.source, logged.provenance, logged.context) == made:
                return logged
        return None

    def _append(
        self,
        entry: Entry,
        provenance: Provenance,
        source_kind: str,
        sample: OpenSample | None = None,
        context: Context | None = None,
    ) -> int:
        if self._log is None and self._new_log is not None:
            self._log = self._new_log()
        log = self._log
        if log is None:
            return 0
        return log.append(
            entry.result,
            config_sha256=provenance.config_sha256,
            software_version=provenance.software_version,
            runtime=provenance.runtime,
            source_kind=source_kind,
            sample_id=None if sample is None else sample.record.id,
            clock_trusted=None if self._clock is None else self._clock.is_trusted(log.newest_trusted()),
            thumbnails=entry.thumbnails,
            image_sha256=entry.image_sha256,
            contours=entry.contours,
            overlaps=() if entry.placement is None else entry.placement.offsets_um,
            provenance=provenance.to_json(),
            context=None if context is None else context.to_json(),
            after=None if sample is None else sample.last_id,
        )

    def _opened(self, log: BloodLog, sample: Sample) -> OpenSample:
        return OpenSample(log, sample, self._correction.white_point, self._denominator)

    def take_over(self, before: Recorder) -> None:
        """Go on with the sample of the recorder before, as after a change of configuration.

        It is taken up anew where the change has a say in how: minutes on a Pi.
        """
        sample = before._sample
        if sample is None or before._log is not self._log or before._denominator != self._denominator:
            return
        if before._correction.white_point == self._correction.white_point:
            self._sample = sample

    def sample_status(self) -> dict[str, Any] | None:
        """Tell about the open sample, also while it is taken up again; None where there is none."""
        log, opened = self._log, self._sample
        if opened is not None or log is None:
            return None if opened is None else opened.status()
        try:
            if (opened := self._resumed) is None:
                sample = log.current_sample()
                if sample is None:
                    return None
                opened = self._opened(log, sample)
            return opened.status(log.count(opened.record.id) or None)
        except LogError:  # a log that cannot be read has a name of its own in the status
            return None


@contextmanager
def field_guard(name: object) -> Iterator[None]:
    """Make whatever a library raises over one field that field's error.

    OpenCV, NumPy, a codec or the interpreter can fail on one picture in ways that nobody listed, or have no
    memory for it. One picture must not end a count of a thousand, nor a daemon. The package's own errors pass
    through.

    Parameters
    ----------
    name : of the field or its file

    Raises
    ------
    FieldError
        Something else than an :class:`edge.errors.EdgeError` was raised in the block.
    """
    try:
        yield
    except EdgeError:
        raise
    except Exception as error:  # the one guard around a field, which names what it caught
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise FieldError(f"{name}: cannot be counted, a library failed on it: {said}") from error


def as_configured(
    config: Config,
    classifier: Classifier,
    log: BloodLog | None,
    *,
    source_kind: str,
    clock: WallClock,
    new_log: Callable[[], BloodLog] | None = None,
    types: TypeClassifier | None = None,
    resumes: bool = False,
) -> Recorder:
    """Make the line that a configuration asks for, for whatever feeds it.

    Parameters
    ----------
    config : of scale, calibration and denominator
    classifier : a loaded model whose golden crops agree
    log, new_log : where rows go, or what makes it with the first row
    source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``
    clock : says whether the wall clock can be believed
    types : names the cells' types, if anything does
    resumes : as for :class:`Recorder`
    """
    correction = Correction.from_file(config.calibration_path, required=config.calibration.path is not None)
    return Recorder(
        Pipeline(classifier, types=types),
        Provenance.of(config, classifier.card, classifier.runtime, correction, types),
        source_kind,
        log=log,
        new_log=new_log,
        clock=clock,
        correction=correction,
        denominator=config.sample.denominator,
        resumes=resumes,
        warnings=() if classifier.recalibration_problem is None else (RECALIBRATION_UNUSED,),
    )
