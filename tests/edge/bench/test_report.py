"""What the report says in the cases that this machine does not show."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edge.bench.baseline import Change
from edge.bench.path import STAGES
from edge.bench.profile import KINDS
from edge.bench.report import markdown

MS = {"n": 30, "p5": 1.0, "p50": 2.0, "p90": 3.0, "p99": 4.0}
DOCUMENT: dict[str, Any] = {
    "created_at": "2026-01-02T03:04:05+00:00",
    "settings": {"repeat": 30, "warmup_rounds": 2},
    "machine": {"board": "Raspberry Pi 5", "processor": "CPU part 0xd0b", "cores": 4, "memory_mb": 8257,
                "architecture": "aarch64", "kernel": "6.6"},
    "software": {"blastcount": "0.1.0"},
    "model": {"name": "m", "file_bytes": 563000, "sha256": "f" * 64},
    "fields": [{"file": "a.jpg", "rendered": False, "width": 10, "height": 20, "status": "rejected",
                "white_cells": 0}],
    "path": [{"threads": 2, "ms": MS, "stages": {stage: MS | {"share": 0.125} for stage in STAGES},
              "glue_ms": MS, "fields_per_s": 5.0, "cells_per_s": 100.0}],
    "network": [{"version": "litert 2", "threads": 1, "batch": 8, "ms": MS, "cells_per_s": 700.0}],
    "engines_missing": [{"engine": "keras", "reason": "no model given"}],
    "ratios": [{"engine": "litert", "other": "keras", "threads": 1, "batch": 8, "p5": 0.05, "p50": 0.04}],
    "cold_start_ms": {"imports": MS, "first_count": MS},
    "memory": {"classifier_peak_mb": 55.0, "path_peak_mb": 120.0, "path_after_first_round_mb": 90.0,
               "path_after_last_round_mb": 91.0},
    "profile": {"samples": 900, "shares": dict.fromkeys(KINDS, 0.125), "python_ci95": [0.1, 0.155]},
    "condition": {when: {"temperatures_c": {"cpu-thermal": 61.25}, "throttled": flags, "load_1min": 0.5}
                  for when, flags in (("before", []), ("after", ["throttled"]))},
    "energy": "absent: no chip",
}  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "Raspberry Pi 5, 4 cores",
        "rejected, so that their later stages cost nothing: a.jpg",
        "with 0 white cells",
        "Whole path, 2 threads: 5.00 fields/s, 100 cells/s",
        "Not measured: keras (no model given).",
        "| litert / keras ",
        "20.0 ×",
        "cpu-thermal 61.2",
        "| none | throttled |",
        "| quality + segment + crop + hash | 1.00 |",
        "classifier alone 55 MB, whole path 120 MB",
        "| the Python interpreter with its own modules | 12.5 % |",
        "n = 900 samples of the instruction pointer",
        "Python's share: 10.0 to 15.5 %.",
    ],
)
def test_it_says(words: str) -> None:
    text = " ".join(markdown(DOCUMENT).split())
    assert words in text


def test_without_samples_it_says_why() -> None:
    text = markdown(DOCUMENT | {"profile": "absent: the kernel allows no sampling here"})
    assert "## Time by kind of code\n\nabsent: the kernel allows no sampling here.\n" in text


def test_columns_are_aligned() -> None:
    for block in markdown(DOCUMENT).split("\n\n"):
        lines = block.splitlines()
        if lines and lines[0].startswith("|"):
            assert len({len(line) for line in lines}) == 1


def test_several_fields() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["fields"].append(document["fields"][0] | {"white_cells": 7, "status": "counted"})
    document["ratios"] = []
    text = markdown(document)
    assert "2 fields of 10×20 px with 0 to 7 white cells" in text
    assert "Engines compared" not in text


def test_a_comparison() -> None:
    changes = [Change("path total", 1.5, 1.4, 0.05, True), Change("path log", 1.0, 0.9, 0.05, False)]
    lines = [" ".join(line.split()) for line in markdown(DOCUMENT, changes).splitlines()]
    assert "| path total | 1.500 | 1.400 | 1.050 | **slower** |" in lines
    assert "| path log | 1.000 | 0.900 | 1.050 | – |" in lines
