"""What a field costs on this machine: time by stage, network, memory, cold start and heat.

:func:`run` measures and gives JSON of schema ``blastcount.bench/1``, :func:`markdown` renders it, and
:func:`compare` holds it against an earlier run.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.bloodlog import BloodLog
from edge.camera.files import read_image
from edge.camera.folders import IMAGE_SUFFIXES, find_files
from edge.classification.card import ModelBundle
from edge.classification.classifier import Classifier
from edge.classification.interpreter import Network, installed_runtimes
from edge.counting.pipeline import Pipeline
from edge.device.clock import utc_now
from edge.device.hashing import file_sha256
from edge.device.machine import describe_machine, describe_software
from edge.device.memory import keep_freed_memory
from edge.device.pi import read_condition
from edge.device.printable import markdown_table
from edge.device.reading import read_bounded
from edge.errors import ConfigError, EdgeError, GateError, SourceError
from edge.rendered import Population, RenderSettings, render_field
from edge.structures import FieldResult
from edge.version import software_version

__all__ = [
    "CROWDED",
    "STAGES",
    "Change",
    "WholePath",
    "compare",
    "find_images",
    "interleave",
    "markdown",
    "read_baseline",
    "refuse_slower",
    "render_images",
    "run",
    "timed",
]

SCHEMA = "blastcount.bench/1"
#: In the order of the path. ``light`` is the blank slide and the density over it, which the gate and
#: segmentation share, ``hash`` the SHA-256 of the frame's pixels and the making of the result.
STAGES = ("grab", "decode", "light", "quality", "segment", "crop", "classify", "hash", "log")
#: A field of the public data sets' size, as crowded as their fullest: 1712×1368 px at 0.2 µm/px are
#: 0.094 mm², and 1,180 white cells and smudges per mm² make some 110 of them. Red cells as in a usual smear.
CROWDED = RenderSettings(
    um_per_px=0.2,
    population=Population(
        blast=500.0, lymphocyte=250.0, neutrophil=220.0, monocyte=90.0, eosinophil=60.0, smudge=60.0
    ),
)
#: As ``blastcount render`` writes them.
_JPEG_QUALITY = 92
#: Rounds that are run and thrown away: the first fills caches and allocates tensors, the second is for the
#: clock of the processor, which takes some 10 ms of load to rise.
WARMUP_ROUNDS = 2
#: Bytes that the yardstick hashes: 2 to 20 ms, in the range of what is measured.
_YARDSTICK_BYTES = 4_000_000
#: Fresh processes for the cold start: each takes a second or more.
_COLD_STARTS = 5
#: Stands in the log for the hash of a configuration, which a bench has none of.
_NO_CONFIG = "0" * 64
_PERCENTILES = (5, 50, 90, 99)
#: Crops handed at once to the network alone: a cell, a usual field, a crowded one.
_BATCHES = (1, 8, 32)

#: A series may be slower than the baseline's 5th percentile by this share. Two builds of the same source
#: differ by up to 5 % through the placing of code alone (T. Mytkowicz et al., "Producing wrong data without
#: doing anything obviously wrong!", ASPLOS 2009), and so may two runs.
TOLERANCE = 0.10
#: A stage must also cost this share of the whole field more: no field is slower for a doubled 0.1 ms.
_LEAST_SHARE = 0.01
#: Memory is reproducible to about a percent; 2 MB is the step of the allocator's arenas.
_MEMORY_TOLERANCE, _LEAST_MEMORY_MB = 0.05, 2.0

#: Milliseconds by series, one figure an item: an item is a field, or the one batch of a network.
Timing = Mapping[str, Sequence[float]]
#: By series, (rounds, items) float64 ms.
Samples = dict[str, NDArray[np.float64]]


def find_images(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """List the images that paths stand for, each once, at most ``limit``.

    Raises
    ------
    SourceError
        A path does not exist or gives no image.
    """
    found = {file.resolve(): file for path in paths for file in find_files(path)}
    images = [file for file in found.values() if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise SourceError(f"{paths[0]}: only videos; bench takes image files, save some frames as images")
    return images[:limit]


def render_images(folder: Path, number: int, settings: RenderSettings = CROWDED) -> list[Path]:
    """Write rendered fields of the seeds 1, 2, ... as JPEG files.

    Parameters
    ----------
    folder : that exists
    number : of fields
    settings : what is rendered
    """
    files: list[Path] = []
    for seed in range(1, number + 1):
        file = folder / f"rendered_{seed:04d}.jpg"
        Image.fromarray(render_field(seed, settings).image).save(file, quality=_JPEG_QUALITY, subsampling=0)
        files.append(file)
    return files


class WholePath:
    """Counts image files as ``count --log`` does, one after the other, and times the stages.

    Parameters
    ----------
    files : image files
    bundle : model that counts
    log : an open log, which grows
    threads : of OpenCV and of the interpreter
    clock : in seconds

    Raises
    ------
    GateError
        The model's golden crops disagree.
    """

    def __init__(
        self,
        files: Sequence[Path],
        bundle: ModelBundle,
        log: BloodLog,
        threads: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._files = files
        self._classifier = _TimedClassifier(bundle, threads)
        self._classifier.clock = clock
        self._classifier.check_golden()
        self._pipeline = Pipeline(self._classifier, clock)
        self._log = log
        self._threads = threads
        self._clock = clock
        self.results: dict[Path, FieldResult] = {}

    def run(self) -> dict[str, list[float]]:
        """Count every file once.

        Returns
        -------
        ms of each file, by stage of ``STAGES`` and ``total``
        """
        cv2.setNumThreads(self._threads)
        keep_freed_memory()
        fields = [self._count(file) for file in self._files]
        return {part: [ms[part] for ms in fields] for part in (*STAGES, "total")}

    def _count(self, file: Path) -> dict[str, float]:
        self._classifier.elapsed_ms = 0.0
        started = self._clock()
        file.read_bytes()
        grabbed = self._clock()
        frame = read_image(file)
        decoded = self._clock()
        result = self._pipeline.process(frame).result
        counted = self._clock()
        self._log.append(
            result,
            config_sha256=_NO_CONFIG,
            software_version=software_version(),
            runtime=self._classifier.runtime,
        )
        logged = self._clock()
        self.results[file] = result
        stage_ms, network_ms = result.stage_ms, self._classifier.elapsed_ms
        # The decoder reads the file by itself; what reading takes is measured just before and taken off.
        grab_ms = (grabbed - started) * 1000.0
        return {
            "grab": grab_ms,
            "decode": max(0.0, (decoded - grabbed) * 1000.0 - grab_ms),
            "light": stage_ms["light"],
            # The gate looks a second time when it is known what was found.
            "quality": stage_ms["quality"] + stage_ms.get("cells", 0.0),
            "segment": stage_ms.get("segment", 0.0),  # a rejected field goes no further
            "crop": stage_ms.get("classify", 0.0) - network_ms,
            "classify": network_ms,
            "hash": (counted - decoded) * 1000.0 - sum(stage_ms.values()),
            "log": (logged - counted) * 1000.0,
            "total": (logged - grabbed) * 1000.0,
        }


class _TimedClassifier(Classifier):
    """A classifier that adds up how long it took, to tell it from the cutting of crops."""

    clock: Callable[[], float]
    elapsed_ms = 0.0

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        started = self.clock()
        try:
            return super().p_blast(crops)
        finally:
            self.elapsed_ms += (self.clock() - started) * 1000.0


def timed(
    series: str, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> Callable[[], Timing]:
    """Make a subject of a call that is timed as a whole, for :func:`interleave`.

    The call is made once untimed just before: the subject before it left the caches cold, which is most of
    the time of a call of 1 ms and not what a caller meets who makes one after the other.

    Parameters
    ----------
    series : its name
    work : what is timed
    clock : in seconds
    """

    def subject() -> Timing:
        work()
        started = clock()
        work()
        return {series: [(clock() - started) * 1000.0]}

    return subject


def interleave(
    subjects: Sequence[Callable[[], Timing]],
    rounds: int,
    *,
    warmup: int = WARMUP_ROUNDS,
    after_round: Callable[[], None] = lambda: None,
) -> Samples:
    """Run each subject once a round, in a new order every round.

    What disturbs the machine then disturbs all of them alike, and none has always the same neighbour's
    leavings in the cache.

    Parameters
    ----------
    subjects : each runs once when called and gives ms by series, all series with different names
    rounds : that are kept
    warmup : rounds before them that are not
    after_round : called after every round, the warm-up's among them

    Returns
    -------
    by series, (rounds, items) ms
    """
    order, shuffler = list(subjects), random.Random(0)
    kept: dict[str, list[Sequence[float]]] = {}
    for number in range(warmup + rounds):
        shuffler.shuffle(order)
        for subject in order:
            for series, items in subject().items():
                if number >= warmup:
                    kept.setdefault(series, []).append(items)
        after_round()
    return {series: np.asarray(items, np.float64) for series, items in kept.items()}


def run(
    bundle: ModelBundle,
    files: Sequence[Path],
    rendered: bool,
    repeat: int,
    threads: int,
    scratch: Path,
    after_round: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    bundle : model
    files : images, one field each
    rendered : they were drawn by this program
    repeat : rounds that are kept
    threads : of OpenCV and of the interpreter
    scratch : folder for the log that the whole path writes
    after_round : called after each round, those of the warm-up among them

    Returns
    -------
    document of schema ``blastcount.bench/1``; all times in ms

    Raises
    ------
    EdgeError
        A file cannot be counted, or the model's golden crops disagree.
    """
    before = read_condition()
    networks, refused = _networks(bundle, threads)
    with BloodLog.open(scratch / "bench.sqlite") as log:
        line = WholePath(files, bundle, log, threads)
        content = bytes(_YARDSTICK_BYTES)
        subjects = [timed("yardstick", lambda: hashlib.blake2b(content).digest())]
        for network in networks:
            for batch in _BATCHES:
                crops = np.resize(bundle.golden.crops, (batch, *bundle.golden.crops.shape[1:]))
                series = _network_series(network.runtime, threads, batch)
                subjects.append(timed(series, partial(network.outputs, crops)))
        subjects.append(partial(_path_timing, threads, line))
        samples = interleave(subjects, repeat, after_round=after_round)
    results = line.results
    fields = [_field(file, results[file], rendered) for file in files]
    cells = float(np.mean([field["white_cells"] for field in fields]))
    fresh = [
        fresh_count(bundle.tflite_path, files, scratch / f"fresh{number}.sqlite")
        for number in range(_COLD_STARTS)
    ]
    return {
        "schema": SCHEMA,
        "created_at": utc_now().isoformat(timespec="seconds"),
        "settings": {"repeat": repeat, "threads": threads, "warmup_rounds": WARMUP_ROUNDS},
        "machine": describe_machine(),
        "software": describe_software(),
        "model": {
            "name": bundle.card.name,
            "sha256": bundle.card.sha256,
            "file_bytes": bundle.tflite_path.stat().st_size,
        },
        "condition": {"before": before.to_json(), "after": read_condition().to_json()},
        "fields": fields,
        "network": [
            _network_figures(samples, network.runtime, threads, batch)
            for network in networks
            for batch in _BATCHES
        ],
        "engines_missing": [{"engine": name, "reason": reason} for name, reason in refused.items()],
        "path": [_path_figures(samples, threads, cells)],
        "yardstick_ms": _percentiles(samples["yardstick"]),
        "cold_start_ms": {"first_count": _percentiles([ms for ms, _ in fresh])},
        "memory": {"path_peak_mb": round(float(np.median([mb for _, mb in fresh])), 1)},
    }


def _networks(bundle: ModelBundle, threads: int) -> tuple[list[Network], dict[str, str]]:
    """Open the network in every installed interpreter; why one refuses it, by the interpreter's name."""
    networks: list[Network] = []
    refused: dict[str, str] = {}
    for runtime in installed_runtimes():
        try:
            networks.append(Network(bundle.tflite_path, threads=threads, runtime=runtime))
        except EdgeError as error:
            refused[runtime] = str(error)
    return networks, refused


def _path_timing(threads: int, line: WholePath) -> Timing:
    return {_path_series(threads, part): items for part, items in line.run().items()}


def _path_series(threads: int, part: str) -> str:
    return f"path threads={threads} {part}"


def _network_series(runtime: str, threads: int, batch: int) -> str:
    return f"network {runtime.partition(' ')[0]} threads={threads} batch={batch}"


def _percentiles(samples_ms: NDArray[np.float64] | Sequence[float]) -> dict[str, float]:
    """Sum up samples of any shape, to 0.1 µs; of fewer than 100 samples, p99 is next to the largest."""
    values = np.percentile(samples_ms, _PERCENTILES)
    figures = {f"p{q}": round(float(value), 4) for q, value in zip(_PERCENTILES, values, strict=True)}
    return {"n": int(np.size(samples_ms)), **figures}


def _network_figures(samples: Samples, runtime: str, threads: int, batch: int) -> dict[str, object]:
    ms = _percentiles(samples[_network_series(runtime, threads, batch)])
    return {
        "engine": runtime.partition(" ")[0],
        "version": runtime,
        "threads": threads,
        "batch": batch,
        "ms": ms,
        "cells_per_s": round(batch * 1000 / ms["p50"], 1),
    }


def _path_figures(samples: Samples, threads: int, cells_per_field: float) -> dict[str, object]:
    total = samples[_path_series(threads, "total")]
    stages = {stage: samples[_path_series(threads, stage)] for stage in STAGES}
    whole = float(sum(values.mean() for values in stages.values()))
    fields_per_s = 1000 / float(np.median(total.mean(axis=1)))
    return {
        "threads": threads,
        "ms": _percentiles(total),
        "stages": {
            stage: _percentiles(values) | {"share": round(float(values.mean()) / whole, 4)}
            for stage, values in stages.items()
        },
        "fields_per_s": round(fields_per_s, 3),
        "cells_per_s": round(fields_per_s * cells_per_field, 2),
    }


def _field(file: Path, result: FieldResult, rendered: bool) -> dict[str, Any]:
    return {
        "file": file.name,
        "sha256": file_sha256(file),
        "rendered": rendered,
        "width": result.width,
        "height": result.height,
        "status": result.status,
        "white_cells": sum(cell.cell.kind == "wbc" for cell in result.cells),
    }


#: Counts as the command does, and tells the peak of its memory on a last line.
_COUNT = """
import sys
from edge.cli import main
from edge.device.machine import resident_mb
code = main(standalone_mode=False)
print(resident_mb("VmHWM"))
sys.exit(code)
"""


def fresh_count(model: Path, files: Sequence[Path], log: Path) -> tuple[float, float]:
    """Count files in a process of their own, into a new log.

    Returns
    -------
    ms from the start of the process to its first result, and the peak of its memory in MB

    Raises
    ------
    GateError
        It failed.
    """
    arguments = ["count", "--json", "--threads", "1", "--model", model, "--log", log, "--", *files]
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _COUNT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None  # both are pipes
        assert process.stderr is not None
        process.stdout.readline()
        first_ms = (time.perf_counter() - started) * 1000.0
        last = process.stdout.read().rpartition("\n")[0].rpartition("\n")[2]
        said = process.stderr.read().strip() or "it said nothing"
    if process.returncode != 0:
        raise GateError(
            f"a fresh process of the bench ended with {process.returncode}: {said.splitlines()[-1]}"
        )
    return first_ms, float(last)


@dataclass(frozen=True, slots=True)
class Change:
    """How one figure differs from the baseline.

    Attributes
    ----------
    series : its name
    before, now : 5th percentile in ms, or memory in MB
    allowed : largest value that passes
    slower : the gate's word: more than is allowed
    """

    series: str
    before: float
    now: float
    allowed: float
    slower: bool


def read_baseline(path: Path) -> dict[str, Any]:
    """Read an earlier run's JSON.

    Raises
    ------
    ConfigError
        The file is missing or no such run.
    """
    try:
        document: dict[str, Any] = json.loads(read_bounded(path))
        if document["schema"] != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}")
        compare(document, document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"baseline {path} cannot be used ({error}); give what `bench --json` printed"
        ) from error
    return document


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Compare two runs, series by series, by their 5th percentiles.

    What disturbs a machine only ever adds time, so that its quickest rounds tell of the program. A series has
    become slower where its 5th percentile is above the baseline's by more than ``TOLERANCE``; where the
    yardstick, a fixed hash that runs between everything else, says that the machine itself became slower,
    by so much more. A stage must cost a noticeable part of the field, too. The cold starts stop nothing: they
    come one after the other, and one neighbour may sit through them all.

    Parameters
    ----------
    before, now : documents of schema ``SCHEMA``

    Raises
    ------
    ConfigError
        They are not comparable: another machine, other fields, or nothing in common.
    """
    for what, value in _whose(now).items():
        if (old := _whose(before)[what]) != value:
            raise ConfigError(f"the baseline is of another {what} ({old!r}, here {value!r}); make one here")
    old_ms, new_ms = _compared_ms(before), _compared_ms(now)
    common = old_ms.keys() & new_ms.keys()
    if not common:
        raise ConfigError("the baseline has no series in common with this run; give the same --threads")
    machine = max(1.0, now["yardstick_ms"]["p5"] / before["yardstick_ms"]["p5"])
    changes = []
    for series in sorted(common):
        old, new = old_ms[series], new_ms[series]
        whole = old_ms.get(f"{series.rpartition(' ')[0]} total", old)
        allowed = max(old * (1 + TOLERANCE), old + _LEAST_SHARE * whole) * machine
        changes.append(Change(series, old, new, allowed, new > allowed))
    old, new = (document["memory"]["path_peak_mb"] for document in (before, now))
    allowed = max(old * (1 + _MEMORY_TOLERANCE), old + _LEAST_MEMORY_MB)
    return [*changes, Change("memory path_peak_mb", old, new, allowed, new > allowed)]


def refuse_slower(changes: Iterable[Change]) -> None:
    """Say no where a series became slower.

    Raises
    ------
    GateError
        It names each of them.
    """
    named = "; ".join(
        f"{change.series} {change.before:.2f} → {change.now:.2f} (up to {change.allowed:.2f} passes)"
        for change in changes
        if change.slower
    )
    if named:
        raise GateError(
            f"slower than the baseline or larger: {named}; find the change, or make a new baseline"
        )


def _whose(document: Mapping[str, Any]) -> dict[str, object]:
    """Name what two runs must have in common."""
    machine = document["machine"]
    return {
        "processor": machine["processor"],
        "board": machine["board"],
        "number of cores": machine["cores"],
        "network": document["model"]["sha256"],
        "set of fields": [field["sha256"] for field in document["fields"]],
    }


def _compared_ms(document: Mapping[str, Any]) -> dict[str, float]:
    """Give the 5th percentile of every series that the gate looks at."""
    found = {}
    for path in document["path"]:
        found[_path_series(path["threads"], "total")] = float(path["ms"]["p5"])
        for stage, figures in path["stages"].items():
            found[_path_series(path["threads"], stage)] = float(figures["p5"])
    for row in document["network"]:
        found[_network_series(row["version"], row["threads"], row["batch"])] = float(row["ms"]["p5"])
    return found


def markdown(document: Mapping[str, Any], changes: Sequence[Change] | None = None) -> str:
    """Render a run as Markdown, which a terminal shows as well as a page.

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
        *(_path_table(path) for path in document["path"]),
        _network_table(document),
        _process_table(document),
        _condition_table(document),
    ]
    if changes is not None:
        parts.append(_change_table(changes))
    return "\n\n".join(parts) + "\n"


def _head(document: Mapping[str, Any]) -> str:
    machine, model, fields = document["machine"], document["model"], document["fields"]
    cells = sorted(field["white_cells"] for field in fields)
    sizes = sorted({f"{field['width']}×{field['height']}" for field in fields})
    kind = "rendered fields (drawn by this program)" if fields[0]["rendered"] else "fields"
    settings = document["settings"]
    lines = [
        "# What a field costs",
        "",
        f"`blastcount bench --threads {settings['threads']} --repeat {settings['repeat']}`: "
        f"{len(fields)} {kind} of {', '.join(sizes)} px with {cells[0]} to {cells[-1]} white cells; "
        f"each round in a new order, after {settings['warmup_rounds']} of warm-up; "
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


def _path_table(path: Mapping[str, Any]) -> str:
    rows = [
        [stage, *_milliseconds(figures), f"{100 * figures['share']:.1f} %"]
        for stage, figures in path["stages"].items()
    ]
    rows.append(["**whole field**", *_milliseconds(path["ms"]), ""])
    return (
        f"## Whole path, {path['threads']} thread{'s' if path['threads'] > 1 else ''}: "
        f"{path['fields_per_s']:.2f} fields/s, {path['cells_per_s']:.0f} cells/s\n\n"
        + markdown_table(["ms a field", *_percentile_names(), "share"], rows)
        + f"\n\nn = {path['ms']['n']}. hash is the SHA-256 of the pixels and the making of the result."
    )


def _network_table(document: Mapping[str, Any]) -> str:
    rows = [
        [
            *(str(row[key]) for key in ("version", "threads", "batch")),
            *_milliseconds(row["ms"]),
            f"{row['cells_per_s']:.0f}",
        ]
        for row in document["network"]
    ]
    text = "## Network alone\n\n" + markdown_table(
        ["engine", "threads", "batch", *_percentile_names(), "cells/s"], rows
    )
    text += f"\n\nms a batch, n = {document['settings']['repeat']} each."
    for missing in document["engines_missing"]:
        text += f"\n\nNot measured: {missing['engine']} ({missing['reason']})."
    return text


def _process_table(document: Mapping[str, Any]) -> str:
    first = document["cold_start_ms"]["first_count"]
    row = ["start of the process to the first count, ms", *_milliseconds(first)]
    return (
        "## Fresh processes\n\n"
        + markdown_table(["", *_percentile_names()], [row])
        + f"\n\nn = {first['n']}, files in the page cache. Peak resident memory of the whole path: "
        f"{document['memory']['path_peak_mb']:.0f} MB (1 MB = 10^6 bytes)."
    )


def _condition_table(document: Mapping[str, Any]) -> str:
    rows = [
        [key.replace("_", " "), *(_state(document["condition"][when][key]) for when in ("before", "after"))]
        for key in ("temperatures_c", "throttled", "load_1min")
    ]
    return f"## Condition of the machine\n\n{markdown_table(['', 'before', 'after'], rows)}"


def _change_table(changes: Sequence[Change]) -> str:
    rows = [
        [
            change.series,
            *(f"{figure:.2f}" for figure in (change.before, change.now, change.allowed)),
            "**slower**" if change.slower else "–",
        ]
        for change in changes
    ]
    return "## Against the baseline (p5, ms; memory, MB)\n\n" + markdown_table(
        ["series", "before", "now", "passes", ""], rows
    )


def _percentile_names() -> list[str]:
    return [f"p{q}" for q in _PERCENTILES]


def _milliseconds(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[name]:.2f}" for name in _percentile_names()]


def _state(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {figure:.1f}" for name, figure in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
