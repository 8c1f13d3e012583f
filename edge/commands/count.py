"""``blastcount count``: from image files to a table, JSON Lines, masks, pictures and the log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import click
import cv2

from edge.bloodlog import BloodLog
from edge.bloodlog.connection import check_name
from edge.camera.files import read_frames
from edge.camera.folders import VIDEO_SUFFIXES, Found, find, left_out_line
from edge.classification.classifier import Classifier
from edge.commands.interrupt import Interrupt
from edge.commands.options import FILE, FOLDER, PATH, FiniteRange, Shard, model_option, shard_option
from edge.commands.outputs import (
    encode_labels,
    encode_picture,
    prepare_folder,
    unique_stems,
    write_atomically,
)
from edge.commands.printing import CsvPrinter, JsonPrinter, Notices, Printer, Repeats, TablePrinter
from edge.commands.progress import Progress
from edge.config import Config, load_config
from edge.counting.files import Counted, count_file
from edge.counting.folder import FolderScales
from edge.counting.golden import load_configured
from edge.counting.recorder import Recorder, as_configured
from edge.counting.tally import RunningTally, denominator_of, without_share
from edge.daemon.served import open_log
from edge.device.clock import WallClock
from edge.device.memory import keep_freed_memory
from edge.device.printable import number_of, printable
from edge.errors import NotAFieldError, SampleClosedError, SourceError
from edge.i18n import DEFAULT_LANGUAGE
from edge.results.annotate import annotate
from edge.results.geojson import encode_field
from edge.results.polygons import cell_polygons
from edge.results.summary import summarise_as_configured
from edge.structures import COARSEST_UM_PER_PX, FINEST_UM_PER_PX, Denominator, Frame
from edge.version import software_version

#: A field has too few cells to keep more threads busy; each one costs memory.
_MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Folders:
    """Where files are written for each field; None where nobody wants them."""

    masks: Path | None
    pictures: Path | None
    geojson: Path | None


@click.command("count")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a field instead of a table.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line a field for a spreadsheet instead.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on stderr but errors and warnings.")
@click.option(
    "--masks", type=FOLDER, metavar="DIR", help="Write label images of cells and nuclei (16-bit PNG)."
)
@click.option(
    "--annotate", "pictures", type=FOLDER, metavar="DIR", help="Write pictures with outlined cells."
)
@click.option(
    "--geojson", type=FOLDER, metavar="DIR", help="Write outlines of cells and nuclei as QuPath's objects."
)
@click.option("--log", "log_path", type=FILE, metavar="FILE", help="Append every field to this log (SQLite).")
@click.option(
    "--sample",
    "sample_id",
    metavar="ID",
    help="Count into this open sample of the log; without --log of the configured one.",
)
@click.option(
    "--report",
    "report_file",
    type=FILE,
    metavar="FILE",
    help="With --sample: write its one-page result, as FILE's suffix says: .pdf, .html or .json.",
)
@model_option
@click.option(
    "--um-per-px",
    type=FiniteRange(FINEST_UM_PER_PX, COARSEST_UM_PER_PX),
    help="Scale of the images in µm per pixel; measured on the red cells if not given.",
)
@click.option(
    "--threads", type=click.IntRange(1, 64), help="Threads to use; as many as there are cores, at most 4."
)
@click.option("--every", type=click.IntRange(1), default=1, help="Of videos, every n-th frame.")
@click.option("--recursive/--no-recursive", default=True, help="Search the subfolders of folders, too.")
@shard_option
@click.option(
    "--resume",
    is_flag=True,
    help="Take fields that stand in the log from there, and count the others.",
)
def count(
    paths: Sequence[Path],
    as_json: bool,
    as_csv: bool,
    quiet: bool,
    masks: Path | None,
    pictures: Path | None,
    geojson: Path | None,
    log_path: Path | None,
    sample_id: str | None,
    report_file: Path | None,
    model: Path | None,
    um_per_px: float | None,
    threads: int | None,
    every: int,
    recursive: bool,
    shard: Shard | None,
    resume: bool,
) -> None:
    """Count white cells and blasts in image files, folders and videos.

    Of a folder, the images and videos in it and its subfolders are counted. Label images, what this program
    has drawn, hidden and other files are left out, and summed up by kind on stderr. Whatever cannot be read
    is named there, the rest is counted, and the exit code is 1. Ctrl-C ends after the field at hand and
    prints the sum so far; a second one ends at once.
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    if resume and (log_path is None or sample_id is not None):
        raise click.UsageError("--resume takes fields from the log that --log names, without a --sample")
    if resume and (masks or pictures or geojson):
        raise click.UsageError("--resume draws nothing: fields in the log have no outlines")
    form = _report_form(report_file, sample_id)
    threads = threads or min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    cv2.setNumThreads(threads)
    keep_freed_memory()
    config = load_config().changed(  # so that its hash covers them
        model={"path": model, "threads": threads}, scale={"um_per_px": um_per_px}
    )
    classifier = load_configured(config)
    folders = _Folders(masks, pictures, geojson)
    for folder in filter(None, astuple(folders)):
        prepare_folder(folder)
    progress = Progress("counting", quiet=quiet)
    notices = Notices(progress)
    found = _found(paths, recursive, notices)
    files = found.files if shard is None else shard.of(found.files)
    stems = unique_stems(files) if any(astuple(folders)) else {}
    repeats = Repeats()
    with ExitStack() as stack:
        stack.enter_context(notices.listening())
        log_path = log_path or (config.log_path if sample_id is not None else None)
        log, new_log = None, None
        if log_path is not None:
            check_name(log_path, makes_it=sample_id is None)
            new_log = partial(_open_log, stack, log_path, must_exist=sample_id is not None)
            if sample_id is not None or log_path.exists():  # else it is made with the first field
                log = new_log()
        recorder = as_configured(
            config,
            classifier,
            log,
            source_kind="file",
            clock=WallClock(),
            new_log=new_log,
            resumes=resume,
        )
        sample = log.sample(sample_id) if log and sample_id is not None else None
        denominator = denominator_of(config.sample.denominator, None if sample is None else sample.specimen)
        running = RunningTally(denominator)
        printer: Printer = TablePrinter(progress, files, _footer(classifier, denominator))
        if as_json or as_csv:
            printer = (JsonPrinter if as_json else CsvPrinter)(progress, denominator)
        stack.enter_context(progress.over(len(files)))
        interrupt = stack.enter_context(Interrupt().listening())
        for counted in _count_files(
            found, files, paths, interrupt, recorder, sample_id, config, every, notices, progress
        ):
            if stems:
                _write_pictures(counted, stems[counted.file], folders)
            running.add(counted.recorded.result)
            if sample_id is None:  # in a sample a cell that was seen before is not counted again
                repeats.add(counted.recorded.result)
            printer.field(counted.file, counted.recorded.result, counted.total_ms)
            del counted  # or its pixels would stay in memory while the next file is decoded
        if log and sample_id is not None and form is not None and not interrupt.asked:
            summary = summarise_as_configured(log, log.sample(sample_id), config)
            from edge.commands.report import write_report  # Jinja2 and the drawing of the sheet are not free

            write_report(summary, log.path, DEFAULT_LANGUAGE, quiet=quiet, **form)
    total = running.total()
    if sample is not None and sample.search:  # its result is what people find
        total = without_share(total)
    printer.end(total, notices.failures)
    for line in (repeats.warning(), None if quiet else left_out_line(found.left_out, found.folders)):
        if line:
            click.echo(f"blastcount: {line}", err=True)
    if interrupt.asked:
        click.echo(
            f"blastcount: interrupted after {number_of(total.fields + total.rejected, 'field')}; "
            "the rest was not counted",
            err=True,
        )
        raise KeyboardInterrupt  # the group ends it as any other
    if notices.failures or notices.is_ended:
        click.get_current_context().exit(1)


def _open_log(stack: ExitStack, path: Path, *, must_exist: bool) -> BloodLog:
    return stack.enter_context(open_log(path, must_exist=must_exist))


def _report_form(file: Path | None, sample_id: str | None) -> dict[str, Path] | None:
    """Say in which form a report is wanted, before anything is counted."""
    if file is None:
        return None
    if sample_id is None:
        raise click.UsageError("--report is of a sample: name one with --sample")
    forms = {".pdf": "pdf", ".html": "html", ".json": "as_json"}
    if file.suffix.lower() not in forms:
        raise click.BadParameter(
            f"{file}: expected a name that ends in .pdf, .html or .json", param_hint="--report"
        )
    if not file.parent.is_dir():
        raise click.BadParameter(
            f"{file}: the folder {file.parent} does not exist; make it first", param_hint="--report"
        )
    return {forms[file.suffix.lower()]: file}


def _found(paths: Sequence[Path], recursive: bool, notices: Notices) -> Found:
    """List every file once, in the order given; report paths that give none."""
    all_found = Found()
    files: dict[str, Path] = {}
    twice: list[Path] = []
    for path in paths:
        try:
            found = find(path, recursive=recursive)
        except SourceError as error:
            notices.failure(error)
            continue
        for failed in found.errors:
            notices.failure(failed)
        all_found.left_out.update(found.left_out)
        all_found.folders.update(found.folders)
        twice += [f for f in found.files if files.setdefault(os.path.realpath(f), f) is not f]
    if twice:
        are = f"and {len(twice) - 1} more are" if twice[1:] else "is"
        click.echo(f"blastcount: warning: {printable(twice[0])} {are} given twice and counted once", err=True)
    all_found.files.extend(files.values())
    return all_found


def _footer(classifier: Classifier, denominator: Denominator) -> list[str]:
    card = classifier.card
    left_out = "border (cut by the image's edge)"
    if denominator != "with_smudges":
        left_out += ", smudge (ruptured)"
    model = f"{card.name} {card.sha256[:12]}"
    if card.recalibration is not None:
        model += f" recalibrated here {card.recalibration[:12]}"
    return [
        f"wbc = blasts + normal + uncertain + border. Not in the share: {left_out}.",
        f"model {model}, {classifier.runtime}, blastcount {software_version()}",
        "For research use only; not for diagnosis.",
    ]


def _count_files(
    found: Found,
    files: Sequence[Path],
    named: Sequence[Path],
    interrupt: Interrupt,
    recorder: Recorder,
    sample_id: str | None,
    config: Config,
    every: int,
    notices: Notices,
    progress: Progress,
) -> Iterator[Counted]:
    um_per_px, in_sample = config.scale.um_per_px, sample_id is not None

    def frames(file: Path) -> Iterator[Frame]:
        for frame in read_frames(file, every=every, um_per_px=um_per_px, with_jpeg=in_sample):
            if interrupt.asked:
                return
            if sample_id is not None:
                recorder.refresh(name=sample_id)  # somebody may have closed it meanwhile
            yield frame
            del frame  # before the next one of a video is decoded

    scales = FolderScales(found.files, recorder.corrected)
    some_counted = False
    for number, file in enumerate(files):
        if interrupt.asked:
            return
        try:
            for counted in count_file(file, frames(file), recorder, scales):
                if isinstance(counted, Counted):
                    some_counted = True
                    yield counted
                elif isinstance(counted, NotAFieldError) and file not in named:
                    found.left_out[counted.kind] += 1
                else:
                    notices.failure(counted)
                del counted
        except SampleClosedError as error:
            if not some_counted:
                raise
            notices.ended(error, files[number:])
            return
        progress.step()


def _write_pictures(counted: Counted, stem: str, folders: _Folders) -> None:
    frame = counted.recorded.frame
    if counted.file.suffix.lower() in VIDEO_SUFFIXES:
        stem += "#" + frame.source.rpartition("#")[2]
    cells, nuclei = counted.recorded.label_images()
    if folders.masks:
        write_atomically(folders.masks / f"{stem}.cells.png", encode_labels(cells))
        write_atomically(folders.masks / f"{stem}.nuclei.png", encode_labels(nuclei))
    if folders.geojson:
        objects = encode_field(counted.recorded.result, cell_polygons(cells, nuclei))
        write_atomically(folders.geojson / f"{stem}.geojson", objects)
    del nuclei  # 10 MB of a 5 Mpx field that the picture does not need
    if folders.pictures:
        note = "Rendered by a program, no real smear" if frame.is_drawn else ""
        picture = annotate(frame.image, counted.recorded.result, cells, note)
        write_atomically(folders.pictures / f"{stem}.annotated.jpg", encode_picture(picture))
