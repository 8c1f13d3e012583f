"""What is known about a rendered field: every object, its place, outline and kind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.rendered.settings import OBJECT_KINDS, WHITE_KINDS, ObjectKind
from edge.structures import UInt8Image

TRUTH_SCHEMA = "blastcount.rendered_truth/1"


@dataclass(frozen=True, slots=True)
class RenderedCell:
    """The truth about one object of a rendered field.

    Attributes
    ----------
    id : 1, 2, ...; white cells and smudges first, in reading order (y, then x of the centroid), and
        their ids are the values of the label images; platelets and red cells follow
    kind : what it is
    x, y : centroid of what is inside the field, in px (pixel centres are whole numbers)
    bbox : (x, y, width, height) of what is inside the field of the WHOLE cell, in px
    area_px, nucleus_area_px : areas inside the field, in px; no nucleus: 0
    touches_border : the outline reaches the outermost row or column of pixels
    x_um, y_um : centre of the object on the slide, in µm
    key : name of the object on the slide, the same in every view of it
    """

    id: int
    kind: ObjectKind
    x: float
    y: float
    bbox: tuple[int, int, int, int]
    area_px: int
    nucleus_area_px: int
    touches_border: bool
    x_um: float
    y_um: float
    key: str


@dataclass(frozen=True)
class RenderedField:
    """A rendered field and all that is known about it.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB
    um_per_px : scale in µm per px
    cells : the objects of the field, see :class:`RenderedCell`
    cell_labels, nucleus_labels : (H, W) uint16, ids of white cells and smudges; 0 elsewhere. The smear of
        a smudge is both its cell and its nucleus
    x_um, y_um, rotation_deg : place of the field's centre on the slide and its direction
    """

    image: UInt8Image
    um_per_px: float
    cells: tuple[RenderedCell, ...]
    cell_labels: NDArray[np.uint16]
    nucleus_labels: NDArray[np.uint16]
    x_um: float = 0.0
    y_um: float = 0.0
    rotation_deg: float = 0.0

    def truth_counts(self) -> dict[str, int]:
        """Return the number of objects.

        ``wbc`` and ``blasts`` count white cells (smudges are none) with those cut by the border,
        ``wbc_whole`` and ``blasts_whole`` those that lie wholly inside; then one entry a
        kind, border included.
        """
        white = [c for c in self.cells if c.kind in WHITE_KINDS]
        whole = [c for c in white if not c.touches_border]
        counts = {
            "wbc": len(white),
            "blasts": sum(c.kind == "blast" for c in white),
            "wbc_whole": len(whole),
            "blasts_whole": sum(c.kind == "blast" for c in whole),
        }
        return counts | {kind: sum(c.kind == kind for c in self.cells) for kind in OBJECT_KINDS}

    def truth_json(self) -> dict[str, Any]:
        """Return the truth as a JSON-ready object whose names match those of ``blastcount count --json``."""
        return {
            "schema": TRUTH_SCHEMA,
            "width": int(self.image.shape[1]),
            "height": int(self.image.shape[0]),
            "um_per_px": self.um_per_px,
            "x_um": self.x_um,
            "y_um": self.y_um,
            "rotation_deg": self.rotation_deg,
            "counts": self.truth_counts(),
            "cells": [
                {
                    **asdict(c),
                    "x": round(c.x, 2),
                    "y": round(c.y, 2),
                    "bbox": list(c.bbox),
                    "x_um": round(c.x_um, 3),
                    "y_um": round(c.y_um, 3),
                }
                for c in self.cells
            ],
        }
