"""The button, on gpiozero's own mock pins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from edge.daemon.button import button
from edge.errors import ConfigError, RuntimeMissingError

mock = pytest.importorskip("gpiozero.pins.mock")


@pytest.fixture
def pins() -> Iterator[Any]:
    factory = mock.MockFactory()
    yield factory
    factory.reset()
    factory.close()


def test_every_press_is_heard_and_no_release(pins: Any) -> None:
    presses: list[int] = []
    with button(17, 0.0, lambda: presses.append(1), pin_factory=pins):
        pin = pins.pin(17)
        assert pin.pull == "up"
        for expected in (1, 2):
            pin.drive_low()  # the switch connects the pin to ground
            assert len(presses) == expected
            pin.drive_high()
            assert len(presses) == expected
    pins.pin(17).drive_low()
    assert len(presses) == 2


def test_bouncing_is_the_library_s_matter(pins: Any) -> None:
    with button(17, 0.1, lambda: None, pin_factory=pins):
        assert pins.pin(17).bounce == 0.1


def test_the_pin_is_given_back(pins: Any) -> None:
    for _ in range(2):
        with button(4, 0.1, lambda: None, pin_factory=pins):
            pass


def test_a_pin_that_is_taken_is_named(pins: Any) -> None:
    with (
        button(17, 0.1, lambda: None, pin_factory=pins),
        pytest.raises(ConfigError, match=r"gpio\.button_pin = 17 cannot be used: .*may hold it"),
        button(17, 0.1, lambda: None, pin_factory=pins),
    ):
        pass


def test_whatever_the_pins_library_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class BusyError(Exception):
        """As lgpio's own error, which is of no common kind."""

    def taken(*_: object, **__: object) -> None:
        raise BusyError("GPIO busy")

    monkeypatch.setattr("gpiozero.Button", taken)
    with (
        pytest.raises(ConfigError, match=r"gpio\.button_pin = 17 cannot be used: GPIO busy"),
        button(17, 0.1, lambda: None),
    ):
        pass


def test_a_machine_without_pins_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with (
        pytest.raises(RuntimeMissingError, match=r"no way to this machine's pins .*python3-lgpio"),
        button(17, 0.1, lambda: None),
    ):
        pass


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with (
        pytest.raises(RuntimeMissingError, match=r"needs gpiozero .*apt install python3-gpiozero"),
        button(17, 0.1, lambda: None),
    ):
        pass
