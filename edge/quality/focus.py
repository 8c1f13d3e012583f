"""Blur that a field is refused for."""

from __future__ import annotations

from edge.light.field import Field
from edge.light.sharpness import blur_um

#: Blur from which a field is out of focus, as the standard deviation of an edge. A cone of NA 1.25 is blurred
#: so far by 1.0 µm of defocus, four times the depth of field. The worst of the real fields looked at has 0.68
#: µm (crops of 120 px), the worst field of a camera in use 0.57.
MAX_BLUR_UM = 0.72
#: Share of the field that is stained from which it must have an edge somewhere: forty red cells.
EDGELESS_COVER = 0.05


def focus_reasons(field: Field, um_per_px: float, cover: float) -> tuple[str, ...]:
    """Name what is wrong with a field's focus: ``out_of_focus`` or nothing.

    Parameters
    ----------
    field : to be judged
    um_per_px : its scale
    cover : share of it that is stained
    """
    blur = blur_um(field.image, um_per_px)
    # Blank slide has no edge, and neither has stain that is far out of focus.
    out_of_focus = cover > EDGELESS_COVER if blur is None else blur > MAX_BLUR_UM
    return ("out_of_focus",) if out_of_focus else ()
