"""``blastcount bench``: what is measured, how it is shown, and the gate against an earlier run.

Clocks are counters here, so that no test depends on how fast the machine is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from edge import bench
from edge.bench import STAGES, WholePath, compare, interleave, markdown, read_baseline, refuse_slower, timed
from edge.bloodlog import BloodLog
from edge.camera.files import read_image
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.classification.interpreter import installed_runtimes
from edge.counting import pipeline
from edge.counting.pipeline import Pipeline
from edge.errors import ConfigError, GateError, RuntimeMissingError, SourceError
from edge.quality import Judgement
from edge.rendered import Population, RenderSettings
from tests.edge.camera.devices import Clock
from tests.edge.commands.invoking import blastcount

SMALL = RenderSettings(120, 90, 0.2, population=Population.only(platelet=5000.0))


def figures(ms: float) -> dict[str, float]:
    return {"n": 30, "p5": ms, "p50": 2 * ms, "p90": 3 * ms, "p99": 4 * ms}


DOCUMENT: dict[str, Any] = {
    "schema": "blastcount.bench/1",
    "created_at": "2026-01-02T03:04:05+00:00",
    "settings": {"repeat": 30, "warmup_rounds": 2, "threads": 2},
    "machine": {"board": "Raspberry Pi 5", "processor": "CPU part 0xd0b", "cores": 4, "memory_mb": 8257,
                "architecture": "aarch64", "kernel": "6.6"},
    "software": {"blastcount": "0.1.0"},
    "model": {"name": "m", "file_bytes": 563000, "sha256": "f" * 64},
    "fields": [{"file": "a.jpg", "sha256": "a", "rendered": False, "width": 10, "height": 20,
                "status": "rejected", "white_cells": 7}],
    "path": [{"threads": 2, "ms": figures(100.0), "fields_per_s": 5.0, "cells_per_s": 100.0,
              "stages": {stage: figures(70.0 if stage == "segment" else 0.5) | {"share": 0.125}
                         for stage in STAGES}}],
    "network": [{"engine": "litert", "version": "litert 2", "threads": 1, "batch": 8, "ms": figures(1.0),
                 "cells_per_s": 700.0}],
    "engines_missing": [{"engine": "tflite_runtime", "reason": "does not start"}],
    "yardstick_ms": figures(5.0),
    "cold_start_ms": {"first_count": figures(400.0)},
    "memory": {"path_peak_mb": 120.0},
    "condition": {when: {"temperatures_c": {"cpu-thermal": 61.25}, "throttled": flags, "load_1min": 0.5}
                  for when, flags in (("before", []), ("after", ["throttled"]))},
}  # fmt: skip


def changed(*path: str | int, times: float | None = None, to: object = None) -> dict[str, Any]:
    """The document with one figure multiplied or replaced."""
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = place[path[-1]] * times if times else to
    return document


# Fields


def test_images_of_folders_each_once_up_to_a_limit(tmp_path: Path) -> None:
    for name in ("f1.jpg", "f2.jpg", "f3.avi"):
        (tmp_path / name).touch()
    for paths, limit, names in (
        ([tmp_path, tmp_path / "f1.jpg"], None, ["f1.jpg", "f2.jpg"]),
        ([tmp_path], 1, ["f1.jpg"]),
    ):
        assert [file.name for file in bench.find_images(paths, limit)] == names
    with pytest.raises(SourceError, match="only videos"):
        bench.find_images([tmp_path / "f3.avi"], None)


def test_rendered_fields_differ_and_come_again(tmp_path: Path) -> None:
    first, second = bench.render_images(tmp_path, 2, SMALL)
    content = first.read_bytes()
    assert content != second.read_bytes()
    assert read_image(first).image.shape == (90, 120, 3)
    assert bench.render_images(tmp_path, 1, SMALL)[0].read_bytes() == content


def test_the_crowded_field_holds_about_110_white_cells() -> None:
    asked = bench.CROWDED.population
    kinds = ("blast", "lymphocyte", "neutrophil", "monocyte", "eosinophil", "smudge")
    area_mm2 = bench.CROWDED.width_um * bench.CROWDED.height_um / 1e6
    assert sum(getattr(asked, kind) for kind in kinds) * area_mm2 == pytest.approx(110, abs=2)


# Timing


def test_each_subject_runs_once_a_round_in_changing_order_and_the_warm_up_is_dropped() -> None:
    calls: list[str] = []
    ended: list[int] = []

    def subject(name: str) -> Callable[[], Mapping[str, list[float]]]:
        def run() -> dict[str, list[float]]:
            calls.append(name)
            return {name: [float(len(calls)), 0.0]}

        return run

    samples = interleave(
        [subject("a"), subject("b")], 20, warmup=2, after_round=lambda: ended.append(len(calls))
    )
    assert ended == list(range(2, 46, 2))
    assert all(sorted(calls[i : i + 2]) == ["a", "b"] for i in range(0, 44, 2))
    assert {calls[i] for i in range(0, 44, 2)} == {"a", "b"}
    assert {series: values.shape for series, values in samples.items()} == {"a": (20, 2), "b": (20, 2)}
    # The first four calls were the warm-up's.
    assert min(values[:, 0].min() for values in samples.values()) == 5.0


def test_a_call_is_timed_after_one_that_is_not() -> None:
    clock, calls = Clock(), list[int]()

    def work() -> None:
        calls.append(1)
        clock.now_s += 0.25

    assert timed("call", work, clock)() == {"call": [250.0]}
    assert len(calls) == 2


def test_percentiles_of_samples_of_any_shape() -> None:
    found = bench._percentiles(np.arange(101.0))
    assert found == {"n": 101, "p5": 5.0, "p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert bench._percentiles(np.array([[1.0, 3.0], [2.0, 4.0]]))["p50"] == 2.5


# The whole path


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "log.sqlite") as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(field_folder: Path, tiny_model: Path, log: BloodLog, clock: Clock) -> WholePath:
    files = [field_folder / "rendered_0001.jpg"]
    return WholePath(files, load_bundle(tiny_model), log, threads=1, clock=clock)


def test_it_counts_and_logs_what_the_pipeline_counts(
    line: WholePath, log: BloodLog, tiny_model: Path
) -> None:
    line.run()
    line.run()
    assert log.count() == 2
    ((file, result),) = line.results.items()
    expected = Pipeline(Classifier(load_bundle(tiny_model))).process(read_image(file)).result
    assert result.cells == expected.cells
    assert expected.wbc > 0


@pytest.mark.parametrize(
    ("owner", "function", "stage"),
    [
        (bench, "read_image", "decode"),
        (pipeline, "assess", "quality"),
        (pipeline, "segment", "segment"),
        (pipeline, "Cutter", "crop"),
        (pipeline, "readings_of", "hash"),
        (Classifier, "p_blast", "classify"),
        (BloodLog, "append", "log"),
    ],
)
def test_a_slowed_stage_shows_in_its_own_figure_alone(
    line: WholePath, clock: Clock, monkeypatch: pytest.MonkeyPatch, owner: object, function: str, stage: str
) -> None:
    honest = getattr(owner, function)

    def slow(*arguments: object, **named: object) -> object:
        clock.now_s += 0.25
        return honest(*arguments, **named)

    monkeypatch.setattr(owner, function, slow)
    ms = {part: items[0] for part, items in line.run().items()}
    assert ms[stage] > 0
    assert ms[stage] == ms["total"]
    assert [other for other in STAGES if other != stage and ms[other]] == []


def test_a_rejected_field_goes_no_further(line: WholePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "assess", lambda *_: Judgement(("underexposed",)))
    ms = line.run()
    assert (ms["segment"], ms["crop"], ms["classify"]) == ([0.0], [0.0], [0.0])


# Fresh processes


def test_a_process_that_fails(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"ended with 3: blastcount: error: .*absent"):
        bench.fresh_count(tmp_path / "absent.tflite", [tmp_path / "f.jpg"], tmp_path / "log.sqlite")


# The gate against an earlier run

SEGMENT = ("path", 0, "stages", "segment", "p5")
LOG = ("path", 0, "stages", "log", "p5")


@pytest.mark.parametrize(
    ("now", "series"),
    [
        (changed(*SEGMENT, times=1.15), "path threads=2 segment"),
        (changed("path", 0, "ms", "p5", times=1.11), "path threads=2 total"),
        (changed("network", 0, "ms", "p5", times=1.15), "network litert threads=1 batch=8"),
        (changed("memory", "path_peak_mb", to=127.0), "memory path_peak_mb"),
        # Within tolerance.
        (DOCUMENT, None),
        (changed(*SEGMENT, times=1.09), None),
        (changed(*SEGMENT, times=0.5), None),
        (changed(*LOG, times=2.5), None),  # 0.75 ms of 100: no field notices
        (changed("memory", "path_peak_mb", to=125.9), None),
        (changed("cold_start_ms", "first_count", "p5", times=2.0), None),
    ],
)
def test_a_slower_or_larger_part_is_stopped(now: dict[str, Any], series: str | None) -> None:
    changes = compare(DOCUMENT, now)
    if series is None:
        refuse_slower(changes)
        return
    assert [change.series for change in changes if change.slower] == [series]
    with pytest.raises(GateError, match=f"larger: {series} "):
        refuse_slower(changes)
    assert f"| {series} " in markdown(now, changes)
    # The other way round it became faster.
    refuse_slower(compare(now, DOCUMENT))


def test_a_machine_that_became_slower_itself_widens_the_tolerance_and_a_faster_one_does_not() -> None:
    now = changed(*SEGMENT, times=1.3)
    now["yardstick_ms"]["p5"] *= 1.3
    refuse_slower(compare(DOCUMENT, now))
    now["yardstick_ms"]["p5"] = 1.0
    with pytest.raises(GateError, match="segment"):
        refuse_slower(compare(DOCUMENT, now))


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (changed("machine", "processor", to="q"), "another processor"),
        (changed("machine", "cores", to=2), "another number of cores"),
        (changed("model", "sha256", to="0"), "another network"),
        (changed("fields", 0, "sha256", to="b"), "another set of fields"),
        (changed("path", to=[]) | {"network": []}, "no series in common"),
    ],
)
def test_runs_that_cannot_be_compared(before: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(before, DOCUMENT)


@pytest.mark.parametrize(
    "content",
    [None, "no json", "[1]", '{"schema": "blastcount.check/1"}', '{"schema": "blastcount.bench/1"}'],
)
def test_a_file_that_is_no_baseline_is_refused_before_anything_is_measured(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    result = run("--baseline", file)
    assert result.exit_code == 3
    assert "give what `bench --json` printed" in result.stderr


# The command


def run(*arguments: object) -> Result:
    return blastcount("bench", *arguments)


def test_json_of_a_run_is_what_the_page_and_the_gate_take(
    tiny_model: Path, field_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_COLD_STARTS", 1)
    scratch = tmp_path / "card"
    options = [field_folder, "--model", tiny_model, "--threads", 1, "--repeat", 2]
    result = run(*options, "--scratch", scratch, "--json")
    assert result.exit_code == 0, result.output
    assert list(scratch.iterdir()) == []
    document = json.loads(result.stdout)
    assert document.keys() == DOCUMENT.keys()
    assert document["model"]["name"] == "tiny"
    (field,) = document["fields"]
    assert (field["file"], field["status"], field["rendered"]) == ("rendered_0001.jpg", "counted", False)
    assert field["white_cells"] > 0
    rows = [(row["engine"], row["batch"]) for row in document["network"]]
    assert rows == [(runtime, batch) for runtime in installed_runtimes() for batch in (1, 8, 32)]
    (path,) = document["path"]
    assert sum(stage["share"] for stage in path["stages"].values()) == pytest.approx(1, abs=0.01)
    assert path["ms"]["n"] == 2
    assert 10 < document["memory"]["path_peak_mb"] < 1000
    page = markdown(document)
    assert all(row in page for row in ("| segment", "| **whole field**", "no Raspberry Pi", "tiny"))

    baseline = tmp_path / "baseline.json"
    baseline.write_text(result.stdout)
    assert read_baseline(baseline) == document
    # The same run again, exactly: a machine never gives the same twice.
    monkeypatch.setattr(bench, "run", lambda *_: document)
    assert run(*options, "--baseline", baseline).exit_code == 0
    slower = copy.deepcopy(document)
    slower["path"][0]["stages"]["segment"]["p5"] *= 2
    monkeypatch.setattr(bench, "run", lambda *_: slower)
    stopped = run(*options, "--baseline", baseline)
    assert stopped.exit_code == 4
    assert "**slower**" in stopped.stdout
    assert "path threads=1 segment" in stopped.stderr


def test_rendered_fields_are_drawn_where_no_path_is_given(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[tuple[int, bool]]()
    draw = bench.render_images
    monkeypatch.setattr(bench, "render_images", lambda folder, number: draw(folder, number, SMALL))

    def measure(_bundle: object, files: list[Path], rendered: bool, *_: object) -> dict[str, Any]:
        seen.append((len(files), rendered))
        return DOCUMENT

    monkeypatch.setattr(bench, "run", measure)
    assert run("--model", tiny_model, "--fields", 2).exit_code == 0
    assert seen == [(2, True)]


def test_an_interpreter_that_refuses_the_network_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeMissingError("does not start")

    monkeypatch.setattr(bench, "installed_runtimes", lambda: ("tflite_runtime",))
    monkeypatch.setattr(bench, "Network", broken)
    assert bench._networks(load_bundle(tiny_model), 1) == ([], {"tflite_runtime": "does not start"})


def test_the_page_says_what_this_machine_does_not_show() -> None:
    text = " ".join(markdown(DOCUMENT).split())
    named = (
        "Raspberry Pi 5, 4 cores",
        "nothing: a.jpg",
        "tflite_runtime (does not start)",
        "cpu-thermal 61.2",
    )
    for words in (*named, "| none | throttled |"):
        assert words in text
    for block in markdown(DOCUMENT).split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.splitlines()}) == 1  # columns are aligned
