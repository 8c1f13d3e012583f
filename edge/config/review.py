"""``[review]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class ReviewConfig(Section):
    """``[review]``: the page on which people look at cells."""

    NAME: ClassVar[str] = "review"
