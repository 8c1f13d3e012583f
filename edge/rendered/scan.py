"""How a hand takes a stage over a slide: overlaps, jitter, turns, focus, returns, and a lamp that drifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge.rendered.settings import RenderSettings
from edge.rendered.slide import Slide
from edge.rendered.truth import RenderedField


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's habits. The defaults are worse than a trained hand's.

    Attributes
    ----------
    overlap : least and largest share of its side by which a field overlaps the one before
    jitter_um : standard deviation of the place across the direction of the scan
    rotation_deg : largest turn of a field; the slide is put back into its holder now and then
    defocus_um : largest distance from best focus
    returns : share of fields for which the stage goes back over an earlier place
    jumps : share of fields for which it goes somewhere else on the slide
    light_drift : change of the lamp's brightness and colour temperature from the first field to the last, as
        a share
    fields_per_row : before the scan turns back, one row down
    """

    overlap: tuple[float, float] = (0.05, 0.6)
    jitter_um: float = 6.0
    rotation_deg: float = 2.0
    defocus_um: float = 1.0
    returns: float = 0.15
    jumps: float = 0.05
    light_drift: float = 0.15
    fields_per_row: int = 8


def scan(
    seed: int, fields: int, settings: RenderSettings, habits: Scan | None = None
) -> Iterator[RenderedField]:
    """Render the fields of a scan over the slide with this seed, one after the other.

    Parameters
    ----------
    seed : of the slide and of the hand
    fields : number of fields
    settings : of the slide; its lamp is the first field's
    habits : the scan's; None for the defaults

    Examples
    --------
    >>> settings = RenderSettings(width=320, height=240, um_per_px=0.2)
    >>> [(round(f.x_um), round(f.y_um)) for f in scan(1, 3, settings, Scan((0.5, 0.5), 0, 0, 0, 0, 0, 0, 2))]
    [(0, 0), (32, 0), (32, 24)]
    """
    habits = Scan() if habits is None else habits
    rng = np.random.default_rng([seed, 7])
    visited: list[tuple[float, float]] = []
    x_um = y_um = rotation_deg = 0.0
    column, direction = 0, 1
    slide = Slide(seed, settings)
    for number in range(fields):
        back = bool(visited) and rng.random() < habits.returns
        away = bool(visited) and rng.random() < habits.jumps
        if number:
            step = 1 - rng.uniform(*habits.overlap)
            across = rng.normal(0.0, habits.jitter_um) if habits.jitter_um else 0.0
            if away:
                # Ten fields away, where this scan has not been.
                x_um += 10 * settings.width_um
                column, direction = 0, 1
            elif column + 1 < habits.fields_per_row:
                column += 1
                x_um, y_um = x_um + direction * step * settings.width_um, y_um + across
            else:
                column, direction = 0, -direction
                x_um, y_um = x_um + across, y_um + step * settings.height_um
        if number == 0 or away or rng.random() < 0.1:
            rotation_deg = rng.uniform(-habits.rotation_deg, habits.rotation_deg) / 2 if number else 0.0
        place = (x_um, y_um)
        if back:
            old = visited[int(rng.integers(len(visited)))]
            shift = rng.uniform(-0.7, 0.7, 2) * (settings.width_um, settings.height_um)
            place = (old[0] + float(shift[0]), old[1] + float(shift[1]))
        visited.append(place)
        turn = rotation_deg + (rng.uniform(-0.5, 0.5) * habits.rotation_deg if number else 0.0)
        drift = 1 + habits.light_drift * (number / max(1, fields - 1))
        lamp = replace(
            settings.lamp,
            brightness=settings.lamp.brightness / drift,
            colour_temperature_k=settings.lamp.colour_temperature_k / drift,
        )
        yield slide.view(
            *place, turn, defocus_um=float(rng.uniform(-1, 1)) * habits.defocus_um, lamp=lamp, exposure=number
        )
