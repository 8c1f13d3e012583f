"""Image files, folders and videos as frames, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from edge.camera.decode import MAX_PIXELS, decode_image
from edge.errors import ImageError, SourceError
from edge.structures import Frame, UInt8Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".m4v", ".mov", ".mkv", ".mpg", ".mpeg", ".webm"})
#: What `count` itself writes beside images; a folder's listing leaves it out, so that a second
#: run does not count the pictures of the first.
OUTPUT_SUFFIXES = (".cells.png", ".nuclei.png", ".annotated.jpg")
#: Share of the promised frames that a video may lack before it is called damaged. Containers without
#: an index promise an estimate (duration times rate), seen to be off by a frame or two.
_MISSING_FRAMES = 0.05
#: Markers of JPEG: where the coded picture begins and ends, and what is besides it: APP1 to APP13, APP15 and
#: comments.
_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", 0xDA, b"\xff\xd9"
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})


def read_image(path: Path, *, um_per_px: float | None = None, with_jpeg: bool = False) -> Frame:
    """Read one image file; see :func:`edge.camera.decode.decode_image` for what is accepted.

    Parameters
    ----------
    path : image file
    um_per_px : calibrated scale in µm per px, or None to find it in the field
    with_jpeg : give a JPEG file's content along, without what it tells besides the picture

    Returns
    -------
    Frame whose ``source`` is the path as given

    Raises
    ------
    ImageError
        The file cannot be used.
    """
    image = decode_image(path)
    return Frame(image, str(path), um_per_px=um_per_px, jpeg=_bare_jpeg(path, image) if with_jpeg else None)


def _bare_jpeg(path: Path, image: UInt8Image) -> bytes | None:
    """Read a JPEG file without its metadata, which may name a person; None where it is not exactly the image.

    Application segments are left out but those that say how colours are stored (JFIF, Adobe), and so are
    comments [1]_.

    References
    ----------
    .. [1] ITU-T T.81 (1992), annex B.
    """
    content = path.read_bytes()
    if not content.startswith(_START_OF_IMAGE):
        return None
    bare, at = bytearray(content[:2]), 2
    try:
        while content[at + 1] != _START_OF_SCAN:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            if content[at + 1] not in _METADATA:
                bare += content[at:end]
            at = end
        bare += content[at : content.index(_END_OF_IMAGE, at) + 2]
        same = np.array_equal(simplejpeg.decode_jpeg(bytes(bare), "RGB"), image)
    except (IndexError, ValueError):
        return None
    return bytes(bare) if same else None


def find_files(path: Path) -> list[Path]:
    """List the images and videos that a path given by a person stands for.

    A file stands for itself. A folder stands for the images and videos directly in it, in natural
    order (``f2`` before ``f10``); subfolders, hidden files, other files and what ``count`` itself wrote
    (``OUTPUT_SUFFIXES``) are left out.

    Returns
    -------
    at least one path

    Raises
    ------
    SourceError
        The path does not exist, cannot be listed, holds no image, or is a file of another type.
    """
    try:
        if not path.is_dir():
            path.stat()
            if path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                raise SourceError(
                    f"{path}: not an image or video by its name; "
                    f"expected one of {', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}"
                )
            return [path]
        entries = list(path.iterdir())
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file or folder") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    files = [entry for entry in entries if _is_wanted(entry)]
    if not files:
        folders = sum(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
        hint = f"; its {folders} subfolders are not searched, give them by name" if folders else ""
        raise SourceError(f"{path}: no images or videos in this folder{hint}")
    return sorted(files, key=_natural_key)


def read_frames(
    path: Path, *, every: int = 1, um_per_px: float | None = None, with_jpeg: bool = False
) -> Iterator[Frame]:
    """Read the one frame of an image file, or the frames of a video, one at a time.

    Frames of a video are numbered from 1 and named ``video.avi#12``.

    Parameters
    ----------
    path : image or video file
    every : of a video, take frames 1, 1 + every, 1 + 2 * every, ...
    um_per_px : calibrated scale in µm per px, or None to find it in the field
    with_jpeg : as for :func:`read_image`

    Yields
    ------
    Frame

    Raises
    ------
    ImageError
        The image cannot be used.
    SourceError
        The video cannot be opened, holds no frame, or ends before its promised end.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _read_video(path, every, um_per_px)
    else:
        yield read_image(path, um_per_px=um_per_px, with_jpeg=with_jpeg)


def _is_wanted(path: Path) -> bool:
    name = path.name.lower()
    return (
        path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
        and not name.startswith(".")
        and not name.endswith(OUTPUT_SUFFIXES)
        and not path.is_dir()
    )


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Compare runs of digits as numbers, the rest without regard to case; equal names by their exact form."""
    parts = re.split(r"([0-9]+)", path.name)
    key = [(0, int(part), "") if i % 2 else (1, 0, part.casefold()) for i, part in enumerate(parts)]
    return key, path.name


def _read_video(path: Path, every: int, um_per_px: float | None) -> Iterator[Frame]:
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty; copy it again from the camera")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        # OpenCV 4.11 dies of a segmentation fault on such a name.
        raise SourceError(f"{path}: names of videos must be UTF-8; rename the file") from error
    # One decoder thread: FFmpeg's default of one a core keeps as many frames in memory.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise SourceError(f"{path}: not a video that OpenCV can read; convert it to MP4 or AVI")
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"{path}: frames of {width}x{height} px; at most {MAX_PIXELS // 1_000_000} megapixels fit"
            )
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        # grab() decodes, retrieve() only converts: skipped frames cost no colour conversion or copy.
        while capture.grab():
            number += 1
            if (number - 1) % every:
                continue
            ok, bgr = capture.retrieve()
            if not ok:
                raise SourceError(f"{path}: frame {number} is damaged; copy the video again")
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(rgb, f"{path}#{number}", um_per_px=um_per_px)
    finally:
        capture.release()
    if number == 0:
        raise SourceError(f"{path}: the video holds no readable frame; copy it again from the camera")
    if promised - number > max(2, _MISSING_FRAMES * promised):
        raise SourceError(
            f"{path}: truncated: ended after frame {number} of {promised}; copy it again from the camera"
        )
