"""The parity report's figures, in JSON: what quantisation costs. The page is drawn from this alone."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.backend import load_keras, predict
from convert.converter import convert_network
from convert.draft import CardDraft
from convert.gate.crops import Crops
from convert.gate.examine import Examination, examine
from convert.gate.verdict import Limits
from convert.layers import CROPS, tensor_errors, weight_ranges
from convert.quantize import float_network, quantise
from convert.recipes import RECIPES
from edge.classification.classifier import calibrate
from edge.counting.tally import clopper_pearson
from edge.device.hashing import file_sha256
from edge.device.machine import describe_machine, describe_software

if TYPE_CHECKING:
    import keras

SCHEMA = "blastcount.parity/1"
#: Shown beside the recipe that was judged.
COMPARED = ("float32", "float16", "dynamic", "plain", "int16x8")
#: Single crops timed in a round. Rounds take turns, so that a busy moment does not hit one file alone; the
#: 5th percentile is what the machine can do when nobody disturbs it.
TIMED, ROUNDS = 30, 2
#: Keras is timed on fewer: 20 to 90 ms a crop.
_TIMED_KERAS = 10
#: More flipped cells than these make no better report.
MAX_PICTURES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a report is about.

    Attributes
    ----------
    name : of the bundle
    model, draft : Keras model and its card
    files : files to be named with their hashes
    calibration, parity : crops
    examined : the file that was judged
    limits : of the gate
    trials : of ``--recipe auto``, from :func:`convert.auto.trial_lines`; empty where a recipe was named
    """

    name: str
    model: keras.Model
    draft: CardDraft
    files: Sequence[Path]
    calibration: Crops
    parity: Crops
    examined: Examination
    limits: Limits
    trials: Sequence[dict[str, object]] = ()


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
    examined, parity, decision = subject.examined, subject.parity, subject.draft.decision
    keras_outputs = predict(subject.model, parity.pixels)
    tick("report: layers")
    network = float_network(subject.model, subject.calibration.pixels, examined.recipe)
    reference = convert_network(network, subject.calibration.pixels, RECIPES["float32"])
    errors, unmatched = tensor_errors(examined.content, reference, parity.pixels)
    return {
        "schema": SCHEMA,
        "name": subject.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": {
            "passed": examined.verdict.passed,
            "headline": examined.verdict.headline,
            "findings": examined.verdict.to_json(),
            "limits": asdict(subject.limits),
        },
        "recipe": asdict(examined.recipe),
        "trials": list(subject.trials),
        "decision": asdict(decision),
        "crops": {"calibration": _set(subject.calibration), "parity": _set(parity)},
        "table": [*_keras_row(subject, keras_outputs), *_table(subject, keras_outputs, tick)],
        "paired": [asdict(one) for one in examined.parities],
        "layers": {
            "crops": min(CROPS, len(parity)),
            "unmatched": unmatched,
            "tensors": list(map(asdict, errors)),
        },
        "weights": [asdict(one) for one in weight_ranges(examined.content)],
        "p": {
            "labels": None if parity.labels is None else parity.labels.tolist(),
            "keras": [round(float(p), 5) for p in _keras_p(subject, keras_outputs)],
            "runs": {
                run.runtime: [round(float(p), 5) for p in found]
                for run, found in zip(examined.runs, examined.p, strict=True)
            },
        },
        "flips": _flips(subject),
        "files": {
            f"{subject.name}.tflite": hashlib.sha256(examined.content).hexdigest(),
            **{path.name: file_sha256(path) for path in subject.files},
        },
        "versions": describe_software(),
        "machine": describe_machine(),
    }


def proportion(k: int, n: int) -> dict[str, Any]:
    """Give a share with its exact 95 % interval.

    Examples
    --------
    >>> proportion(47, 47)["value"], round(proportion(47, 47)["ci95"][0], 3)
    (1.0, 0.925)
    """
    return {"value": k / n if n else None, "k": k, "n": n, "ci95": list(clopper_pearson(k, n))}


def _set(crops: Crops) -> dict[str, Any]:
    labels, fields = crops.labels, crops.fields
    return {
        "source": crops.source,
        "n": len(crops),
        "sha256": crops.set_hash(),
        "blasts": None if labels is None else int(labels.sum()),
        "fields": None if fields is None else len(set(fields.tolist()) - {""}),
    }


def _table(
    subject: Subject, keras_outputs: NDArray[np.float32], tick: Callable[[str], None]
) -> list[dict[str, Any]]:
    judged = subject.examined.recipe
    recipes = [RECIPES[name] for name in COMPARED if name != judged.name] + [judged]
    rounds: list[list[Examination]] = []
    with TemporaryDirectory(prefix="blastcount-") as folder:
        paths = {}
        for recipe in recipes:
            paths[recipe.name] = Path(folder) / f"{recipe.name}.tflite"
            content = subject.examined.content
            if recipe != judged:
                content = quantise(subject.model, subject.calibration.pixels, recipe)
            paths[recipe.name].write_bytes(content)
        for number in range(ROUNDS):
            rounds.append([])
            for recipe in recipes:
                tick(f"report: {recipe.name}, round {number + 1} of {ROUNDS}")
                # Later rounds are for the clock only; figures of the first stand for all crops.
                crops = (
                    subject.parity
                    if number == 0
                    else subject.parity.take(np.arange(min(8, len(subject.parity))))
                )
                outputs = keras_outputs[: len(crops)]
                path = paths[recipe.name]
                rounds[-1].append(examine(path, recipe, crops, outputs, subject.draft.decision, timed=TIMED))
    return [row for i in range(len(recipes)) for row in _rows(subject, [one[i] for one in rounds])]


def _rows(subject: Subject, rounds: Sequence[Examination]) -> list[dict[str, Any]]:
    first = rounds[0]
    shared = {
        "recipe": first.recipe.name,
        "precision": first.recipe.precision,
        "judged": first.recipe == subject.examined.recipe,
        "size_bytes": len(first.content),
    }
    rows = []
    for i, (run, parity) in enumerate(zip(first.runs, first.parities, strict=True)):
        latency_ms = np.concatenate([one.runs[i].latency_ms for one in rounds])
        rows.append(
            {
                **shared,
                "runtime": run.runtime,
                **_rates(first.p[i], subject),
                "flipped": parity.flipped,
                "mean_delta_p": parity.mean_delta_p,
                "p99_delta_p": parity.p99_delta_p,
                "max_delta_p": parity.max_delta_p,
                **_latency(latency_ms),
                "memory_bytes": run.memory_bytes,
                "error": None,
            }
        )
    return rows + [{**shared, "runtime": name, "error": why} for name, why in first.unopened.items()]


def _keras_row(subject: Subject, outputs: NDArray[np.float32]) -> list[dict[str, Any]]:
    crops, times = subject.parity.pixels, []
    for i in range(_TIMED_KERAS + 1):
        start_ns = time.perf_counter_ns()
        predict(subject.model, crops[i % len(crops)][None])
        times.append((time.perf_counter_ns() - start_ns) / 1e6)
    return [
        {
            "recipe": "Keras",
            "precision": "float32",
            "judged": False,
            "runtime": f"keras {load_keras().__version__}",
            "size_bytes": 4 * subject.model.count_params(),
            **_rates(_keras_p(subject, outputs), subject),
            **_latency(np.array(times[1:])),
            "error": None,
        }
    ]


def _keras_p(subject: Subject, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    lsb = subject.examined.runs[0].lsb if subject.examined.runs else float(np.finfo(np.float32).epsneg)
    return calibrate(outputs, subject.draft.decision.temperature, lsb)


def _latency(times_ms: NDArray[Any]) -> dict[str, Any]:
    return {
        "timed": len(times_ms),
        "latency_p5_ms": float(np.percentile(times_ms, 5)),
        "latency_p50_ms": float(np.percentile(times_ms, 50)),
    }


def _rates(p: NDArray[np.float32], subject: Subject) -> dict[str, Any]:
    labels = subject.parity.labels
    if labels is None:
        return {"accuracy": None, "sensitivity": None, "specificity": None}
    right = (p >= subject.draft.decision.threshold) == (labels == 1)
    return {
        "accuracy": proportion(int(right.sum()), len(right)),
        "sensitivity": proportion(int(right[labels == 1].sum()), int((labels == 1).sum())),
        "specificity": proportion(int(right[labels == 0].sum()), int((labels == 0).sum())),
    }


def _flips(subject: Subject) -> list[dict[str, Any]]:
    """Every cell that an interpreter puts on the other side of the threshold, with its picture."""
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
            "p": {run.runtime: float(p[i]) for run, p in zip(examined.runs, examined.p, strict=True)},
            "png": _png(parity.pixels[i]),
        }
        for i in np.flatnonzero(flipped)[:MAX_PICTURES]
    ]


def _png(crop: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
