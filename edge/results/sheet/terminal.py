"""The report as lines on a terminal, and the list of samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge.bloodlog import Sample
from edge.device.printable import printable
from edge.i18n import Catalogue, catalogue
from edge.results.search import Search, waiting_candidates
from edge.results.sheet.kinds import DifferentialTable
from edge.results.sheet.page import Page
from edge.results.stopping import REFERENCE_LINES
from edge.results.summary import SampleSummary
from edge.results.texts import found_text, probability_text
from edge.structures import Tally

#: Characters that 0 to 100 % take.
_BAR_WIDTH = 60
#: Candidates of a search that are listed.
_MOST_CANDIDATES = 20


def interval_bar(share: float, low: float, high: float, width: int = _BAR_WIDTH) -> str:
    """Draw a share and its interval between 0 and 100 %, with the reference lines, in ASCII.

    Examples
    --------
    >>> interval_bar(0.5, 0.4, 0.65, 20)
    '[....||..==O===.......]'
    """
    cells = ["."] * (width + 1)
    for line in REFERENCE_LINES:
        cells[round(line * width)] = "|"
    for at in range(round(low * width), round(high * width) + 1):
        cells[at] = "="
    cells[round(share * width)] = "O"
    return f"[{''.join(cells)}]"


def sample_lines(page: Page) -> Iterable[str]:
    """Lay the report out as lines of text, pictures left out."""
    yield page.title
    yield from _facts(page.sample)
    yield ""
    if page.banners:
        yield from map(printable, page.banners)
        yield ""
    names = max(len(row[0]) for row in page.rows)
    for row in (page.columns, *page.rows):
        cells = "  ".join(
            f"{value:>{len(column)}}" for value, column in zip(row[1:], page.columns[1:], strict=True)
        )
        yield printable(f"{row[0]:{names}}  {cells}")
    yield ""
    for bar in page.bars:
        yield printable(f"{bar.label}: {bar.text}")
        yield interval_bar(bar.share, bar.low, bar.high)
    if page.differential is not None:
        yield from _differential_lines(page.differential)
    yield from page.notes
    yield ""
    yield from _facts((*page.quality, *page.origin))
    yield from _facts((box.label, text) for box in page.signatures for text in box.signed)
    yield page.warning if page.drawn is None else f"{page.warning} {page.drawn}"


def candidate_lines(summary: SampleSummary, _: Catalogue) -> Iterable[str]:
    """List the candidates of a search that nobody has a word on, the likeliest first."""
    waiting = waiting_candidates(summary.reading)
    if summary.search is None or not waiting:
        return
    shown = ", ".join(
        f"{cell.ref.field_id}-{cell.ref.cell_id} {probability_text(_, cell.found.p_blast or 0.0)}"
        for cell in waiting[:_MOST_CANDIDATES]
    )
    if len(waiting) > _MOST_CANDIDATES:
        shown += " " + _("search.more", number=len(waiting) - _MOST_CANDIDATES)
    yield _("search.list", cells=shown)


def _differential_lines(table: DifferentialTable) -> Iterable[str]:
    yield ""
    yield printable(table.title)
    labels = [label for label, _counts in table.rows]
    names = max(map(len, table.kinds))
    width = 28  # of "1234  100.0 % (100.0–100.0)"
    yield printable(" " * names + "".join(f"  {label:>{width}}" for label in labels))
    for number, kind in enumerate(table.kinds):
        cells = (counts[number] for _label, counts in table.rows)
        texts = ("–" if c is None else f"{c.k}  {c.share:>7} {f'({c.interval})':>13}" for c in cells)
        yield printable(f"{kind:{names}}" + "".join(f"  {text:>{width}}" for text in texts))
    yield from map(printable, table.notes)
    yield ""


def _facts(facts: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (printable(f"{name}: {value}") for name, value in facts)


def list_lines(counted: Sequence[tuple[Sample, Tally]], searches: Mapping[int, Search]) -> Iterable[str]:
    """Write a table of samples with what the program counted in each, or people found in a search.

    Parameters
    ----------
    counted : samples with the program's tally
    searches : by number of the sample that is searched
    """
    if not counted:
        yield "no sample has been opened yet; `blastcount sample open --id ID` opens one"
        return
    width = max(len("sample"), *(len(printable(sample.name)) for sample, _program in counted))
    yield f"{'sample':{width}}  specimen  state   opened (UTC)       cells   quota  blasts  interval"
    for sample, program in counted:
        share, specimen, quota = "no cells", str(sample.specimen), str(sample.quota)
        if sample.slide is not None:
            share, specimen, quota = f"run of control slide {printable(sample.slide)}", "control", "-"
        elif sample.search:
            share = f"search: {found_text(catalogue(), searches[sample.id])}"
        elif program.blast_fraction is not None:
            low, high = 100 * program.ci_low, 100 * program.ci_high
            share = f"{100 * program.blast_fraction:5.1f} %  {low:.1f} to {high:.1f} %"
            if program.denominator != "classified":
                share += f" of {catalogue()(f'counted_cells.{program.denominator}')}"
        state = "open" if sample.is_open else "closed"
        kept = "  kept" if sample.kept else ""
        opened = f"{sample.opened_at:%Y-%m-%d %H:%M}"
        yield (
            f"{printable(sample.name):{width}}  {specimen:8}  {state:6}  {opened}  "
            f"{program.wbc:6}  {quota:>6}  {share}{kept}"
        )
