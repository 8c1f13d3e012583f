"""What can be computed again, kept outside the repository under a hash of its inputs and of the source."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from edge.camera.files import read_image
from edge.device.durable import write_whole
from edge.device.machine import describe_software
from edge.errors import OutputError
from edge.light.field import Field
from edge.segmentation import Segmentation, segment
from edge.structures import Cell, InputSpec, PooledScale
from edge.version import folder_sha256

Value = TypeVar("Value")


@cache
def source_hash(*packages: str) -> str:
    """Hash of every source file of ``edge`` and ``training``, and of the versions of what computes for them.

    All of it, because a choice of files is a choice of what to overlook: results were once kept while the
    pyramid under the segmentation, or a learning rate, had changed.

    Parameters
    ----------
    packages : only these, for what the other has no part in
    """
    packages = packages or ("edge", "training")
    sources = [folder_sha256(Path(str(resources.files(package)))) for package in packages]
    return hashlib.sha256(repr((sources, describe_software())).encode()).hexdigest()[:16]


class Cache:
    """A folder of results that can be computed again.

    Entries are pickles, so a folder is trusted as the program itself is.

    Parameters
    ----------
    folder : where it is; None takes the user's cache folder

    Attributes
    ----------
    folder : where it is
    crops : cells that were cut in this process, by what a crop is made of, then by image file and cell
    features : cells that were measured in this process, by what was measured, then likewise
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(platformdirs.user_cache_dir("blastcount")) / "training"
        self.crops: dict[InputSpec, dict[tuple[str, Cell], NDArray[np.uint8]]] = {}
        self.features: dict[str, dict[tuple[str, Cell], NDArray[np.float64]]] = {}

    def segmentation(
        self,
        image: Path,
        sha256: str,
        um_per_px: float | None = None,
        pooled: PooledScale | None = None,
    ) -> Segmentation:
        """Segment an image of a known or unknown scale, or return what was found before.

        Parameters
        ----------
        image : file
        sha256 : of the file
        um_per_px : its scale where that is known
        pooled : what its neighbours say of the scale

        Raises
        ------
        ImageError
            The image cannot be read.
        OutputError
            The cache cannot be written.
        """
        return self.kept(
            "segmentation",
            f"{sha256} {um_per_px} {pooled}",
            lambda: segment(Field(replace(read_image(image, um_per_px=um_per_px), pooled=pooled))),
            source_hash("edge"),
        )

    def kept(self, name: str, key: str, compute: Callable[[], Value], made_by: str | None = None) -> Value:
        """Return a value computed earlier for the same key by the same source, else compute and keep it.

        Parameters
        ----------
        name : what it is
        key : everything that it depends on beside the source
        compute : called where it is not there, or damaged
        made_by : hash of the source that computes it; None: of all of it
        """
        entry = hashlib.sha256(f"{made_by or source_hash()} {key}".encode()).hexdigest()
        path = self.folder / name / entry[:2] / f"{entry[2:]}.pickle"
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if content and hashlib.sha256(content[32:]).digest() == content[:32]:
            kept: Value = pickle.loads(zlib.decompress(content[32:]))
            return kept
        value = compute()
        body = zlib.compress(pickle.dumps(value), 1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(body).digest() + body)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); give another --cache"
            ) from error
        return value
