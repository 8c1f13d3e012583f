"""Writes to the log for other users: what a member of the group asks for, checked, and by whom it was asked.

It works in the threads of the control socket, on a connection of its own each time, beside the loop: a sample
can be opened while the loop waits for a camera, and a client that is slow keeps nobody waiting. The loop and
these threads take turns on the log as processes do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import msgspec
import simplejpeg

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.contours import MOST_CHARACTERS, decode_contours
from edge.bloodlog.locks import Patience
from edge.bloodlog.pictures import decode
from edge.bloodlog.retention import Policy, Removed, retain
from edge.bloodlog.samples import NOBODY
from edge.bloodlog.users import UserFile, user_name
from edge.bloodlog.verifications import DrawnCell
from edge.config import Config
from edge.counting.provenance import Context, Provenance
from edge.daemon.protocol import Peer
from edge.daemon.writes import (
    Acknowledge,
    AddReviews,
    AnyWrite,
    AppendField,
    AssignFields,
    ChangeSample,
    NoteVerification,
    OpenControl,
    OpenSample,
    OpenVerification,
    Retain,
    SayVerified,
    UndoReview,
    UndoVerified,
    Verifying,
    Write,
    decode_write,
)
from edge.device.clock import WallClock
from edge.device.disk import DiskGuard, borrowed_room
from edge.errors import (
    ControlError,
    EdgeError,
    LogBehindError,
    LogBlockedError,
    LogError,
    OutputError,
    SampleClosedError,
)
from edge.quality import ADVICE, WARNINGS
from edge.structures import Cell, CellRef, FieldResult, Frame, Readings

_log = logging.getLogger(__name__)

#: Longest wait for the loop or another process; a client waits for longer.
_WAIT_S = 10.0
#: Scales beyond these are of no microscope: a cell would be of a pixel, or a field of one cell.
_LEAST_UM_PER_PX, _MOST_UM_PER_PX = 0.001, 10.0
#: Longer than any slide, µm.
_SLIDE_UM = 100_000.0
#: The decoded picture of a field of so many pixels takes 200 MB; the service may take 1 GB, and holds one
#: at a time.
_MAX_PIXELS = 64_000_000
#: More than a field of that size can show, or the line has steps: a row is read again and again.
_MAX_CELLS, _MAX_STAGES = 20_000, 100
#: Darker than any 8 bits can tell, as log10 in three channels.
_MOST_DENSITY = 10.0
#: Longest text of a field from outside: a path.
_MAX_TEXT = 4096


class LogWriter:
    """Does what :mod:`edge.daemon.writes` describes.

    Parameters
    ----------
    config : gives the configuration in force: which log, and what its ``[storage]`` says
    wrote : called after each, in the client's thread: the loop may want to look
    """

    def __init__(self, config: Callable[[], Config], wrote: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._wrote = wrote
        self._clock = WallClock()
        self._decoding = threading.Lock()

    def __call__(self, body: bytes, peer: Peer) -> dict[str, Any]:
        """Do one of them, and note in the journal who wanted it.

        Raises
        ------
        ControlError
            It is no such request, or cannot be done; nothing was written.
        """
        try:
            write = decode_write(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ControlError(f"no operation on a log: {error}", "bad_request") from error
        what = type(write).__struct_config__.tag
        try:
            result: dict[str, Any] = self._do(write, peer)
        except (EdgeError, OSError) as error:  # which the socket would take for a client that has gone
            _log.warning("%s refused to %s: %s", what, peer, error)
            raise ControlError(str(error), _reason(error)) from error
        except OverflowError as error:  # SQLite's numbers end, Python's do not
            raise ControlError(f"a number is too large: {error}", "bad_request") from error
        _log.info("%s by %s", what, peer)
        self._wrote()
        return result

    @contextmanager
    def _opened(self, write: Write) -> Iterator[BloodLog]:
        path = self._config().log_path
        if write.log != str(path.resolve()):
            raise LogError(f"{write.log}: this daemon writes {path} only; name that one, or none")
        with BloodLog.open(path, must_exist=True, patience=Patience(_WAIT_S)) as log:
            yield log

    def _do(self, write: AnyWrite, peer: Peer) -> dict[str, Any]:
        if isinstance(write, Retain):
            with borrowed_room(self._config().log_path.parent), self._opened(write) as log:
                return asdict(self._retain(log))
        with self._opened(write) as log:
            if UserFile.beside(log.path).exists():
                _refuse_names(log, write)
            match write:
                case OpenSample(name=name, specimen=specimen, quota=quota, who=who, search=search):
                    made_by = _sign(who, peer)
                    return _told(log.open_sample(name, specimen, quota, who=made_by, search=search))
                case ChangeSample(name=name, change=change, who=who):
                    return _told(log.change_sample(name, change, who=_sign(who, peer)))
                case AssignFields(name=sample, fields=fields, who=who):
                    return {"assigned": log.assign_fields(sample, fields, who=_sign(who, peer))}
                case AddReviews(words=words, observer=observer):
                    said = {CellRef(field_id, cell_id): word for field_id, cell_id, word in words}
                    return {"added": log.add_reviews(said, observer)}
                case UndoReview(observer=observer, sample_id=sample_id, expected=expected):
                    undone = log.undo_review(observer, sample_id, expected)
                    return {"undone": None if undone is None else msgspec.to_builtins(undone)}
                case OpenVerification() | SayVerified() | UndoVerified() | NoteVerification():
                    return {"answer": msgspec.to_builtins(_verify(log, write, peer))}
                case OpenControl(name=name, slide=slide, who=who):
                    return _told(log.open_control(name, slide, who=_sign(who, peer)))
                case Acknowledge(alarm=alarm, who=who, note=note, new_baseline=anew):
                    seen = log.acknowledge(alarm, _sign(who, peer), note=note, new_baseline=anew)
                    return {"alarm": msgspec.to_builtins(seen)}
                case AppendField():
                    return {"field": self._append(log, write)}

    def _retain(self, log: BloodLog) -> Removed:
        problem = self._clock.problem(log.newest_trusted())
        return retain(log, log.pictures, Policy.of(self._config().storage), clock_problem=problem)

    def _append(self, log: BloodLog, write: AppendField) -> int:
        made_by, context = _origin(write)
        with self._decoding:
            _check_field(write, made_by)
        sample = log.numbered_sample(write.sample_id)
        if sample is None or not sample.is_open:
            raise LogError(f"sample {write.sample_id if sample is None else sample.name} is not open")
        _check_seen(log, sample, write.result)
        DiskGuard(log.path.parent, self._config().storage.reserve_mb).check()
        # No turn is taken: whoever counts into the sample meanwhile, or before, makes this one refused.
        with log.pictures.holding():
            for data in write.pictures.values():
                log.pictures.put_jpeg(data)
            return log.append(
                write.result,
                config_sha256=made_by.config_sha256,
                software_version=made_by.software_version,
                runtime=made_by.runtime,
                source_kind="rendered" if write.is_drawn else "file",
                sample_id=sample.id,
                clock_trusted=self._clock.is_trusted(log.newest_trusted()),
                thumbnails=write.thumbnails,
                image_sha256=write.image_sha256,
                provenance=made_by.to_json(),
                context=None if context is None else context.to_json(),
                contours=write.contours,
                overlaps=write.overlaps,
                after=write.after,
            )


def _verify(log: BloodLog, write: Verifying, peer: Peer) -> object:
    match write:
        case OpenVerification(plan=plan, cells=cells, keep=keep, who=who):
            drawn = [
                DrawnCell(CellRef(field_id, cell_id), stratum, weight, twice)
                for field_id, cell_id, stratum, weight, twice in cells
            ]
            return log.open_verification(plan, drawn, keep, who=_sign(who, peer))
        case SayVerified(verification_id=number, words=words, reader=reader):
            said = {CellRef(field_id, cell_id): word for field_id, cell_id, word in words}
            return log.say_verified(number, said, reader)
        case UndoVerified(verification_id=number, reader=reader, expected=expected):
            return log.undo_verified(number, reader, expected)
        case NoteVerification(verification_id=number, event=event, record=record, who=who):
            return log.note_verification(number, event, record, who=_sign(who, peer))


def _told(sample: Sample) -> dict[str, Any]:
    return {"sample": msgspec.to_builtins(sample)}


def _refuse_names(log: BloodLog, write: AnyWrite) -> None:
    """Refuse what would stand under a user's name: no password comes through the socket.

    Raises
    ------
    LogError
        It would.
    """
    if isinstance(write, AddReviews | UndoReview | SayVerified | UndoVerified):
        raise LogError(f"{log.path}: has users, who say words on the service's own page, signed in by name")
    by_name = (
        OpenSample | ChangeSample | AssignFields | OpenVerification | NoteVerification | OpenControl
        | Acknowledge
    )  # fmt: skip
    if isinstance(write, by_name) and write.who != NOBODY:
        raise LogError(
            f"{log.path}: has users, who sign on the service's own page; leave the sign {write.who} out, and "
            "your account's name is kept"
        )


def _sign(who: str, peer: Peer) -> str:
    """Whom a change is put down to: the sign that was given, else the user who asked."""
    return (user_name(peer.name) or f"user {peer.uid}") if who == NOBODY else who


def _reason(error: Exception) -> str:
    """Name an error so that the client can raise the same one."""
    if isinstance(error, LogBlockedError):
        return error.state
    if isinstance(error, LogBehindError):
        return "log_behind"
    if isinstance(error, SampleClosedError):
        return "sample_closed"
    return "output" if isinstance(error, OutputError) else "log"


def _origin(write: AppendField) -> tuple[Provenance, Context | None]:
    try:
        context = None if write.context is None else Context.from_json(write.context)
        return Provenance.from_json(write.provenance), context
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise LogError(f"{write.result.source[:_MAX_TEXT]}: was not logged: {error}") from error


def _check_field(write: AppendField, made_by: Provenance) -> None:
    """Refuse a field that the line cannot have made, and that whoever reads the log would stumble over.

    A member of the group is trusted to count; a program of his with a fault must not reach the log.

    Raises
    ------
    LogError
        Something of it cannot be.
    """
    result = write.result
    pixels = {name: _pixels_sha256(name, data, result) for name, data in write.pictures.items()}
    named = [*write.thumbnails.values(), *([write.image_sha256] if write.image_sha256 else [])]
    is_counted = result.status == "counted"
    texts = (result.source, result.model.name, made_by.software_version, made_by.runtime)
    faults = {
        "names pictures that were not sent": set(named) != set(pixels),
        "has a picture of other pixels than were counted": is_counted
        and pixels.get(write.image_sha256 or "") != result.frame_sha256,
        "was counted by another model than its provenance names": (result.model.name, result.model.sha256)
        != (made_by.model_name, made_by.model_sha256),
        "has reasons or warnings that there are none of": not set(result.reasons) <= set(ADVICE)
        or not set(result.warnings) <= set(WARNINGS)
        or is_counted == bool(result.reasons),
        "has cells although it was rejected": not is_counted and bool(result.cells),
        "has cells that lie outside it, or two of one number": not _are_cells_of(result),
        "has pictures of cells that it has not": not set(write.thumbnails)
        <= {cell.cell.id for cell in result.cells},
        "has contours that are none, or of cells that it has not": not _are_contours_of(write),
        "overlaps fields at no place of a slide": not all(
            abs(um) < _SLIDE_UM for _, *place in write.overlaps for um in place
        ),
        "has a scale of no microscope": not _LEAST_UM_PER_PX < result.scale.um_per_px < _MOST_UM_PER_PX,
        "has readings of no field": not _are_readings(result.readings),
        "has a text that is too long": max(map(len, texts)) > _MAX_TEXT,
        "has more cells or stages than a field can have": len(result.cells) > _MAX_CELLS
        or len(result.stage_ms) > _MAX_STAGES,
    }
    for fault, is_so in faults.items():
        if is_so:
            raise LogError(f"{result.source[:_MAX_TEXT]}: was not logged: it {fault}")


def _pixels_sha256(name: str, data: bytes, result: FieldResult) -> str:
    """Hash the pixels of a field's picture; of a cell's it gives no hash.

    A few bytes can say that they are gigapixels, so they are asked first.
    """
    if sha256(data).hexdigest() != name:
        raise LogError(f"picture {name[:64]} is not what its name says")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if height > result.height or width > result.width or height * width > _MAX_PIXELS:
            raise LogError(f"picture {name} is larger than its field, or than {_MAX_PIXELS} pixels")
        image = decode(data)
    except ValueError as error:
        raise LogError(f"picture {name} is no JPEG file: {error}") from error
    is_whole = image.shape[:2] == (result.height, result.width)
    return Frame(image, result.source).sha256() if is_whole else ""


def _are_cells_of(result: FieldResult) -> bool:
    """Whether every cell lies in the field, with areas that fit into it, under a number of its own."""
    numbers = [classified.cell.id for classified in result.cells]
    return len(set(numbers)) == len(numbers) and all(
        _lies_in(classified.cell, result.width, result.height) for classified in result.cells
    )


def _are_contours_of(write: AppendField) -> bool:
    """Whether contours can be read, each of a cell of the field, and lie within it."""
    result = write.result
    corners = {classified.cell.id: classified.cell.bbox[:2] for classified in result.cells}
    if not set(write.contours) <= set(corners) or any(
        len(text) > MOST_CHARACTERS for text in write.contours.values()
    ):
        return False
    try:
        read = [decode_contours(text, corners[number]) for number, text in write.contours.items()]
    except ValueError:
        return False
    return all(
        0 <= x < result.width and 0 <= y < result.height
        for contours in read
        for polygon in (*contours.cell, *contours.nucleus)
        for x, y in polygon
    )


def _are_readings(readings: Readings | None) -> bool:
    """Whether what a field is said to tell of its light and stain can be: logarithms of levels, densities."""
    if readings is None:
        return True
    numbers = [*readings.blank, *(readings.red_cells or ()), *(readings.nuclei or ()), readings.unevenness]
    return max(map(abs, numbers)) <= _MOST_DENSITY and 0 < (readings.blur_um or 1.0) < _SLIDE_UM


def _lies_in(cell: Cell, width: int, height: int) -> bool:
    left, top, cell_width, cell_height = cell.bbox
    return (
        0 < cell.id <= _MAX_CELLS
        and 0 <= left < left + cell_width <= width
        and 0 <= top < top + cell_height <= height
        and 0 <= cell.x <= width
        and 0 <= cell.y <= height
        and 0 <= cell.nucleus_area_px <= width * height
        and 0 < cell.area_px <= width * height
    )


def _check_seen(log: BloodLog, sample: Sample, result: FieldResult) -> None:
    """Refuse cells that are said to be the same as ones that the sample has not."""
    earlier: dict[int, set[int]] = {}
    for classified in result.cells:
        seen = classified.seen_before
        if seen is None:
            continue
        if seen.field_id not in earlier:
            there = log.field(seen.field_id)
            is_of_sample = there is not None and there.sample_id == sample.id
            cells = there.result.cells if there is not None and is_of_sample else ()
            earlier[seen.field_id] = {cell.cell.id for cell in cells}
        if seen.cell_id not in earlier[seen.field_id]:
            raise LogError(
                f"{result.source}: was not logged: sample {sample.name} has no cell {seen.cell_id} in field "
                f"{seen.field_id}"
            )
