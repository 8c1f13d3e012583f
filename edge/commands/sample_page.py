"""A sample's result on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.device.printable import printable
from edge.i18n import catalogue
from edge.results.stopping import REFERENCE_LINES
from edge.results.summary import SampleSummary
from edge.results.texts import reason_text, stop_text

#: Characters that 0 to 100 % take.
_BAR_WIDTH = 60
_NAME_WIDTH = 22


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


def sample_lines(summary: SampleSummary) -> Iterable[str]:
    """Write the page of one sample."""
    sample, program, _ = summary.sample, summary.program, catalogue()
    state = "open" if sample.closed_at is None else f"closed {sample.closed_at:%Y-%m-%d %H:%M} UTC"
    yield f"sample {printable(sample.name)}, {_(f'specimen.{sample.specimen}')}, {state}"
    yield f"opened {sample.opened_at:%Y-%m-%d %H:%M} UTC, {program.wbc} of {sample.quota} white cells counted"
    yield ""
    yield f"{'':{_NAME_WIDTH}} blasts normal uncertain smudge  n"
    yield (
        f"{'program':{_NAME_WIDTH}} {program.blasts:6} {program.normal:6} {program.uncertain:9} "
        f"{program.smudges:6}  {program.wbc}"
    )
    if summary.reviewed is not None:
        said = summary.reviewed
        yield (
            f"{'after people' + chr(39) + 's words':{_NAME_WIDTH}} {said.blasts:6} {said.normal:6} "
            f"{said.uncertain:9} {said.smudges:6}  {said.wbc}"
        )
    for count in summary.observers:
        unread = f", {count.unread} not looked at" if count.unread else ""
        own = count.tally
        yield (
            f"{printable(count.observer)[:_NAME_WIDTH]:{_NAME_WIDTH}} {own.blasts:6} {own.normal:6} "
            f"{'-':>9} {own.smudges:6}  {own.wbc}{unread}"
        )
    yield ""
    yield from _shares(summary)
    yield stop_text(_, summary.stopping)
    both = summary.agreement
    if both is not None and both.kappa is not None and both.low is not None and both.high is not None:
        yield f"kappa {both.kappa:.2f} (95 % interval {both.low:.2f} to {both.high:.2f}), n = {both.n}"
    yield ""
    yield f"fields: {program.fields} counted, {program.rejected} rejected"
    for reason, number in sorted(summary.rejected.items()):
        yield f"  {reason_text(_, reason)}: {number}"
    for made in summary.provenance:
        model = f"{printable(made.model.name)} {made.model.sha256[:12]}"
        yield f"model {model}, {made.runtime}, blastcount {made.software_version}"
    yield "For research use only; not for diagnosis."


def _shares(summary: SampleSummary) -> Iterable[str]:
    program, corrected = summary.program, summary.corrected
    if program.blast_fraction is None:
        yield "no whole white cell was counted, so there is no share to report (n = 0)"
        return
    yield f"0 %{'20 25':>14}{'100 %':>{_BAR_WIDTH - 12}}"
    yield interval_bar(program.blast_fraction, program.ci_low, program.ci_high)
    yield (
        f"blasts {100 * program.blast_fraction:.1f} % (exact 95 % interval {100 * program.ci_low:.1f} to "
        f"{100 * program.ci_high:.1f} %, n = {program.wbc})"
    )
    if corrected is None:
        yield "corrected for the classifier's known error: not available, its card has no such figures"
        return
    yield interval_bar(corrected.share, corrected.low, corrected.high)
    words = "" if corrected.informative else "; it means little, the classifier tells the classes too poorly"
    yield (
        f"corrected for the classifier's known error: {100 * corrected.share:.1f} % (95 % interval "
        f"{100 * corrected.low:.1f} to {100 * corrected.high:.1f} %){words}"
    )


def list_lines(summaries: Sequence[SampleSummary]) -> Iterable[str]:
    """Write a table of samples."""
    if not summaries:
        yield "no sample has been opened yet; `blastcount sample open --id ID` opens one"
        return
    width = max(len(printable(summary.sample.name)) for summary in summaries)
    width = max(width, len("sample"))
    yield f"{'sample':{width}}  specimen  state   opened (UTC)       cells   quota  blasts  interval"
    for summary in summaries:
        sample, program = summary.sample, summary.program
        share = "no cells"
        if program.blast_fraction is not None:
            low, high = 100 * program.ci_low, 100 * program.ci_high
            share = f"{100 * program.blast_fraction:5.1f} %  {low:.1f} to {high:.1f} %"
        state = "open" if sample.is_open else "closed"
        kept = "  kept" if sample.kept else ""
        opened = f"{sample.opened_at:%Y-%m-%d %H:%M}"
        yield (
            f"{printable(sample.name):{width}}  {sample.specimen:8}  {state:6}  {opened}  "
            f"{program.wbc:6}  {sample.quota:6}  {share}{kept}"
        )
