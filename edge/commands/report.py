"""``blastcount report``: the one-page result of a sample."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.commands.options import RESULT, check_one_to_stdout, config_for, log_option
from edge.commands.outputs import write_atomically
from edge.device.printable import printable
from edge.errors import OutputError
from edge.i18n import DEFAULT_LANGUAGE, catalogue, languages
from edge.results.sheet.html import render_html
from edge.results.sheet.page import make_page
from edge.results.sheet.record import json_text, report_record
from edge.results.summary import SampleSummary, summarise_as_configured


def _known(_ctx: click.Context, _parameter: click.Parameter, language: str) -> str:
    if language not in languages():
        raise click.BadParameter(f"no language {language!r}; there are {', '.join(languages())}")
    return language


language_option = click.option(
    "--language", callback=_known, default=DEFAULT_LANGUAGE, help="Language of the sheet, e.g. en or id."
)


@click.command("report")
@click.argument("sample_id", metavar="SAMPLE")
@click.option("--pdf", type=RESULT, metavar="FILE", help="Write the sheet as PDF.")
@click.option("--html", type=RESULT, metavar="FILE", help="Write the sheet as one HTML file.")
@click.option("--json", "as_json", type=RESULT, metavar="FILE", help="Write the figures as JSON.")
@language_option
@log_option
def report(
    sample_id: str,
    pdf: Path | None,
    html: Path | None,
    as_json: Path | None,
    language: str,
    log_path: Path | None,
) -> None:
    """Write the one-page result of SAMPLE; "-" for FILE writes to stdout.

    Counts, the share of blasts with its interval, what people said of the cells, pictures of blasts and of
    cells in doubt, what was rejected, and what counted. For research use only, not for diagnosis.
    """
    if pdf is None and html is None and as_json is None:
        raise click.UsageError("say in which form: --pdf FILE, --html FILE or --json FILE")
    check_one_to_stdout(pdf, html, as_json)
    config = config_for("log", "sample", "model")
    log_path = log_path or config.log_path
    with BloodLog.open(log_path, read_only=True) as log:
        summary = summarise_as_configured(log, log.sample(sample_id), config)
    write_report(summary, log_path, language, pdf=pdf, html=html, as_json=as_json)


def write_report(
    summary: SampleSummary,
    log_path: Path,
    language: str,
    *,
    pdf: Path | None = None,
    html: Path | None = None,
    as_json: Path | None = None,
    quiet: bool = False,
) -> None:
    """Write a report in the forms that a file was named for.

    Parameters
    ----------
    summary : of the sample
    log_path : of the log, beside which the pictures are
    language : ISO 639-1 code
    pdf, html, as_json : files, or ``-`` for stdout
    quiet : do not say which file was written

    Raises
    ------
    OutputError
        A file cannot be written; one of that name is as it was.
    """
    page = make_page(summary, catalogue(language), ThumbnailStore.beside(log_path).read)
    if html is not None:
        write_file(html, render_html(page).encode("utf-8"), quiet=quiet)
    if pdf is not None:
        from edge.results.sheet.pdf import render_pdf  # 10 MB that the other forms do not need

        write_file(pdf, render_pdf(page), quiet=quiet)
    if as_json is not None:
        write_file(as_json, json_text(report_record(summary)).encode("ascii"), quiet=quiet)


def write_file(path: Path, content: bytes, *, quiet: bool = False) -> None:
    """Write a result whole or not at all, and say so on stderr; ``-`` is stdout.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    write_atomically(path, content)
    if not quiet:
        click.echo(f"blastcount: wrote {printable(path)}", err=True)
