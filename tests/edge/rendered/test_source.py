"""Settings that are refused, and the rendered smear as a source of frames."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from edge.errors import ConfigError, SourceError
from edge.rendered import (
    Lamp,
    Population,
    RenderedSource,
    RenderSettings,
    Sensor,
    Stain,
    render_field,
)


class TestSettings:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: RenderSettings(width=29), "RenderSettings.width must be 30 to 8192 px, got 29"),
            (lambda: RenderSettings(um_per_px=float("nan")), "um_per_px must be 0.05 to 0.4 µm/px, got nan"),
            (lambda: RenderSettings(defocus_um=11), "defocus_um must be -10 to 10 µm, got 11"),
            (lambda: Population(blast=-1), "Population.blast must be 0 to 2150 per mm², got -1"),
            (lambda: Stain(strength=0.0), "Stain.strength must be 0.1 to 3, got 0.0"),
            (lambda: Lamp(brightness=0), "Lamp.brightness must be 0.02 to 2 of full scale, got 0"),
            (lambda: Lamp(colour_temperature_k=500), "Lamp.colour_temperature_k must be 2000 to 12000 K"),
            (lambda: Sensor(gain=0.0), "Sensor.gain must be 0.05 to 16, got 0.0"),
            (lambda: Population(blast=2200), "Population.blast must be 0 to 2150 per mm²"),
        ],
    )
    def test_refused(self, make: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(message)):
            make()

    def test_limits_are_allowed(self) -> None:
        settings = RenderSettings(30, 30, 0.4, population=Population.only(blast=300.0))
        assert render_field(0, settings).image.shape == (30, 30, 3)
        smallest = dataclasses.replace(settings, um_per_px=0.05)
        assert render_field(2**63 - 1, smallest).image.shape == (30, 30, 3)


class TestSource:
    #: Platelets alone, so that no red cells have to be placed.
    SETTINGS = RenderSettings(150, 120, 0.2, population=Population.only(platelet=5000.0))

    def test_frames_are_the_rendered_fields_of_one_smear(self) -> None:
        """Protocol, closing and reopening are tested with all sources."""
        source = RenderedSource(21, self.SETTINGS)
        with source:
            frame = source.read(timeout_s=1.0)
        assert (source.name, frame.source, frame.captured_at) == ("rendered:21", "rendered:21#1", None)
        np.testing.assert_array_equal(frame.image, render_field(21, self.SETTINGS).image)
        # It goes on where it was left.
        with source:
            second = source.read(1.0)
        assert second.source == "rendered:21#2"
        np.testing.assert_array_equal(second.image, source.field(2).image)
        with pytest.raises(SourceError, match="not open"):
            source.read(1.0)

    def test_scale_is_told_only_when_asked(self) -> None:
        told = dataclasses.replace(self.SETTINGS, report_scale=True)
        for settings, expected in ((told, 0.2), (self.SETTINGS, None)):
            with RenderedSource(1, settings) as source:
                assert source.read().um_per_px == expected

    def test_scan_goes_to_and_fro_side_by_side(self) -> None:
        source = RenderedSource(1, self.SETTINGS)
        places = [(f.x_um, f.y_um) for f in (source.field(n) for n in (1, 2, 20, 21, 40, 41))]
        assert places == [(0, 0), (30, 0), (570, 0), (570, 24), (0, 24), (0, 48)]
