"""``blastcount sample``: open, close, list, show and hand on samples."""

from __future__ import annotations

import json
import platform
import re
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path

import click

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.export import export_csv, export_jsonl
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.pseudonym import personal_doubt, wrong_id
from edge.bloodlog.repair import spans
from edge.bloodlog.samples import SEARCH_QUOTAS, SampleChange
from edge.commands.export import export_coco, export_geojson, export_ome
from edge.commands.options import (
    FOLDER,
    PATH,
    RESULT,
    check_one_to_stdout,
    config_for,
    json_option,
    log_option,
)
from edge.commands.outputs import make_state_folder
from edge.commands.people import PERSON, is_terminal, signed_in, who_option, whose
from edge.commands.report import write_file
from edge.counting.tally import denominator_of, tally
from edge.daemon.served import open_log
from edge.device.printable import number_of, printable
from edge.i18n import catalogue
from edge.results.dataset import export_corrections
from edge.results.fhir import fhir_bundle
from edge.results.geojson import read_words
from edge.results.reading import Reading
from edge.results.search import Search
from edge.results.sheet.page import make_page
from edge.results.sheet.record import json_text, report_record, sample_record
from edge.results.sheet.terminal import candidate_lines, list_lines, sample_lines
from edge.results.stopping import USUAL_QUOTA
from edge.results.summary import known_errors, summarise, summarise_as_configured
from edge.structures import Tally

#: Fields that one command puts into a sample: more than anybody counts into one.
_MOST_FIELDS = 10_000
#: A field's number, or two; SQLite's have 19 digits at most.
_FIELDS = re.compile("[0-9]{1,18}(-[0-9]{1,18})?")


@click.group("sample")
def sample_group() -> None:
    """Open, close, list, show and hand on samples.

    A sample is one slide under a code of your own, never under a name. Fields are counted into the open one
    until it is closed; a power cut changes nothing of that. For research use only.
    """


@sample_group.command("open")
@click.option("--id", "name", required=True, metavar="ID", help="Your own code for the slide, e.g. S-0142.")
@click.option("--specimen", type=click.Choice(list(USUAL_QUOTA)), default="blood")
@click.option(
    "--quota",
    type=click.Choice(["100", "200", "500"]),
    help="White cells to count; without it 200 of blood, 500 of marrow.",
)
@click.option(
    "--search",
    type=click.Choice([str(quota) for quota in SEARCH_QUOTAS]),
    is_flag=False,
    flag_value="1000",
    help="Search so many white cells for few blasts, 1000 if no number is given: "
    "the program lists candidates, people have a word on each.",
)
@click.option(
    "--sure", is_flag=True, help="The id is a code, although it looks like a name or a person's number."
)
@who_option
@log_option
@json_option
def open_(
    name: str,
    specimen: str,
    quota: str | None,
    search: str | None,
    sure: bool,
    who: str,
    log_path: Path | None,
    as_json: bool,
) -> None:
    """Open a sample: what is counted from now on belongs to it."""
    if quota is not None and search is not None:
        raise click.UsageError(f"--search {search} is the number of cells to count; leave --quota out")
    if (wrong := wrong_id(name)) is not None:
        raise click.BadParameter(f"{name!r}: {wrong}", param_hint="--id")
    if not sure and (doubt := personal_doubt(name)) is not None:
        raise click.BadParameter(
            f"{name!r}: {doubt}, and the log never forgets; use a code of your own, as S-0142, or say --sure",
            param_hint="--id",
        )
    if log_path is None:
        config = config_for("log")
        make_state_folder(config)
        log_path = config.log_path
    with open_log(log_path) as log:
        who, role = whose(log, who)
        sample = log.open_sample(
            name,
            "marrow" if specimen == "marrow" else "blood",
            int(quota or search or USUAL_QUOTA[specimen]),
            who=who,
            role=role,
            search=search is not None,
        )
    _say(sample, as_json)


def _changing(name: str, change: SampleChange, text: str) -> None:
    """Add a command that changes a sample."""

    @sample_group.command(name, help=text)
    @click.argument("sample_id", metavar="SAMPLE")
    @who_option
    @log_option
    @json_option
    def command(sample_id: str, who: str, log_path: Path | None, as_json: bool) -> None:
        with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
            who, role = whose(log, who)
            _say(log.change_sample(sample_id, change, who=who, role=role), as_json)


@sample_group.command("close")
@click.argument("sample_id", metavar="SAMPLE")
@click.option("--yes", is_flag=True, help="Close it also where nothing was counted into it.")
@who_option
@log_option
@json_option
def close(sample_id: str, yes: bool, who: str, log_path: Path | None, as_json: bool) -> None:
    """Close SAMPLE: nothing more is counted into it.

    Where no white cell was counted into it, it asks; a script has to say --yes.
    """
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        sample = log.sample(sample_id)
        if sample.is_open and not yes and not _has_cells(log, sample):
            empty = f"sample {sample.name} has 0 of {sample.quota} white cells"
            if not is_terminal():
                raise click.UsageError(f"{empty}; say --yes to close it all the same")
            click.confirm(f"{empty}. Close it all the same?", abort=True, err=True)
        who, role = whose(log, who)
        _say(log.change_sample(sample_id, "closed", who=who, role=role), as_json)


def _has_cells(log: BloodLog, sample: Sample) -> bool:
    return any(tally([logged.result]).wbc for logged in log.fields(sample.id))


_changing("reopen", "reopened", "Count on in SAMPLE, which was closed.")
_changing("keep", "kept", "Never remove the pictures of SAMPLE to make room.")
_changing("release", "released", "Let the pictures of SAMPLE be removed when room is needed.")


class _FieldsType(click.ParamType):  # type: ignore[type-arg]  # generic for mypy only
    name = "FIELD"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> range:
        """Read the number of a field, or the first and the last of some."""
        if not _FIELDS.fullmatch(value):
            self.fail(f"{value!r}: expected a field's number, or two such as 31-42", param, ctx)
        first, _, last = value.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not 1 <= len(numbers) <= _MOST_FIELDS or numbers[0] < 1:
            self.fail(
                f"{value!r}: expected 1 to {_MOST_FIELDS} fields, the first before the last", param, ctx
            )
        return numbers


@sample_group.command("assign")
@click.argument("sample_id", metavar="SAMPLE")
@click.argument("fields", nargs=-1, type=_FieldsType(), metavar="FIELD...")
@who_option
@log_option
def assign(sample_id: str, fields: tuple[range, ...], who: str, log_path: Path | None) -> None:
    """Put fields that were counted without a sample into SAMPLE: numbers, or ranges such as 31-42.

    Their pictures were not kept, so that nobody can tell whether they overlap: each is counted with the
    warning "assigned". Without FIELD it names the fields that belong to no sample.
    """
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        if not fields:
            free = spans(log.unassigned_fields())
            names = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in free)
            raise click.UsageError(f"name the fields; those that belong to no sample: {names or 'none'}")
        who, _role = whose(log, who)
        number = log.assign_fields(sample_id, [one for some in fields for one in some], who=who)
    put = number_of(number, "field")
    click.echo(f"sample {sample_id}: {put} put into it, compared with no other field")


@sample_group.command("unassign")
@click.argument("fields", nargs=-1, type=_FieldsType(), metavar="FIELD...", required=True)
@who_option
@log_option
def unassign(fields: tuple[range, ...], who: str, log_path: Path | None) -> None:
    """Take fields out of the sample that `assign` has put them into."""
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        who, _role = whose(log, who)
        number = log.assign_fields(None, [one for some in fields for one in some], who=who)
    click.echo(f"{number_of(number, 'field')} taken out, of no sample any more")


@sample_group.command("list")
@log_option
@json_option
def list_(log_path: Path | None, as_json: bool) -> None:
    """List all samples, the newest last."""
    config = config_for("log", "sample", "model")
    counted: list[tuple[Sample, Tally]] = []
    searches: dict[int, Search] = {}
    errors_of = known_errors(config)  # of each model read once
    if log_path is not None or not _is_absent(config.log_path):  # none before the first use
        with BloodLog.open(log_path or config.log_path, read_only=True) as log:
            for sample in log.samples():
                if sample.search:
                    summary = summarise(log, sample, errors_of, config.sample.denominator)
                    assert summary.search is not None
                    searches[sample.id] = summary.search
                    counted.append((sample, summary.program))
                else:
                    of = denominator_of(config.sample.denominator, sample.specimen)
                    counted.append((sample, tally((logged.result for logged in log.fields(sample.id)), of)))
    if as_json:
        for sample, program in counted:
            counts = {"cells": program.wbc, "blasts": program.blasts, "fields": program.fields}
            if sample.search:
                counts |= {"confirmed": searches[sample.id].confirmed, "waiting": searches[sample.id].waiting}
            click.echo(json.dumps(_record(sample) | counts | {"denominator": program.denominator}))
        return
    for line in list_lines(counted, searches):
        click.echo(line)


def _is_absent(path: Path) -> bool:
    """Whether there is no such file; not where nobody may look, which opening it says."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


@sample_group.command("show")
@click.argument("sample_id", metavar="SAMPLE", required=False)
@log_option
@json_option
def show(sample_id: str | None, log_path: Path | None, as_json: bool) -> None:
    """Show what SAMPLE gave; without SAMPLE the open one."""
    config = config_for("log", "sample", "model")
    with BloodLog.open(log_path or config.log_path, read_only=True) as log:
        sample = log.current_sample() if sample_id is None else log.sample(sample_id)
        if sample is None:
            raise click.UsageError("no sample is open; name one, `blastcount sample list` shows them")
        summary = summarise_as_configured(log, sample, config)
    if as_json:
        click.echo(json.dumps(report_record(summary), allow_nan=False))
        return
    page = make_page(summary, catalogue(), lambda _sha256: None)
    for line in chain(sample_lines(page), candidate_lines(summary, catalogue())):
        click.echo(line)


@sample_group.command("export")
@click.argument("sample_id", metavar="SAMPLE")
@click.option("--csv", "csv_file", type=RESULT, metavar="FILE", help="One line a cell, for a spreadsheet.")
@click.option("--jsonl", type=RESULT, metavar="FILE", help="Every row of the log, one JSON object a line.")
@click.option("--fhir", type=RESULT, metavar="FILE", help="A FHIR R4 bundle, for a hospital's system.")
@click.option(
    "--training",
    type=PATH,
    metavar="DIR",
    help="Add the fields with a person's word to a data set that `blastcount train` reads; DIR is made.",
)
@click.option(
    "--geojson", type=FOLDER, metavar="DIR", help="Cells as QuPath's objects, one file a field; DIR is made."
)
@click.option(
    "--coco",
    type=FOLDER,
    metavar="DIR",
    help="Pictures, outlines and people's words for training detectors.",
)
@click.option("--ome", type=FOLDER, metavar="DIR", help="The kept pictures as OME-TIFF, one a field.")
@log_option
def export(
    sample_id: str,
    csv_file: Path | None,
    jsonl: Path | None,
    fhir: Path | None,
    training: Path | None,
    geojson: Path | None,
    coco: Path | None,
    ome: Path | None,
    log_path: Path | None,
) -> None:
    """Hand SAMPLE on to other programs; "-" for FILE writes to stdout."""
    if all(form is None for form in (csv_file, jsonl, fhir, training, geojson, coco, ome)):
        raise click.UsageError(
            "say in which form: --csv, --jsonl, --fhir, --training, --geojson, --coco or --ome"
        )
    check_one_to_stdout(csv_file, jsonl, fhir)
    config = config_for("log", "sample", "model")
    path = log_path or config.log_path
    with BloodLog.open(path, read_only=True) as log:
        sample = log.sample(sample_id)
        summary = summarise_as_configured(log, sample, config)
        to_file = partial(export_csv, for_spreadsheet=str(csv_file) != "-")
        for file, write in ((csv_file, to_file), (jsonl, export_jsonl)):
            if file is not None:
                text = StringIO()
                write(log, text, sample)
                write_file(file, text.getvalue().encode("utf-8"))
    if fhir is not None:
        write_file(fhir, json_text(fhir_bundle(summary)).encode("ascii"))
    store = ThumbnailStore.beside(path)
    if geojson is not None:
        export_geojson(summary, geojson)
    if coco is not None:
        export_coco(summary, store, coco)
    if ome is not None:
        export_ome(summary, store, ome)
    if training is not None:
        made = export_corrections(summary.reading, sample, store, training, platform.node() or "unknown")
        cells = ", ".join(f"{number} {label}" for label, number in sorted(made.cells.items()))
        new = number_of(made.added, "field")
        click.echo(f"{training}: {new} added, {made.updated} updated; {cells}", err=True)
        for reason, number in made.left_out.items():
            click.echo(f"left out, {reason}: {number}", err=True)


@sample_group.command("import")
@click.argument("sample_id", metavar="SAMPLE")
@click.argument("files", nargs=-1, type=PATH, metavar="FILE...", required=True)
@click.option("--observer", type=PERSON, required=True, metavar="SIGN", help="Whose words these are.")
@log_option
def import_(sample_id: str, files: tuple[Path, ...], observer: str, log_path: Path | None) -> None:
    """Take the classes that a person has changed in QuPath as words on the cells of SAMPLE.

    FILE is GeoJSON that `count --geojson` or `export --geojson` wrote and QuPath wrote again. A class that is
    the program's is no word: nobody may have looked. Outlines that were changed, and objects that were drawn
    anew, are left out. Where the log has users, SIGN is one of them, whose password is asked for; words on
    cells on which two readers who are done differ stand, as on the page.
    """
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        user = signed_in(log, observer)
        number = log.sample(sample_id).id
        read = read_words(files, log.fields(number))
        words, standing = read.words, 0
        if user is None:
            added = log.add_reviews(words, observer)
        else:
            reading = Reading.of(log, number)
            words = {
                cell: word
                for cell, word in words.items()
                if reading.said(user.name, cell) == word or not reading.stands(user.name, cell)
            }
            standing = len(read.words) - len(words)
            added = log.add_reviews(words, user.name, role=user.role)
    new = number_of(added, "word")
    click.echo(f"sample {sample_id}: {new} of {observer} added, {len(words) - added} there before")
    click.echo(f"{number_of(read.same, 'cell')} of the program's class: no word on them")
    if standing:
        click.echo(f"left out, readers differed, which a supervisor settles: {standing}", err=True)
    for reason, many in read.left_out.items():
        click.echo(f"left out, {printable(reason)}: {many}", err=True)


def _say(sample: Sample, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_record(sample)))
        return
    state = "open" if sample.is_open else "closed"
    kept = ", its pictures are kept" if sample.kept else ""
    doing = "search" if sample.search else "count"
    what = f"{sample.specimen}, {sample.quota} white cells to {doing}"
    if sample.slide is not None:
        what = f"run of control slide {printable(sample.slide)}"
    click.echo(f"sample {sample.name}: {state}, {what}{kept}")


def _record(sample: Sample) -> dict[str, object]:
    return sample_record(sample) | {"kept": sample.kept}
