"""Which fields of a sample overlap, and which of their cells were counted before.

``keyframe`` reduces a field to what it is recognised by, ``align`` lays two fields over each other,
``cells`` pairs the cells that then lie on one place, and ``mosaic`` keeps the fields of a sample.
"""

from edge.registration.mosaic import Mosaic, Placement

__all__ = ["Mosaic", "Placement"]
