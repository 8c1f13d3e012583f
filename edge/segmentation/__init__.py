"""White cells of a field: found, separated, outlined and told from what is no cell."""

from edge.segmentation.pooled import BETWEEN_PERSONS, ScalePool, has_changed
from edge.segmentation.result import Segmentation
from edge.segmentation.segment_field import FirstLook, first_look, segment
from edge.segmentation.survey import SUPPORTED_UM_PER_PX
from edge.segmentation.windows import Windows

__all__ = [
    "BETWEEN_PERSONS",
    "SUPPORTED_UM_PER_PX",
    "FirstLook",
    "ScalePool",
    "Segmentation",
    "Windows",
    "first_look",
    "has_changed",
    "segment",
]
