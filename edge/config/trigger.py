"""``[trigger]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from edge.config.section import Section

TriggerMode = Literal["auto", "manual", "interval"]


@dataclass(frozen=True, slots=True)
class TriggerConfig(Section):
    """``[trigger]``: what makes the daemon count a field.

    Attributes
    ----------
    mode : ``auto`` counts when the stage has come to rest and the image is sharp, ``manual`` on
        ``blastcount capture`` or a button, ``interval`` every ``camera.interval_s`` seconds. None for
        ``auto`` with a camera and ``interval`` with what is replayed or rendered, where nothing ever rests
    """

    NAME: ClassVar[str] = "trigger"
    mode: TriggerMode | None = None
