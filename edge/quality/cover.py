"""Bubbles, dirt, and cells over each other: what is no stain, and stain without a gap."""

from __future__ import annotations

from edge.quality.look import Look

#: Share of the field that is opaque and grey from which it is obstructed. Of 763 real pictures one has more
#: than 0.0033: 0.0047, a dark nucleus in a crop of 120 px. In a field 170 µm wide it is a speck of 14 µm.
MAX_OPAQUE = 0.007
#: Share of the field that is not blank from which cells lie over each other. The most crowded real picture of
#: 763 has 0.82, the most crowded whole field 0.77.
MAX_COVER = 0.84
#: ... and below which it holds no cell at all: a cell of 10 µm covers 0.1 % of a field 310 µm wide.
BLANK_COVER = 0.0005
#: Shorter side of a picture up to which it is the crop of a cell: three cells of 15 µm.
LEAST_FIELD_UM = 45.0
#: ... and px: crops of single cells have up to 363 px and 36 µm, the smallest fields 224 px and 75 µm.
_LEAST_FIELD_PX = 400


def shows_one_cell(width: int, height: int, um_per_px: float) -> bool:
    """Whether a picture of so many px may be the crop of a single cell."""
    side_px = min(width, height)
    return side_px < _LEAST_FIELD_PX and side_px * um_per_px < LEAST_FIELD_UM


def cover_reasons(look: Look) -> tuple[str, ...]:
    """Name what hides the cells: ``obstructed`` or nothing.

    Examples
    --------
    >>> cover_reasons(Look(blank=(2.3, 2.3, 2.3), cover=0.4, opaque=0.02, common=None))
    ('obstructed',)
    """
    return ("obstructed",) if look.opaque > MAX_OPAQUE else ()


def crowding_reasons(cover: float, shorter_um: float) -> tuple[str, ...]:
    """Name that cells lie over each other: ``too_dense`` or nothing.

    Parameters
    ----------
    cover : share of the field that is not blank slide
    shorter_um : its shorter side; one cell may fill the picture that was cut around it
    """
    return ("too_dense",) if cover > MAX_COVER and shorter_um > LEAST_FIELD_UM else ()
