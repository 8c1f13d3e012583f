"""Pictures of cells and fields beside the log, named by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg

from edge.bloodlog.locks import USUAL, Patience, locked
from edge.bloodlog.picture_files import PictureFiles, pictures_beside
from edge.device.durable import PRIVATE_FILE, PRIVATE_FOLDER, sync_folder, write_whole
from edge.errors import NO_ROOM, DiskFullError, OutputError
from edge.structures import UInt8Image

#: JPEG quality: cells at 64 to 128 px take 2 to 6 kB, and nothing that a reader looks at is lost.
QUALITY = 90
#: Of fields, whose pictures are counted as they are kept: against counting what came from the camera, p_blast
#: of 146 cells of real and drawn fields moved by 0.008 on average, no cell was lost or added, and one label
#: changed; at 90 it was 0.012 and one cell.
FIELD_QUALITY = 95
#: Share of a cell's box that is shown around it: a reader wants the neighbours' edges and the blank slide.
_MARGIN = 0.25
#: ... and of fields made small to be looked at.
_SMALL_QUALITY = 80


def encode(image: UInt8Image, quality: int = QUALITY, sampling: Literal["420", "444"] = "420") -> bytes:
    """Make a JPEG file.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    quality : 1 to 100
    sampling : of colour: ``444`` keeps thin coloured lines and text sharp, ``420`` takes a third less
    """
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", sampling))


def decode(data: bytes) -> UInt8Image:
    """Read a JPEG file as (H, W, 3) uint8 RGB, as :func:`edge.camera.decode.decode_picture` does."""
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), dtype=np.uint8)


def reduced(data: bytes, least_px: int) -> bytes:
    """Make a JPEG file smaller, in the time that its reading at that size takes: a tenth of the whole's.

    Parameters
    ----------
    data : a JPEG file
    least_px : neither side is made shorter, by one of the eighths that a JPEG can be read at
    """
    small = simplejpeg.decode_jpeg(data, "RGB", min_height=least_px, min_width=least_px)
    return encode(np.asarray(small, np.uint8), _SMALL_QUALITY)


def thumbnail_box(bbox: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Say which part of a field a cell's picture shows.

    Parameters
    ----------
    bbox : (x, y, width, height) of the cell, px
    width, height : of the field, px

    Returns
    -------
    (left, top, right, bottom), ends exclusive
    """
    x, y, w, h = bbox
    dx, dy = round(w * _MARGIN), round(h * _MARGIN)
    return max(0, x - dx), max(0, y - dy), min(width, x + w + dx), min(height, y + h + dy)


class ThumbnailStore(PictureFiles):
    """A folder of pictures that are written, too; one that is there already is not written again.

    Parameters
    ----------
    folder : made when the first picture is put
    patience : how long to wait for whoever is tidying up, or storing
    """

    def __init__(self, folder: Path, patience: Patience = USUAL) -> None:
        super().__init__(folder)
        self._patience = patience

    @classmethod
    def beside(cls, log: Path, patience: Patience = USUAL) -> ThumbnailStore:
        """Give the store that belongs to a log's file, by whatever symbolic link one came to it."""
        return cls(pictures_beside(log), patience)

    def put(self, image: UInt8Image, quality: int = QUALITY) -> str:
        """Store a picture; it is on the disk when this returns.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        quality : of the JPEG, 1 to 100

        Returns
        -------
        SHA-256 of the file

        Raises
        ------
        DiskFullError, OutputError
            It cannot be written; nothing is left half-written.
        """
        return self.put_jpeg(encode(image, quality))

    def put_jpeg(self, data: bytes) -> str:
        """Store a picture that is a JPEG file already; return its SHA-256.

        Raises
        ------
        DiskFullError, OutputError
            It cannot be written; nothing is left half-written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        if path.exists():
            return sha256
        try:
            with self.holding():
                if not path.parent.is_dir():
                    path.parent.mkdir(PRIVATE_FOLDER, exist_ok=True)
                    sync_folder(self.folder)
                    sync_folder(self.folder.parent)
                write_whole(path, data, durable=True, mode=PRIVATE_FILE)
        except OSError as error:
            raise _refused(f"{path}: the picture was not stored", error) from error
        return sha256

    def get(self, sha256: str) -> UInt8Image | None:
        """Read a picture as (H, W, 3) uint8 RGB; None where it was removed or is damaged."""
        data = self.read(sha256)
        return None if data is None else decode(data)

    def holding(self) -> AbstractContextManager[None]:
        """Keep others from tidying up while pictures are stored whose row is not in the log yet.

        Whoever puts pictures does it, and appends the row that names them, inside this block: a picture
        that no row names is rubbish to :func:`edge.bloodlog.retention.tidy`.
        """
        return self._locked("shared")

    def tidying(self) -> AbstractContextManager[None]:
        """Wait until nobody is :meth:`holding`, and keep them waiting during the block."""
        return self._locked("exclusive")

    @contextmanager
    def _locked(self, kind: Literal["shared", "exclusive"]) -> Iterator[None]:
        failed = f"{self.folder}: pictures cannot be stored"
        with ExitStack() as stack:
            try:
                self.folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder / ".lock", kind, self._patience, failed))
            except OSError as error:
                raise _refused(failed, error) from error
            yield

    def files(self) -> Iterator[Path]:
        """Go through the files of the folder, half-written ones of a killed process among them."""
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(folder) as entries:
                yield from (Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))


def _refused(message: str, error: OSError) -> DiskFullError | OutputError:
    text = f"{message}: {error.strerror or error}"
    return DiskFullError(text) if error.errno in NO_ROOM else OutputError(text)
