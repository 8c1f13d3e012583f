"""``blastcount verify``: measure the program on one's own slides."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click
import msgspec

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.verifications import Verification, VerificationEvent
from edge.calibration.correction import Correction
from edge.calibration.site import SiteBinding, SiteCard, SiteCheck, SiteCode
from edge.commands.options import (
    RESULT,
    FiniteRange,
    check_one_to_stdout,
    config_for,
    config_option,
    json_option,
    log_option,
)
from edge.commands.people import who_option, whose
from edge.commands.report import language_option, write_file
from edge.config import Config, load_config
from edge.counting.golden import load_configured
from edge.counting.pipeline import Pipeline
from edge.counting.provenance import Provenance
from edge.daemon.served import open_log
from edge.device.clock import utc_now
from edge.device.printable import printable
from edge.errors import GateError, LogError
from edge.i18n import catalogue
from edge.results.sheet.html import render_html
from edge.results.sheet.record import json_text
from edge.results.texts import corrects_nothing_text
from edge.verification.again import count_again
from edge.verification.drawing import LEAST_DRAWN
from edge.verification.measured import Words, site_card
from edge.verification.population import drawn_from, left_out_texts, population
from edge.verification.sheet import make_sheet


@click.group("verify")
def verify_group() -> None:
    """Measure the program on one's own slides: draw cells, read them blind, and sum up.

    `open` draws cells from closed samples, the page of `blastcount review` shows them without the program's
    word, `status` says how far the readers are, `close` makes the site card, `report` writes it for people,
    and `again` tries the cells with another version of the program. For research use only.
    """


@verify_group.command("open")
@click.argument("samples", nargs=-1, metavar="[SAMPLE...]")
@click.option("--cells", type=click.IntRange(50, 5000), default=400, help="Cells to be read.")
@click.option(
    "--twice", type=FiniteRange(0.0, 1.0), default=0.3, help="Share of them that a second reader reads, too."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the drawing; without it a random one.")
@who_option
@log_option
def open_(
    samples: tuple[str, ...], cells: int, twice: float, seed: int | None, who: str, log_path: Path | None
) -> None:
    """Draw cells from patients' closed samples; without SAMPLE from the newest 50, as far as counted alike.

    Cells in doubt and rare ones are drawn more often, and each is weighted by what it stands for. Their
    pictures are kept from now on. Nobody's words in the samples change.
    """
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        who, role = whose(log, who)
        given = population(log, samples)
        plan, drawn = drawn_from(given, cells, twice, secrets.randbits(31) if seed is None else seed)
        opened = log.open_verification(plan, drawn, given.samples, who=who, role=role)
    click.echo(
        f"verification {opened.id}: {len(drawn)} cells of {len(given.samples)} samples drawn, "
        f"{sum(one.twice for one in drawn)} of them for two readers"
    )
    for name, own in json.loads(plan)["strata"].items():
        click.echo(f"  {name}: {own['drawn']} of {own['of']}")
    if len(drawn) > cells:
        click.echo(
            f"more than the {cells} asked for: of each kind {LEAST_DRAWN} are drawn where it has as many",
            err=True,
        )
    for text in left_out_texts(given):
        click.echo(printable(text), err=True)
    click.echo("read them on the page of `blastcount review`, under Verification", err=True)


@verify_group.command("status")
@log_option
@json_option
def status(log_path: Path | None, as_json: bool) -> None:
    """Say what was verified, and how far the readers of an open verification are."""
    with BloodLog.open(log_path or config_for("log").log_path, read_only=True) as log:
        records = [_record(log, one) for one in log.verifications()]
    if as_json:
        click.echo(json.dumps(records, allow_nan=False))
        return
    if not records:
        click.echo("never verified here; `blastcount verify open` draws cells")
    for record in records:
        click.echo(_line(record))


def _record(log: BloodLog, verification: Verification) -> dict[str, object]:
    words = Words.of(log, verification)
    end = verification.end
    checks = [
        msgspec.json.decode(one.record)
        for one in log.verification_events()
        if one.verification_id == verification.id and one.event == "checked"
    ]
    return {
        "verification": verification.id,
        "state": "open" if end is None else end.event,
        "opened_at": verification.at.isoformat(),
        "opened_by": verification.who,
        "cells": len(words.drawn),
        "unread": words.unread(words.drawn),
        "unread_twice": words.unread_twice(words.drawn),
        "readers": {reader: len(own) for reader, own in words.held.items()},
        "card": json.loads(end.record) if end is not None and end.event == "closed" else None,
        "why_not": _why_not(end),
        "checks": checks,
    }


def _why_not(end: VerificationEvent | None) -> str | None:
    """Say why a closed verification corrects nothing; None where it does, or is not closed."""
    if end is None or end.event != "closed":
        return None
    card = SiteCard.from_json(end.record, f"verification {end.verification_id}")
    return corrects_nothing_text(catalogue(), card)


def _line(record: dict[str, object]) -> str:
    number, state = record["verification"], record["state"]
    readers = record["readers"]
    assert isinstance(readers, dict)  # made above
    said = ", ".join(f"{printable(reader)} {cells}" for reader, cells in readers.items()) or "nobody yet"
    line = f"verification {number}: {state}, {record['cells']} cells, read by {said}"
    if state == "open":
        return f"{line}; to read: {record['unread']}, by a second reader: {record['unread_twice']}"
    if record["card"] is not None:
        card = msgspec.convert(record["card"], SiteCard)
        line += "; " + _figures(card)
    return line if record["why_not"] is None else f"{line}\n  {record['why_not']}"


def _figures(card: SiteCard) -> str:
    blasts, others = card.sensitivity, card.specificity
    return (
        f"sensitivity {100 * blasts.share:.1f} % ({100 * blasts.low:.1f} to {100 * blasts.high:.1f} %, "
        f"n = {blasts.n}), specificity {100 * others.share:.1f} % ({100 * others.low:.1f} to "
        f"{100 * others.high:.1f} %, n = {others.n})"
    )


@verify_group.command("close")
@click.option("--abandon", is_flag=True, help="End it without a result, whatever was read.")
@who_option
@log_option
def close(abandon: bool, who: str, log_path: Path | None) -> None:
    """Sum the open verification up to the site card, which corrects shares from now on."""
    with open_log(log_path or config_for("log").log_path, must_exist=True) as log:
        current = log.current_verification()
        if current is None:
            raise LogError(f"{log.path}: no verification is open; `blastcount verify open` draws cells")
        who, role = whose(log, who)
        if abandon:
            log.note_verification(current.id, "abandoned", "{}", who=who, role=role)
            click.echo(f"verification {current.id}: abandoned")
            return
        words = Words.of(log, current)
        _refuse_unread(log, words)
        card = site_card(words, utc_now())
        log.note_verification(current.id, "closed", card.to_json(), who=who, role=role)
    click.echo(
        f"verification {current.id}: closed, {card.cells} cells of {card.samples} samples; {_figures(card)}"
    )
    if (why_not := corrects_nothing_text(catalogue(), card)) is not None:
        click.echo(why_not)


def _refuse_unread(log: BloodLog, words: Words) -> None:
    """Refuse to close while cells can still be read.

    Raises
    ------
    GateError
        A cell with a picture has no word, or one that is for two readers has one.
    """
    store = ThumbnailStore.beside(log.path)
    can_be = [one for one in words.drawn if (name := log.thumbnail(one.cell)) and store.size(name)]
    once, second = words.unread(can_be), words.unread_twice(can_be)
    if once or second:
        raise GateError(
            f"verification {words.verification.id}: {once} cells have no word and {second} lack a second "
            "reader's; read them on the page of `blastcount review`, or --abandon it"
        )


@verify_group.command("report")
@click.argument("number", type=int, required=False)
@click.option("--pdf", type=RESULT, metavar="FILE", help="Write the sheet as PDF.")
@click.option("--html", type=RESULT, metavar="FILE", help="Write the sheet as one HTML file.")
@click.option("--json", "as_json", type=RESULT, metavar="FILE", help="Write the site card as JSON.")
@language_option
@log_option
def report(
    number: int | None,
    pdf: Path | None,
    html: Path | None,
    as_json: Path | None,
    language: str,
    log_path: Path | None,
) -> None:
    """Write the result of verification NUMBER, without it of the newest; "-" for FILE writes to stdout."""
    if pdf is None and html is None and as_json is None:
        raise click.UsageError("say in which form: --pdf FILE, --html FILE or --json FILE")
    check_one_to_stdout(pdf, html, as_json)
    path = log_path or config_for("log").log_path
    with BloodLog.open(path, read_only=True) as log:
        card = _card(log, number)
        texts = catalogue(language)
        page = make_sheet(card, log, texts, ThumbnailStore.beside(path).read)
    if html is not None:
        write_file(html, render_html(page).encode("utf-8"))
    if pdf is not None:
        from edge.results.sheet.pdf import render_pdf  # 10 MB that the other forms do not need

        write_file(pdf, render_pdf(page))
    if as_json is not None:
        why_not = corrects_nothing_text(texts, card)
        record = msgspec.to_builtins(card) | {"corrects": why_not is None, "why_not": why_not}
        write_file(as_json, json_text(record).encode("ascii"))


def _card(log: BloodLog, number: int | None) -> SiteCard:
    ends = [one.end for one in log.verifications() if number in (None, one.id) and one.end is not None]
    closed = [end for end in ends if end.event == "closed"]
    if not closed:
        which = "no verification" if number is None else f"verification {number} is not there or not"
        raise LogError(f"{log.path}: {which} closed; `blastcount verify status` shows them")
    return SiteCard.from_json(closed[-1].record, f"verification {closed[-1].verification_id}")


@verify_group.command("again")
@who_option
@config_option
@log_option
def again(who: str, config_path: Path | None, log_path: Path | None) -> None:
    """Count the newest verification's cells again with the program that is installed here.

    Where every cell is called as before, the site card holds for this version, too. Their fields are counted
    from the kept pictures: what the camera and the flat field do is not tried.
    """
    config = load_config(config_path)
    with open_log(log_path or config.log_path, must_exist=True) as log:
        card = _card(log, None)
        who, role = whose(log, who)
        verification = next(one for one in log.verifications() if one.id == card.verification)
        check = _checked(log, verification, card, config)
        log.note_verification(
            verification.id, "checked", msgspec.json.encode(check).decode(), who=who, role=role
        )
    told = (
        f"{check.same} cells are called as before, {check.other} otherwise, {check.missing} have no picture"
    )
    if not check.holds:
        raise GateError(
            f"verification {verification.id}: {told}; it does not hold for this version: verify anew"
        )
    click.echo(f"verification {verification.id}: {told}; it holds for this version")


def _checked(log: BloodLog, verification: Verification, card: SiteCard, config: Config) -> SiteCheck:
    classifier = load_configured(config)
    here = Provenance.of(config, classifier.card, classifier.runtime, Correction(None)).to_json()
    now = msgspec.json.decode(here, type=SiteBinding)
    if not {"model", "recalibration"}.isdisjoint(card.binding.changed(now)):
        raise GateError(
            f"verification {verification.id} is of model {card.binding.model_sha256[:12]}, here is "
            f"{now.model_sha256[:12]}, or its card or recalibration is another; verify anew"
        )
    code = msgspec.json.decode(here, type=SiteCode)
    return count_again(log, Words.of(log, verification), Pipeline(classifier), code)
