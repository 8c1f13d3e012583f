"""The charts of quality control, and the alarms that nobody has seen yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from edge.bloodlog.control import MAX_NOTE, Alarm
from edge.errors import LogError
from edge.i18n import Catalogue
from edge.results.control import Charts, Slide
from edge.results.control_charts import BASELINE_DAYS, BASELINE_FIELDS, Point
from edge.results.control_texts import alarm_text, chart_value_text, usual_text
from edge.web import preferences, security, store
from edge.web.setup import setup

blueprint = Blueprint("control", __name__)

#: Days that a chart shows, and standard deviations from its middle to its edge.
_DAYS, _REACH = 40, 4.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A day on a drawn chart: place in units of the drawing, what it says, whether it gives an alarm."""

    x: float
    y: float
    alarm: bool
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart as it is drawn: days from left to right, standard deviations upwards.

    Attributes
    ----------
    title, label : of the chart, and all that it says in words
    marks : the judged days
    value, usual : of the last day, and what is usual; usual is None while that is being found
    days, fields : of the baseline so far, where it is being found
    """

    title: str
    label: str
    marks: tuple[Mark, ...]
    value: str
    usual: str | None
    days: int
    fields: int


@blueprint.get("/control")
def page() -> str:
    """Show every chart, and the alarms."""
    _ = preferences.catalogue_of_request()
    charts: Charts = {}
    alarms: tuple[Alarm, ...] = ()
    if setup().log_path.exists():
        with store.reading() as log:
            charts, alarms = setup().charted.of(log)
    return render_template(
        "control.html",
        open_alarms=[one for one in alarms if one.acknowledged is None],
        seen_alarms=[one for one in alarms if one.acknowledged is not None][::-1],
        alarm_text=alarm_text,
        groups=[
            (_title(_, slide), [_drawing(_, name, points) for name, points in of_slide.items()])
            for slide, of_slide in sorted(charts.items(), key=lambda item: item[0] or "")
        ],
        baseline=(BASELINE_DAYS, BASELINE_FIELDS),
        max_note=MAX_NOTE,
    )


@blueprint.post("/control/<int(max=1000000000):alarm>")
def acknowledge(alarm: int) -> Response:
    """Keep that somebody has seen an alarm."""
    who, note = preferences.observer(), request.form.get("note", "").strip()
    if who is None or len(note) > MAX_NOTE or not note.isprintable():
        abort(400)
    with store.writing() as log:
        try:
            log.acknowledge(
                alarm,
                who,
                note=note,
                new_baseline=request.form.get("new_baseline") == "1",
                role=preferences.role(),
            )
        except LogError:  # there is none, or somebody was quicker
            security.refuse("alarm")
    return redirect(url_for("control.page"))


def _title(_: Catalogue, slide: Slide) -> str:
    return _("qc.samples") if slide is None else _("qc.slide", slide=slide)


def _drawing(_: Catalogue, name: str, points: Sequence[Point]) -> Drawing:
    shown, last, title = points[-_DAYS:], points[-1], _(f"chart.{name}")
    value = chart_value_text(_, name, last.value, last.n)
    state = "not_judged" if last.z is None else "in_control" if last.rule is None else "in_alarm"
    marks = tuple(
        Mark(
            10 + 300 * (k + 0.5) / _DAYS,
            50 - 10 * min(max(point.z, -_REACH), _REACH),
            point.rule is not None,
            _(
                "qc.point",
                day=point.day.isoformat(),
                value=chart_value_text(_, name, point.value, point.n),
                fields=point.n,
            ),
        )
        for k, point in enumerate(shown)
        if point.z is not None
    )
    usual = (
        None
        if last.centre is None or last.spread is None
        else usual_text(_, name, last.centre, last.spread, last.n)
    )
    return Drawing(
        title,
        _("qc.chart_label", chart=title, value=value, day=last.day.isoformat(), state=_(f"qc.{state}")),
        marks,
        value,
        usual,
        len(points),
        sum(point.n for point in points),
    )
