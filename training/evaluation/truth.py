"""Annotated folders, as engineers keep them, read into one record a field.

Five layouts are understood; :func:`read_truth` finds out which one a folder has.

========  =======================================================================================
points    ``im/NAME.jpg`` with ``xyc/NAME.xyc`` (one ``x y`` line a cell, ALL-IDB1), optionally
          ``masks/NAME_WBCs.tif`` (white cells > 0) for some of the fields
voc       ``images/NAME.*`` with ``annotations/NAME.xml`` (Pascal VOC, objects named ``WBC``)
yolo      ``images/NAME.*`` with ``labels/NAME.txt`` (class, centre and size as fractions); where
          ``classes.txt`` has a class ``WBC`` (one name a line), only its boxes are read
masks     ``NAME.bmp`` beside ``NAME.png`` (255 nucleus, 128 cytoplasm), or ``img/NAME.tif`` with
          ``masks/NAME.tif`` (white background, green channel 255 in the nucleus, ALL-IDB2)
classes   one folder a class, one cell in the middle of every image (PBC); a folder named
          ``platelet`` holds images without a white cell
========  =======================================================================================
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import DataSetError

Layout = Literal["points", "voc", "yolo", "masks", "classes"]
Box = tuple[float, float, float, float]
#: A marked cell: (x, y) in px of its field, x to the right, y down.
Point = tuple[float, float]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})

#: Between two coordinates: tabs in the official files, blanks or commas in copies of them.
_SEPARATOR = re.compile(r"[\s,;\x00]+")
#: What the annotations call a white cell.
_WHITE_CELL = "WBC"
#: Smallest blob of an instance mask that is a cell, in px. The expert masks of ALL-IDB1 hold specks
#: left by the drawing tool; the smallest marked cell there has 3,000 px.
MIN_MASK_CELL_PX = 600


@dataclass(frozen=True, slots=True)
class FieldTruth:
    """What a person marked in one image.

    Attributes
    ----------
    image : path of the image
    points : (x, y) of every marked cell in px, None where points were not marked
    boxes : (x, y, width, height) of every marked cell in px, None where boxes were not marked
    box_classes : number of each box's class in YOLO's labels, None elsewhere
    mask : path of the nucleus/cytoplasm mask of the central cell, or None
    class_name : class of the single cell in the image, or None
    """

    image: Path
    points: tuple[Point, ...] | None = None
    boxes: tuple[Box, ...] | None = None
    box_classes: tuple[int, ...] | None = None
    mask: Path | None = None
    class_name: str | None = None


def find_layout(folder: Path) -> Layout:
    """Tell which of the known layouts ``folder`` has.

    Raises
    ------
    DataSetError
        It is not a folder or has none of the layouts.
    """
    if not folder.is_dir():
        raise DataSetError(f"{folder}: not a folder; --truth names a folder of images with their annotations")
    if (folder / "im").is_dir() and (folder / "xyc").is_dir():
        return "points"
    if (folder / "images").is_dir() and (folder / "annotations").is_dir():
        return "voc"
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return "yolo"
    if (folder / "img").is_dir() and (folder / "masks").is_dir():
        return "masks"
    if any(path.with_suffix(".png").exists() for path in folder.glob("*.bmp")):
        return "masks"
    subfolders = [path for path in folder.iterdir() if path.is_dir()]
    if subfolders and all(_images(path) for path in subfolders):
        return "classes"
    raise DataSetError(
        f"{folder}: no annotations found; expected im/ + xyc/, images/ + annotations/, images/ + labels/, "
        "img/ + masks/, *.bmp beside *.png, or one folder a class"
    )


def read_truth(folder: Path) -> tuple[Layout, list[FieldTruth]]:
    """Read all annotations of a folder, images in name order.

    Raises
    ------
    DataSetError
        The layout is unknown, an annotation is malformed, or there is no image.
    """
    layout = find_layout(folder)
    readers = {"points": _points, "voc": _voc, "yolo": _yolo, "masks": _masks, "classes": _classes}
    fields = list(readers[layout](folder))
    if not fields:
        raise DataSetError(f"{folder}: layout '{layout}' but no image with an annotation in it")
    return layout, fields


def read_nucleus_and_cell(path: Path) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Read one nucleus/cytoplasm mask.

    Returns
    -------
    nucleus, cell : (H, W) bool, the cell includes its nucleus

    Raises
    ------
    DataSetError
        The file is no image.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise DataSetError(f"{path}: the mask is not a readable image")
    if mask.ndim == 2:
        # Levels 0, 128, 255; the cuts lie half-way between them.
        return mask > 191, mask > 63
    blank = (mask[..., :3] == 255).all(axis=2)
    return ~blank & (mask[..., 1] == 255), ~blank


def _images(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
    )


def _points(folder: Path) -> Iterator[FieldTruth]:
    for image in _images(folder / "im"):
        mask, points = folder / "masks" / f"{image.stem}_WBCs.tif", folder / "xyc" / f"{image.stem}.xyc"
        yield FieldTruth(
            image,
            # A healthy person's field may go without a file.
            points=read_points(points) if points.exists() else (),
            boxes=tuple(_mask_boxes(mask)) if mask.exists() else None,
        )


def read_points(path: Path) -> tuple[Point, ...]:
    """Read a point file: one ``x y`` a line, blank lines skipped.

    Parameters
    ----------
    path : ``.xyc`` file; tabs, blanks, commas or semicolons between the numbers, any line ends

    Returns
    -------
    tuple of (x, y)
        In the file's order; px of the field.

    Raises
    ------
    DataSetError
        The file cannot be read, or a line is neither blank nor two numbers from 0 up.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path}: cannot be read as text ({error}); expected lines of 'x y'") from error
    points = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word for word in _SEPARATOR.split(line) if word]
        if not words:
            continue
        if len(words) != 2 or not all(re.fullmatch(r"\d+(\.\d*)?", word) for word in words):
            raise DataSetError(
                f"{path}, line {number}: expected two numbers 'x y' in px, got {line.strip()!r}"
            )
        points.append((float(words[0]), float(words[1])))
    return tuple(points)


def _mask_boxes(path: Path) -> Iterator[Box]:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise DataSetError(f"{path}: the mask is not a readable image")
    _, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    for x, y, width, height, area in stats[1:]:
        if area > MIN_MASK_CELL_PX:
            yield float(x), float(y), float(width), float(height)


def _voc(folder: Path) -> Iterator[FieldTruth]:
    for image in _images(folder / "images"):
        path = folder / "annotations" / f"{image.stem}.xml"
        if not path.exists():
            continue
        boxes = []
        try:
            for item in ET.parse(path).getroot().findall("object"):
                if item.findtext("name") != _WHITE_CELL:
                    continue
                low_x, low_y, high_x, high_y = (
                    float(item.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")
                )
                boxes.append((low_x, low_y, high_x - low_x, high_y - low_y))
        except (ET.ParseError, ValueError) as error:
            raise DataSetError(f"{path}: not a Pascal VOC annotation ({error})") from None
        yield FieldTruth(image, boxes=tuple(boxes))


def _yolo(folder: Path) -> Iterator[FieldTruth]:
    listed = folder / "classes.txt"
    names = [line.strip() for line in listed.read_text().splitlines()] if listed.exists() else []
    white = names.index(_WHITE_CELL) if _WHITE_CELL in names else None
    for image in _images(folder / "images"):
        path = folder / "labels" / f"{image.stem}.txt"
        if not path.exists():
            continue
        pixels = cv2.imread(str(image))
        if pixels is None:
            raise DataSetError(f"{image}: not a readable image")
        height, width = pixels.shape[:2]
        boxes, classes = [], []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                kind, x, y, w, h = map(float, line.split())
            except ValueError:
                raise DataSetError(
                    f"{path}:{number}: expected 'class x y width height' as fractions, got {line!r}"
                ) from None
            if white is not None and int(kind) != white:
                continue
            boxes.append(((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
            classes.append(int(kind))
        yield FieldTruth(image, boxes=tuple(boxes), box_classes=tuple(classes))


def _masks(folder: Path) -> Iterator[FieldTruth]:
    if (folder / "img").is_dir():
        pairs = [(image, folder / "masks" / image.name) for image in _images(folder / "img")]
    else:
        pairs = [(image, image.with_suffix(".png")) for image in sorted(folder.glob("*.bmp"))]
    for image, mask in pairs:
        if mask.exists():
            yield FieldTruth(image, mask=mask)


def _classes(folder: Path) -> Iterator[FieldTruth]:
    for subfolder in sorted(p for p in folder.iterdir() if p.is_dir()):
        for image in _images(subfolder):
            yield FieldTruth(image, class_name=subfolder.name)
