"""Pictures of cells and fields beside the log, named by their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.durable import sync_folder, write_durably
from edge.errors import ImageError, OutputError
from edge.structures import UInt8Image

#: Name of the folder beside the log.
FOLDER = "pictures"
#: JPEG quality: cells at 64 to 128 px take 2 to 6 kB, and nothing that a reader looks at is lost.
QUALITY = 90
_NAME = re.compile(r"[0-9a-f]{64}")


class ThumbnailStore:
    """A folder of JPEG files, each named by the SHA-256 of its bytes.

    A picture that is there already is not written again. Files lie in 256 folders by their first two digits,
    because a folder of 100,000 files is slow to list on an SD card.

    Parameters
    ----------
    folder : made when the first picture is put
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def beside(cls, log: Path) -> ThumbnailStore:
        """Give the store that belongs to a log's file."""
        return cls(log.parent / FOLDER)

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
        OutputError
            It cannot be written; nothing is left half-written.
        """
        import cv2  # 40 MB: the review page only sends files, and goes without

        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        encoded, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not encoded:
            raise OutputError("OpenCV could not encode a picture; is its memory full?")
        data = content.tobytes()
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        if path.exists():
            return sha256
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(path.parent.parent)
            write_durably(path, data)
        except OSError as error:
            raise OutputError(f"{path}: the picture was not stored: {error.strerror or error}") from error
        return sha256

    def path(self, sha256: str) -> Path:
        """Say where a picture lies or would lie.

        Raises
        ------
        ImageError
            This is no SHA-256: names that come from elsewhere never become paths.
        """
        if not _NAME.fullmatch(sha256):
            raise ImageError(f"a picture is named by 64 hexadecimal digits, got {sha256!r}")
        return self.folder / sha256[:2] / f"{sha256}.jpg"

    def read(self, sha256: str) -> bytes | None:
        """Read a picture's file; None where it was removed or is damaged."""
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def get(self, sha256: str) -> UInt8Image | None:
        """Read a picture as (H, W, 3) uint8 RGB; None where it was removed or is damaged."""
        import cv2  # see put()

        data = self.read(sha256)
        if data is None:
            return None
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def remove(self, sha256: str) -> int:
        """Remove a picture; return the bytes that this freed, 0 where it was not there."""
        path = self.path(sha256)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def __iter__(self) -> Iterator[str]:
        """Go through the pictures that are there, in no order."""
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*.jpg"):
            if _NAME.fullmatch(path.stem):
                yield path.stem
