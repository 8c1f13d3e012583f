"""Blur that a field is refused for; blur of a part or in one direction, and a second image, are warned of."""

from __future__ import annotations

import math

from edge.light.field import Field
from edge.quality.cover import shows_one_cell
from edge.quality.fringes import has_colours_apart
from edge.quality.ghost import has_ghost

#: Blur from which a field is out of focus, as the standard deviation of an edge. A cone of NA 1.25 is blurred
#: so far by 1.0 µm of defocus, four times the depth of field. The worst of the real fields looked at has 0.68
#: µm (crops of 120 px), the worst field of a camera in use 0.57.
MAX_BLUR_UM = 0.72
#: Share of the field that is stained from which it must have an edge somewhere: forty red cells.
EDGELESS_COVER = 0.05
#: Blur of the second most blurred of 12 or 16 parts from which a part is out of focus, or oil lies on it: up
#: to 0.51 in 192 fields of five sources, 0.54 to 1.46 in 20 of 23 that are blurred to one side.
MAX_SECOND_PART_UM = 0.6
#: ... and of one part alone: up to 1.11 in 628 fields of three sources, where a pile of red cells without a
#: steep edge fills it.
MAX_PART_UM = 1.2
#: Blur that edges of one direction have more than those of another (root of the squares' difference) from
#: which the stage moved: up to 0.43 in the 192 fields, 0.53 to 1.1 in 16 of 23 moved by 1.5 to 4 µm.
MAX_MOVED_UM = 0.5


def focus_judgement(field: Field, um_per_px: float, cover: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name what is wrong with a field's focus.

    Parameters
    ----------
    field : to be judged
    um_per_px : its scale
    cover : share of it that is stained

    Returns
    -------
    reasons to refuse it, ``out_of_focus`` or none; and warnings, ``moved``, ``partly_blurred``,
    ``double_exposure``, ``colours_apart`` or none
    """
    blur = field.blur(um_per_px)
    # Blank slide has no edge, and neither has stain that is far out of focus.
    if cover > EDGELESS_COVER if blur is None else blur.um > MAX_BLUR_UM:
        return ("out_of_focus",), ()
    if blur is None or shows_one_cell(field.width, field.height, um_per_px):
        return (), ()
    sharpest, softest = min(blur.directions_um, default=0.0), max(blur.directions_um, default=0.0)
    moved = math.sqrt(softest**2 - sharpest**2) > MAX_MOVED_UM
    limits = zip(blur.parts_um, (MAX_PART_UM, MAX_SECOND_PART_UM), strict=False)
    partly = any(part > limit for part, limit in limits)
    found = {
        "moved": moved,
        "partly_blurred": partly,
        "double_exposure": has_ghost(field.image, um_per_px),
        "colours_apart": has_colours_apart(field, um_per_px),
    }
    return (), tuple(name for name, is_so in found.items() if is_so)
