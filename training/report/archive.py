"""The tables of docs/archive.md: what an archive costs, and what a million fields would."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from training.report.page import Block, Bullets, Heading, Table

Json = Mapping[str, Any]

#: What is reckoned: fields and their size, machines with cores, what a store's network card gives, fields of
#: a batch, which has 100 to 300, and of a piece at the end, of which so many workers get no smaller ones.
MILLION, FIELD_MB, MACHINES, CORES, STORE_GB_A_S, A_BATCH, A_PIECE = 1_000_000, 2.0, 100, 4, 1.2, 180, 60
#: Workers of the large archive.
WORKERS = 2
#: What was wanted of the turns: a ratio, and whether it is to be at least or at most that.
WANTED = {
    "one process to two workers": (1.8, True),
    "xargs -P2 to two workers": (1.0, True),
    "two workers to one process, processor time": (1.05, False),
}
#: A worker's memory is flat where the median of its last fifth is no further above that of the second.
FLAT = 1.05


def blocks(document: Json) -> Iterator[Block]:
    """Lay out constants, turns, the large archive, and what follows from them for a million fields.

    Parameters
    ----------
    document : written by ``tests.tools.archive_cost``
    """
    costs = document["constants"]
    yield Heading("Of a field, a batch and a file", 3)
    yield Table(("what", f"n = {costs['n']} fields in {costs['batches']} batches"), tuple(_constants(costs)))
    if turns := document.get("turns"):
        yield Heading("Two workers against plain counting", 3)
        header = (
            "ratio, median (least to most)",
            f"{_fields(turns['fields'])}, rounds: {len(turns['rounds'])}",
        )
        yield Table((*header, "reckoned for 20,000", "wanted"), tuple(_ratios(turns)))
        parts = ("all", "with one field: its start", "processor", "two cores idle")
        yield Table(("seconds, median", *parts), tuple(_times(turns)))
    if whole := document.get("whole"):
        yield Heading(f"{_fields(whole['fields'])} by two workers", 3)
        yield Bullets(tuple(_whole(whole)))
    yield Heading("A million fields on a hundred machines", 2)
    yield Table(("what", "reckoned", "sets a limit"), tuple(_million(costs)))


def _constants(costs: Json) -> Iterator[tuple[str, str]]:
    yield "counting a field by `count --json`", f"{costs['count_ms_a_field']:.1f} ms"
    yield "the same in a worker's batch, with rows and Parquet", f"{costs['archive_ms_a_field']:.1f} ms"
    yield "ratio of the two, of paired batches", _spread(costs["archive_to_count"])
    yield (
        "a full batch to a worker and back, in scheduler and client",
        f"{costs['scheduled_ms_a_batch']:.1f} ms",
    )
    yield "a batch written so that it stays", f"{costs['written_ms_a_batch']:.1f} ms"
    yield "a batch read again for the sums at the end", f"{costs['summed_ms_a_batch']:.1f} ms"
    yield "listing a file", f"{costs['listed_us_a_file']:.0f} µs"
    yield "held by the client for a file", f"{costs['held_bytes_a_file']:.0f} bytes"
    yield "sent to a worker for a file", f"{costs['sent_bytes_a_file']:.0f} bytes"
    yield "kept of a field, all tables", f"{_kept(costs):.0f} bytes"


def _ratios(turns: Json) -> Iterator[tuple[str, str, str, str]]:
    here = {row["name"]: row for row in turns["ratios"] if row["fields"] == turns["fields"]}
    more = {row["name"]: row for row in turns["ratios"] if row["fields"] != turns["fields"]}
    for name, row in here.items():
        wanted = ""
        if name in WANTED:
            limit, at_least = WANTED[name]
            reached = (more[name]["median"] >= limit) if at_least else (more[name]["median"] <= limit)
            wanted = f"{'≥' if at_least else '≤'} {limit:g}: {'reached' if reached else '**not reached**'}"
        yield name, _spread(row), _spread(more[name]), wanted


def _times(turns: Json) -> Iterator[tuple[str, str, str, str, str]]:
    """Say what the time of each way is made of; a way that has one process leaves the other core idle."""

    def median(what: str, way: str, clock: str) -> float:
        return statistics.median(float(turn[what][way][clock]) for turn in turns["rounds"])

    for way in turns["rounds"][0]["all"]:
        wall_s, cpu_s = median("all", way, "wall_s"), median("all", way, "cpu_s")
        start_s = median("start", way, "wall_s")
        yield way, f"{wall_s:.1f}", f"{start_s:.1f}", f"{cpu_s:.1f}", f"{2 * wall_s - cpu_s:.1f}"


def _whole(whole: Json) -> Iterator[str]:
    yield (
        f"{_count(whole['status'].get('counted', 0))} counted, {_count(whole['status'].get('rejected', 0))} "
        "rejected, failures: "
        + ", ".join(f"{_count(number)} {kind}" for kind, number in whole["failures"].items())
        + f"; {whole['lost']} lost, {whole['doubled']} doubled"
    )
    # Before them are client and scheduler, and what the workers are forked from.
    for number, fifths in enumerate(whole["memory_mb"][-WORKERS:], 1):
        flat = fifths[-1] <= FLAT * fifths[1]
        yield (
            f"memory of worker {number}, median of each fifth of its time: "
            + ", ".join(f"{part:.0f}" for part in fifths)
            + f" MB: {'flat' if flat else '**not flat**'}"
        )


def _million(costs: Json) -> Iterator[tuple[str, str, str]]:
    workers, batches = MACHINES * CORES, -(-MILLION // A_BATCH)
    field_s = costs["archive_ms_a_field"] / 1e3
    counting_s = MILLION * field_s / workers
    batch_ms = costs["scheduled_ms_a_batch"] + costs["written_ms_a_batch"]
    client_s, listing_s = batches * batch_ms / 1e3, MILLION * costs["listed_us_a_file"] / 1e6
    read_gb_a_s = MILLION * FIELD_MB / 1e3 / counting_s
    readers = STORE_GB_A_S * 1e3 / FIELD_MB * field_s
    most = A_BATCH * field_s * 1e3 / batch_ms
    last_s = A_PIECE * field_s
    sums_s = batches * costs["summed_ms_a_batch"] / 1e3
    yield (
        "counting",
        f"1,000,000 × {field_s * 1e3:.0f} ms / {workers} = {_time(counting_s)}",
        "no: more machines",
    )
    yield "batches", f"{batches:,}, of {A_BATCH} fields", "no: Dask handles a hundred times as many"
    yield (
        "scheduler and client",
        f"{batches:,} × {batch_ms:.1f} ms = {_time(client_s)}, on one core while the others count",
        f"where it is as long as the counting: at {most:,.0f} workers",
    )
    yield (
        "listing, before the first batch",
        f"1,000,000 × {costs['listed_us_a_file']:.0f} µs = {_time(listing_s)}",
        "no; a web server or bucket takes longer",
    )
    yield "sums at the end", f"{batches:,} × {costs['summed_ms_a_batch']:.1f} ms = {_time(sums_s)}", "no"
    yield (
        "memory of the client",
        f"{MILLION * costs['held_bytes_a_file'] / 1e9:.1f} GB",
        "at tens of millions",
    )
    yield (
        "sent to workers",
        f"{MILLION * costs['sent_bytes_a_file'] / 1e9:.1f} GB, a few batches at a time",
        "no",
    )
    yield "tables", f"{MILLION * _kept(costs) / 1e9:.1f} GB in {3 * batches:,} files", "no"
    yield (
        "**reading**",
        f"{MILLION * FIELD_MB / 1e6:.0f} TB in {_time(counting_s)} = {read_gb_a_s:.1f} GB/s",
        f"**first**: a store on 10 Gbit/s gives {STORE_GB_A_S:g} GB/s, to {readers:.0f} of these workers",
    )
    yield (
        "last pieces of batches",
        f"up to {A_PIECE} × {field_s * 1e3:.0f} ms = {_time(last_s)} in which the others are idle",
        f"{100 * last_s / counting_s:.0f} % of the counting",
    )


def _kept(costs: Json) -> float:
    return sum(float(size) for size in costs["bytes_a_field"].values())


def _spread(found: Json) -> str:
    return "{median:.3f} ({least:.3f} to {most:.3f})".format(**found)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def _count(number: int) -> str:
    return f"{number:,}"


def _fields(number: int) -> str:
    return f"{number:,} fields"
