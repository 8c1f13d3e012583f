"""Size of a pixel from the red cells of several fields, for a microscope without a stage micrometer."""

from __future__ import annotations

from collections.abc import Iterable

from edge.calibration.interval import geometric_mean
from edge.calibration.record import MeasuredScale
from edge.errors import ImageError
from edge.light.field import Field
from edge.segmentation import segment
from edge.structures import Frame

LEAST_FIELDS = 3
#: Confidence from which a field's red cells have a word; see :func:`edge.segmentation.scale.measure_scale`.
_LEAST_CONFIDENCE = 0.3
#: Mean diameters of healthy persons' red cells lie within 7.2 to 7.8 µm (Bain, "Blood Cells", 2015): a
#: standard deviation of 2 %. In anaemia they may be a tenth smaller or larger, so the smear should be a
#: healthy person's.
_BETWEEN_PERSONS = 0.02


def scale_from_red_cells(frames: Iterable[Frame]) -> MeasuredScale:
    """Measure µm per px on red cells of 7.5 µm.

    Parameters
    ----------
    frames : fields of a smear with red cells; their own scale, if any, is not looked at

    Raises
    ------
    ImageError
        Too few of them have red cells that can be measured.
    """
    scales = []
    looked_at = 0
    for frame in frames:
        looked_at += 1
        scale = segment(Field(Frame(frame.image, frame.source))).scale
        if scale.source == "red_cells" and scale.confidence >= _LEAST_CONFIDENCE:
            scales.append(scale.um_per_px)
    if len(scales) < LEAST_FIELDS:
        raise ImageError(
            f"red cells could be measured in {len(scales)} of {looked_at} fields, expected at least "
            f"{LEAST_FIELDS}; give sharp fields of a smear whose red cells lie side by side"
        )
    mean, low, high = geometric_mean(scales, _BETWEEN_PERSONS)
    return MeasuredScale(mean, low, high, "red_cells", len(scales))
