"""White cells of a field: found, separated, outlined and told from what is no cell."""

from edge.segmentation.result import Segmentation
from edge.segmentation.segment_field import segment
from edge.segmentation.survey import SUPPORTED_UM_PER_PX
from edge.segmentation.windows import Windows

__all__ = ["SUPPORTED_UM_PER_PX", "Segmentation", "Windows", "segment"]
