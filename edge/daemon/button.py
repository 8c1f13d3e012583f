"""A button or foot switch on the Pi's header that asks for a capture, through gpiozero."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge.errors import ConfigError, RuntimeMissingError


@contextmanager
def button(
    pin: int,
    debounce_s: float,
    pressed: Callable[[], None],
    *,
    pin_factory: Any = None,  # noqa: ANN401  # gpiozero ships no types
) -> Iterator[None]:
    """Call a function at every press, until the block ends.

    The switch lies between the pin and ground; the Pi's own resistor pulls the pin up.

    Parameters
    ----------
    pin : BCM number of the GPIO
    debounce_s : a second edge within this time is the switch's bouncing; 0 takes every edge
    pressed : called in a thread of the library
    pin_factory : gpiozero's, None for the one that this machine has

    Raises
    ------
    RuntimeMissingError
        gpiozero or the library that it needs for this machine's pins is not installed.
    ConfigError
        The pin cannot be used.
    """
    try:
        import gpiozero
    except ImportError as error:
        raise RuntimeMissingError(
            f"gpio.button_pin needs gpiozero ({error}); `sudo apt install python3-gpiozero python3-lgpio` "
            "and a virtual environment with --system-site-packages, or `pip install 'blastcount[gpio]'`"
        ) from error
    try:
        switch = gpiozero.Button(pin, pull_up=True, bounce_time=debounce_s or None, pin_factory=pin_factory)
    except (gpiozero.BadPinFactory, ImportError) as error:
        raise RuntimeMissingError(
            f"gpio.button_pin: no way to this machine's pins ({error}); "
            "`sudo apt install python3-lgpio` on a Raspberry Pi"
        ) from error
    except Exception as error:  # the pins' own libraries raise errors of no common kind
        raise ConfigError(
            f"gpio.button_pin = {pin} cannot be used: {error}; another program may hold it, or the daemon's "
            "user is not in the group gpio"
        ) from error
    with switch:
        switch.when_pressed = pressed
        yield
