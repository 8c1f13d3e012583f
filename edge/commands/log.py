"""``blastcount log``: verify, show, back up, export, make room in and repair the blood log; list updates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TextIO

import click
from msgspec import structs

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up, good_manifests, read_manifest
from edge.bloodlog.chain import Head, read_content
from edge.bloodlog.export import export_csv, export_jsonl
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.repair import Salvage, repair, spans
from edge.bloodlog.retention import Policy, retain
from edge.bloodlog.updates import updates
from edge.commands.options import FILE, FOLDER, RESULT, config_for, json_option, log_option
from edge.daemon.served import ServedLog, open_log
from edge.device.clock import WallClock
from edge.device.disk import borrowed_room
from edge.device.durable import written_whole
from edge.device.printable import number_of, printable
from edge.errors import LogError, OutputError

#: What a command ends with that found the log not to be as it was written.
_GATE_SAID_NO = 4
#: SQLite's largest number of a row.
_LAST_ROW = 2**63 - 1
#: Columns of a field that hold JSON.
_JSON_COLUMNS = frozenset({"reasons", "warnings", "stage_ms", "provenance", "context", "readings"})
#: Faults and numbers that are printed for a person; --json has all of them.
_MAX_LINES = 50


class _HeadType(click.ParamType):  # type: ignore[type-arg]  # generic for mypy only
    name = "NUMBER:SHA256"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        """Read a head as `verify` prints it."""
        try:
            return Head.parse(value)
        except ValueError as error:
            self.fail(f"{error}; `blastcount log verify` and every manifest of a backup give one", param, ctx)


@click.group("log")
def log_group() -> None:
    """Verify, show, back up, export, make room in and repair the blood log; list the program's updates.

    What it stores and how: docs/log.md.
    """


@log_group.command("verify")
@log_option
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=_HeadType(),
    help="A head that was noted earlier, on paper for example; repeat for several.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="Manifest of a backup, or a folder of backups: the log must begin with what they hold.",
)
@click.option("--pictures/--no-pictures", default=True, help="Read every picture, too.")
@json_option
def verify(
    log_path: Path | None, heads: Sequence[Head], against: Path | None, pictures: bool, as_json: bool
) -> None:
    """Find what was changed, lost, slipped in or reordered.

    Every row and every picture is looked at.

    Exit code 4 where something was. A tail that was cut off with care and a log that was made anew as a whole
    show only against a head that was noted elsewhere: --head, --against.
    """
    path = log_path or config_for("log").log_path
    known = [*heads, *_heads_of(against)]
    with BloodLog.open(path, read_only=True) as log:
        verdict = inspect(log, known, ThumbnailStore.beside(path) if pictures else None)
    if as_json:
        record = {"log": str(path), **asdict(verdict), "head": str(verdict.head), "known_heads": len(known)}
        click.echo(json.dumps({"schema": "blastcount.verify/1", **record}))
    else:
        _tell_faults(verdict.faults)
        stored = verdict.pictures
        seen = "pictures not looked at" if stored is None else number_of(stored, "picture")
        counted, links = number_of(verdict.fields, "field"), number_of(verdict.head.number, "link")
        click.echo(f"{counted}, {links}, {seen}; {_against(known)}")
        click.echo(f"head {verdict.head}")
        click.echo(_verdict(len(verdict.faults)))
    click.get_current_context().exit(_GATE_SAID_NO if verdict.faults else 0)


@log_group.command("show")
@click.argument("row", type=click.IntRange(1, _LAST_ROW), metavar="ROW")
@log_option
@json_option
def show(row: int, log_path: Path | None, as_json: bool) -> None:
    """Print field ROW of the log as it was written, with what produced it.

    Configuration, content of the calibration, the whole card, code, libraries and what the field took from
    its sample are in it: with these and the frame the count can be made again.
    """
    path = log_path or config_for("log").log_path
    with BloodLog.open(path, read_only=True) as log, log.reading() as connection:
        content = read_content(connection, "field", row)
    if content is None:
        raise LogError(f"{path}: there is no field {row}")
    values = {
        name: json.loads(value) if name in _JSON_COLUMNS else value for name, value in content["row"].items()
    }
    if as_json:
        click.echo(json.dumps({"schema": "blastcount.row/1", **values, "cells": content["cells"]}))
        return
    for line in _indented(values):
        click.echo(printable(line))
    for cell in content["cells"]:
        numbers = (f"{name}={value}" for name, value in cell.items() if name not in ("field_id", "id"))
        click.echo(f"cell {cell['id']}: {' '.join(numbers)}")


def _indented(values: Mapping[str, object], depth: int = 0) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"{'  ' * depth}{name}:"
            yield from _indented(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {value}"


@log_group.command("updates")
@log_option
@json_option
def list_updates(log_path: Path | None, as_json: bool) -> None:
    """List the updates of the program by a signed package: when, to which version, signed by whom.

    One whose last word is `begun` was cut off: either version may be in use. What counted a field stands in
    its own row: `blastcount log show`.
    """
    path = log_path or config_for("log").log_path
    with BloodLog.open(path, read_only=True) as log:
        steps = updates(log)
    if as_json:
        records = [{"at": at.isoformat(), **structs.asdict(step)} for at, step in steps]
        click.echo(json.dumps({"schema": "blastcount.updates/1", "log": str(path), "updates": records}))
        return
    if not steps:
        click.echo(f"{printable(path)}: tells of no update")
    for at, step in steps:
        what = f"{step.from_version} to {step.to_version}, {step.result.replace('_', ' ')}"
        by = f"package {step.package_sha256[:12]} signed by {step.signer}"
        click.echo(printable(f"{at:%Y-%m-%d %H:%M} UTC  {what}; {by}"))


@log_group.command("retention")
@log_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def retention(log_path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove pictures that are too old or too many.

    As [storage] of the configuration says. Never those of a sample that is open or kept, and never a row of
    the log.
    """
    config = config_for("log", "storage")
    path = log_path or config.log_path
    # Where the disk is full there is room set aside to write down what goes.
    with borrowed_room(path.parent), open_log(path, must_exist=True) as log:
        if isinstance(log, ServedLog) and not dry_run:
            removed = log.retain()
        else:
            removed = retain(
                log,
                log.pictures,
                Policy.of(config.storage),
                clock_problem=WallClock().problem(log.newest_trusted()),
                dry_run=dry_run,
            )
    if as_json:
        click.echo(json.dumps({"schema": "blastcount.retention/1", "dry_run": dry_run, **asdict(removed)}))
        return
    if removed.age_skipped:
        click.echo(f"blastcount: warning: nothing goes by age: {removed.age_skipped}", err=True)
    would = "would go" if dry_run else "went"
    for reason, gone in (("age", removed.by_age), ("space", removed.by_space)):
        if gone:
            click.echo(f"by {reason}: pictures of {number_of(len(gone), 'field')} {would}: {_numbers(gone)}")
    click.echo(f"{removed.files} files, {removed.bytes_freed / 1e6:.1f} MB {would}")
    click.echo(f"{number_of(removed.files_left, 'picture')}, {removed.bytes_left / 1e6:.1f} MB are left")


@log_group.command("backup")
@click.argument("folder", type=FOLDER)
@log_option
@json_option
def backup(folder: Path, log_path: Path | None, as_json: bool) -> None:
    """Copy the log and its pictures to FOLDER and verify.

    The daemon may go on counting. Pictures that are there from an earlier backup are not copied again;
    earlier backups stay as they are. Exit code 4 where the log does not verify or does not begin with what
    they hold: it is copied all the same, under a name that says so.
    """
    path = log_path or config_for("log").log_path
    with BloodLog.open(path, read_only=True) as log:
        made = back_up(log, ThumbnailStore.beside(path), folder)
    for damage in made.damaged:
        click.echo(f"blastcount: warning: {printable(damage)}", err=True)
    if as_json:
        names = [key.name for key in fields(made)]
        record = {name: _plain(getattr(made, name)) for name in names}
        click.echo(json.dumps({"schema": "blastcount.backup/1", **record}))
    else:
        _tell_faults(made.faults)
        was = "made" if made.made else "was there already, and is as it was verified"
        holds = f"{number_of(made.fields, 'field')}, {number_of(made.pictures, 'picture')}"
        click.echo(f"{printable(made.database)}: {holds} ({made.copied} of them new), {was}")
        click.echo(f"head {made.head}")
        click.echo(_verdict(len(made.faults)))
    click.get_current_context().exit(_GATE_SAID_NO if made.faults else 0)


@log_group.command("export")
@click.option("--csv", "form", flag_value="csv", help="One line a cell, for a spreadsheet.")
@click.option("--jsonl", "form", flag_value="jsonl", help="Every row with its link, one JSON object a line.")
@click.option("--sample", "name", metavar="NAME", help="Only what belongs to this sample.")
@click.option("--out", type=RESULT, metavar="FILE", help='Without it, or with "-": stdout.')
@log_option
def export(form: str | None, name: str | None, out: Path | None, log_path: Path | None) -> None:
    """Write the log's rows for other programs."""
    if form is None:
        raise click.UsageError("give --csv or --jsonl")
    out = None if str(out) == "-" else out
    path = log_path or config_for("log").log_path
    with BloodLog.open(path, read_only=True) as log, _output(out) as file:
        sample = None if name is None else log.sample(name)
        if form == "csv":
            export_csv(log, file, sample, for_spreadsheet=out is not None)
        else:
            export_jsonl(log, file, sample)


@log_group.command("repair")
@click.option("--out", type=FILE, required=True, metavar="FILE", help="The new log.")
@log_option
def repair_command(out: Path, log_path: Path | None) -> None:
    """Save what can be saved of a damaged log in a new file.

    Stop the daemon first. The damaged file is not touched: keep it. Where there is a good backup, that is the
    better way: docs/log.md.
    """
    path = log_path or config_for("log").log_path
    salvage = repair(path, out)
    for line in _told(salvage):
        click.echo(line)
    click.echo(f"{printable(path)} is as it was; what was saved is in {printable(out)}")


def _tell_faults(faults: Sequence[str]) -> None:
    for fault in faults[:_MAX_LINES]:
        click.echo(f"FAULT  {printable(fault)}")
    if len(faults) > _MAX_LINES:
        click.echo(f"       and {len(faults) - _MAX_LINES} more; --json lists all")


def _verdict(faults: int) -> str:
    if not faults:
        return "verified"
    return f"{faults} fault{'s' if faults > 1 else ''}: this log is not as it was written"


def _plain(value: object) -> object:
    return value if isinstance(value, int | tuple) else str(value)


def _told(salvage: Salvage) -> Iterator[str]:
    saved = ", ".join(f"{number} {kind} rows" for kind, number in salvage.saved.items() if number)
    yield f"saved: {saved or 'nothing'}"
    for title, numbers in (
        ("lost, could not be read", salvage.lost),
        ("left behind, not as they were written", salvage.changed),
        ("saved, but their links are lost and nothing vouches for them", salvage.unchecked),
    ):
        for kind, rows in numbers.items():
            if rows:
                yield f"{title}: {kind} {_numbers(rows)}"


def _heads_of(against: Path | None) -> list[Head]:
    if against is None:
        return []
    if not against.is_dir():
        return [read_manifest(against)[0]]
    manifests = good_manifests(against)
    if not manifests:
        raise click.UsageError(f"--against {against}: there is no manifest of a backup in this folder")
    return [read_manifest(manifest)[0] for manifest in manifests]


def _against(known: Sequence[Head]) -> str:
    if not known:
        return "compared with no head from elsewhere"
    return f"compared with {len(known)} head{'s' if len(known) > 1 else ''} from elsewhere"


def _numbers(rows: Sequence[int]) -> str:
    runs = spans(rows)
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:_MAX_LINES])
    return text if len(runs) <= _MAX_LINES else f"{text}, ..."


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Give stdout, or a file that is whole or not there."""
    if path is None:
        yield sys.stdout
        return
    try:
        with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        click.echo(f"blastcount: wrote {printable(path)}", err=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
