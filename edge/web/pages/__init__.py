"""The pages, a room each."""

from edge.web.pages import cells, fields, live, login, observers, phone, results, samples

BLUEPRINTS = (
    login.blueprint,
    samples.blueprint,
    live.blueprint,
    cells.blueprint,
    fields.blueprint,
    observers.blueprint,
    results.blueprint,
    phone.blueprint,
)
