"""What the archives' page reckons from its constants."""

from __future__ import annotations

from typing import Any

import pytest

from training.report import archive
from training.report.page import Table

COSTS = {
    "n": 240,
    "batches": 8,
    "count_ms_a_field": 95.0,
    "archive_ms_a_field": 96.0,
    "archive_to_count": {"median": 1.01, "least": 0.99, "most": 1.03},
    "scheduled_ms_a_batch": 15.0,
    "written_ms_a_batch": 3.0,
    "summed_ms_a_batch": 9.0,
    "listed_us_a_file": 30.0,
    "held_bytes_a_file": 500.0,
    "sent_bytes_a_file": 100.0,
    "bytes_a_field": {"fields": 600.0, "cells": 300.0, "failures": 0.0},
}


def tables(document: dict[str, Any]) -> list[dict[str, tuple[str, ...]]]:
    return [{row[0]: row[1:] for row in b.rows} for b in archive.blocks(document) if isinstance(b, Table)]


def test_a_million_fields() -> None:
    constants, million = tables({"constants": COSTS})
    assert constants["ratio of the two, of paired batches"] == ("1.010 (0.990 to 1.030)",)
    assert million["counting"][0] == "1,000,000 × 96 ms / 400 = 4.0 minutes"
    assert million["scheduler and client"] == (
        "5,556 × 18.0 ms = 1.7 minutes, on one core while the others count",
        "where it is as long as the counting: at 960 workers",
    )
    assert million["**reading**"] == (
        "2 TB in 4.0 minutes = 8.3 GB/s",
        "**first**: a store on 10 Gbit/s gives 1.2 GB/s, to 58 of these workers",
    )
    assert million["tables"][0] == "0.9 GB in 16,668 files"
    assert million["last pieces of batches"][0].startswith("up to 60 × 96 ms = 6 s")


@pytest.mark.parametrize(("median", "said"), [(1.81, "≥ 1.8: reached"), (1.79, "≥ 1.8: **not reached**")])
def test_what_was_wanted_is_judged_by_what_is_reckoned(median: float, said: str) -> None:
    ratio = {"name": "one process to two workers", "least": 1.0, "most": 2.0}
    ratios = [ratio | {"fields": 2000, "median": 1.75}, ratio | {"fields": 20_000, "median": median}]
    took = {"all": {"two workers": {"wall_s": 70.0, "cpu_s": 130.0}}}
    took["start"] = {"two workers": {"wall_s": 2.0, "cpu_s": 3.0}}
    turns = {"fields": 2000, "rounds": [took], "ratios": ratios}
    _, shown, times, _ = tables({"constants": COSTS, "turns": turns})
    assert times == {"two workers": ("70.0", "2.0", "130.0", "10.0")}
    assert shown["one process to two workers"] == (
        "1.750 (1.000 to 2.000)",
        f"{median:.3f} (1.000 to 2.000)",
        said,
    )


@pytest.mark.parametrize(("last", "said"), [(209.0, "flat"), (211.0, "**not flat**")])
def test_a_growing_worker_is_named(last: float, said: str) -> None:
    whole = {
        "fields": 20_000,
        "status": {"counted": 19_000, "rejected": 980},
        "failures": {"damaged": 20},
        "lost": 0,
        "doubled": 0,
        "memory_mb": [[500.0] * 5, [120.0] * 5, [200.0] * 5, [150.0, 200.0, 201.0, 202.0, last]],
    }
    rows, _, memory = archive._whole(whole)
    assert rows == "19,000 counted, 980 rejected, failures: 20 damaged; 0 lost, 0 doubled"
    assert memory.endswith(f"MB: {said}")
