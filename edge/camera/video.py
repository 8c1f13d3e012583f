"""Frames of a video, and which of them are damaged: decoders fill what is missing from another frame.

Motion JPEG, what microscope cameras write, is taken as it is stored and decoded strictly. Of everything else
FFmpeg's complaints are heard: OpenCV passes on every frame that FFmpeg has made up, and no option of a strict
decoder reaches that [1]_.

References
----------
.. [1] OpenCV 4.11, ``cap_ffmpeg_impl.hpp``: ``avcodec_open2(context, codec, NULL)``.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from edge.camera.containers import check_coded, lost_avi_frame
from edge.camera.jpeg import decode_jpeg, read_header
from edge.camera.loaded import loaded_library
from edge.camera.pixels import MAX_PIXELS
from edge.camera.seams import POSSIBLY_DAMAGED
from edge.errors import ImageError, SourceError
from edge.structures import UInt8Image

#: How the containers of VIDEO_SUFFIXES begin: AVI; MP4 and MOV; Matroska and WebM; programme and elementary
#: streams of MPEG; transport streams. FFmpeg itself would look for anything it knows, playlists among them,
#: which make it read other files and addresses.
_CONTAINER = re.compile(
    rb"RIFF....AVI|....(ftyp|moov|mdat|moof|styp|sidx|free|skip|wide|pnot|uuid)|\x1aE\xdf\xa3"
    rb"|\0\0\x01[\xb0\xb3\xb5\xb8\xba]|(.{4})?G.{187}(.{4})?G",
    re.DOTALL,
)
_HEAD_BYTES = 400
#: OpenCV's level of messages to print none.
_SILENT = 0
_AVI = b"RIFF"
#: Share of the promised frames that a video may lack before it is called damaged. Containers without
#: an index promise an estimate (duration times rate), seen to be off by a frame or two; AVI counts them.
_MISSING_FRAMES, _MISSING_AT_LEAST = 0.05, 2
#: So many failures to get a frame, one after the other, are the end of the video.
_END = 4
#: Codes of motion JPEG whose frames are whole JPEGs.
_MOTION_JPEG = (b"MJPG", b"JPEG", b"DMB1")
#: Codes whose arithmetic coder knows no wrong data and no padding: zeroed sectors decode without a complaint.
_NEVER_PADDED = (b"VP80", b"VP90", b"AV01")
#: FFmpeg's own library beside OpenCV, where messages come from; some builds have it within.
_MESSENGER = "libavutil"
#: FFmpeg's level of errors; what its decoders and demuxers say below it of what they have made up or lack;
#: and what they say already at opening.
_AV_LOG_ERROR = 16
_MADE_UP = (b"concealing", b"Packet corrupt")
_CUT = (b"prematurely", b"exceeds containing")
#: Numbers of damaged frames that a message names.
_NAMED = 8
#: Marker behind the last byte of a JPEG; AVI pads with a zero.
_END_OF_JPEG = b"\xff\xd9"


def read_video(path: Path, every: int) -> Iterator[tuple[int, UInt8Image, tuple[str, ...]]]:
    """Decode frames 1, 1 + every, 1 + 2 * every, ... of a video, one at a time.

    Yields
    ------
    Number of the frame, from 1; (H, W, 3) uint8 RGB; and what is doubtful about it

    Raises
    ------
    ImageError
        Its frames have more than ``MAX_PIXELS``.
    SourceError
        It cannot be opened, holds no frame, or ends before its promised end; or a frame is damaged: of motion
        JPEG after the last frame, of other videos at once, because the frames behind it build on it.
    """
    complaints = _complaints()
    complaints.clear()
    with _opened(path) as (capture, name, is_avi):
        width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"{path}: frames of {width}x{height} px; at most {MAX_PIXELS // 1_000_000} megapixels fit"
            )
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        cut = any(part in said for said in complaints for part in _CUT)
        complaints.clear()
        code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
        if code.upper() in _MOTION_JPEG:
            end = yield from _stored_frames(capture, every, width, height)
        else:
            _check_decoder(path, capture, code)
            packets = _packets(name) if code.upper() in _NEVER_PADDED else iter(())
            with Path(name).open("rb") as file:
                lost = lost_avi_frame(file) if is_avi else None
            end = yield from _decoded_frames(path, capture, every, packets, lost)
    number, damaged = end.number, end.damaged
    if number == 0:
        raise SourceError(f"{path}: the video holds no readable frame; copy it again from the camera")
    faults = []
    if damaged:
        named = ", ".join(map(str, damaged[:_NAMED])) + (", ..." if len(damaged) > _NAMED else "")
        faults.append(f"damaged and not counted: frame{'s'[: len(damaged) - 1]} {named}")
    if cut or promised - number > (0 if is_avi else max(_MISSING_AT_LEAST, _MISSING_FRAMES * promised)):
        faults.append(f"truncated: ended after frame {number} of {promised}")
    elif not end.is_whole and number not in damaged:
        faults.append(f"truncated: frame {number}, the last one, is cut")
    if faults:
        raise SourceError(f"{path}: {'; '.join(faults)}; copy it again from the camera")


@dataclass(frozen=True, slots=True)
class _End:
    """How a video ended: number of its last frame, those that are damaged, and whether the last is whole."""

    number: int
    damaged: list[int]
    is_whole: bool


_Frames = Generator[tuple[int, UInt8Image, tuple[str, ...]], None, _End]


def _stored_frames(capture: cv2.VideoCapture, every: int, width: int, height: int) -> _Frames:
    """Take the frames of motion JPEG as they are stored: a damaged one says nothing of the others."""
    capture.set(cv2.CAP_PROP_FORMAT, -1)
    end = _End(0, [], True)
    for number, grabbed in _numbered(capture):
        stored = capture.retrieve()[1] if grabbed else None
        content = b"" if stored is None else stored.tobytes()
        # What is left out is not decoded; as the last frame it still tells that the file was cut.
        end = _End(number, end.damaged, content.rstrip(b"\0").endswith(_END_OF_JPEG))
        if grabbed and (number - 1) % every != 0:
            continue
        try:
            decoded = _decode_stored(content, width, height)
        except ValueError:
            end.damaged.append(number)
        else:
            yield number, *decoded
    return end


def _decoded_frames(
    path: Path, capture: cv2.VideoCapture, every: int, packets: Iterator[bytes], lost: int | None
) -> _Frames:
    """Decode frames that build on each other, up to the first that is damaged.

    One is given when the next was decoded: what FFmpeg complains of may have begun in the frame before.
    """
    complaints = _complaints()
    held: tuple[int, UInt8Image] | None = None
    number = 0
    for number, grabbed in _numbered(capture):
        faulty = complaints or not grabbed or _is_holed(next(packets, b"")) or number == lost
        if held is not None:
            yield *held, (POSSIBLY_DAMAGED,) if faulty else ()
            held = None
        if faulty:
            raise SourceError(
                f"{path}: frame {number} is damaged, and those behind it build on it; "
                "copy the video again from the camera"
            )
        # grab() decodes, retrieve() only converts: skipped frames cost no colour conversion or copy.
        if (number - 1) % every == 0:
            found, bgr = capture.retrieve()
            if not found:
                raise SourceError(f"{path}: frame {number} is damaged; copy the video again")
            held = number, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if held is not None:
        yield *held, ()
    return _End(number, [], True)


def _packets(name: str) -> Iterator[bytes]:
    """Read what is stored of each frame."""
    stored = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    stored.set(cv2.CAP_PROP_FORMAT, -1)
    try:
        while stored.grab():
            yield stored.retrieve()[1].tobytes()
    finally:
        stored.release()


def _is_holed(packet: bytes) -> bool:
    try:
        check_coded(packet)
    except ValueError:
        return True
    return False


def _decode_stored(content: bytes, width: int, height: int) -> tuple[UInt8Image, tuple[str, ...]]:
    header = read_header(content)
    if (header.width, header.height) != (width, height):
        raise ValueError(f"{header.width}x{header.height} px in a video of {width}x{height}")
    return decode_jpeg(content, header)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[cv2.VideoCapture, str, bool]]:
    """Open a video by FFmpeg, which of itself also reads addresses and lists of files.

    Nothing but this file is read, whatever its content asks for. Its beginning is looked at here because
    OpenCV 4.11 does not hand its options on [1]_.

    References
    ----------
    .. [1] https://github.com/opencv/opencv/pull/26793
    """
    try:
        # Asked before opening, because opening a named pipe waits for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path}: not a regular file; give a video file")
        file = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    with file:
        head = file.read(_HEAD_BYTES)
        if not head:
            raise SourceError(f"{path}: the file is empty; copy it again from the camera")
        if not _CONTAINER.match(head):
            raise SourceError(f"{path}: not a video by its beginning; convert it to MP4 or AVI")
        _silence()  # what it warns of stands in the message
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "protocol_whitelist;file"
        # By its number, because FFmpeg takes "10:30.avi" for an address, and a name that is no UTF-8 ends
        # OpenCV by a segmentation fault. One decoder thread: the default keeps a frame a core in memory.
        name = f"/proc/self/fd/{file.fileno()}"
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        try:
            if not capture.isOpened():
                raise SourceError(f"{path}: not a video that OpenCV can read; convert it to MP4 or AVI")
            yield capture, name, head.startswith(_AVI)
        finally:
            capture.release()


def _silence() -> None:
    """Have OpenCV print no messages, by the name that its version has for that (4.11, and 4.14 on)."""
    set_level = getattr(cv2, "setLogLevel", None) or import_module("cv2.utils.logging").setLogLevel
    set_level(_SILENT)


def _numbered(capture: cv2.VideoCapture) -> Iterator[tuple[int, bool]]:
    """Grab frame by frame: number, from 1, and whether it was there; a later one tells that it was not."""
    number = failures = 0
    while failures < _END:
        if not capture.grab():
            failures += 1
            continue
        for lost in range(number + 1, number + failures + 1):
            yield lost, False
        number, failures = number + failures + 1, 0
        yield number, True


def _check_decoder(path: Path, capture: cv2.VideoCapture, code: bytes) -> None:
    """Refuse what damage could not be told in."""
    place = int(capture.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX))
    if code.upper() == b"FFV1" and capture.retrieve(flag=place)[1] is None:
        raise SourceError(f"{path}: FFV1 without checksums; convert it to motion JPEG or FFV1 version 3")
    if loaded_library(_MESSENGER) is None:
        raise SourceError(
            f"{path}: this build of OpenCV does not tell damaged frames of {code.decode('latin-1')}; "
            "convert the video to motion JPEG"
        )


@cache
def _complaints() -> list[bytes]:
    """Have what FFmpeg says of errors appended to a list, instead of printed."""
    said: list[bytes] = []

    def hear(_context: int, level: int, message: bytes | None, _arguments: int) -> None:
        text = message or b""
        if level & 0xFF <= _AV_LOG_ERROR or text.startswith(_MADE_UP):
            said.append(text)

    hear_c = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(hear)
    library = loaded_library(_MESSENGER)
    if library is not None:
        # Where OPENCV_FFMPEG_LOGLEVEL is set, as by the command line, OpenCV takes the messages for itself,
        # but only once, when it first opens anything.
        _silence()
        cv2.VideoCapture(os.devnull, cv2.CAP_FFMPEG).release()
        library.av_log_set_callback(hear_c)
        _KEPT.append(hear_c)  # FFmpeg calls it as long as the process lives
    return said


_KEPT: list[object] = []
