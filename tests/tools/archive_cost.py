"""What an archive costs beside plain counting: ``make archive-cost``.

The same fields are counted by one process, by ``xargs -P2`` of ``count``, and by ``archive`` with one worker
and with two, in turn and in a new order each round, so that whatever else the machine does meets all of them.
Of each run wall time, processor time of all its processes together, and the memory of each while it runs are
taken. Rendered fields are drawn at several scales; real ones, where there are any, are repeated with noise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow.parquet as pq
from distributed import Client
from PIL import Image

from edge.archive import work
from edge.archive.plan import Batch, plan
from edge.archive.store import StoredFile, list_files
from edge.archive.tables import CountedBatch, Results
from edge.camera.files import read_frames
from edge.commands.printing import field_json
from edge.config import Config, load_config
from edge.counting.files import Counted, count_file
from edge.counting.folder import FolderScales
from edge.device.machine import describe_machine, describe_software
from edge.rendered import RenderSettings, render_field
from edge.structures import UInt8Image
from tests.tools.compare_counts import REPOSITORY

#: Fields of a sample's folder; one folder is larger than a batch may be.
A_FOLDER, LARGE = 30, 400
#: Batches of a folder each that are counted in this process, by a worker's function and by that of ``count``,
#: and tasks that do nothing but travel.
PAIRED, TRAVELLING = 8, 200
#: Rendered: µm per px, width and height. Real: folders below the data.
SCALES = ((0.25, 640, 480), (0.2, 800, 600), (0.14, 1024, 768), (0.1, 1280, 960))
REAL = ("all-idb1/im", "bccd/images", "wbc-chula/images", "all-taleqani/pre", "lisc")
#: Different pictures of each kind that the archive's are made of.
DIFFERENT = 6
#: Levels of noise that make two copies two fields.
NOISE = 1.5
#: A process that holds more has loaded the line, or Dask.
COUNTING_MB = 80.0
COUNT = [sys.executable, "-m", "edge.cli", "count", "--json", "--threads", "1"]
ARCHIVE = [sys.executable, "-m", "edge.cli", "archive", "--quiet"]


def originals(data: Path) -> list[UInt8Image]:
    """Pictures of every kind, in turn."""
    kinds = []
    for um_per_px, width, height in SCALES:
        settings = RenderSettings(width=width, height=height, um_per_px=um_per_px)
        kinds.append([render_field(seed, settings).image for seed in range(DIFFERENT)])
    for name in REAL:
        files = sorted(f for f in (data / name).glob("*") if f.suffix.lower() in (".jpg", ".png", ".bmp"))
        chosen = files[:: max(1, len(files) // DIFFERENT)][:DIFFERENT]
        kinds.append([np.asarray(Image.open(file).convert("RGB")) for file in chosen])
    return [kind[n % len(kind)] for n in range(DIFFERENT) for kind in kinds if kind]


def write_archive(root: Path, fields: int, data: Path) -> None:
    """Lay out an archive: folders of one picture's kind each, as a sample has one camera."""
    pictures = originals(data)
    drawn = np.random.default_rng(1)
    large = LARGE if fields > 4 * LARGE else 0
    noise = np.rint(drawn.normal(0.0, NOISE, 1 << 16)).astype(np.int16)
    for number in range(fields):
        sample = (number - large) // A_FOLDER
        folder = root / ("S-large" if number < large else f"S-{sample:05d}")
        picture = pictures[0 if number < large else sample % len(pictures)]
        folder.mkdir(parents=True, exist_ok=True)
        # One row of noise from another place each time: drawing it anew takes longer than counting.
        moved = picture + np.resize(np.roll(noise, int(drawn.integers(len(noise)))), picture.shape)
        image = Image.fromarray(np.clip(moved, 0, 255).astype(np.uint8))
        image.save(folder / f"f{number:06d}.jpg", quality=92)


def variants(root: Path, out: Path, folders_a_call: int) -> dict[str, list[str]]:
    """Commands by name."""
    folders = " ".join(f"{folder}" for folder in sorted(root.iterdir()))
    command = " ".join(COUNT)
    return {
        "count": [*COUNT, str(root)],
        "xargs -P2": ["sh", "-c", f"echo {folders} | xargs -P2 -n{folders_a_call} {command}"],
        "archive, 1 worker": [*ARCHIVE, str(root), "--out", str(out), "--workers", "1"],
        "archive, 2 workers": [*ARCHIVE, str(root), "--out", str(out), "--workers", "2"],
    }


def sampled(process: psutil.Process, memory: dict[int, list[float]], every_s: float = 1.0) -> None:
    """Note the memory of all processes below one, MB, until it ends."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        for child in process.children(recursive=True):
            try:
                memory[child.pid].append(child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
        time.sleep(every_s)


def measure(command: list[str]) -> dict[str, Any]:
    """Run a command to its end."""
    memory: dict[int, list[float]] = defaultdict(list)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    ) as process:
        watching = threading.Thread(target=sampled, args=(psutil.Process(process.pid), memory), daemon=True)
        watching.start()
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    watching.join()
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "memory": [rise(v) for v in memory.values() if max(v) > COUNTING_MB],
    }


def rise(values: list[float]) -> dict[str, float]:
    """Say how much a process holds, and how much more in its last third than in the third before."""
    thirds = np.array_split(np.array(values), 3)
    grown = float(np.median(thirds[2]) - np.median(thirds[1])) if len(values) >= 9 else 0.0
    return {"most_mb": max(values), "grown_mb": grown}


def ratios(rounds: list[dict[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Paired ratios of one round each: median, least and most."""
    one, two, plain = "archive, 1 worker", "archive, 2 workers", "xargs -P2"
    for name, clock, above, below in (
        ("two workers against one process, wall", "wall_s", "count", two),
        ("two workers against one worker, wall", "wall_s", one, two),
        ("two workers against xargs -P2, wall", "wall_s", two, plain),
        ("two workers against one process, processor", "cpu_s", two, "count"),
        ("one worker against one process, processor", "cpu_s", one, "count"),
        ("two workers against xargs -P2, processor", "cpu_s", two, plain),
    ):
        each = [round_[above][clock] / round_[below][clock] for round_ in rounds]
        yield {"name": name, "median": float(np.median(each)), "least": min(each), "most": max(each)}


def plainly_counted(config: Config, files: tuple[StoredFile, ...]) -> str:
    """Count files and print them as ``count --json`` does."""
    recorder = work.line(config)
    scales = FolderScales([file.key for file in files], recorder.corrected)
    counted = (count_file(file.key, read_frames(file.key), recorder, scales) for file in files)
    return "".join(
        field_json(field.recorded.result) for each in counted for field in each if isinstance(field, Counted)
    )


def rows_of(content: bytes) -> int:
    """Count the rows of a Parquet file."""
    return int(pq.read_metadata(io.BytesIO(content)).num_rows)


def travelled(batch: Batch, back: CountedBatch) -> CountedBatch:
    """Do nothing: what is sent there and back is what a batch is."""
    return back


def timed(clock: Callable[[], float], function: Callable[[], object]) -> float:
    """Give the seconds that a call takes."""
    started = clock()
    function()
    return clock() - started


def constants(root: Path, out: Path) -> dict[str, Any]:
    """Measure what a field, a batch and a file cost in this process, by the processor's clock.

    A machine that others use too leaves these what they are, as far as caches let it.
    """
    config = load_config().changed(model={"threads": 1})
    provenance = work.line(config).provenance
    listing = timed(time.process_time, lambda: list_files(str(root)))
    files, _ = list_files(str(root))
    planned = plan(files, least=1, most=A_FOLDER)
    batches = [batch for batch in planned if not batch.looks and len(batch.files) == A_FOLDER][:PAIRED]
    pairs, counted = [], []
    work.count_batch(config, provenance, batches[0])  # what is done once
    for number, batch in enumerate(batches):

        def archived(batch: Batch = batch) -> None:
            counted.append(work.count_batch(config, provenance, batch))

        def plain(batch: Batch = batch) -> None:
            plainly_counted(config, batch.files)

        order = (archived, plain) if number % 2 else (plain, archived)
        took = {call: timed(time.process_time, call) for call in order}
        pairs.append((took[archived], took[plain]))
    fields = A_FOLDER * len(batches)
    results = Results(out, provenance)
    written = [timed(time.process_time, partial(results.write, f"{n}", c)) for n, c in enumerate(counted)]
    with Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        large = max(plan(files), key=lambda batch: len(batch.files))
        back = max(counted, key=lambda batch: len(batch.files["cells"]))
        more = {table: content * 10 for table, content in back.files.items()}  # 300 fields, at the most
        back = msgspec.structs.replace(back, files=more)
        client.submit(travelled, large, back, pure=False).result()

        def travel() -> None:
            for _ in range(TRAVELLING):
                client.submit(travelled, large, back, pure=False).result()

        travelling = timed(time.process_time, travel) / TRAVELLING
    ratios = [archived / plain for archived, plain in pairs]
    return {
        "n": fields,
        "batches": len(batches),
        "listed_us_a_file": 1e6 * listing / len(files),
        "count_ms_a_field": 1e3 * sum(plain for _, plain in pairs) / fields,
        "archive_ms_a_field": 1e3 * sum(archived for archived, _ in pairs) / fields,
        "archive_to_count": {"median": float(np.median(ratios)), "least": min(ratios), "most": max(ratios)},
        "written_ms_a_batch": 1e3 * float(np.median(written)),
        "scheduled_ms_a_batch": 1e3 * travelling,
        "sent_bytes_a_file": len(pickle.dumps(large)) / len(large.files),
        "bytes_a_field": {
            table: sum(len(batch.files[table]) for batch in counted) / fields for table in counted[0].files
        },
        "cells_a_field": sum(pq.read_metadata(io.BytesIO(c.files["cells"])).num_rows for c in counted)
        / fields,
        "resident_mb": {"first": counted[0].resident_mb, "last": counted[-1].resident_mb},
    }


def bytes_below(folder: Path) -> int:
    """Add up the files of a table."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Measure and print; write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    rounds: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "archive", Path(folder) / "out"
        write_archive(root, arguments.fields, arguments.data)
        costs = constants(root, Path(folder) / "constants")
        sys.stdout.write(json.dumps(costs, indent=1) + "\n")
        commands = variants(root, out, max(1, arguments.fields // A_FOLDER // 8))
        load = [os.getloadavg()[0]]
        for number in range(arguments.rounds):
            order = list(commands)
            random.Random(number).shuffle(order)
            measured = {}
            for name in order:
                shutil.rmtree(out, ignore_errors=True)
                measured[name] = measure(commands[name])
                load.append(os.getloadavg()[0])
                took = measured[name]
                sys.stdout.write(f"{number} {name}: wall {took['wall_s']:.1f} s, cpu {took['cpu_s']:.1f} s\n")
                sys.stdout.flush()
            rounds.append(measured)
        kept = {table.name: bytes_below(table) for table in out.iterdir()} if out.exists() else {}
    document = {
        "machine": describe_machine(),
        "software": describe_software(),
        "fields": arguments.fields,
        "load": [min(load), max(load)],
        "constants": costs,
        "rounds": rounds,
        "ratios": list(ratios(rounds)) if rounds else [],
        "bytes": kept,
    }
    for ratio in document["ratios"]:
        sys.stdout.write("{name}: {median:.3f} ({least:.3f} to {most:.3f})\n".format(**ratio))
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
