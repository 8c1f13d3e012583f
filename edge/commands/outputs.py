"""Files that a command writes beside its result: named without clashes, never half-written."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from edge.bloodlog import LoggedField
from edge.bloodlog.pictures import encode
from edge.camera.files import OWN_MARK
from edge.config import Config
from edge.device.durable import PRIVATE_FOLDER, write_whole
from edge.errors import LogError, OutputError
from edge.structures import UInt8Image

#: Quality of annotated pictures: outlines and small text stay clean, a 5 Mpx field takes about 1.5 MB.
_JPEG_QUALITY = 92
#: The marker of a comment in a JPEG, and where the JFIF header ends, which must come first (JFIF 1.02).
_COMMENT, _JFIF_END = b"\xff\xfe", 20
#: Longest stem, in bytes: file systems allow names of 255, and what is written for a frame of a video ends in
#: "#1234567.annotated.jpg".
_MAX_STEM = 200


def prepare_folder(folder: Path) -> None:
    """Make a folder for results, or take the one that is there.

    Raises
    ------
    OutputError
        It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: no permission to write into this folder; name another one")


def make_state_folder(config: Config) -> None:
    """Make the folder of the default log. A folder that somebody named must be there: it may be a mount.

    Raises
    ------
    LogError
        It cannot be made.
    """
    if config.log.path is not None:
        return
    folder = config.log_path.parent
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(
            f"{folder}: the state folder cannot be made: {error.strerror}; set log.path"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there, replacing one of the same name.

    Raises
    ------
    OutputError
        It cannot be written; a file of that name is as it was.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def encode_labels(labels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> bytes:
    """Encode a (H, W) uint16 label image as PNG, with a mark by which it is known as one."""
    marked, file = PngImagePlugin.PngInfo(), io.BytesIO()
    marked.add_text("Comment", OWN_MARK.decode())
    # Level 1: label images are runs of equal values; more effort saves little and takes 4 times as long.
    Image.fromarray(labels).save(file, "PNG", compress_level=1, pnginfo=marked)
    return file.getvalue()


def encode_picture(image: UInt8Image) -> bytes:
    """Encode a (H, W, 3) uint8 RGB image as JPEG for people to look at, with a mark against counting it."""
    content = encode(image, _JPEG_QUALITY, "444")
    comment = _COMMENT + (2 + len(OWN_MARK)).to_bytes(2, "big") + OWN_MARK
    return content[:_JFIF_END] + comment + content[_JFIF_END:]


def unique_stems(files: Sequence[Path]) -> dict[Path, str]:
    """Give each input file the stem of what is written for it: its own, longer where an earlier one has it.

    The first file of a stem keeps it, so that a folder with ``f1.bmp`` and something else called ``f1.png``
    gives ``f1.cells.png`` as documented. A later one gets its suffix where the earlier lies in the same
    folder, else as many of its folders' names in front as make it different. Of more than 200 bytes, it is
    cut.

    Parameters
    ----------
    files : different files, as given

    Returns
    -------
    stem by file

    Raises
    ------
    OutputError
        Joined with "_", two paths read the same to the root.

    Examples
    --------
    >>> list(unique_stems([Path("a/f1.jpg"), Path("b/f1.jpg"), Path("b/f2.jpg")]).values())
    ['f1', 'b_f1', 'f2']
    >>> list(unique_stems([Path("a/f1.jpg"), Path("a/f1.png")]).values())
    ['f1', 'f1.png']
    """
    own = {file.stem for file in files}
    taken: dict[str, Path] = {}
    seen: set[Path] = set()
    stems: dict[Path, str] = {}
    for file in files:
        place = file.absolute().with_suffix("")
        candidates = (
            stem for stem in _longer_stems(file, place in seen) if stem not in own and stem not in taken
        )
        stem = file.stem if file.stem not in taken else next(candidates, None)
        if stem is None:
            other = taken[file.stem]
            raise OutputError(f"{other} and {file} would be written under one name; count them in two runs")
        seen.add(place)
        taken[stem] = file
        stems[file] = _fitting(stem)
    return stems


def field_stem(logged: LoggedField) -> str:
    """Give the stem of what is written for a field of the log; a frame's name may tell who the patient is."""
    return f"field-{logged.id:06d}"


def _fitting(stem: str) -> str:
    """Cut a stem that is too long for a name, and tell it by a hash from others that begin alike."""
    whole = os.fsencode(stem)
    if len(whole) <= _MAX_STEM:
        return stem
    mark = "~" + hashlib.sha256(whole).hexdigest()[:8]
    return whole[: _MAX_STEM - len(mark)].decode("utf-8", "ignore") + mark


def _longer_stems(file: Path, has_sibling: bool) -> Iterator[str]:
    folders = [part.strip("/") for part in file.absolute().parts[:-1]]
    name = file.name if has_sibling else file.stem
    for depth in range(0 if has_sibling else 1, len(folders) + 1):
        yield "_".join([*folders[len(folders) - depth :], name])
