"""``[gpio]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge.config.section import Section, within


@dataclass(frozen=True, slots=True)
class GpioConfig(Section):
    """``[gpio]``: a button or foot switch that asks for a capture.

    Attributes
    ----------
    button_pin : number of the GPIO (BCM numbering) that the switch connects to ground; None for no switch.
        A Pi's header has 0 to 27
    debounce_s : a switch bounces for a few ms; a foot does not press twice within this time
    """

    NAME: ClassVar[str] = "gpio"
    button_pin: int | None = within(None, 0, 27)
    debounce_s: float = within(0.1, 0.0, 2.0)
