"""``[model]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edge.config.section import Section, within


@dataclass(frozen=True, slots=True)
class ModelConfig(Section):
    """``[model]``: which model bundle, and how it is run.

    Attributes
    ----------
    path : the bundle's ``.tflite`` file; None for the shipped one
    threads : threads of the interpreter; 1 leaves the other cores to the camera and to OpenCV
    """

    NAME: ClassVar[str] = "model"
    path: Path | None = None
    threads: int = within(1, 1, 64)
