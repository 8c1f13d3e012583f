"""The parity report as one page of HTML: no network, no scripts, plots and pictures inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from convert.plots import delta_histogram, layer_bars, scatter
from edge.errors import OutputError

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2em auto;padding:0 1.2em}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.15em;margin:2.2em 0 .5em;border-bottom:1px solid #ddd}
p{max-width:52em}.note{color:#666;font-size:.9em}
.verdict{display:inline-block;padding:.3em .9em;border-radius:4px;font-weight:600;color:#fff}
.ok{background:#1b7837}.no{background:#b2182b}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.82em;font-variant-numeric:tabular-nums}
th,td{padding:.28em .55em;text-align:right;border-bottom:1px solid #eee;white-space:nowrap}
th{border-bottom:1px solid #999;vertical-align:bottom;font-weight:600}
td:first-child,th:first-child,td.l,th.l{text-align:left}
tr.judged{background:#eef4fb}tr.refused td{color:#b2182b;font-weight:600}tr.open td{color:#777}
.ci{color:#777;font-size:.88em}.plots{display:flex;flex-wrap:wrap;gap:1em}
.plots>div{flex:1 1 440px;max-width:620px}.plots svg{width:100%;height:auto}
.cells{display:flex;flex-wrap:wrap;gap:1em}
figure{margin:0;width:160px;font-size:.8em}
figure img{width:160px;image-rendering:pixelated;border:1px solid #ccc}
code{font-size:.85em;word-break:break-all}
"""
_NARROW = (
    " This recipe clips sure logits on purpose, beyond what an int8 probability can tell: "
    "a low ratio of the last dense layer is no fault, the softmax behind it counts."
)
Row = dict[str, Any]


def write_report(report: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write a report's JSON and its page.

    Parameters
    ----------
    report : from :func:`convert.report.collect`
    folder : made where it does not exist; an earlier report of the same name is replaced

    Returns
    -------
    tuple of Path
        NAME.parity.html and NAME.parity.json.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    html, data = (folder / f"{report['name']}.parity.{suffix}" for suffix in ("html", "json"))
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data.write_text(text, encoding="utf-8")
        html.write_text(render(json.loads(text)), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); give another folder with --report"
        ) from error
    return html, data


def render(report: dict[str, Any]) -> str:
    """Draw the page from the JSON.

    Parameters
    ----------
    report : from :func:`convert.report.collect`

    Returns
    -------
    str
        HTML.
    """
    verdict, parity, recipe = report["verdict"], report["crops"]["parity"], report["recipe"]
    sections = [
        f"<h1>Parity report: {escape(report['name'])}</h1>",
        f'<p class="verdict {"ok" if verdict["passed"] else "no"}">{escape(verdict["headline"])}</p>',
        f"<p>Recipe <b>{escape(recipe['name'])}</b>, judged on <b>{parity['n']}</b> held-out crops "
        f"({_or_unknown(parity['blasts'])} blasts, {_or_unknown(parity['fields'])} fields) against Keras, "
        f"in every interpreter by itself. Made {escape(report['made'])}. Intervals are exact, 95 %.</p>",
        "<p class='note'>Research use only. The pictures below are cells of the data set: keep this file "
        "as you keep the data.</p>",
        "<h2>Gate</h2>",
        _table(
            verdict["findings"],
            (
                ("", lambda f: escape(f["name"])),
                ("found", lambda f: escape(f["found"])),
                ("limit", lambda f: escape(f["limit"])),
                ("", lambda f: {True: "ok", False: "refused", None: "open"}[f["passed"]]),
            ),
            lambda f: {True: "", False: "refused", None: "open"}[f["passed"]],
        ),
    ]
    if report["trials"]:
        sections += ["<h2>Recipes tried on calibration crops alone</h2>", _trials(report["trials"])]
    sections += [
        "<h2>What each format costs</h2>",
        '<p class="note">Single crops on one thread (Keras: as it comes). Latency: 5th percentile, median. '
        "Memory: what interpreter, file and single crops add to the peak of a process.</p>",
        _formats(report["table"]),
        "<h2>Difference from Keras</h2>",
        f'<div class="plots"><div>{delta_histogram(report)}</div><div>{scatter(report)}</div></div>'
        if report["p"]["runs"]
        else "<p>No interpreter opened the file.</p>",
        "<h2>Flipped cells</h2>",
        _flips(report["flips"]),
        "<h2>Error by layer, worst first</h2>",
        f'<p class="note">Over {report["layers"]["crops"]} held-out crops, with errors of earlier layers. '
        f"{report['layers']['unmatched']} tensor(s) without a float twin."
        + (_NARROW if recipe["narrow_logits"] else "")
        + "</p>",
        f'<div class="plots"><div>{layer_bars(report)}</div></div>' if _has_noise(report) else "",
        _layers(report["layers"]["tensors"]),
        "<h2>Weights</h2>",
        _weights(report["weights"]),
        "<h2>Files, versions, machine</h2>",
        _pairs(
            {**{f"sha256 {name}": value for name, value in report["files"].items()}, **report["versions"]}
        ),
        _pairs(
            {
                **report["machine"],
                **{f"{name} crops": _describe(one) for name, one in report["crops"].items()},
                "decision": ", ".join(f"{key} {value:g}" for key, value in report["decision"].items()),
            }
        ),
    ]
    title = f"<title>{escape(report['name'])}: parity</title>"
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{title}<style>{_STYLE}</style></head>'
    )
    return head + "\n<body>\n" + "\n".join(sections) + "\n</body></html>\n"


def _table(
    rows: Iterable[Row],
    columns: Sequence[tuple[str, Callable[[Row], str]]],
    row_class: Callable[[Row], str] = lambda row: "",
) -> str:
    head = "".join(f"<th>{name}</th>" for name, _ in columns)
    body = "\n".join(
        f'<tr class="{row_class(row)}">' + "".join(f"<td>{cell(row)}</td>" for _, cell in columns) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _formats(rows: Sequence[Row]) -> str:
    return _table(
        rows,
        (
            ("recipe", lambda r: escape(r["recipe"]) + (" (judged)" if r["judged"] else "")),
            ("interpreter", lambda r: escape(r["runtime"])),
            ("size kB", lambda r: f"{r['size_bytes'] / 1000:,.0f}"),
            ("accuracy %", lambda r: _share(r.get("accuracy"))),
            ("sensitivity %", lambda r: _share(r.get("sensitivity"))),
            ("specificity %", lambda r: _share(r.get("specificity"))),
            ("flipped", lambda r: _number(r.get("flipped"), "d") if not r["error"] else "does not open"),
            ("mean |Δp|", lambda r: _number(r.get("mean_delta_p"), ".4f")),
            ("p99 |Δp|", lambda r: _number(r.get("p99_delta_p"), ".4f")),
            ("max |Δp|", lambda r: _number(r.get("max_delta_p"), ".4f")),
            ("p5 ms", lambda r: _number(r.get("latency_p5_ms"), ".2f")),
            ("p50 ms", lambda r: _number(r.get("latency_p50_ms"), ".2f")),
            ("memory MB", lambda r: _number((r.get("memory_bytes") or 0) / 1e6 or None, ".0f")),
        ),
        lambda r: "judged" if r["judged"] else "open" if r["error"] else "",
    )


def _trials(rows: Sequence[Row]) -> str:
    return _table(
        rows,
        (
            ("recipe", lambda r: escape(r["recipe"]) + (" (chosen)" if r["chosen"] else "")),
            ("size kB", lambda r: f"{r['size_bytes'] / 1000:,.0f}"),
            ("p99 |Δp|", lambda r: _number(r["p99_delta_p"], ".4f")),
            ("max |Δp|", lambda r: _number(r["max_delta_p"], ".4f")),
            ("", lambda r: "passes" if r["passed"] else escape("; ".join(r["refused_for"])[:120])),
        ),
        lambda r: "judged" if r["chosen"] else "",
    )


def _layers(rows: Sequence[Row]) -> str:
    return _table(
        rows,
        (
            ("layer", lambda r: escape(r["layer"])),
            ("operation", lambda r: escape(r["op"])),
            ("SNR dB", lambda r: "equal" if r["snr_db"] is None else f"{r['snr_db']:.1f}"),
            ("MSE", lambda r: f"{r['mse']:.3g}"),
            ("cosine", lambda r: f"{r['cosine']:.6f}"),
            ("float range", lambda r: f"{r['found_low']:.3g} to {r['found_high']:.3g}"),
            ("it can hold", lambda r: "float" if r["low"] is None else f"{r['low']:.3g} to {r['high']:.3g}"),
            ("clipped %", lambda r: f"{100 * r['clipped']:.3g}"),
        ),
    )


def _weights(rows: Sequence[Row]) -> str:
    return _table(
        rows,
        (
            ("layer", lambda r: escape(r["layer"])),
            ("stored as", lambda r: escape(r["dtype"].lower())),
            ("weights", lambda r: f"{r['count']:,}"),
            ("range", lambda r: f"{r['low']:.3g} to {r['high']:.3g}"),
            ("scales", lambda r: str(r["scales"])),
            ("from", lambda r: _number(r["scale_low"], ".3g")),
            ("to", lambda r: _number(r["scale_high"], ".3g")),
        ),
    )


def _flips(flips: Sequence[Row]) -> str:
    if not flips:
        return "<p>None: every interpreter puts every cell on Keras's side of the threshold.</p>"
    figures = []
    for flip in flips:
        label = {1: "blast", 0: "normal", None: "no label"}[flip["label"]]
        lines = [
            f"Keras {flip['p_keras']:.3f}",
            *(f"{escape(name)} {p:.3f}" for name, p in flip["p"].items()),
        ]
        where = f", {escape(flip['field'])}" if flip["field"] else ""
        figures.append(
            f'<figure><img alt="cell {flip["index"]}" src="data:image/png;base64,{flip["png"]}">'
            f"<figcaption><b>{label}</b>, crop {flip['index']}{where}<br>"
            f"{'<br>'.join(lines)}</figcaption></figure>"
        )
    return f'<div class="cells">{"".join(figures)}</div>'


def _pairs(values: dict[str, Any]) -> str:
    rows = "\n".join(
        f'<tr><td>{escape(str(key))}</td><td class="l"><code>{escape(str(value))}</code></td></tr>'
        for key, value in values.items()
    )
    return f'<div class="wide"><table>{rows}</table></div>'


def _describe(crops: Row) -> str:
    return f"{crops['n']} of {crops['source']}, set {crops['sha256'][:16]}…"


def _share(share: Row | None) -> str:
    if not share or share["value"] is None:
        return "–"
    low, high = share["ci95"]
    return f'{100 * share["value"]:.1f} <span class="ci">{100 * low:.1f}–{100 * high:.1f}</span>'


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _or_unknown(count: int | None) -> str:
    return "an unknown number of" if count is None else str(count)


def _has_noise(report: Row) -> bool:
    return any(one["snr_db"] is not None for one in report["layers"]["tensors"])
