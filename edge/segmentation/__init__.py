"""White cells of a field: found, separated, outlined and told from what is no cell."""

from edge.segmentation.pooled import BETWEEN_PERSONS, ScalePool, has_changed
from edge.segmentation.result import Segmentation
from edge.segmentation.segment_field import own_scale, segment
from edge.segmentation.survey import SUPPORTED_UM_PER_PX
from edge.segmentation.windows import Windows

__all__ = [
    "BETWEEN_PERSONS",
    "SUPPORTED_UM_PER_PX",
    "ScalePool",
    "Segmentation",
    "Windows",
    "has_changed",
    "own_scale",
    "segment",
]
