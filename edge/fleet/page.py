"""The fleet's page: all devices, one device, one sample's sheet. It only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, current_app, render_template
from flask.blueprints import BlueprintSetupState

from edge.device.printable import printable
from edge.fleet import overview
from edge.fleet.database import Database
from edge.fleet.moments import moment
from edge.i18n import Catalogue
from edge.results.texts import share_text, warned_text
from edge.web import preferences
from edge.web.app import Site
from edge.web.pages import login

blueprint = Blueprint("fleet", "edge.fleet", template_folder="templates")
#: Name under which the application keeps where its database is.
_DATABASE = "FLEET_DATABASE"


def make_site(database: str) -> Site:
    """Make the pages of one database.

    Parameters
    ----------
    database : as :meth:`edge.fleet.database.Database.open` takes it
    """
    where = Blueprint("fleet_database", __name__)

    @where.record
    def keep(state: BlueprintSetupState) -> None:
        state.app.config[_DATABASE] = database

    tabs = (("devices", "fleet.start", "fleet.devices"), ("weeks", "fleet.weeks", "fleet.weeks"))
    return Site((where, blueprint, login.blueprint), tabs)


@contextmanager
def _reading() -> Iterator[Database]:
    with Database.open(current_app.config[_DATABASE], read_only=True) as database:
        yield database


@blueprint.get("/")
def start() -> str:
    """Show all devices."""
    with _reading() as database:
        lines = overview.devices(database)
    return render_template("fleet.html", lines=lines, now=datetime.now(UTC), ago=ago, kinds=kinds_text)


@blueprint.get("/weeks")
def weeks() -> str:
    """Show samples by device and week."""
    with _reading() as database:
        names, counts = overview.weeks(database, datetime.now(UTC))
    return render_template("fleet_weeks.html", weeks=names, counts=counts)


@blueprint.get("/devices/<name>")
def device(name: str) -> str:
    """Show one device: its samples, what was refused, its alarms."""
    with _reading() as database:
        found = [line for line in overview.devices(database) if line.name == name]
        if not found:
            abort(404)
        return render_template(
            "fleet_device.html",
            line=found[0],
            samples=overview.samples_of(database, name),
            incidents=overview.incidents_of(database, name),
            alarms=overview.alarms_of(database, name),
            share=count_text,
            moment=moment,
        )


@blueprint.get("/devices/<name>/samples/<int:number>")
def sample(name: str, number: int) -> str:
    """Show one sample's sheet."""
    _ = preferences.catalogue_of_request()
    with _reading() as database:
        found = overview.sample_of(database, name, number) if number < 2**53 else None
        if found is None:
            abort(404)
        counts, warned = overview.warnings_of(database, name, number)
        return render_template(
            "fleet_sample.html",
            sample=found,
            headline=count_text(_, found),
            doubts=warned_text(_, counts, warned, found.tally.fields),
            made_by=overview.made_by(database, name, number),
            pictures=overview.pictures_of(database, name, number),
        )


@blueprint.get("/devices/<name>/fields/<int:field>/cells/<int:cell>.jpg")
def picture(name: str, field: int, cell: int) -> Response:
    """Give one cell's picture."""
    with _reading() as database:
        jpeg = overview.picture_of(database, name, field, cell) if max(field, cell) < 2**53 else None
    if jpeg is None:
        abort(404)
    return Response(jpeg, mimetype="image/jpeg")


def count_text(_: Catalogue, sample: overview.SampleFigures) -> str:
    """Say the program's count; of a search what it lists for people, of a control run that it is one."""
    if sample.control_slide is not None:
        return _("samples.control_run", slide=printable(sample.control_slide))
    if sample.search:
        listed = sample.tally.blasts + sample.tally.uncertain
        return _("fleet.searched", listed=listed, cells=sample.tally.wbc)
    return share_text(_, sample.tally, "figures.share")


def ago(_: Catalogue, then: datetime, now: datetime) -> str:
    """Say how long ago something was, in the largest unit of which there are two."""
    seconds = max(0.0, (now - then).total_seconds())
    for unit, length_s in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * length_s:
            return _(f"fleet.ago_{unit}", n=int(seconds // length_s))
    return _("fleet.ago_now")


def kinds_text(_: Catalogue, line: overview.DeviceLine) -> str:
    """Say what was refused of a device, or is missing, by kind."""
    return "; ".join(f"{_(f'fleet.incident_{kind}')}: {n}" for kind, n in line.incidents.items())


__all__ = ["ago", "blueprint", "count_text", "kinds_text", "make_site"]
