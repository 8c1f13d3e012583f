"""``[storage]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section, within


@dataclass(frozen=True, slots=True)
class StorageConfig(Section):
    """``[storage]``: how long pictures are kept, and how much of the disk is left free.

    Pictures of samples that are open or kept are never removed, nor is any row of the log.

    Attributes
    ----------
    reserve_mb : counting stops when less than this is free where the log is, MB of 10^6 bytes
    pictures_days : pictures of fields and cells are removed when they are older than this
    pictures_mb : room for all pictures together; the oldest go first
    """

    NAME: ClassVar[str] = "storage"
    reserve_mb: int = within(200, 1, 100_000)
    pictures_days: int = within(365, 1, 36_500)
    pictures_mb: int = within(8000, 1, 900_000)
