"""A search for few blasts: its limits against SciPy, its end by exact computation, its words everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from edge.bloodlog import BloodLog
from edge.calibration.site import Rate
from edge.classification.card import default_bundle_path, load_bundle
from edge.commands.printing import blast_share
from edge.commands.report import json_text
from edge.counting.sample import OpenSample
from edge.counting.tally import clopper_pearson
from edge.daemon.lines import sample_line
from edge.i18n import catalogue
from edge.results.corrected import KnownErrors
from edge.results.fhir import fhir_bundle
from edge.results.rare import Listing, alone, lower_limit, upper_limit
from edge.results.search import limits, look_cells, missed_share, verdict_of
from edge.results.sheet.html import render_html
from edge.results.sheet.page import make_page
from edge.results.sheet.record import report_record
from edge.results.summary import SampleSummary, summarise
from edge.structures import CellClass, CellRef
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.commands.invoking import blastcount
from tests.edge.results.conftest import cell, result
from tests.tools.search_rule import Laboratory, simulated
from tests.tools.simulated_laboratories import as_errors

#: As the shipped network's card says of ALL-IDB.
ERRORS = KnownErrors(375, 306, 144, 16, "cells of a test", blasts_uncertain=36)
LISTED = (342, 375)
#: What the shipped card says.
SHIPPED = (348, 375)


def ever(quota: int, share: float, limit: tuple[int, ...], *, above: bool) -> float:
    """Exact probability that a count of this share is on one side of its limit at any look."""
    alive, ended, before = np.eye(1, 60)[0], 0.0, 0
    for cells, k in zip(look_cells(quota), limit, strict=True):
        alive = np.convolve(alive, binom.pmf(np.arange(60), cells - before, share))[:60]
        out = np.arange(60) >= k if above else np.arange(60) <= k
        ended, before = ended + float(alive[out].sum()), cells
        alive[out] = 0.0
    return ended


@pytest.mark.parametrize("quota", [500, 1000, 2000])
@pytest.mark.parametrize("listed", [None, LISTED, (50, 60)])
def test_a_search_ends_wrongly_in_five_of_a_hundred_at_most(
    quota: int, listed: tuple[int, int] | None
) -> None:
    """Half a wrong word a search, and the share that must not be missed as far as it is listed at worst."""
    found, bounded = limits(quota, None if listed is None else Listing(*listed, "a test"))
    assert 0.01 < ever(quota, 0.5 / quota, found, above=True) <= 0.05
    least = 1.0 if listed is None else binom_lower(*listed, 0.01)
    missed = ever(quota, least * missed_share(quota), bounded, above=False)
    assert 0.01 < missed <= (0.05 if listed is None else 0.04)
    # Limits that are one more, or one less, do not keep it: the computation would notice.
    assert ever(quota, 0.5 / quota, tuple(k - 1 for k in found), above=True) > 0.05
    assert ever(quota, least * missed_share(quota), tuple(k + 1 for k in bounded), above=False) > 0.05


def binom_lower(k: int, n: int, error: float) -> float:
    """The share at which k or more of n have this probability, by bisection."""
    low, high = 0.0, k / n
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(k - 1, n, middle) < error else (low, middle)
    return low


def test_the_rule_of_three_and_what_is_not_listed() -> None:
    listing = Listing(*LISTED, "a test")
    assert upper_limit(0, 0, 1240, None) == pytest.approx(1 - 0.05 ** (1 / 1240))
    assert f"{100 * upper_limit(0, 0, 1240, None):.2f}" == "0.24"
    expected = (1 - 0.04 ** (1 / 1240)) / binom_lower(*LISTED, 0.01)
    assert upper_limit(0, 0, 1240, listing) == pytest.approx(expected, rel=1e-6)
    assert upper_limit(0, 5, 1240, None) > upper_limit(0, 0, 1240, None)
    assert binom.cdf(3, 1240, upper_limit(3, 0, 1240, None)) == pytest.approx(0.04)
    assert binom.sf(2, 1240, lower_limit(3, 1240)) == pytest.approx(0.01)
    assert upper_limit(0, 0, 0, None) == upper_limit(2, 0, 2, listing) == 1.0


def covered(quota: int, share: float, lower: Callable[[int, int], float]) -> float:
    """Exact probability that the limits hold a share where a search of read cells ends by its rule."""
    found, bounded = limits(quota, None)
    alive, held, step = np.eye(1, 40)[0], 0.0, quota // len(found)
    more = binom.pmf(np.arange(40), step, share)
    for number, cells in enumerate(look_cells(quota)):
        alive = np.convolve(alive, more)[:40]
        for k in np.flatnonzero(alive > 1e-9).tolist():
            if k >= found[number] or k <= bounded[number] or cells == quota:
                held += float(alive[k]) * (lower(k, cells) <= share <= upper_limit(k, 0, cells, None))
                alive[k] = 0.0
    return held


def test_the_limits_hold_for_whoever_stops_by_the_rule() -> None:
    """Around the worst share, 4.03 expected blasts; the usual interval would not keep it."""
    shares = [expected / 2000 for expected in (0.3, 1.0, 2.0, 3.02, 3.5, 4.01, 4.03, 4.92, 6.0, 9.0)]
    assert min(covered(2000, share, lower_limit) for share in shares) > 0.945
    assert min(covered(2000, share, lambda k, n: clopper_pearson(k, n)[0]) for share in shares) < 0.935


@pytest.mark.parametrize("cells", [20, 500, 2000])
def test_what_the_program_tells_by_itself(cells: int) -> None:
    """The limit of blank is the quantile of SciPy's beta-binomial distribution; more calls than it detect."""
    told = alone(ERRORS, cells)
    assert told.blank == betabinom.ppf(0.95, cells, 16.5, 128.5)
    if told.detects is not None:
        rate = told.detects * ERRORS.sensitivity + (1 - told.detects) * (1 - ERRORS.specificity)
        assert binom.cdf(told.blank, cells, rate) == pytest.approx(0.05)
    assert alone(replace(ERRORS, blasts_called=40), cells).detects is None  # no better than chance


def test_looks_are_at_cells_not_at_moments() -> None:
    """Two early blasts end the search for good; what waits ends nothing as bounded; words can change that."""
    none, one, two = [False] * 2000, [True] + [False] * 1999, [True] * 2 + [False] * 1998

    def said(confirmed: list[bool], waits: list[bool] = none, *, is_known: bool = True) -> object:
        return verdict_of(confirmed, waits[: len(confirmed)], 2000, None, is_known=is_known)

    assert said([]) == said(none[:99]) == ("count_on", None)
    assert said(two[:99]) == ("count_on", None)
    assert said(two[:100]) == said(two) == ("found", 100)
    assert said(none[:1499]) == ("count_on", None)
    assert said(none[:1500]) == said(none) == ("bounded", 1500)
    assert said(one[:1999]) == ("count_on", None)
    assert said(one) == said(none, one) == ("bounded", 2000)
    assert said(none, two) == ("asks", None)
    assert said(none[:1500], two) == ("count_on", None)
    assert said(none, is_known=False) == ("open", None)
    late = [False] * 1600 + [True] * 2 + [False] * 398
    assert said(late) == ("open", None), "what was bounded is no more"


def test_the_figures_of_the_pages() -> None:
    """What method.md and clinic.md say of the shipped network, from its card."""
    errors = KnownErrors.of_evaluation(dict(load_bundle(default_bundle_path()).card.sections["evaluation"]))
    assert errors is not None
    assert (errors.blasts_listed, errors.blasts) == SHIPPED
    assert f"{100 * binom_lower(*SHIPPED, 0.01):.1f}" == "89.1"
    told = alone(errors, 2000)
    assert (told.blank, f"{100 * (told.detects or 1):.1f}") == (339, "8.7")
    assert f"{100 * upper_limit(0, 0, 1240, Listing(*SHIPPED, '')):.2f}" == "0.29"
    for quota in (500, 1000, 2000):
        found, read = limits(quota, None)
        listed = limits(quota, Listing(*SHIPPED, ""))[1]
        assert [look_cells(quota)[k.index(0)] / quota for k in (read, listed)] == [0.75, 0.85]
        assert look_cells(quota)[found.count(2) - 1] == 0.45 * quota
        assert 0.029 < ever(quota, 0.5 / quota, found, above=True) < 0.0305
        assert 0.0475 < ever(quota, missed_share(quota), read, above=False) < 0.0495


def test_a_few_simulated_laboratories() -> None:
    """The slow figures are those of `python -m tests.tools.search_rule`; these are quick."""
    lab = Laboratory(quota=500, share=missed_share(500), listed=0.85, tested=40, false_words=0.0)
    ended = simulated(lab, draws=60, seed=3)
    assert ended["bounded"] <= 0.15
    assert ended["covered"] >= 0.85
    assert simulated(replace(lab, share=0.0), draws=30, seed=3)["bounded"] > 0.5
    wrong = simulated(replace(lab, share=4 * missed_share(500)), draws=30, seed=3)
    assert wrong["found"] > 0.9


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    """Log of a search of 500 cells in five fields: three called blast, two uncertain, no word yet."""
    path = tmp_path / "log.db"
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-0142", "blood", 500, search=True)
        for number in range(1, 6):
            kinds: list[tuple[CellClass, float]] = [("normal", 0.1)] * 100
            if number == 2:
                kinds[:5] = [
                    ("blast", 0.8),
                    ("blast", 0.95),
                    ("uncertain", 0.5),
                    ("blast", 0.7),
                    ("uncertain", 0.6),
                ]
            cells = tuple(cell(at, label, p) for at, (label, p) in enumerate(kinds, start=1))
            log.append(result(number, cells), **PROVENANCE, sample_id=sample.id)
    return path


def say(path: Path, words: Mapping[int, str], who: str = "Ani") -> None:
    with BloodLog.open(path) as log:
        log.add_reviews({CellRef(2, number): word for number, word in words.items()}, who)


def summed(path: Path, errors: KnownErrors | None = ERRORS) -> SampleSummary:
    with BloodLog.open(path, read_only=True) as log:
        return summarise(log, log.sample("S-0142"), lambda _model: errors)


def test_words_on_candidates_make_the_result(searched: Path) -> None:
    before = summed(searched).search
    assert before is not None
    assert (before.cells, before.listed, before.confirmed, before.waiting) == (500, 5, 0, 5)
    assert before.high == upper_limit(0, 5, 500, Listing(*LISTED, "cells of a test"))
    say(searched, {1: "normal", 2: "normal", 3: "not_a_cell", 4: "erythroblast"})
    some = summed(searched).search
    assert some is not None
    assert (some.cells, some.listed, some.waiting) == (498, 3, 1), "two are no white cells by people's words"
    say(searched, {5: "normal"})
    say(searched, {3: "normal", 4: "normal"})
    none = summed(searched).search
    assert none is not None
    assert (none.cells, none.waiting, none.verdict, none.decided_at) == (500, 0, "bounded", 425)
    assert summed(searched, None).search.verdict == "open", "it is not known what is not listed"  # type: ignore[union-attr]
    say(searched, {1: "blast", 2: "blast"})
    found = summed(searched).search
    assert found is not None
    assert (found.confirmed, found.verdict, found.decided_at) == (2, "found", 125)
    say(searched, {1: "normal"}, who="Budi")
    differs = summed(searched).search
    assert differs is not None
    assert (differs.confirmed, differs.waiting) == (1, 1), "a cell on which readers differ waits"


def test_who_looks_at_every_cell_depends_on_no_list(searched: Path) -> None:
    with BloodLog.open(searched) as log:
        for field in range(1, 6):
            log.add_reviews({CellRef(field, number): "normal" for number in range(1, 101)}, "Ani")
    read = summed(searched).search
    assert read is not None
    assert read.is_read
    assert read.listing is None
    assert read.high == read.unlisted_high == upper_limit(0, 0, 500, None)
    assert (read.verdict, read.decided_at) == ("bounded", 375)


def test_figures_of_this_laboratory_go_before_the_factorys(searched: Path) -> None:
    """Of independent cells that say as much as those that were drawn there; none listed is not known."""
    here = as_errors(Rate(0.9, 0.8, 0.95, 120, 80.5), Rate(0.99, 0.97, 1.0, 300, 200.0))
    assert Listing.of(here) == Listing(72, 80, "")
    assert Listing.of(replace(ERRORS, blasts_called=0, blasts_uncertain=0)) is None
    say(searched, {1: "normal"})
    for code, words in (("en", "72 of 80"), ("id", "72 dari 80")):
        note = make_page(summed(searched, here), catalogue(code), lambda _sha256: None).notes[0]
        assert words in note
        assert catalogue(code)("site.source") in note


@pytest.mark.parametrize(
    ("language", "limit", "decided"), [("en", "0.74 %", "1.00 %"), ("id", "0,74 %", "1,00 %")]
)
def test_page_sheet_record_and_bundle_say_so(searched: Path, language: str, limit: str, decided: str) -> None:
    say(searched, dict.fromkeys(range(1, 6), "normal"))
    summary = summed(searched)
    _ = catalogue(language)
    page = make_page(summary, _, lambda _sha256: None)
    assert limit in page.banners[0]
    assert decided in page.banners[0]
    assert "342" in page.notes[0]
    assert "0.60 %".replace(".", _("format.decimal")) in page.notes[0], "the limit if all were listed"
    assert "144" in page.notes[1]
    assert page.banners[0] in render_html(page)
    assert not any("20 %" in note for note in page.notes[:2]), "the line of 20 % is no question of a search"


def test_record_and_bundle(searched: Path) -> None:
    say(searched, dict.fromkeys(range(1, 6), "normal"))
    bundle = json.loads(json_text(fhir_bundle(summed(searched))))
    (found,) = (
        entry["resource"]
        for entry in bundle["entry"]
        if "searched" in entry["resource"].get("code", {}).get("text", "")
    )
    assert found["valueQuantity"] == {
        "value": 0.74, "comparator": "<", "unit": "%", "system": "http://unitsofmeasure.org", "code": "%",
    }  # fmt: skip
    say(searched, {1: "blast"})
    bundle = json.loads(json_text(fhir_bundle(summed(searched))))
    values = [entry["resource"].get("valueQuantity", {}) for entry in bundle["entry"]]
    assert 0.2 in [value.get("value") for value in values]
    assert not any("comparator" in value for value in values)


def resources(summary: SampleSummary) -> dict[str, dict[str, Any]]:
    """Observations of a bundle by their texts."""
    entries = [entry["resource"] for entry in fhir_bundle(summary)["entry"]]
    return {one["code"]["text"]: one for one in entries if one["resourceType"] == "Observation"}


@pytest.mark.parametrize("language", ["en", "id"])
def test_before_anybody_has_looked_there_is_no_result(searched: Path, language: str) -> None:
    summary = summed(searched)
    _ = catalogue(language)
    page = make_page(summary, _, lambda _sha256: None)
    assert page.banners[0].startswith(_("search.unread", cells=500))
    assert _("search.waiting", waiting=5) in page.banners[0]
    assert _("report.nobody") not in page.banners
    assert not re.search(r"\d %", page.banners[0]), "no limit"
    assert page.bars == ()
    (found,) = (one for text, one in resources(summary).items() if "searched" in text)
    assert "valueQuantity" not in found
    assert found["dataAbsentReason"] == {"text": catalogue()("search.unread", cells=500)}
    assert not any("valueRange" in part for part in found["component"])
    record = report_record(summary)["search"]
    assert (record["ci95"], record["looked_at"], record["waiting"]) == (None, 0, 5)
    program = report_record(summary)["program"]
    assert (program["blast_fraction"], program["ci95"]) == (None, None), "what has no share has no limits"
    assert "Nobody has looked yet" in record["text"]
    say(searched, {1: "normal"})
    some = summed(searched)
    assert report_record(some)["search"]["ci95"] == [0.0, some.search.high]  # type: ignore[union-attr]


def test_where_the_program_lists_none_nobody_is_asked(searched: Path) -> None:
    with BloodLog.open(searched) as log:
        log.change_sample("S-0142", "closed")
        sample = log.open_sample("S-0143", "blood", 500, search=True)
        cells = tuple(cell(at, "normal", 0.1) for at in range(1, 501))
        log.append(result(6, cells), **PROVENANCE, sample_id=sample.id)
        known, unknown = (summarise(log, sample, lambda _model, e=e: e) for e in (ERRORS, None))
    assert known.search is not None
    assert unknown.search is not None
    assert (known.search.verdict, known.search.has_result) == ("bounded", True)
    said = make_page(known, catalogue(), lambda _sha256: None).banners[0]
    assert said.startswith("The program lists none of 500 cells, so that nobody is asked: fewer than 0.74 %")
    assert not unknown.search.has_result, "it is not known how many it leaves off"


def test_a_search_shows_no_share_but_its_own(tmp_path: Path, searched: Path) -> None:
    """Neither the program's 3 of 500, nor that one corrected, nor the mixed one, nor one of candidates."""
    say(searched, {1: "blast", 2: "normal"})
    summary = summed(searched)
    assert (summary.program.blasts, summary.program.blast_fraction) == (3, None)
    assert (summary.corrected, summary.reviewed) == (None, None)
    for language in ("en", "id"):
        _ = catalogue(language)
        html = render_html(make_page(summary, _, lambda _sha256: None))
        assert _.percent(1 / 500, 2) in html
        assert not re.search(r"0[.,]6 %|50[.,]0 %", html.replace(_("report.denominator_classified"), ""))
        assert _("report.not_corrected") not in html
    record = report_record(summary)
    assert (record["program"]["blasts"], record["program"]["blast_fraction"]) == (3, None)
    assert (record["corrected"], record["reviewed"]) == (None, None)
    assert record["observers"][0]["blast_fraction"] is None
    assert [record["stop"][key] for key in ("line", "advice", "more_cells")] == [None] * 3
    found = resources(summary)
    assert not any("corrected" in text for text in found)
    values = {text: one["valueQuantity"]["value"] for text, one in found.items() if "valueQuantity" in one}
    assert [*values.values()] == [0.2], values
    (program,) = (one for text, one in found.items() if text.endswith(", by program"))
    assert "only people's words count" in program["dataAbsentReason"]["text"]
    assert "coding" not in program["code"]
    shown = blastcount("sample", "list", "--log", searched).stdout
    assert "search: So far people called 1 of 500 cells a blast: 0.20 %" in shown
    assert "0.6 %" not in shown
    listed = json.loads(blastcount("sample", "list", "--json", "--log", searched).stdout)
    assert {"blasts": 3, "confirmed": 1, "waiting": 3, "search": True}.items() <= listed.items()


def test_the_status_and_the_table_of_files_show_no_share_of_a_search(searched: Path) -> None:
    with BloodLog.open(searched) as log:
        sample = OpenSample(log, log.sample("S-0142"), None)
        sample.catch_up()
        status = sample.status()
    assert (status["blasts"], status["blast_fraction"], status["search"]) == (3, None, True)
    line = sample_line(status)
    assert "blastcount sample show S-0142" in line
    assert "%" not in line
    text = blast_share(summed(searched).program)
    assert text.startswith("called blast: 3 of 500 whole white cells;")
    assert "%" not in text


def test_who_has_read_every_cell_of_a_search_has_a_share(searched: Path) -> None:
    with BloodLog.open(searched) as log:
        for field in range(1, 6):
            words = {CellRef(field, number): "normal" for number in range(1, 101)}
            log.add_reviews(words | {CellRef(1, 1): "blast"}, "Ani")
    summary = summed(searched)
    assert [count.tally.blast_fraction for count in summary.observers] == [1 / 500]
    assert [bar.label for bar in make_page(summary, catalogue(), lambda _sha256: None).bars] == ["Ani"]


def test_on_the_terminal(tmp_path: Path, searched: Path) -> None:
    log = tmp_path / "new.db"
    page = (Path(__file__).resolve().parents[3] / "docs/clinic.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`blastcount (sample open --id \S+ --search 1000)`", page)
    assert "to search" in blastcount(*command.split(), "--log", log).stdout
    blastcount("sample", "close", "S-0143", "--yes", "--log", log)
    opened = blastcount("sample", "open", "--id", "S-1", "--search", "--json", "--log", log)
    assert {"quota": 1000, "search": True}.items() <= json.loads(opened.stdout).items()
    blastcount("sample", "close", "S-1", "--yes", "--log", log)
    usual = blastcount("sample", "open", "--id", "S-2", "--json", "--log", log)
    assert "search" not in json.loads(usual.stdout)
    both = blastcount("sample", "open", "--id", "S-3", "--search", "500", "--quota", "100", "--log", log)
    assert both.exit_code == 2
    assert "leave --quota out" in both.stderr
    shown = blastcount("sample", "show", "--log", searched)
    assert "2-2 0.95, 2-1 0.80, 2-4 0.70, 2-5 0.60, 2-3 0.50" in shown.stdout
    said = json.loads(blastcount("sample", "show", "--json", "--log", searched).stdout)["search"]
    assert (said["verdict"], said["waiting"], said["listing"]) == ("asks", 5, None)
    assert "search" not in json.loads(blastcount("sample", "show", "S-2", "--json", "--log", log).stdout)
