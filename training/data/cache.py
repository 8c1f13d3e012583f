"""What segmentation found, kept outside the repository under a hash of image and code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import platformdirs

from edge.camera.files import read_image
from edge.device.durable import write_whole
from edge.errors import OutputError
from edge.light.field import Field
from edge.segmentation import Segmentation, Windows, segment
from edge.structures import Background, Cell, Scale

#: Modules of the device that decide what a cell is; a change in one of them makes every entry stale.
_SEGMENTATION_MODULES = ("segment*.py", "scale.py", "illumination.py", "camera/decode.py")


@cache
def segmentation_code() -> str:
    """Hash of the segmentation's source and of OpenCV's version."""
    edge = Path(str(resources.files("edge")))
    digest = hashlib.sha256(cv2.__version__.encode())
    for pattern in _SEGMENTATION_MODULES:
        for path in sorted(edge.glob(pattern)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Cache:
    """A folder of results that can be computed again.

    Parameters
    ----------
    folder : where it is; None takes the user's cache folder
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(platformdirs.user_cache_dir("blastcount")) / "training"

    def segmentation(self, image: Path, sha256: str) -> Segmentation:
        """Segment an image, or return what was found when it was segmented before.

        Raises
        ------
        ImageError
            The image cannot be read.
        OutputError
            The cache cannot be written.
        """
        path = self.folder / "segmentation" / segmentation_code() / sha256[:2] / f"{sha256}.npz"
        try:
            return _unpack(path.read_bytes())
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            found = segment(Field(read_image(image)))
            self.write(path, _pack(found))
            return found

    def json(self, name: str, key: str, compute: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON
        """Return a JSON value computed earlier for the same key, else compute and keep it.

        Parameters
        ----------
        name : what it is
        key : everything that it depends on
        compute : called where it is not there
        """
        path = self.folder / name / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            value = compute()
            self.write(path, json.dumps(value).encode())
            return value

    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all, so that a killed run leaves no half entry."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); give another --cache"
            ) from error


def _pack(found: Segmentation) -> bytes:
    buffer = io.BytesIO()
    head = {
        "cells": [astuple(cell) for cell in found.cells],
        "scale": astuple(found.scale),
        "canvas": [found.windows.width, found.windows.height, found.width, found.height],
        "window_of": found.window_of,
    }
    np.savez_compressed(
        buffer,
        head=np.array(json.dumps(head)),
        background=found.background.grid,
        cell_map=found.cell_map,
        nucleus_map=found.nucleus_map,
        regions=found.windows.regions,
        places=found.windows.places,
    )
    return buffer.getvalue()


def _unpack(content: bytes) -> Segmentation:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        head = json.loads(str(archive["head"]))
        windows = Windows(archive["regions"], archive["places"], *head["canvas"])
        cells = tuple(
            Cell(number, x, y, tuple(bbox), area, nucleus, kind, border)
            for number, x, y, bbox, area, nucleus, kind, border in head["cells"]
        )
        return Segmentation(
            cells,
            Scale(*head["scale"]),
            Background(archive["background"], windows.frame_width, windows.frame_height),
            archive["cell_map"],
            archive["nucleus_map"],
            windows,
            tuple(head["window_of"]),
        )
