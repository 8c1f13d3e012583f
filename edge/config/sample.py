"""``[sample]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class SampleConfig(Section):
    """``[sample]``: what holds for a sample that is opened without saying otherwise."""

    NAME: ClassVar[str] = "sample"
