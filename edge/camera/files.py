"""Image files and videos as frames, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg

from edge.camera.decode import decode_picture
from edge.camera.folders import OWN, VIDEO_SUFFIXES, has_truth
from edge.camera.label_image import is_label_image
from edge.camera.signature import read_head
from edge.camera.video import read_video
from edge.errors import ImageError, NotAFieldError
from edge.structures import COARSEST_UM_PER_PX, FINEST_UM_PER_PX, Frame, UInt8Image

#: Markers of JPEG: where the coded picture begins and ends, and what is besides it: APP1 to APP13, APP15 and
#: comments.
_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", 0xDA, b"\xff\xd9"
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
#: Stands near the beginning of every picture that `count` writes, so that it is known under any name.
OWN_MARK = b"blastcount: not a field"


def read_image(path: Path, *, um_per_px: float | None = None, with_jpeg: bool = False) -> Frame:
    """Read one image file; see :func:`edge.camera.decode.decode_picture` for what is accepted.

    Parameters
    ----------
    path : image file
    um_per_px : calibrated scale in µm per px, or None to take the file's own or find it in the field
    with_jpeg : give a JPEG file's content along, without what it tells besides the picture

    Returns
    -------
    Frame whose ``source`` is the path as given

    Raises
    ------
    ImageError
        The file cannot be used.
    """
    picture = decode_picture(path)
    image = picture.pixels
    if um_per_px is None and picture.um_per_px is not None:
        um_per_px = picture.um_per_px
        if not FINEST_UM_PER_PX <= um_per_px <= COARSEST_UM_PER_PX:
            raise ImageError(
                f"{path}: it says that a pixel is {um_per_px:g} µm; expected {FINEST_UM_PER_PX} to "
                f"{COARSEST_UM_PER_PX}; give --um-per-px if it is wrong"
            )
    jpeg = _bare_jpeg(path, image) if with_jpeg else None
    return Frame(
        image,
        str(path),
        um_per_px=um_per_px,
        jpeg=jpeg,
        warnings=picture.warnings,
        is_drawn=has_truth(path),
    )


def _bare_jpeg(path: Path, image: UInt8Image) -> bytes | None:
    """Read a JPEG file without its metadata; None where it is not exactly the image."""
    bare = without_metadata(path.read_bytes())
    try:
        same = bare is not None and np.array_equal(simplejpeg.decode_jpeg(bare, "RGB"), image)
    except ValueError:
        return None
    return bare if same else None


def without_metadata(content: bytes) -> bytes | None:
    """Leave out of a JPEG what is no picture, and may name a person; None where it is no JPEG.

    Application segments are left out but those that say how colours are stored (JFIF, Adobe), and so are
    comments, and what follows the picture [1]_.

    References
    ----------
    .. [1] ITU-T T.81 (1992), annex B.
    """
    if not content.startswith(_START_OF_IMAGE):
        return None
    bare, at = bytearray(content[:2]), 2
    try:
        while content[at + 1] != _START_OF_SCAN:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            if content[at + 1] not in _METADATA:
                bare += content[at:end]
            at = end
        return bytes(bare + content[at : content.index(_END_OF_IMAGE, at) + 2])
    except (IndexError, ValueError):
        return None


def read_frames(
    path: Path, *, every: int = 1, um_per_px: float | None = None, with_jpeg: bool = False
) -> Iterator[Frame]:
    """Read the one frame of an image file, or the frames of a video, one at a time.

    Frames of a video are numbered from 1 and named ``video.avi#12``. Whatever has a known truth beside it was
    drawn by a program, and every frame of it says so.

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
    NotAFieldError
        It is a label image, or an annotated picture of this program.
    SourceError
        The video cannot be opened, holds no frame or a damaged one, or ends before its promised end.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        is_drawn = has_truth(path)
        for number, pixels, doubts in read_video(path, every):
            name = f"{path}#{number}"
            yield Frame(pixels, name, um_per_px=um_per_px, warnings=doubts, is_drawn=is_drawn)
        return
    if _is_marked(path):
        raise NotAFieldError(f"{path}: {OWN}; count the picture that it was made of", OWN)
    frame = read_image(path, um_per_px=um_per_px, with_jpeg=with_jpeg)
    if is_label_image(frame.image):
        raise NotAFieldError(
            f"{path}: a label image (mask) or a drawing, few colours in flat areas; "
            "count the photograph that it belongs to",
            "label images",
        )
    yield frame


def _is_marked(path: Path) -> bool:
    """Whether this program has written a picture; of what cannot be read, the decoder says why."""
    return OWN_MARK in (read_head(path) or b"")
