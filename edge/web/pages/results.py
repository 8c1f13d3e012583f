"""What is handed on: the one-page report and the files for other systems."""

from __future__ import annotations

from io import StringIO

from flask import Blueprint, Response, url_for
from werkzeug.utils import secure_filename

from edge.bloodlog import Sample
from edge.bloodlog.export import export_csv
from edge.bloodlog.pictures import ThumbnailStore
from edge.results.fhir import fhir_bundle
from edge.results.sheet.html import render_html
from edge.results.sheet.page import Page, make_page
from edge.results.sheet.record import json_text, report_record
from edge.results.summary import SampleSummary
from edge.web import preferences, security, store
from edge.web.figures import Figures
from edge.web.setup import setup

blueprint = Blueprint("results", __name__, url_prefix="/samples/<int(max=1000000000):sample_id>")

#: The report is one file with its style and pictures in it. It has no script and may do nothing at all but
#: lead back to the page: with an origin, since nobody's cookies are sent along a stranger's link.
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-same-origin"
)


@blueprint.get("/report")
def report(sample_id: int) -> Response:
    """Show the report, ready to be printed."""
    summary = _summary(sample_id)
    _ = preferences.catalogue_of_request()
    back = url_for("samples.page", sample_id=sample_id), _("result.back", name=summary.sample.name)
    answer = Response(render_html(_page(summary), back), mimetype="text/html")
    answer.headers["Content-Security-Policy"] = REPORT_POLICY
    return answer


@blueprint.get("/report.pdf")
def pdf(sample_id: int) -> Response:
    """Send the report as PDF."""
    from edge.results.sheet.pdf import render_pdf  # 10 MB that nobody needs who prints from the browser

    summary = _summary(sample_id)
    return _file(render_pdf(_page(summary)), "application/pdf", summary.sample, "pdf")


@blueprint.get("/report.json")
def figures(sample_id: int) -> Response:
    """Send the figures for machines."""
    summary = _summary(sample_id)
    return _file(json_text(report_record(summary)), "application/json", summary.sample, "json")


@blueprint.get("/fhir.json")
def fhir(sample_id: int) -> Response:
    """Send the sample as a FHIR R4 bundle, for a hospital's system."""
    summary = _summary(sample_id)
    return _file(json_text(fhir_bundle(summary)), "application/fhir+json", summary.sample, "fhir.json")


@blueprint.get("/cells.csv")
def table(sample_id: int) -> Response:
    """Send one line a cell, for a spreadsheet."""
    sample = _summary(sample_id).sample
    text = StringIO()
    with store.reading() as log:
        export_csv(log, text, sample, for_spreadsheet=True)
    return _file(text.getvalue(), "text/csv", sample, "csv")


def _summary(sample_id: int) -> SampleSummary:
    """Count a sample up, unless that would unblind the one who asks."""
    with store.reading() as log:
        sample = store.sample_of(log, sample_id)
        summary = setup().counted.of(log, sample)
    if Figures(summary, preferences.observer(), preferences.hides_program()).withheld:
        security.refuse("hidden")
    return summary


def _page(summary: SampleSummary) -> Page:
    pictures = ThumbnailStore.beside(setup().log_path)
    return make_page(summary, preferences.catalogue_of_request(), pictures.read)


def _file(content: str | bytes, mimetype: str, sample: Sample, suffix: str) -> Response:
    """Send a file that a browser saves under the sample's name."""
    name = f"{secure_filename(sample.name) or f'sample-{sample.id}'}.{suffix}"
    answer = Response(content, mimetype=mimetype)
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer
