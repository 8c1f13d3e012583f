"""The cells of a field from a file of GeoJSON: outlines, classes and measurements, as they stand in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edge.camera.pixels import MAX_PIXELS
from edge.errors import DataSetError
from edge.results.geojson import Classification, read_document
from edge.results.polygons import filled

#: No picture reaches so far; larger numbers would not be exact, or end in infinity.
_Px = Annotated[float, Meta(ge=-1e6, le=1e6)]
_Ring = Annotated[list[tuple[_Px, _Px]], Meta(min_length=3)]
#: Each an outer ring and its holes, in px of the image from its upper left corner.
Polygons = list[list[_Ring]]
#: Of a label image.
_MOST_CELLS = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True, slots=True)
class OutlinedCell:
    """One cell of a file.

    Attributes
    ----------
    id : in its field; of one that was drawn in another program, the next that is free
    name : of its class: the program's ``blast``, ``normal``, ``uncertain`` or ``smudge``, or what a person
        has made of it; None where it has none
    type : which kind of cell it is, where a network named one
    measurements : ``p_blast``, ``p_type``, areas, and what another program has added
    cell, nucleus : polygons; a nucleus may have none
    """

    id: int
    name: str | None
    type: str | None
    measurements: Mapping[str, float | None]
    cell: Polygons
    nucleus: Polygons


@dataclass(frozen=True, slots=True)
class OutlinedField:
    """What a file tells of a field.

    Attributes
    ----------
    width, height : of the image, px
    about : what this program wrote beside the cells: hash of the frame, scale, status, reasons, warnings,
        model; empty where another program wrote the file
    cells : in the order of the file
    """

    width: int
    height: int
    about: Mapping[str, Any]
    cells: tuple[OutlinedCell, ...]

    def labels(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Label images of whole cells and of nuclei, (H, W) uint16; values are the cells' ids, 0 is none.

        Of a file that ``count --geojson`` wrote they are those of ``count --masks``, to the pixel. Where
        outlines overlap that people have drawn, a pixel is the later cell's.
        """
        cells, nuclei = (np.zeros((self.height, self.width), np.uint16) for _ in range(2))
        for found in self.cells:
            _paint(cells, found.cell, found.id)
            _paint(nuclei, found.nucleus, found.id)
        return cells, nuclei


def _paint(labels: NDArray[np.uint16], parts: Polygons, number: int) -> None:
    if parts:
        corners = np.concatenate([ring for polygon in parts for ring in polygon])
        left, top = np.floor(corners.min(axis=0)).clip(0).astype(int).tolist()
        window = labels[top : int(np.ceil(corners[:, 1].max())), left : int(np.ceil(corners[:, 0].max()))]
        moved = [[[(x - left, y - top) for x, y in ring] for ring in polygon] for polygon in parts]
        window[filled(moved, (window.shape[0], window.shape[1]))] = number


class _Properties(Struct, frozen=True):
    name: str | None = None
    classification: Classification | None = None
    measurements: Mapping[str, float | None] = {}
    metadata: Mapping[str, str] = {}


class _Feature(Struct, frozen=True, rename={"nucleus": "nucleusGeometry"}):
    geometry: Mapping[str, Any] | None = None
    nucleus: Mapping[str, Any] | None = None
    properties: _Properties | None = None


class _Collection(Struct, frozen=True):
    features: tuple[_Feature, ...]
    blastcount: Mapping[str, Any] = {}


#: What this program writes, and what QuPath does.
_CONTENT: Any = _Collection | tuple[_Feature, ...]


def read_geojson(file: str | os.PathLike[str], size: tuple[int, int] | None = None) -> OutlinedField:
    """Read a field's cells from GeoJSON, of this program or as QuPath writes it.

    Objects without an area, as lines and points, are left out.

    Parameters
    ----------
    file : a FeatureCollection, or a list of features
    size : width and height of the image in px, which QuPath does not write; None to take what the file says

    Raises
    ------
    DataSetError
        The file cannot be read, is no such thing, does not tell the size, or has several cells of one id.
    """
    content = read_document(Path(file), _CONTENT)
    about: Mapping[str, Any] = {}
    if isinstance(content, _Collection):
        about, content = content.blastcount, content.features
    width, height = size or (about.get("width"), about.get("height"))
    if not (isinstance(width, int) and isinstance(height, int)):
        raise DataSetError(f"{file}: does not tell the size of the image; give its width and height in px")
    if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
        raise DataSetError(f"{file}: expected an image of 1 to {MAX_PIXELS} px, got {width} x {height}")
    try:
        areas = [(feature, cell) for feature in content if (cell := _polygons(feature.geometry))]
        nuclei = [_polygons(feature.nucleus) for feature, _ in areas]
    except msgspec.ValidationError as error:
        raise DataSetError(f"{file}: the outline of a cell is none of GeoJSON: {error}") from error
    if len(areas) > _MOST_CELLS:
        raise DataSetError(f"{file}: has {len(areas)} cells; at most {_MOST_CELLS} of a field have an id")
    ids = _ids([feature.properties or _Properties() for feature, _ in areas])
    if twice := [number for number, times in Counter(ids).items() if times > 1]:
        raise DataSetError(f"{file}: has several cells {twice[0]}; is it one field's?")
    cells = (
        _outlined(number, feature.properties or _Properties(), cell, nucleus)
        for number, (feature, cell), nucleus in zip(ids, areas, nuclei, strict=True)
    )
    return OutlinedField(width, height, about, tuple(cells))


def _polygons(geometry: Mapping[str, Any] | None) -> Polygons:
    """Read a geometry of GeoJSON; of one that is no area nothing."""
    match geometry:
        case {"type": "Polygon", "coordinates": polygon}:
            parts = [polygon]
        case {"type": "MultiPolygon", "coordinates": parts}:
            pass
        case _:
            return []
    # A ring ends where it begins.
    return [
        [ring[:-1] if ring[0] == ring[-1] else ring for ring in polygon]
        for polygon in msgspec.convert(parts, Polygons)
    ]


def _ids(properties: list[_Properties]) -> list[int]:
    """Give the ids of cells: their names, and the next numbers that are free for those drawn anew."""
    names = [of.name or "" for of in properties]
    named = [int(name) if name.isdecimal() and 0 < int(name) <= _MOST_CELLS else None for name in names]
    taken = set(named)
    free = (number for number in count(1) if number not in taken)
    return [next(free) if number is None else number for number in named]


def _outlined(number: int, of: _Properties, cell: Polygons, nucleus: Polygons) -> OutlinedCell:
    name = None if of.classification is None else of.classification.shown
    return OutlinedCell(number, name, of.metadata.get("type"), of.measurements, cell, nucleus)
