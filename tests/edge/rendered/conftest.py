"""The field that most tests of rendered smears look at."""

from __future__ import annotations

import pytest

from edge.rendered import RenderedField, render_field
from tests.edge.rendered.scenery import SMALL


@pytest.fixture(scope="session")
def field() -> RenderedField:
    """A field of 120×96 µm with cells of every sort at its border and inside."""
    return render_field(11, SMALL)
