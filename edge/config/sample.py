"""``[sample]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section
from edge.structures import Denominator


@dataclass(frozen=True, slots=True)
class SampleConfig(Section):
    """``[sample]``: how samples are counted up.

    Attributes
    ----------
    denominator : which cells the share of blasts is of: ``classified`` white cells, uncertain ones among
        them; ``without_uncertain``; or ``with_smudges``, counted as normal cells
    """

    NAME: ClassVar[str] = "sample"
    denominator: Denominator = "classified"
