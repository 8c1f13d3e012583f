"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from edge.results.sheet.page import Page


def render_html(page: Page, back: tuple[str, str] | None = None) -> str:
    """Lay the report out as HTML, pictures included, for A4 in black and white.

    Parameters
    ----------
    page : what it says
    back : address and words of a link to where it was opened from, not printed; None for a file by itself

    Returns
    -------
    a whole document; no script, no address of another file but the link back
    """
    return environment().get_template("report.html").render(page=page, back=back)


def environment() -> Environment:
    """Give what the templates beside this module are rendered with; pictures go in by ``data_uri``."""
    made = Environment(
        loader=PackageLoader("edge.results.sheet"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["data_uri"] = _data_uri
    return made


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
