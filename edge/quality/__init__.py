"""Says no to fields whose count would be wrong, each with a reason that has a name.

``light``, ``integrity`` and ``focus`` look at the picture as such, ``look`` measures what ``cover`` and drift
are told by, ``reference`` remembers how a sample's first fields looked, and ``gate`` puts the reasons
together.
"""

from edge.quality.gate import ADVICE, assess, assess_scaled
from edge.quality.integrity import FrameWatch
from edge.quality.reference import Reference

__all__ = ["ADVICE", "FrameWatch", "Reference", "assess", "assess_scaled"]
