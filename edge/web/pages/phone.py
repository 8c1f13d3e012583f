"""How a phone comes to the page: its addresses, each as a QR code."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from markupsafe import Markup

from edge.web.reach import page_addresses, qr_svg
from edge.web.setup import setup

blueprint = Blueprint("phone", __name__)


@blueprint.get("/phone")
def page() -> str:
    """Show the addresses under which other devices reach the page; none where they cannot."""
    made = setup()
    addresses = []
    if made.for_network:
        addresses = page_addresses(made.host, int(request.environ["SERVER_PORT"]), made.public_url)
    # The token is not in the code: the page does not know it, only its hash.
    codes = [(address, Markup(qr_svg(address.url))) for address in addresses]
    return render_template("phone.html", codes=codes, for_network=made.for_network)
