"""Which fields of a sample overlap, and which of their cells were counted before.

``keyframe`` reduces a field to what it is recognised by, ``search`` finds the fields that may overlap,
``alignment`` lays two of them over each other, ``cells`` pairs the cells that then lie on one place, and
``mosaic`` keeps the fields of a sample.
"""

from edge.registration.alignment import Alignment, align
from edge.registration.keyframe import COARSE_PX, FINE_PX, Keyframe, correlation_peaks, make_keyframe
from edge.registration.mosaic import Mosaic, Placement
from edge.registration.search import Entry, confirms, find_overlaps
from edge.registration.transform import RigidTransform

__all__ = [
    "COARSE_PX",
    "FINE_PX",
    "Alignment",
    "Entry",
    "Keyframe",
    "Mosaic",
    "Placement",
    "RigidTransform",
    "align",
    "confirms",
    "correlation_peaks",
    "find_overlaps",
    "make_keyframe",
]
