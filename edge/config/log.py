"""``[log]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edge.config.section import Section


@dataclass(frozen=True, slots=True)
class LogConfig(Section):
    """``[log]``: where fields are written.

    Attributes
    ----------
    path : file of the blood log; None for ``blastcount.db`` in the state folder
    """

    NAME: ClassVar[str] = "log"
    path: Path | None = None
