"""A seeded, physically inspired blood smear with known truth, in the place of a camera.

``settings`` says what it is made of, ``world`` where its objects lie (µm), ``shapes`` and ``cells`` how
they look, ``optics`` how they are photographed, ``slide`` puts a field together with its ``truth``, and
``source`` gives fields as frames. It is drawn from what is known of smears and tuned to no classifier; a
count on it shows that the line works, never how well cells of patients are told apart.
"""

from edge.rendered.scan import Scan, scan
from edge.rendered.settings import Lamp, Population, RenderSettings, Sensor, Stain
from edge.rendered.slide import Slide, render_field
from edge.rendered.source import RenderedSource
from edge.rendered.truth import RenderedCell, RenderedField
from edge.rendered.world import Placement

__all__ = [
    "Lamp",
    "Placement",
    "Population",
    "RenderSettings",
    "RenderedCell",
    "RenderedField",
    "RenderedSource",
    "Scan",
    "Sensor",
    "Slide",
    "Stain",
    "render_field",
    "scan",
]
