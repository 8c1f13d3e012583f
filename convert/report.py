"""The parity report: what quantisation costs, as JSON and, rendered from it, as Markdown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, predict
from convert.converter import convert_network, float_network, quantise
from convert.draft import CardDraft
from convert.flatbuffer.layers import CROPS, tensor_errors
from convert.gate.crops import Crops
from convert.gate.examine import Examination, examine
from convert.gate.verdict import LIMITS
from convert.recipes import FLOAT32, RECIPES
from edge.classification.classifier import calibrate
from edge.counting.tally import share_json
from edge.device.hashing import file_sha256
from edge.device.machine import describe_machine, describe_software
from edge.device.printable import markdown_table
from edge.errors import OutputError

if TYPE_CHECKING:
    import keras

SCHEMA = "blastcount.parity/1"
#: Single crops timed in every interpreter: enough for the 5th percentile, which is what the machine can do
#: when nobody disturbs it.
_TIMED = 30
_RATES = ("accuracy", "sensitivity", "specificity")
_DELTAS = {"mean_delta_p": "mean |Δp|", "p99_delta_p": "p99 |Δp|", "max_delta_p": "max |Δp|"}
#: More flipped cells than these make no better report.
_MOST_FLIPS = 200


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about.

    Attributes
    ----------
    name : of the bundle
    model, draft : Keras model and its card
    files : files to be named with their hashes
    calibration, parity : crops
    examined : the file that was judged
    """

    name: str
    model: keras.Model
    draft: CardDraft
    files: Sequence[Path]
    calibration: Crops
    parity: Crops
    examined: Examination


def write_report(subject: Subject, folder: Path, tick: Callable[[str], None] = lambda stage: None) -> Path:
    """Measure what the report shows and write it.

    Parameters
    ----------
    subject : what to report on
    folder : made where it does not exist; an earlier report of the same name is replaced
    tick : called with each stage's name when it begins

    Returns
    -------
    Path
        NAME.parity.md; NAME.parity.json lies beside it.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    report = collect(subject, tick)
    page, data = (folder / f"{subject.name}.parity.{suffix}" for suffix in ("md", "json"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data.write_text(
            json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        page.write_text(markdown(report), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); give another folder with --report"
        ) from error
    return page


def collect(subject: Subject, tick: Callable[[str], None] = lambda stage: None) -> dict[str, Any]:
    """Measure everything that the report shows.

    Parameters
    ----------
    subject : what to report on
    tick : called with each stage's name when it begins

    Returns
    -------
    dict
        JSON, schema ``blastcount.parity/1``.
    """
    examined = subject.examined
    recipe = examined.evidence.recipe
    tick("report: layers")
    network = float_network(subject.model, subject.calibration.pixels, recipe)
    reference = convert_network(network, subject.calibration.pixels, FLOAT32)
    errors, unmatched = tensor_errors(examined.content, reference, subject.parity.pixels)
    return {
        "schema": SCHEMA,
        "name": subject.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": {
            "passed": examined.verdict.passed,
            "headline": examined.verdict.headline,
            "findings": examined.verdict.to_json(),
            "limits": asdict(LIMITS),
        },
        "recipe": asdict(recipe),
        "decision": asdict(subject.draft.decision),
        "crops": {"calibration": _set(subject.calibration), "parity": _set(subject.parity)},
        "table": _table(subject, tick),
        "paired": [asdict(parity) for parity in examined.evidence.parities],
        "layers": {
            "crops": min(CROPS, len(subject.parity)),
            "unmatched": unmatched,
            "tensors": [asdict(error) for error in errors],
        },
        "flips": _flips(subject),
        "files": {
            f"{subject.name}.tflite": hashlib.sha256(examined.content).hexdigest(),
            **{path.name: file_sha256(path) for path in subject.files},
        },
        "versions": describe_software(),
        "machine": describe_machine(),
    }


def _set(crops: Crops) -> dict[str, Any]:
    labels, fields = crops.labels, crops.fields
    return {
        "source": crops.source,
        "n": len(crops),
        "sha256": crops.set_hash(),
        "blasts": None if labels is None else int(labels.sum()),
        "fields": None if fields is None else len(set(fields.tolist()) - {""}),
        "groups": None if crops.groups is None else len(set(crops.groups.tolist()) - {""}),
    }


def _table(subject: Subject, tick: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every recipe in every interpreter, and Keras itself."""
    keras_outputs = predict(subject.model, subject.parity.pixels)
    p_keras = calibrate(keras_outputs, subject.draft.decision.temperature, float(np.finfo(np.float32).epsneg))
    rows: list[dict[str, Any]] = [
        {
            "recipe": "Keras",
            "judged": False,
            "runtime": f"keras {load_keras().__version__}",
            "size_bytes": 4 * subject.model.count_params(),
            **_rates(p_keras, subject),
        }
    ]
    judged = subject.examined
    with TemporaryDirectory(prefix="blastcount-") as folder:
        for recipe in RECIPES.values():
            tick(f"report: {recipe.name}")
            path = Path(folder) / f"{recipe.name}.tflite"
            own = recipe == judged.evidence.recipe
            content = judged.content if own else quantise(subject.model, subject.calibration.pixels, recipe)
            path.write_bytes(content)
            decision = subject.draft.decision
            sets = (subject.calibration, subject.parity)
            found = examine(path, recipe, *sets, keras_outputs, decision, timed=_TIMED)
            rows += _rows(found, own, subject)
    return rows


def _rows(found: Examination, judged: bool, subject: Subject) -> list[dict[str, Any]]:
    evidence = found.evidence
    shared = {"recipe": evidence.recipe.name, "judged": judged, "size_bytes": len(found.content)}
    rows = [
        {
            **shared,
            "runtime": run.runtime,
            **_rates(p, subject),
            "flipped": parity.flipped,
            **{name: getattr(parity, name) for name in _DELTAS},
            "latency_p5_ms": float(np.percentile(run.latency_ms, 5)),
        }
        for run, parity, p in zip(evidence.runs, evidence.parities, found.p, strict=True)
    ]
    return rows + [{**shared, "runtime": name, "error": why} for name, why in evidence.unopened.items()]


def _rates(p: NDArray[np.float32], subject: Subject) -> dict[str, Any]:
    labels = subject.parity.labels
    if labels is None:
        return {}
    right = (p >= subject.draft.decision.threshold) == (labels == 1)
    kinds = zip(_RATES, (labels >= 0, labels == 1, labels == 0), strict=True)
    return {name: share_json(int(right[cells].sum()), int(cells.sum())) for name, cells in kinds}


def _flips(subject: Subject) -> list[dict[str, Any]]:
    """Every cell that an interpreter puts on the other side of the threshold."""
    examined, parity = subject.examined, subject.parity
    threshold = subject.draft.decision.threshold
    flipped = np.zeros(len(parity), bool)
    for p, p_keras in zip(examined.p, examined.p_keras, strict=True):
        flipped |= (p >= threshold) != (p_keras >= threshold)
    return [
        {
            "index": int(i),
            "label": None if parity.labels is None else int(parity.labels[i]),
            "field": None if parity.fields is None else str(parity.fields[i]),
            "p_keras": float(examined.p_keras[0][i]),
            "p": {
                run.runtime: float(p[i]) for run, p in zip(examined.evidence.runs, examined.p, strict=True)
            },
        }
        for i in np.flatnonzero(flipped)[:_MOST_FLIPS]
    ]


def markdown(report: dict[str, Any]) -> str:
    """Render a report.

    Parameters
    ----------
    report : from :func:`collect`

    Returns
    -------
    str
        Markdown.
    """
    verdict, parity, layers = report["verdict"], report["crops"]["parity"], report["layers"]
    words = {True: "ok", False: "REFUSED", None: "open"}
    findings = [
        (one["name"], one["found"], one["limit"], words[one["passed"]]) for one in verdict["findings"]
    ]
    costs = ("recipe", "interpreter", "kB", *_RATES, "flipped", *_DELTAS.values(), "p5 ms")
    tensors = ("layer", "operation", "SNR dB", "float range", "it can hold", "clipped %")
    sources = (report["files"], report["versions"], report["machine"], report["decision"])
    parts = [
        f"# Parity report: {report['name']}",
        f"**{verdict['headline']}**. Recipe {report['recipe']['name']}, judged on {parity['n']} crops "
        f"of {parity['source']} (blasts: {_number(parity['blasts'], 'd')}, fields: "
        f"{_number(parity['fields'], 'd')}) against Keras, in every interpreter by itself. {report['made']}. "
        "Intervals are exact, 95 %.",
        "## Gate",
        markdown_table(("", "found", "limit", ""), findings),
        "## What each recipe costs",
        markdown_table(costs, [_cost(row) for row in report["table"]]),
        "Rates in %. Single crops on one thread.",
        "## Flipped cells",
        _flip_table(report["flips"]),
        "## Error by layer, worst first",
        f"Over {layers['crops']} held-out crops, with errors of earlier layers. "
        f"{layers['unmatched']} tensor(s) without a float twin. A recipe that narrows logits clips sure ones "
        "on purpose, beyond what an int8 probability can tell.",
        markdown_table(tensors, [_tensor(one) for one in layers["tensors"]]),
        "## Files, versions, machine",
        "\n".join(f"- {name}: {value}" for part in sources for name, value in part.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _tensor(error: dict[str, Any]) -> tuple[str, ...]:
    return (
        error["layer"],
        error["op"],
        "equal" if error["snr_db"] is None else f"{error['snr_db']:.1f}",
        f"{error['found_low']:.3g} to {error['found_high']:.3g}",
        "float" if error["low"] is None else f"{error['low']:.3g} to {error['high']:.3g}",
        f"{100 * error['clipped']:.3g}",
    )


def _cost(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["recipe"] + (" (judged)" if row["judged"] else ""),
        row["runtime"],
        f"{row['size_bytes'] / 1000:,.0f}",
        *(_share(row.get(name)) for name in _RATES),
        "does not open" if row.get("error") else _number(row.get("flipped"), "d"),
        *(_number(row.get(name), ".4f") for name in _DELTAS),
        _number(row.get("latency_p5_ms"), ".2f"),
    )


def _flip_table(flips: Sequence[dict[str, Any]]) -> str:
    if not flips:
        return "None: every interpreter puts every cell on Keras's side of the threshold."
    runtimes = list(flips[0]["p"])
    label = {1: "blast", 0: "normal", None: "–"}
    rows = [
        (
            str(flip["index"]),
            label[flip["label"]],
            flip["field"] or "–",
            f"{flip['p_keras']:.3f}",
            *(f"{flip['p'][runtime]:.3f}" for runtime in runtimes),
        )
        for flip in flips
    ]
    return markdown_table(("crop", "label", "field", "Keras", *runtimes), rows)


def _share(share: dict[str, Any] | None) -> str:
    if not share or share["value"] is None:
        return "–"
    low, high = share["ci95"]
    return f"{100 * share['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
