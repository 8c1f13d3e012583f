"""``blastcount recalibrate``: fit the model's threshold to a laboratory's own labelled cells, or go back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from edge.bloodlog import BloodLog
from edge.classification.card import ModelCard, default_bundle_path, load_bundle
from edge.classification.recalibration import Calls, Nested, Recalibration
from edge.commands.options import FOLDER, config_for, log_option
from edge.commands.people import PERSON
from edge.config import Config
from edge.device.clock import utc_now
from edge.device.printable import printable
from edge.errors import ConfigError, GateError
from edge.results.dataset import read_dataset
from edge.verification import fitting
from edge.verification.fitting import Bools, Fitted, Labelled, Unseen, expit
from edge.verification.prior import PRIOR
from edge.verification.words import Words, closed_samples, closed_verifications


@click.group("recalibrate")
def recalibrate_group() -> None:
    """Fit offset, temperature and threshold of the model to this laboratory's labelled cells.

    The network stays what it is. Every row and every output names the recalibration that it went through, and
    `undo` goes back to the model's own threshold. For research use only.
    """


@recalibrate_group.command("fit")
@click.argument("samples", nargs=-1, metavar="SAMPLE...")
@click.option(
    "--data",
    "datasets",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="Labelled cells that `sample export --training` wrote, instead of the log's; may be repeated.",
)
@click.option(
    "--verified", is_flag=True, help="Cells that were drawn and read blind by `blastcount verify`, instead."
)
@click.option("--who", type=PERSON, metavar="SIGN", required=True, help="Who recalibrates; kept in the file.")
@click.option("--dry-run", is_flag=True, help="Say what it would do, and write nothing.")
@log_option
def fit(
    samples: Sequence[str],
    datasets: Sequence[Path],
    verified: bool,
    who: str,
    dry_run: bool,
    log_path: Path | None,
) -> None:
    """Fit on the cells of SAMPLE..., or of all closed samples, on which people have a word.

    Whole samples are left out in turn, and nothing is written where that is not better than the model's own
    threshold (exit code 4).
    """
    if sum(map(bool, (samples, datasets, verified))) > 1:
        raise click.UsageError("give SAMPLE..., --data or --verified, not several of them")
    config = config_for("log", "model")
    card = _card(config)
    words = Words(card, _in_force(config))
    for folder in datasets:
        words.add_dataset(read_dataset(folder))
    if not datasets:
        with BloodLog.open(log_path or config.log_path, read_only=True) as log:
            for verification in closed_verifications(log) if verified else ():
                words.add_verification(log, verification)
            for sample in () if verified else closed_samples(log, samples):
                words.add_sample(log, sample)
    cells = words.cells()
    click.echo(
        f"{len(cells)} cells of {_samples(cells)} samples: {cells.is_blast.sum()} blasts, "
        f"{(~cells.is_blast).sum()} others"
    )
    for reason, number in words.left_out.items():
        click.echo(f"left out, {reason}: {number}")
    if (why := fitting.why_too_few(cells)) is not None:
        raise GateError(f"not recalibrated: {why}")
    fitted = fitting.fit(cells, card.decision, PRIOR)
    before = fitting.factory(card.decision).called_blast(cells.p_blast)
    after = fitting.nested(cells, card.decision, PRIOR)
    unseen = fitting.unseen(cells, card.decision, PRIOR)
    for line in _table(cells, before, after, unseen):
        click.echo(line)
    if (why := fitting.why_not_better(cells, unseen, after)) is not None:
        raise GateError(f"not recalibrated: {why}")
    click.echo(_words(fitted))
    if dry_run:
        return
    recalibration = _record(card, fitted, cells, after, unseen, who)
    path = config.recalibration_path
    _put_aside(path)
    saved = recalibration.save(path)
    click.echo(
        f"written to {path} ({(saved.sha256 or '')[:12]}); `blastcount reload` has a running daemon use it, "
        "`blastcount recalibrate undo` goes back"
    )


@recalibrate_group.command("show")
def show() -> None:
    """Show the recalibration that is in force."""
    config = config_for("model")
    path = config.recalibration_path
    if not path.exists() and config.model.recalibration is None:
        click.echo("none: the model's own threshold holds")
        return
    found = Recalibration.load(path)
    found.applied(_card(config))
    nested = found.nested
    click.echo(
        f"{path} ({(found.sha256 or '')[:12]}), by {printable(found.made_by)}, "
        f"{found.made_at:%Y-%m-%d %H:%M %Z}"
    )
    click.echo(
        f"offset {found.offset:+.2f}, temperature {found.temperature:.2f}, threshold {found.threshold:.2f} "
        f"(uncertain {found.uncertain_low:.2f} to {found.uncertain_high:.2f})"
    )
    click.echo(
        f"fitted on {found.cells} cells of {found.samples} samples; of samples that a fit had not seen "
        f"{nested.blast.blast} of {nested.blast.n} blasts and {nested.normal.blast} of {nested.normal.n} "
        f"other cells were called blast; error {nested.error:.3f}, by the model's own threshold "
        f"{nested.factory_error:.3f}"
    )


@recalibrate_group.command("undo")
def undo() -> None:
    """Go back to the model's own threshold; the file is kept beside under its hash."""
    config = config_for("model")
    path = config.recalibration_path
    kept = _put_aside(path)
    if kept is None:
        raise ConfigError(f"{path}: there is no recalibration to undo; the model's own threshold holds")
    click.echo(
        f"the model's own threshold holds; the recalibration is kept as {kept.name}. `blastcount reload` has "
        "a running daemon use it"
    )
    if config.model.recalibration is not None:
        click.echo(
            "model.recalibration names the file that is gone: remove it from the configuration", err=True
        )


def _card(config: Config) -> ModelCard:
    return load_bundle(config.model.path or default_bundle_path()).card


def _in_force(config: Config) -> Recalibration | None:
    path = config.recalibration_path
    return Recalibration.load(path) if path.exists() else None


def _put_aside(path: Path) -> Path | None:
    """Keep a recalibration that is no longer in force under its hash; None where there is none."""
    if not path.exists():
        return None
    kept = Recalibration.kept(path)
    path.replace(kept)
    return kept


def _samples(cells: Labelled) -> int:
    return len(set(cells.sample.tolist()))


def _table(cells: Labelled, before: Bools, after: Bools, unseen: Unseen) -> list[str]:
    rows: list[tuple[str, ...]] = [("called blast", "blasts", "others", "error of the share")]
    for name, called, error in (
        ("model's own threshold", before, unseen.own),
        ("recalibrated, unseen samples", after, unseen.error),
    ):
        calls = [f"{called[of].sum()} of {of.sum()}" for of in (cells.is_blast, ~cells.is_blast)]
        rows.append((name, *calls, f"{error:.3f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    if not cells.has_both:
        lines.append(
            "Too few blasts are labelled: the threshold can only rise, and what it misses is not known."
        )
    return lines


def _words(fitted: Fitted) -> str:
    line = fitted.line
    threshold = float(expit(fitted.threshold))
    return f"offset {line.offset:+.2f}, temperature {line.temperature:.2f}, threshold {threshold:.2f}"


def _record(
    card: ModelCard, fitted: Fitted, cells: Labelled, after: Bools, unseen: Unseen, who: str
) -> Recalibration:
    calls = [Calls(int(of.sum()), int(after[of].sum())) for of in (cells.is_blast, ~cells.is_blast)]
    return Recalibration(
        made_at=utc_now(),
        made_by=who,
        model=card.name,
        model_sha256=card.sha256,
        card_sha256=card.whole_sha256,
        offset=fitted.line.offset,
        temperature=fitted.line.temperature,
        threshold=float(expit(fitted.threshold)),
        uncertain_low=float(expit(fitted.low)),
        uncertain_high=float(expit(fitted.high)),
        samples=_samples(cells),
        nested=Nested(unseen.own, unseen.error, calls[0], calls[1]),
    )
