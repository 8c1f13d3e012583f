"""The pages, a room each."""

from edge.web.pages import (
    cells,
    control,
    fields,
    live,
    login,
    observers,
    phone,
    results,
    samples,
    signatures,
    verification,
)

BLUEPRINTS = (
    login.blueprint,
    samples.blueprint,
    live.blueprint,
    cells.blueprint,
    fields.blueprint,
    observers.blueprint,
    control.blueprint,
    results.blueprint,
    signatures.blueprint,
    phone.blueprint,
    verification.blueprint,
)
