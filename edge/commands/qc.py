"""``blastcount qc``: charts of the microscope and the stain, a control slide, and their alarms."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from edge.bloodlog import BloodLog
from edge.bloodlog.pseudonym import wrong_id
from edge.bloodlog.samples import NOBODY
from edge.commands.options import PATH, config_for, json_option, log_option
from edge.commands.people import is_terminal, who_option, whose
from edge.config import load_config
from edge.daemon.client import ask, find_socket
from edge.daemon.served import ServedLog, open_log, writes_itself
from edge.device.clock import WallClock, utc_now
from edge.device.printable import printable
from edge.errors import ControlError, EdgeError, FieldError, ImageError, SourceError
from edge.i18n import catalogue
from edge.results.control import Ledger, Slide, charts_of, look
from edge.results.control_charts import BASELINE_DAYS, BASELINE_FIELDS, CHARTS, Point
from edge.results.control_texts import alarm_text, chart_value_text, usual_text

#: Longest name of a control slide: with day and time behind it, it is a sample's id.
_MOST_NAME = 18
#: An alarm's number; SQLite's have 19 digits at most.
_ALARM = re.compile("[1-9][0-9]{0,17}")
#: Longest wait for the daemon's answer: a crowded field takes a Pi 4 a few seconds.
_CAPTURE_S = 60.0
#: Standard deviations of the lowest and the highest of the eight levels that a chart has in a terminal.
_LEVELS, _REACH = "▁▂▃▄▅▆▇█", 3.0


@click.group("qc")
def qc_group() -> None:
    """Watch light, focus, scale and stain by a chart each, and count a control slide.

    Every counted field is on the charts; a control slide that is counted every day has charts of its own.
    For research use only.
    """


@qc_group.command("run")
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option("--slide", default="QC-1", help="Your own code for the control slide.")
@click.option(
    "--fields", type=click.IntRange(1, 100), default=5, help="Fields that the daemon is asked to count."
)
@who_option
@log_option
def run(paths: tuple[Path, ...], slide: str, fields: int, who: str, log_path: Path | None) -> None:
    """Count the control slide now: what the daemon's camera sees, or the pictures in PATH.

    With the daemon, move the stage from field to field: it asks before each. No sample may be open.
    """
    if (wrong := wrong_id(slide)) is not None or len(slide) > _MOST_NAME:
        why = wrong or f"expected at most {_MOST_NAME} characters"
        raise click.BadParameter(f"{slide!r}: {why}", param_hint="--slide")
    path = log_path or config_for("log").log_path
    with open_log(path, must_exist=True) as log:
        who, role = whose(log, who)
        # What is opened stays in the log for good.
        if paths:
            _check_pictures(paths)
        else:
            _check_daemon(path)
            _wait_for_stage(1, fields)
        name = f"{slide}-{utc_now().astimezone():%y%m%d-%H%M%S}"
        log.open_control(name, slide, who=who, role=role)
        try:
            if paths:
                from edge.commands.count import count  # the whole line, which the daemon's way does not need

                click.get_current_context().invoke(
                    count, paths=paths, sample_id=name, log_path=log_path, quiet=True
                )
            else:
                _capture(path, fields)
        finally:
            log.change_sample(name, "closed", who=who, role=role)
        ledger = Ledger()
        if writes_itself(path):  # else its daemon looks as soon as the sample is closed
            look(log, ledger, clock_trusted=WallClock().is_trusted(log.newest_trusted()))
        click.echo("\n".join(_lines(log, slide, ledger)))


def _check_pictures(paths: Sequence[Path]) -> None:
    """Refuse pictures of which none can be read, and a model that cannot be used.

    Raises
    ------
    EdgeError
        Why the first of them cannot be read, or the model not be used.
    """
    from edge.camera.files import read_frames  # OpenCV, which the daemon's way does not need
    from edge.camera.folders import find
    from edge.counting.golden import load_configured

    config = load_config()
    load_configured(config)
    refused: EdgeError | None = None
    for path in paths:
        try:
            found = find(path)
            refused = refused or next(iter(found.errors), None)
            for file in found.files:
                try:
                    next(iter(read_frames(file)))
                except (ImageError, FieldError, SourceError) as error:
                    refused = refused or error
                else:
                    return
        except SourceError as error:
            refused = refused or error
    raise refused or SourceError(f"{paths[0]}: holds no picture of a control slide; name one")


def _check_daemon(path: Path) -> None:
    """Refuse where no daemon counts into this log.

    Raises
    ------
    ControlError
        None answers, or it cannot count now.
    """
    status = ask(find_socket(path), "status")
    if status["state"] != "counting":
        raise ControlError(
            f"the daemon does not count now ({status['state']}); see `blastcount status`", status["state"]
        )


def _wait_for_stage(number: int, fields: int) -> None:
    if is_terminal():
        click.prompt(
            f"Field {number} of {fields}: move the stage, focus, press Enter",
            default="", prompt_suffix="", show_default=False, err=True,
        )  # fmt: skip


def _capture(path: Path, fields: int) -> None:
    for number in range(1, fields + 1):
        if number > 1:
            _wait_for_stage(number, fields)
        found = ask(find_socket(path), "capture", _CAPTURE_S)
        click.echo(f"field {found['field']}: {found['status']}", err=True)


@qc_group.command("show")
@click.option("--slide", help="Charts of this control slide; without it those of the samples' fields.")
@log_option
@json_option
def show(slide: str | None, log_path: Path | None, as_json: bool) -> None:
    """Show the charts: what is usual, the last days, and which alarms are open."""
    with BloodLog.open(log_path or config_for("log").log_path, read_only=True) as log:
        if as_json:
            click.echo(json.dumps(_record(log, slide)))
        else:
            click.echo("\n".join(_lines(log, slide)))


class _AlarmNumber(click.ParamType):  # type: ignore[type-arg]  # generic for mypy only
    name = "ALARM"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number of an alarm."""
        if not _ALARM.fullmatch(value):
            self.fail(f"{value!r}: expected the number of an alarm, see `blastcount qc show`", param, ctx)
        return int(value)


@qc_group.command("acknowledge")
@click.argument("alarm", type=_AlarmNumber())
@click.option("--note", default="", help="What was done about it.")
@click.option(
    "--new-baseline", is_flag=True, help="Something was changed on purpose: what is usual begins anew."
)
@who_option
@log_option
def acknowledge(alarm: int, note: str, new_baseline: bool, who: str, log_path: Path | None) -> None:
    """Say that an alarm was seen, and by whom; `blastcount qc show` lists them."""
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        if who == NOBODY and not isinstance(log, ServedLog):  # whose owner knows the account that asks
            raise click.UsageError("say with --who who has seen it")
        who, role = whose(log, who)
        said = log.acknowledge(alarm, who, note=note, new_baseline=new_baseline, role=role)
    click.echo(f"alarm {alarm}: seen: {printable(alarm_text(catalogue(), said.found))}")


def _record(log: BloodLog, slide: Slide) -> dict[str, object]:
    charts, alarms = charts_of(log)
    return {
        "schema": "blastcount.qc/1",
        "slide": slide,
        "charts": {
            name: [asdict(point) | {"day": point.day.isoformat()} for point in points]
            for name, points in charts.get(slide, {}).items()
        },
        "alarms": [
            asdict(one.found)
            | {
                "alarm": one.id,
                "day": one.found.day.isoformat(),
                "acknowledged_by": None if one.acknowledged is None else one.acknowledged.who,
            }
            for one in alarms
            if one.found.slide == slide
        ],
    }


def _lines(log: BloodLog, slide: Slide, ledger: Ledger | None = None) -> list[str]:
    _ = catalogue()
    all_charts, alarms = charts_of(log, ledger)
    charts = all_charts.get(slide, {})
    if not charts:
        whose_ = "samples' fields" if slide is None else f"control slide {slide}"
        return [f"no chart of the {whose_} yet: nothing was counted that could be charted"]
    width = max(len(_(f"chart.{name}")) for name in CHARTS)
    lines = [f"{_(f'chart.{name}'):{width}}  {_line(name, points)}" for name, points in charts.items()]
    is_open = [one for one in alarms if one.acknowledged is None]  # of whatever slide: none goes unseen
    for one in is_open:
        lines.append(f"ALARM {one.id}: {printable(alarm_text(_, one.found))}")
        lines.append(f"  {_(f'cause_advice.{one.found.cause}')}")
        lines.append(f"  seen: `blastcount qc acknowledge {one.id} --who SIGN`")
    return [*lines, *(() if is_open else ("no alarm is open",))]


def _line(name: str, points: Sequence[Point]) -> str:
    _, last = catalogue(), points[-1]
    bars = "".join(map(_bar, points[-30:]))
    value = chart_value_text(_, name, last.value, last.n)
    if last.centre is None or last.spread is None:
        days, fields = len(points), sum(point.n for point in points)
        return f"{bars} {value} (day {days} of {BASELINE_DAYS}, field {fields} of {BASELINE_FIELDS})"
    return f"{bars} {value} (usual {usual_text(_, name, last.centre, last.spread, last.n)})"


def _bar(point: Point) -> str:
    if point.z is None:
        return "·"
    if point.rule is not None:
        return "!"
    place = (min(max(point.z, -_REACH), _REACH) + _REACH) / (2 * _REACH)
    return _LEVELS[min(int(place * len(_LEVELS)), len(_LEVELS) - 1)]
