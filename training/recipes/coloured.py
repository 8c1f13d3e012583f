"""The recipe of the network that ships: a compact one of two trunks, one of which sees colour that travels.

The first trunk sees density and outlines (:mod:`training.recipes.relative`); the second one sees of colour,
too, what neither the cell's nucleus nor its field's red cells have. Their logits' mean is the answer. How it
was chosen is in docs/classifier.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classification.crop import channel_densities, coloured_planes_of
from edge.structures import InputSpec
from training.data.collection import Collection, red_cells_of
from training.data.records import CellRecord
from training.recipes.relative import STAIN, TRUNK, WHITE_POINT, Relative, Trunk, Views, redrawn, worse

NAME = "coloured"
SPEC = InputSpec(size_px=48, field_of_view_um=24.0, white_point=WHITE_POINT, channels="density+rest+outlines")
#: Shape and density alone keep the order of cells on a camera that was not seen, colour beside them tells
#: basophils and other mature cells from blasts; the mean of both loses least (docs/classifier.md).
TRUNKS = (
    Trunk(TRUNK.name, TRUNK.stem, TRUNK.widths, TRUNK.strides, sees=(1, 0, 1)),
    Trunk("coloured", 16, (24, 48, 64), (2, 2, 2)),
)
#: Spread of another channel's density that is mixed into each (dyes, cameras), and of the red cells' colour
#: as it is measured.
_MIXING, _RED_CELLS = 0.06, 0.03
#: Share of the views that are made as if the field showed no red cells: shape has to do without colour.
COLOURLESS = 0.35
#: A colour's share of any channel, of length 1, is at least this, so that it stays a stain's.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Coloured(Relative):
    """The recipe."""

    name: str = NAME
    spec: InputSpec = SPEC
    trunks: tuple[Trunk, ...] = TRUNKS

    def views(self, collection: Collection, cells: Sequence[CellRecord]) -> ColouredViews:
        """Cut the cells that views are made of."""
        return ColouredViews.of(collection, cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColouredViews(Views):
    """Cells with room around them, and the colour of the red cells around each.

    Attributes
    ----------
    red_cells : (n, 3) float32; NaN where the field shows none
    """

    red_cells: NDArray[np.float32]
    #: Makes the planes that the network sees, as the device does.
    planes = staticmethod(coloured_planes_of)

    @classmethod
    def of(cls, collection: Collection, cells: Sequence[CellRecord]) -> Self:
        """Cut cells out of their fields."""
        wide = Views.of(collection, cells)
        return cls(wide.rgb, wide.cell, wide.nucleus, red_cells=red_cells_of(collection, cells))

    def random(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make one view of a cell: (size_px, size_px, 3) uint8, planes as the device cuts them.

        As of :class:`training.recipes.relative.Views`, with a share of each channel mixed into the others.
        """
        masks = (self.cell[index].astype(np.float32), self.nucleus[index].astype(np.float32))
        planes = cv2.merge([*cv2.split(channel_densities(self.rgb[index], WHITE_POINT)), *masks])
        planes = self.placed(np.asarray(planes, np.float32), rng)
        mixing = np.diag(np.clip(1 + rng.normal(0, STAIN, 3), 0.5, 1.6))
        mixing += rng.normal(0, _MIXING, (3, 3)) * (1 - np.eye(3))
        density = cv2.transform(np.ascontiguousarray(planes[..., :3]), mixing.astype(np.float32))
        density = self.other_camera(np.maximum(density, 0), rng)
        red_cells = None
        if not np.isnan(self.red_cells[index][0]) and rng.random() >= COLOURLESS:
            red_cells = _unit(_unit(mixing @ self.red_cells[index]) + rng.normal(0, _RED_CELLS, 3))
        outlines = (
            redrawn(np.ascontiguousarray(planes[..., 3]), 1.1, 46, rng)[None],
            redrawn(np.ascontiguousarray(planes[..., 4]), 0.8, 38, rng)[None],
        )
        return np.asarray(self.planes(density[None], *outlines, red_cells)[0], np.uint8)

    def other_camera(self, density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Pass densities, (s, s, 3), through another camera."""
        return worse(density, rng)


def _unit(colour: NDArray[np.float64]) -> NDArray[np.float32]:
    bounded = np.maximum(colour, _LEAST_SHARE)
    return np.asarray(bounded / np.linalg.norm(bounded), np.float32)
