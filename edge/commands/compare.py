"""``blastcount compare``: two models on the last samples, before either of them counts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge.bloodlog import BloodLog
from edge.classification.classifier import Classifier
from edge.classification.recalibration import Recalibration
from edge.commands.options import PATH, RESULT, config_for, json_option, log_option
from edge.commands.progress import Progress
from edge.commands.report import write_file
from edge.config import Config
from edge.counting.golden import load_checked
from edge.device.printable import markdown_table, printable
from edge.errors import ConfigError, LogError
from edge.results.sheet.html import environment
from edge.structures import ModelIdentity
from edge.verification.compare import MOST_PICTURES, WORDS, Comparison, compare

#: What the last columns say, and what they do not.
_READ = (
    "Read are cells on which people agree; as read, those that a model calls as they do. Of a model that has",
    "learned from these words that is no proof: see what its training says of samples that it had not seen.",
    "",
)


@click.command("compare")
@click.argument("first", metavar="A", type=PATH)
@click.argument("second", metavar="B", type=PATH)
@click.option("--last", type=click.IntRange(1, 1000), default=20, help="Samples to look at, the newest.")
@click.option(
    "--html", type=RESULT, metavar="FILE", help="Write a page with pictures of the cells that change."
)
@json_option
@log_option
def compare_command(
    first: Path, second: Path, last: int, html: Path | None, as_json: bool, log_path: Path | None
) -> None:
    """Run the model bundles A and B on the stored pictures of the last samples, and say which calls change.

    Both are checked as before counting: golden crops and golden field. Nothing is written to the log. A
    recalibration that is in force is used for the one that it was fitted for.
    """
    config = config_for("log", "model")
    classifiers = (_load(first, config), _load(second, config))
    with BloodLog.open(log_path or config.log_path, read_only=True) as log:
        samples = log.samples()[-last:]
        if not samples:
            raise LogError(f"{log.path}: no sample has been counted, so that there is nothing to compare on")
        progress = Progress("comparing")
        with progress.over(sum(log.count(sample.id) for sample in samples)):
            found = compare(log, samples, classifiers, progress.step)
    if html is not None:
        write_file(html, page(found).encode("utf-8"))
    click.echo(json.dumps(found.to_json()) if as_json else summary(found))


def _load(path: Path, config: Config) -> Classifier:
    classifier = load_checked(path, config.model.threads)
    try:
        return classifier.recalibrated(Recalibration.load(config.recalibration_path))
    except ConfigError:  # there is none, or it is of another model
        return classifier


def summary(found: Comparison) -> str:
    """Say in words and tables what changes."""
    whole = found.all
    changes = sum(number for words, number in whole.cells.items() if words[0] != words[1])
    lines = [
        f"A {_name(found.models[0])}, B {_name(found.models[1])}",
        f"{len(found.samples)} samples, {found.fields} fields, {whole.total} cells; {changes} calls change",
        *(f"fields left out, {reason}: {number}" for reason, number in found.left_out.items()),
        "",
        markdown_table(
            ("", *(f"B {word}" for word in WORDS)),
            [(f"A {one}", *(str(whole.cells[one, other]) for other in WORDS)) for one in WORDS],
        ),
        "",
        markdown_table(
            (
                "sample",
                "cells",
                "A blasts",
                "B blasts",
                "A share",
                "B share",
                "read",
                "A as read",
                "B as read",
            ),
            [
                (
                    printable(name),
                    str(counts.total),
                    str(counts.blasts(0)),
                    str(counts.blasts(1)),
                    _percent(counts.blasts(0), counts.total),
                    _percent(counts.blasts(1), counts.total),
                    str(counts.read),
                    *map(str, counts.agreeing),
                )
                for name, counts in [*found.samples.items(), ("all", whole)]
            ],
        ),
        "",
        *(_READ if whole.read else ()),
        "For research use only; not for diagnosis.",
    ]
    return "\n".join(lines)


def page(found: Comparison) -> str:
    """Lay the comparison out as one HTML file that needs nothing beside it."""
    kinds = sorted({one.words for one in found.changed})
    return (
        environment()
        .get_template("compare.html")
        .render(
            names=[_name(model) for model in found.models],
            table=summary(found),
            changed=[(kind, [one for one in found.changed if one.words == kind]) for kind in kinds],
            most=MOST_PICTURES,
            more=len(found.changed) if len(found.changed) > MOST_PICTURES else 0,
        )
    )


def _name(model: ModelIdentity) -> str:
    recalibrated = "" if model.recalibration is None else ", recalibrated here"
    return f"{model.name} {model.sha256[:12]}{recalibrated}"


def _percent(number: int, of: int) -> str:
    return f"{100 * number / of:.1f} %" if of else "none"
