"""``[storage]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class StorageConfig(Section):
    """``[storage]``: how long pictures are kept, and how much of the disk is left free."""

    NAME: ClassVar[str] = "storage"
