"""What is said of charts and alarms of quality control, in the words of one language."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bloodlog.control import Alarm, Found
from edge.device.printable import printable
from edge.i18n import Catalogue
from edge.results.control_charts import CHARTS


def alarm_text(_: Catalogue, found: Found) -> str:
    """Say what an alarm of quality control is, and what it likely comes of.

    Parameters
    ----------
    _ : texts
    found : the alarm
    """
    text = _(
        "qc.alarm",
        chart=_(f"chart.{found.chart}"),
        way=_("qc.rises" if found.rises else "qc.falls"),
        day=found.day.isoformat(),
        value=chart_value_text(_, found.chart, found.value, found.fields),
        usual=usual_text(_, found.chart, found.centre, found.spread, found.fields),
        rule=_("qc.rule_drift" if found.rule == "drift" else "qc.rule_one"),
        cause=_(f"cause.{found.cause}"),
    )
    return text if found.slide is None else _("qc.of_slide", slide=printable(found.slide), text=text)


def alarms_text(_: Catalogue, alarms: Sequence[Alarm]) -> str | None:
    """Say which charts were in alarm while a sample was counted, each once; None where none was."""
    texts = {one.found.chart: alarm_text(_, one.found) for one in alarms}
    return _("qc.on_sheet", alarms="; ".join(texts.values())) if texts else None


def chart_value_text(_: Catalogue, chart: str, value: float, fields: int) -> str:
    """Write a value of a chart, of a day of so many fields, in its unit."""
    one = CHARTS[chart]
    shown = one.shown(value, fields)
    number = _.percent(shown, one.digits) if one.form == "share" else _.number(shown, one.digits)
    return f"{number} µm" if chart == "blur" else f"{number} µm/px" if chart == "scale" else number


def usual_text(_: Catalogue, chart: str, centre: float, spread: float, fields: int) -> str:
    """Say what is usual on a chart for so many fields: three standard deviations to either side."""
    low, high = (chart_value_text(_, chart, centre + away * spread, fields) for away in (-3, 3))
    return _("qc.usual", low=low, high=high)
