"""The JSON of a run as Markdown, which a terminal shows as well as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge.bench.baseline import Change
from edge.bench.path import GLUE
from edge.bench.profile import KINDS

_PERCENTILES = ("p5", "p50", "p90", "p99")


def markdown(document: Mapping[str, Any], changes: Sequence[Change] | None = None) -> str:
    """Render a run.

    Parameters
    ----------
    document : of schema ``blastcount.bench/1``
    changes : comparison with a baseline, where there was one

    Returns
    -------
    Markdown that ends in a newline
    """
    parts = [
        _head(document),
        _path(document),
        _network(document),
        _ratios(document),
        _process(document),
        _profile(document),
        _condition(document),
    ]
    if changes is not None:
        parts.append(_changes(changes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(document: Mapping[str, Any]) -> str:
    machine, model, fields = document["machine"], document["model"], document["fields"]
    cells = [field["white_cells"] for field in fields]
    sizes = sorted({f"{field['width']}×{field['height']}" for field in fields})
    kind = "rendered fields (drawn by this program)" if fields[0]["rendered"] else "fields"
    rounds, warmup = document["settings"]["repeat"], document["settings"]["warmup_rounds"]
    lines = [
        "# blastcount bench",
        "",
        f"{len(fields)} {kind} of {', '.join(sizes)} px with {_range(cells)} white cells; "
        f"{rounds} rounds in turn after {warmup} of warm-up; "
        f"{document['created_at']}.",
        "",
        f"- machine: {machine['board'] or machine['processor']}, {machine['cores']} cores for this process, "
        f"{machine['memory_mb'] / 1000:.1f} GB, {machine['architecture']}, kernel {machine['kernel']}",
        f"- software: {', '.join(f'{name} {version}' for name, version in document['software'].items())}",
        f"- model: {model['name']}, {model['file_bytes'] / 1000:.0f} kB, sha256 {model['sha256']}",
    ]
    rejected = [field["file"] for field in fields if field["status"] == "rejected"]
    if rejected:
        lines.append(f"- **rejected, so that their later stages cost nothing: {', '.join(rejected)}**")
    return "\n".join(lines)


def _path(document: Mapping[str, Any]) -> str:
    parts = []
    for path in document["path"]:
        rows = [
            [stage, *_milliseconds(figures), f"{100 * figures['share']:.1f} %"]
            for stage, figures in path["stages"].items()
        ]
        rows.append([" + ".join(GLUE), *_milliseconds(path["glue_ms"]), ""])
        rows.append(["**whole field**", *_milliseconds(path["ms"]), ""])
        parts.append(
            f"## Whole path, {_threads(path['threads'])}: {path['fields_per_s']:.2f} fields/s, "
            f"{path['cells_per_s']:.0f} cells/s\n\n"
            + _table(["ms a field", *_PERCENTILES, "share"], rows)
            + f"\n\nn = {path['ms']['n']}. hash is the SHA-256 of the pixels and the making of the result."
        )
    return "\n\n".join(parts)


def _network(document: Mapping[str, Any]) -> str:
    rows = [
        [
            row["version"],
            str(row["threads"]),
            str(row["batch"]),
            *_milliseconds(row["ms"]),
            f"{row['cells_per_s']:.0f}",
        ]
        for row in document["network"]
    ]
    text = "## Network alone\n\n" + _table(["engine", "threads", "batch", *_PERCENTILES, "cells/s"], rows)
    text += f"\n\nms a batch, n = {document['settings']['repeat']} each."
    for missing in document["engines_missing"]:
        text += f"\n\nNot measured: {missing['engine']} ({missing['reason']})."
    return text


def _ratios(document: Mapping[str, Any]) -> str:
    if not document["ratios"]:
        return ""
    rows = [
        [
            f"{row['engine']} / {row['other']}",
            str(row["batch"]),
            f"{row['p5']:.3f}",
            f"{row['p50']:.3f}",
            f"{1 / row['p5']:.1f} ×",
        ]
        for row in document["ratios"]
    ]
    first = document["ratios"][0]
    return (
        f"## Engines compared, {_threads(first['threads'])}\n\n"
        + _table(["time of one / time of the other", "batch", "p5", "p50", "faster (p5)"], rows)
        + "\n\nThe same crops, in turn in one run."
    )


def _process(document: Mapping[str, Any]) -> str:
    start, memory = document["cold_start_ms"], document["memory"]
    rows = [
        ["start of the process to the first count, ms", *_milliseconds(start["first_count"])],
        ["of that, imports, ms", *_milliseconds(start["imports"])],
    ]
    return (
        "## Fresh processes\n\n"
        + _table(["", *_PERCENTILES], rows)
        + f"\n\nn = {start['first_count']['n']} each, files in the page cache. "
        "Peak resident memory (1 MB = 10^6 bytes): "
        f"classifier alone {memory['classifier_peak_mb']:.0f} MB, whole path "
        f"{memory['path_peak_mb']:.0f} MB; resident after the first round "
        f"{memory['path_after_first_round_mb']:.0f} MB, after the last "
        f"{memory['path_after_last_round_mb']:.0f} MB."
    )


def _profile(document: Mapping[str, Any]) -> str:
    found = document["profile"]
    if isinstance(found, str):
        return f"## Time by kind of code\n\n{found}."
    rows = [
        [KINDS[kind], f"{100 * share:.1f} %"]
        for kind, share in sorted(found["shares"].items(), key=lambda item: -item[1])
    ]
    low, high = (100 * limit for limit in found["python_ci95"])
    return (
        "## Time by kind of code\n\n"
        + _table(["whole path, user mode", "share"], rows)
        + f"\n\nn = {found['samples']} samples of the instruction pointer, one a millisecond, in a run of "
        f"its own. 95 % interval of Python's share: {low:.1f} to {high:.1f} %."
    )


def _condition(document: Mapping[str, Any]) -> str:
    rows = [
        [key.replace("_", " "), *(_state(document["condition"][when][key]) for when in ("before", "after"))]
        for key in ("temperatures_c", "throttled", "load_1min")
    ]
    energy = document["energy"]
    said = (
        f"energy: {energy}"
        if isinstance(energy, str)
        else f"energy of a field: {energy['field_j']:.2f} J at {energy['load_w']:.2f} W "
        f"({energy['idle_w']:.2f} W idle), behind the power chip, n = {energy['readings']}"
    )
    return f"## Condition of the machine\n\n{_table(['', 'before', 'after'], rows)}\n\n{said}."


def _changes(changes: Sequence[Change]) -> str:
    rows = [
        [
            c.series,
            f"{c.ratio:.3f}",
            f"{c.low:.3f}",
            f"{1 + c.tolerance:.3f}",
            "**slower**" if c.slower else "–",
        ]
        for c in changes
    ]
    return "## Against the baseline\n\n" + _table(["series", "now / before", "at least", "passes", ""], rows)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table with aligned columns: names to the left, figures to the right."""
    lines = [list(titles), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(titles))]
    aligned = [
        "| "
        + " | ".join(
            c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([aligned[0], rule, *aligned[1:]])


def _milliseconds(summary: Mapping[str, float]) -> list[str]:
    return [f"{summary[key]:.2f}" for key in _PERCENTILES]


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _state(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {figure:.1f}" for name, figure in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
