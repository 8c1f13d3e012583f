"""The open sample: where its fields lie, how they look, what they add up to; each cell of it counts once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.bloodlog.contours import encode_contours
from edge.bloodlog.pictures import FIELD_QUALITY, decode, encode, thumbnail_box
from edge.counting.differential import differential
from edge.counting.pipeline import ProcessedField
from edge.counting.tally import RunningTally, denominator_of, without_share
from edge.light.field import Field
from edge.light.pyramid import shrunk
from edge.quality import Reference
from edge.registration import Mosaic, Placement
from edge.segmentation import ScalePool
from edge.segmentation.contour import contours_of
from edge.structures import Cell, ClassifiedCell, Denominator, FieldResult, Frame, Tally, UInt8Image

_log = logging.getLogger(__name__)

#: Longer side of what is kept of a rejected field, px, and its JPEG quality: a person sees why, and it takes
#: 9 to 39 kB (medians of the whole fields of five real sources).
_REJECTED_SIDE_PX, _REJECTED_QUALITY = 640, 80
#: Rejected fields of a sample that keep a picture, for each first reason: a few show why, and a camera that
#: is left on an empty slide rejects thousands.
REJECTED_PICTURES = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A field ready to be logged.

    Attributes
    ----------
    field : its picture, with what was computed of its light
    result : with its place, and with the cells that were counted before marked
    placement : for the mosaic; None for a rejected field, and for one without a sample
    thumbnails : hash of the stored picture of a cell, by the cell's id
    image_sha256 : hash of the stored picture of the field, a small one of a rejected field, or None
    contours : where a cell and its nucleus end, by the cell's id
    """

    field: Field
    result: FieldResult
    placement: Placement | None
    thumbnails: dict[int, str]
    image_sha256: str | None
    contours: dict[int, str]

    @classmethod
    def alone(cls, processed: ProcessedField) -> Entry:
        """Make the entry of a field that has no place and keeps no picture."""
        return cls(processed.field, processed.result, None, {}, None, {})


class OpenSample:
    """What is known of the fields of one sample; the only owner of "counted once".

    Several processes may count into one sample, the daemon and ``count --sample`` for example. They take
    turns field by field: :meth:`turn` takes up what the others have logged before a field is placed and its
    row is added. Nobody is refused for having come second, and fields are segmented side by side, since what
    is found in a field depends on the field alone. A turn takes as long as storing a field's pictures; who
    waits for longer than the log's patience gets an error that names the process which holds it.

    Parameters
    ----------
    log : where its fields are
    record : the log's row of the sample
    white_point : R, G and B of the blank slide as calibrated, or None
    denominator : which cells shares are of, as configured

    Attributes
    ----------
    reference : how the sample's first fields looked
    last_id : the last of its fields that was taken up
    """

    def __init__(
        self,
        log: BloodLog,
        record: Sample,
        white_point: tuple[float, float, float] | None,
        denominator: Denominator | None = None,
    ) -> None:
        self.record = record
        self.reference = Reference.start(white_point)
        self._log = log
        self._store = log.pictures
        self._mosaic = Mosaic()
        self._scales = ScalePool()
        self._tally = RunningTally(denominator_of(denominator, record.specimen))
        self._rejected_pictures: Counter[tuple[str, ...]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._assignment = log.last_assignment()
        self.last_id = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take up what others have counted into the sample, and keep them from adding more in the block."""
        # A picture that no row names yet is rubbish to whoever makes room: it waits until the row is there.
        with self._log.counting_lock(self.record), self._store.holding():
            self.catch_up()
            yield

    @property
    def is_outdated(self) -> bool:
        """Whether fields were put into some sample, or out of one, since this one was taken up."""
        return self._log.last_assignment() != self._assignment

    def catch_up(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Take up the fields that were logged since the last look: by others, or before a restart.

        Parameters
        ----------
        go_on : asked after each of them

        Returns
        -------
        whether all were taken up
        """
        lost = 0
        for logged in self._log.fields(self.record.id, after=self.last_id):
            lost += not self._take_up(logged)
            if not go_on():
                return False
        if lost:
            _log.warning(
                "sample %s: pictures of %d of its fields are missing; cells in them would be counted again",
                self.record.name, lost,
            )  # fmt: skip
        return True

    def _take_up(self, logged: LoggedField) -> bool:
        """Add a field of the log; say whether its cells will be recognised."""
        result = logged.result
        self._remember(logged.id, result, logged.image_sha256)
        if result.status == "rejected":
            return True
        image = None if logged.image_sha256 is None else self._store.get(logged.image_sha256)
        if image is None:
            return False
        seen = {cell.cell.id: cell.seen_before for cell in result.cells if cell.seen_before is not None}
        cells = [cell.cell for cell in result.cells]
        self._mosaic.restore(logged.id, image, result.scale.um_per_px, cells, seen)
        self.reference = self.reference.after(Field(Frame(image, result.source)))
        return True

    def prepared(self, frame: Frame) -> Frame:
        """Give a frame with what the sample says of its scale, where it says something."""
        return replace(frame, pooled=self._scales.pooled() or frame.pooled)

    def kept(self, frame: Frame) -> Frame:
        """Give a frame as its stored picture has it, so that what is kept is what is counted.

        From the picture and its row a field can then be counted again, equal in every number, and a reviewer
        sees the pixels that were counted.
        """
        if frame.jpeg is not None:
            return frame
        jpeg = encode(frame.image, FIELD_QUALITY)
        return replace(frame, image=decode(jpeg), jpeg=jpeg)

    def enter(self, processed: ProcessedField) -> Entry:
        """Place a field beside the others and store its pictures; nothing is remembered yet.

        Raises
        ------
        OutputError
            A picture could not be stored.
        """
        result, segmentation, frame = processed.result, processed.segmentation, processed.field.frame
        if segmentation is None:
            return replace(Entry.alone(processed), image_sha256=self._rejected_picture(processed))
        placement = self._mosaic.place(processed.field, segmentation)
        cells = tuple(replace(cell, seen_before=placement.seen.get(cell.cell.id)) for cell in result.cells)
        result = replace(result, cells=cells, stage_um=placement.stage_um)
        # Before the row that names them: a power cut leaves pictures without a row, never the reverse.
        thumbnails = {
            cell.cell.id: self._store.put(thumbnail(frame.image, cell.cell))
            for cell in cells
            if _is_new(cell)
        }
        assert frame.jpeg is not None  # kept() has seen to it
        contours = {
            cell.id: encode_contours(contours_of(segmentation, cell), cell.bbox[:2])
            for cell in segmentation.cells
        }
        image = self._store.put_jpeg(frame.jpeg)
        return Entry(processed.field, result, placement, thumbnails, image, contours)

    def _rejected_picture(self, processed: ProcessedField) -> str | None:
        """Store a rejected field small, unless enough of its kind are there already."""
        if self._rejected_pictures[processed.result.reasons[:1]] >= REJECTED_PICTURES:
            return None
        frame = processed.field.frame
        small = shrunk(frame.image, max(frame.width, frame.height) / _REJECTED_SIDE_PX)
        return self._store.put(small, _REJECTED_QUALITY)

    def logged(self, field_id: int, entry: Entry) -> None:
        """Remember a field that is in the log."""
        self._remember(field_id, entry.result, entry.image_sha256)
        if entry.placement is not None:
            self._mosaic.add(field_id, entry.placement)
            self.reference = self.reference.after(entry.field)

    def _remember(self, field_id: int, result: FieldResult, image_sha256: str | None) -> None:
        """Add what needs no picture of a field, whoever has counted it."""
        self.last_id = field_id
        self._tally.add(result)
        self._reasons.update(result.reasons)
        if result.status == "rejected":
            self._rejected_pictures[result.reasons[:1]] += image_sha256 is not None
        else:
            self._scales.add(result.scale)

    def status(self, of: int | None = None) -> dict[str, Any]:
        """Tell its name and what it adds up to, with the interval.

        Parameters
        ----------
        of : number of fields that are taken up again, while they are; None where that is done
        """
        sample, total = self.record, self._tally.total()
        if sample.search:  # what people confirm is its result, which is in the log alone
            total = without_share(total)
        return {
            "name": sample.name,
            "specimen": sample.specimen,
            "quota": sample.quota,
            **({"search": True} if sample.search else {}),
            **({} if sample.slide is None else {"control_slide": sample.slide}),
            "resuming": None if of is None else {"fields": total.fields + total.rejected, "of": of},
            "quota_reached": total.wbc >= sample.quota,
            "rejected_by_reason": dict(self._reasons),
        } | tally_json(total)


def thumbnail(image: UInt8Image, cell: Cell) -> UInt8Image:
    """Cut a cell out with some of its surroundings, in the field's own pixels.

    Examples
    --------
    >>> import numpy as np
    >>> cell = Cell(1, 50.0, 40.0, (40, 30, 20, 20), 300, 200, "wbc", touches_border=False)
    >>> thumbnail(np.zeros((80, 55, 3), np.uint8), cell).shape  # it lies near the right edge
    (30, 20, 3)
    """
    left, top, right, bottom = thumbnail_box(cell.bbox, image.shape[1], image.shape[0])
    return image[top:bottom, left:right]


def _is_new(cell: ClassifiedCell) -> bool:
    return cell.seen_before is None and cell.cell.kind == "wbc"


def tally_json(tally: Tally) -> dict[str, Any]:
    """Write a tally with its interval; no share is rounded, so that whoever shows one rounds it once."""
    return {
        "fields": tally.fields,
        "rejected": tally.rejected,
        "wbc": tally.wbc,
        "blasts": tally.blasts,
        "normal": tally.normal,
        "uncertain": tally.uncertain,
        "blast_fraction": tally.blast_fraction,
        "ci_low": tally.ci_low,
        "ci_high": tally.ci_high,
        "denominator": tally.denominator,
        **({} if (counted := differential(tally)) is None else {"differential": counted.to_json()}),
    }
