"""One run of the bench: everything measured, as the JSON that all else is rendered from."""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bench.baseline import SCHEMA
from edge.bench.energy import measure_energy
from edge.bench.engines import Engine, EngineRequest, MissingEngine, TfliteEngine, other_engines
from edge.bench.measure import WARMUP_ROUNDS, Samples, Subject, Summary, interleave, timed, yardstick
from edge.bench.path import GLUE, STAGES, WholePath
from edge.bench.process import classifier_memory, first_count_ms, imports_ms, path_memory
from edge.bench.profile import profile
from edge.bloodlog import BloodLog
from edge.classification.card import ModelBundle
from edge.classification.classifier import Classifier
from edge.device.machine import describe_machine, describe_software
from edge.device.pi import read_condition, read_watts
from edge.errors import ConfigError

#: Fresh processes for the cold start: each takes a second or more.
COLD_STARTS = 5
#: Over the fields, for the profile: with three crowded fields some 3,000 samples, which tell 5 % to 0.8 %.
PROFILE_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    repeat : rounds that are kept
    threads : numbers of threads that are tried; the other engines of ``compare`` run with the first
    batches : crops handed over at once to the network alone
    compare : measure every other engine that is installed too
    keras_path : the Keras model that the bundle was converted from, for ``compare``
    """

    repeat: int = 30
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1, 8, 32)
    compare: bool = False
    keras_path: Path | None = None


def run(
    bundle: ModelBundle,
    files: Sequence[Path],
    rendered: bool,
    settings: Settings,
    scratch: Path,
    after_round: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    bundle : model
    files : images, one field each
    rendered : they were drawn by this program
    settings : what is measured
    scratch : folder for the log that the whole path writes
    after_round : called after each of ``rounds(settings)`` rounds

    Returns
    -------
    document of schema ``blastcount.bench/1``; all times in ms

    Raises
    ------
    EdgeError
        A file cannot be counted, or the model's golden crops disagree.
    """
    before = read_condition()
    engines, missing = _engines(bundle, settings)
    with ExitStack() as stack:
        lines: dict[int, WholePath] = {}
        for threads in settings.threads:
            classifier = Classifier(bundle, threads=threads)
            classifier.check_golden()
            log = stack.enter_context(BloodLog.open(scratch / f"bench{threads}.sqlite"))
            lines[threads] = WholePath(files, classifier, log, threads)
        subjects = [
            yardstick(),
            *_network_subjects(engines, bundle.golden.crops, settings.batches),
            *(Subject(f"path threads={threads}", line.run) for threads, line in lines.items()),
        ]
        samples = interleave(subjects, settings.repeat, after_round=after_round)
        after = read_condition()
        one = lines[settings.threads[0]]
        # A collection through what other engines' frameworks hold would count as Python's time; a device has
        # no such engines.
        gc.collect()
        gc.freeze()
        found = profile(one.run, PROFILE_ROUNDS)
        gc.unfreeze()
        energy = measure_energy(read_watts, lambda: len(one.run()))
    samples["cold_start imports"] = np.array([[imports_ms()] for _ in range(COLD_STARTS)])
    samples["cold_start first_count"] = np.array(
        [[first_count_ms(bundle.tflite_path, files[0])] for _ in range(COLD_STARTS)]
    )
    cells = [_white(one, file) for file in files]
    return {
        "schema": SCHEMA,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {
            "repeat": settings.repeat,
            "warmup_rounds": WARMUP_ROUNDS,
            "threads": list(settings.threads),
            "batches": list(settings.batches),
            "compare": settings.compare,
        },
        "machine": describe_machine(),
        "software": describe_software(),
        "model": {
            "name": bundle.card.name,
            "sha256": bundle.card.sha256,
            "file_bytes": bundle.tflite_path.stat().st_size,
        },
        "condition": {"before": before.to_json(), "after": after.to_json()},
        "fields": [_field(one, file, rendered) for file in files],
        "network": _network_table(samples, engines, settings.batches),
        "engines_missing": [{"engine": m.name, "reason": m.reason} for m in missing],
        "ratios": _ratios(samples, engines, settings),
        "path": [_path_table(samples, threads, cells) for threads in settings.threads],
        "yardstick_ms": Summary.of(samples["yardstick"]).to_json(),
        "cold_start_ms": {
            key: Summary.of(samples[f"cold_start {key}"]).to_json() for key in ("imports", "first_count")
        },
        "memory": _memory(bundle, files, scratch),
        "profile": found if isinstance(found, str) else found.to_json(),
        "energy": "absent: no Raspberry Pi 5 power chip" if energy is None else energy.to_json(),
        "samples_ms": {series: np.round(values, 4).tolist() for series, values in samples.items()},
    }


def rounds(settings: Settings) -> int:
    """Count the rounds that :func:`run` reports."""
    return settings.repeat + WARMUP_ROUNDS


def usable_threads(wanted: Sequence[int]) -> tuple[int, ...]:
    """Leave out numbers of threads above that of the cores, which would only wait for each other.

    Raises
    ------
    ConfigError
        None is left.
    """
    cores = len(os.sched_getaffinity(0))
    usable = tuple(sorted({number for number in wanted if number <= cores}))
    if not usable:
        raise ConfigError(
            f"threads {', '.join(map(str, wanted))}: this process has {cores} cores; give fewer"
        )
    return usable


def _engines(bundle: ModelBundle, settings: Settings) -> tuple[list[tuple[int, Engine]], list[MissingEngine]]:
    """Open the engines with their numbers of threads; the one that ``count`` takes comes first."""
    first = settings.threads[0]
    engines: list[tuple[int, Engine]] = [
        (threads, TfliteEngine(EngineRequest(bundle, None, threads))) for threads in settings.threads
    ]
    missing: list[MissingEngine] = []
    if settings.compare:
        for other in other_engines(EngineRequest(bundle, settings.keras_path, first)):
            if isinstance(other, MissingEngine):
                missing.append(other)
            else:
                engines.append((first, other))
    return engines, missing


def _network_subjects(
    engines: Sequence[tuple[int, Engine]], golden: NDArray[np.uint8], batches: Sequence[int]
) -> list[Subject]:
    return [
        timed(
            _network_series(engine, threads, batch),
            partial(engine.outputs, np.resize(golden, (batch, *golden.shape[1:]))),
            warm=True,
        )
        for threads, engine in engines
        for batch in batches
    ]


def _network_series(engine: Engine, threads: int, batch: int) -> str:
    return f"network {engine.name} threads={threads} batch={batch}"


def _network_table(
    samples: Samples, engines: Sequence[tuple[int, Engine]], batches: Sequence[int]
) -> list[dict[str, object]]:
    table = []
    for threads, engine in engines:
        for batch in batches:
            summary = Summary.of(samples[_network_series(engine, threads, batch)])
            table.append(
                {
                    "engine": engine.name,
                    "version": engine.version,
                    "threads": threads,
                    "batch": batch,
                    "ms": summary.to_json(),
                    "cells_per_s": round(batch * 1000 / summary.p50, 1),
                }
            )
    return table


def _ratios(
    samples: Samples, engines: Sequence[tuple[int, Engine]], settings: Settings
) -> list[dict[str, object]]:
    """Divide the time of the engine that ``count`` takes by each other's, at the first number of threads."""
    threads, own = engines[0]
    table = []
    for other_threads, other in engines:
        if other.name == own.name or other_threads != threads:
            continue
        for batch in settings.batches:
            ours = Summary.of(samples[_network_series(own, threads, batch)])
            theirs = Summary.of(samples[_network_series(other, threads, batch)])
            table.append(
                {
                    "engine": own.name,
                    "other": other.name,
                    "threads": threads,
                    "batch": batch,
                    "p5": round(ours.p5 / theirs.p5, 4),
                    "p50": round(ours.p50 / theirs.p50, 4),
                }
            )
    return table


def _path_table(samples: Samples, threads: int, cells: Sequence[int]) -> dict[str, object]:
    total = samples[f"path threads={threads} total"]
    mean_ms = float(np.median(total.mean(axis=1)))
    stages = {stage: samples[f"path threads={threads} {stage}"] for stage in STAGES}
    whole = float(sum(values.mean() for values in stages.values()))
    return {
        "threads": threads,
        "ms": Summary.of(total).to_json(),
        "stages": {
            stage: Summary.of(values).to_json() | {"share": round(float(values.mean()) / whole, 4)}
            for stage, values in stages.items()
        },
        "glue_ms": Summary.of(np.sum([stages[stage] for stage in GLUE], axis=0)).to_json(),
        "fields_per_s": round(1000 / mean_ms, 3),
        "cells_per_s": round(1000 / mean_ms * float(np.mean(cells)), 2),
    }


def _field(line: WholePath, file: Path, rendered: bool) -> dict[str, object]:
    result = line.results[file]
    return {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "rendered": rendered,
        "width": result.width,
        "height": result.height,
        "status": result.status,
        "white_cells": _white(line, file),
    }


def _white(line: WholePath, file: Path) -> int:
    return sum(cell.cell.kind == "wbc" for cell in line.results[file].cells)


def _memory(bundle: ModelBundle, files: Sequence[Path], scratch: Path) -> dict[str, float]:
    path = path_memory(bundle.tflite_path, scratch / "memory.sqlite", files)
    return {
        "classifier_peak_mb": round(classifier_memory(bundle.tflite_path)["peak_mb"], 1),
        **{f"path_{key}": round(value, 1) for key, value in path.items()},
    }
