"""The result of a verification on one page, laid out as a sample's report is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edge.bloodlog import BloodLog
from edge.calibration.site import ADVISED_CELLS, Agreed, Rate, SiteCard
from edge.i18n import Catalogue
from edge.results.reading import WORDS
from edge.results.sheet.page import Bar, Page, ReadPicture, SignatureBox
from edge.results.sheet.pictures import Picture, PictureBox
from edge.results.texts import LETTERS, TYPE_LETTERS, corrects_nothing_text, probability_text
from edge.structures import CellRef

_HASH_DIGITS = 12
#: Pictures of each kind of error: two rows of the sheet.
_MOST_PICTURES = 24

#: Gives the hash of a cell's picture.
ThumbnailOf = Callable[[CellRef], str | None]


def make_sheet(card: SiteCard, log: BloodLog, _: Catalogue, read_picture: ReadPicture) -> Page:
    """Write the result.

    Parameters
    ----------
    card : of the verification
    log : for the pictures of errors
    _ : texts of the language
    read_picture : gives stored pictures of cells
    """
    rows = [
        _row(_("verify.sensitivity"), card.sensitivity, _),
        _row(_("verify.specificity"), card.specificity, _),
        *(_row(_("verify.of_kind", kind=_word(_, kind)), own, _) for kind, own in card.types.items()),
    ]
    return Page(
        language=_.language,
        title=_("verify.title"),
        warning=_("common.research_use"),
        sample=(
            (_("verify.number"), str(card.verification)),
            (_("verify.at"), _.local_day(card.measured_at)),
            (_("verify.read"), _("verify.read_of", cells=card.cells, samples=card.samples)),
            (_("verify.readers"), ", ".join(card.readers)),
        ),
        bars=(
            _bar(_("verify.sensitivity"), card.sensitivity, _),
            _bar(_("verify.specificity"), card.specificity, _),
        ),
        reference_lines=(),
        banners=tuple(_banners(card, _)),
        notes=tuple(_notes(card, _)),
        columns=("", _("verify.share"), _("verify.interval"), _("verify.cells"), _("verify.effective")),
        rows=tuple(rows),
        differential=None,
        pictures=tuple(_pictures(card, log.thumbnail, _, read_picture)),
        legend=_("verify.legend"),
        quality=tuple(_drawing(card, _)),
        origin=tuple(_binding(card, _)),
        signatures=(SignatureBox((), _("report.sign_counted")), SignatureBox((), _("report.sign_checked"))),
        drawn=_("report.drawn") if card.binding.source_kind == "rendered" else None,
    )


def _word(_: Catalogue, word: str) -> str:
    return _(f"class.{word}" if word in WORDS else f"type.{word}")


def _row(label: str, rate: Rate, _: Catalogue) -> tuple[str, ...]:
    return label, _.percent(rate.share), _range(rate, _), str(rate.n), _.number(rate.effective_n)


def _range(rate: Rate, _: Catalogue) -> str:
    return f"{_.number(100 * rate.low, 1)}–{_.percent(rate.high)}"


def _bar(label: str, rate: Rate, _: Catalogue) -> Bar:
    text = _(
        "report.corrected_share",
        share=_.percent(rate.share),
        low=_.number(100 * rate.low, 1),
        high=_.percent(rate.high),
    )
    return Bar(label, rate.share, rate.low, rate.high, text)


def _banners(card: SiteCard, _: Catalogue) -> Iterable[str]:
    fewest = min(card.sensitivity.n, card.specificity.n)
    if (why_not := corrects_nothing_text(_, card)) is not None:
        yield why_not
    elif fewest < ADVISED_CELLS:
        yield _("verify.few", n=fewest, least=ADVISED_CELLS)
    if card.between is None:
        yield _("verify.one_reader")
    if card.details["unread"]:
        yield _("verify.unread", n=card.details["unread"])


def _notes(card: SiteCard, _: Catalogue) -> Iterable[str]:
    yield _("verify.how")
    yield _("verify.program_kappa", **_kappa(card.program, _))
    if card.between is not None:
        yield _("verify.between_kappa", **_kappa(card.between, _))
    yield _("verify.shares", n=len(card.details["samples"]))
    both: Mapping[str, Any] | None = card.details["bland_altman"]
    if both is not None:
        low, high = both["limits"]
        yield _(
            "verify.bland_altman",
            n=both["n"],
            bias=_points(both["bias"], _),
            bias_range=_pair(both["bias_ci95"], _, 100.0, 1),
            low=_points(low, _),
            high=_points(high, _),
        )
    line: Mapping[str, Any] | None = card.details["passing_bablok"]
    if line is not None:
        yield _(
            "verify.passing_bablok",
            slope=_.number(line["slope"], 2),
            slope_range=_pair(line["slope_ci95"], _, 1.0, 2),
            intercept=_points(line["intercept"], _),
            intercept_range=_pair(line["intercept_ci95"], _, 100.0, 1),
        )


def _points(share: float, _: Catalogue) -> str:
    return _.number(100.0 * share, 1)


def _pair(limits: tuple[float, float], _: Catalogue, times: float, digits: int) -> str:
    return _(
        "verify.range", low=_.number(times * limits[0], digits), high=_.number(times * limits[1], digits)
    )


def _kappa(agreed: Agreed, _: Catalogue) -> dict[str, Any]:
    if agreed.kappa is None or agreed.low is None or agreed.high is None:
        kappa = "–"
    else:
        kappa = f"{_.number(agreed.kappa, 2)} ({_pair((agreed.low, agreed.high), _, 1.0, 2)})"
    return {"kappa": kappa, "agreed": agreed.agreed, "n": agreed.n}


def _pictures(
    card: SiteCard, thumbnail_of: ThumbnailOf, _: Catalogue, read_picture: ReadPicture
) -> Iterable[PictureBox]:
    """Show the blasts that the program missed, then the other cells that it called blasts."""
    letters = LETTERS | TYPE_LETTERS
    for key, missed in (("verify.missed", True), ("verify.false", False)):
        errors = [one for one in card.details["errors"] if (one["program"] != "blast") is missed]
        shown = []
        for one in errors[:_MOST_PICTURES]:
            sha256 = thumbnail_of(CellRef(one["field"], one["cell"]))
            jpeg = None if sha256 is None else read_picture(sha256)
            if jpeg is not None:
                said = "/".join(letters[word] for word in one["readers"])
                text = f"{probability_text(_, one['p_blast'])} > {said}"
                shown.append(Picture(jpeg, f"{one['field']}-{one['cell']}", text))
        if errors:
            yield PictureBox(_(key, shown=len(shown), number=len(errors)), tuple(shown))


def _drawing(card: SiteCard, _: Catalogue) -> Iterable[tuple[str, str]]:
    plan = card.details["plan"]
    strata = ", ".join(f"{name}: {own['drawn']}/{own['of']}" for name, own in plan["strata"].items())
    yield _("verify.strata"), strata
    yield _("verify.seed"), str(plan["seed"])


def _binding(card: SiteCard, _: Catalogue) -> Iterable[tuple[str, str]]:
    """Say what the figures hold for."""
    binding, code = card.binding, card.code
    unsaid = _("verify.unsaid")
    calibration = binding.calibration_sha256
    yield _("verify.microscope"), binding.microscope or unsaid
    yield _("verify.stain"), binding.stain or unsaid
    camera = f"{binding.source_kind}, {binding.width} × {binding.height} px"
    if binding.um_per_px is not None:
        camera += f", {_.number(binding.um_per_px, 4)} µm/px"
    yield _("verify.camera"), camera
    yield _("verify.calibration"), _("verify.none") if calibration is None else calibration[:_HASH_DIGITS]
    yield _("verify.model"), f"{binding.model_sha256[:_HASH_DIGITS]}, {binding.card_sha256[:_HASH_DIGITS]}"
    yield (
        _("verify.code"),
        f"{code.code_sha256[:_HASH_DIGITS]}, {code.runtime}, numpy {code.numpy}, opencv {code.opencv}",
    )
