"""Says no to fields whose count would be wrong, or warns of it, each time with a reason that has a name.

``light``, ``integrity`` and ``focus`` look at the picture as such, ``look`` measures what ``cover`` and drift
are told by, ``reference`` remembers how a sample's first fields looked, and ``gate`` puts the reasons
together.
"""

from edge.quality.gate import ADVICE, WARNINGS, Judgement, assess, assess_cells, assess_scaled
from edge.quality.integrity import FrameWatch
from edge.quality.readings import readings_of
from edge.quality.reference import Reference

__all__ = [
    "ADVICE", "WARNINGS", "FrameWatch", "Judgement", "Reference", "assess", "assess_cells", "assess_scaled",
    "readings_of",
]  # fmt: skip
