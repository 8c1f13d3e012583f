"""How the status reads in lines of text, for systemd and for a shell that waits for no image library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge.device.printable import number_of
from edge.i18n import Catalogue, catalogue
from edge.results.texts import commonest_first, reason_text, warning_text


def counts_line(counts: Mapping[str, int], text: Callable[[Catalogue, str], str]) -> str:
    """List how many of what there are, the commonest first.

    Examples
    --------
    >>> counts_line({"blank": 1, "out_of_focus": 2}, reason_text)
    '2 out of focus, 1 blank'
    """
    return ", ".join(f"{counts[name]} {text(catalogue(), name)}" for name in commonest_first(counts))


def sample_line(sample: Mapping[str, Any]) -> str:
    """Say how the open sample stands, in the same words and figures wherever it is said.

    Parameters
    ----------
    sample : of the status
    """
    slide = sample.get("control_slide")
    what = sample["specimen"] if slide is None else f"run of control slide {slide}"
    head = f"{sample['name']} ({what}):"
    if sample["resuming"] is not None:
        return f"{head} resuming {sample['resuming']['fields']} of {sample['resuming']['of']} fields"
    cells = f"{sample['wbc']} of {sample['quota']} cells"
    parts = [f"quota reached, close {sample['name']} ({cells})" if sample["quota_reached"] else cells]
    if slide is not None:
        parts = [number_of(sample["wbc"], "cell")]
    if (share := sample["blast_fraction"]) is not None:
        # The configured custom where it is not the usual one, of which older programs do not speak.
        custom = sample.get("denominator", "classified")
        of = "" if custom == "classified" else f" {catalogue()(f'counted_cells.{custom}')}"
        parts.append(
            f"{sample['blasts']} of {sample['wbc']}{of} look like blasts, {100 * share:.1f} %, "
            f"95 % interval {100 * sample['ci_low']:.1f} to {100 * sample['ci_high']:.1f} %"
        )
    elif sample.get("search"):
        parts.append(f"a search: what people have found says `blastcount sample show {sample['name']}`")
    fields = f"{number_of(sample['fields'], 'field')} counted"
    if sample["rejected"]:
        why = counts_line(sample["rejected_by_reason"], reason_text)
        fields += f", {sample['rejected']} rejected ({why})"
    return f"{head} {'; '.join([*parts, fields])}"


def status_line(status: Mapping[str, Any]) -> str:
    """Say in one line what ``systemctl status`` shows.

    Parameters
    ----------
    status : as in ``blastcount status --json``
    """
    camera, fields, sample = status["camera"], status["fields"], status["sample"]
    if status["state"] == "no_camera":
        failure = camera["last_failure"]
        return f"waiting for the camera, failure {camera['failures_in_a_row']} in a row: {failure['message']}"
    head = f"not counting: {status['problem']}" if status["problem"] else f"counting from {status['source']}"
    rejected = counts_line(fields["rejected_by_reason"], reason_text)
    warned = counts_line(fields["by_warning"], warning_text)
    parts = [
        f"{head}: {number_of(fields['logged'], 'field')} logged, {fields['rejected']} of them rejected"
        + (f" ({rejected})" if rejected else "")
        + (f", {fields['warned']} with a warning ({warned})" if warned else ""),
        f"{camera['failures']} camera failures",
    ]
    if sample is not None:
        parts.append(f"sample {sample_line(sample)}")
    if alarms := (status.get("qc") or {}).get("alarms"):
        parts.append(f"quality control: {'; '.join(alarm['text'] for alarm in alarms)}")
    return "; ".join(parts)
