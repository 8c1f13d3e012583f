"""What an archive costs beside plain counting: ``make archive-cost``.

Three parts, each of which writes its own part of the document and leaves the others as they are:

constants
    What a field, a batch and a file cost, in one process, by the processor's clock.
turns
    The same fields counted by one process, by two of which each has half, by ``xargs -P2`` of ``count`` and
    by ``archive`` with two workers, in turn and in a new order each round, so that whatever else the machine
    does meets all of them. What each takes for a single field, its start, is measured beside it. Rounds are
    added to those that are there.
whole
    A large archive by two workers, with a damaged file among each thousand: the memory of each worker while
    it runs, and whether every field came once.

Rendered fields are drawn at several scales; real ones, where there are any, are repeated with noise.
"""

from __future__ import annotations

import argparse
import ctypes
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
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from PIL import Image

from edge.archive import run, work
from edge.archive.plan import Batch, plan
from edge.archive.store import StoredFile, list_files
from edge.archive.tables import TABLES, CountedBatch, Results
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
#: From <linux/prctl.h>.
_PR_SET_CHILD_SUBREAPER = 36
#: Fields of the archives of each part; the last is what ratios are reckoned for, too.
FIELDS = {"constants": 270, "turns": 2_000, "whole": 20_000}
RECKONED = FIELDS["whole"]
#: One damaged file among so many.
A_DAMAGED = 1_000
#: Calls of ``count`` by which xargs has it all counted.
CALLS = 8
ONE, HALVES, XARGS, ARCHIVED = "one process", "two processes", "xargs -P2", "two workers"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
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
        folder = root / ("L" if number < large else f"S-{sample:05d}")
        picture = pictures[0 if number < large else sample % len(pictures)]
        folder.mkdir(parents=True, exist_ok=True)
        # One row of noise from another place each time: drawing it anew takes longer than counting.
        moved = picture + np.resize(np.roll(noise, int(drawn.integers(len(noise)))), picture.shape)
        image = Image.fromarray(np.clip(moved, 0, 255).astype(np.uint8))
        image.save(folder / f"f{number:06d}.jpg", quality=92)


def commands(root: Path, out: Path) -> dict[str, list[str]]:
    """Ways to count an archive, by name."""
    folders = sorted(root.iterdir())
    behind = np.cumsum([len(list(folder.iterdir())) for folder in folders])
    half = int(np.searchsorted(behind, behind[-1] / 2)) + 1
    plain = " ".join(COUNT)
    first, second, every = (" ".join(map(str, part)) for part in (folders[:half], folders[half:], folders))
    both = f"{plain} {first} & {plain} {second}; wait" if second else f"{plain} {first}"
    in_calls = f"echo {every} | xargs -P2 -n{-(-len(folders) // CALLS)} {plain}"
    return {
        ONE: [*COUNT, str(root)],
        HALVES: ["sh", "-c", both],
        XARGS: ["sh", "-c", in_calls],
        ARCHIVED: [*ARCHIVE, str(root), "--out", str(out), "--workers", "2"],
    }


def sampled(process: psutil.Process, memory: dict[int, list[float]], every_s: float = 1.0) -> None:
    """Note the memory of a process and of all below it, MB, until it ends."""
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    memory[one.pid].append(one.memory_info().rss / 1e6)
            time.sleep(every_s)


def measure(command: list[str], codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command to its end; what it leaves behind becomes a child of this process, and is waited for."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    memory: dict[int, list[float]] = defaultdict(list)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(command, cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        watching = threading.Thread(target=sampled, args=(psutil.Process(process.pid), memory), daemon=True)
        watching.start()
    wall_s = time.perf_counter() - started
    watching.join()
    with suppress(ChildProcessError):  # the workers' time comes with the process that they were forked from
        while os.wait():
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in codes:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    counting = [values for values in memory.values() if max(values) > COUNTING_MB]
    return {"wall_s": wall_s, "cpu_s": cpu_s, "memory_mb": [fifths(values) for values in counting]}


def fifths(values: list[float]) -> list[float]:
    """Give the median of each fifth of the time that a process ran."""
    return [round(float(np.median(part)), 1) for part in np.array_split(values, 5) if len(part)]


def ratios(turns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Paired ratios of one round each: median, least and most.

    What is reckoned for another number of fields has as many starts as here, and the rest so often.
    """

    def took(turn: dict[str, Any], way: str, clock: str, fields: int) -> float:
        starts = 1 if way != XARGS else CALLS if clock == "cpu_s" else CALLS / 2
        start = starts * float(turn["start"][way][clock])
        return start + (float(turn["all"][way][clock]) - start) * fields / float(turns["fields"])

    for name, clock, above, below in (
        ("one process to two workers", "wall_s", ONE, ARCHIVED),
        ("one process to two processes", "wall_s", ONE, HALVES),
        ("xargs -P2 to two workers", "wall_s", XARGS, ARCHIVED),
        ("two processes to two workers", "wall_s", HALVES, ARCHIVED),
        ("two workers to one process, processor time", "cpu_s", ARCHIVED, ONE),
        ("two workers to two processes, processor time", "cpu_s", ARCHIVED, HALVES),
    ):
        for fields in (turns["fields"], RECKONED):
            each = [
                took(turn, above, clock, fields) / took(turn, below, clock, fields)
                for turn in turns["rounds"]
            ]
            found = {"median": float(np.median(each)), "least": min(each), "most": max(each)}
            yield {"name": name, "fields": fields, **found}


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
    tracemalloc.start()
    files, _ = list_files(str(root))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
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
    summing = timed(time.process_time, lambda: results.sums(results.keys()))
    with run.connected(None, 1) as client:
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
        "held_bytes_a_file": held / len(files),
        "count_ms_a_field": 1e3 * sum(plain for _, plain in pairs) / fields,
        "archive_ms_a_field": 1e3 * sum(archived for archived, _ in pairs) / fields,
        "archive_to_count": {"median": float(np.median(ratios)), "least": min(ratios), "most": max(ratios)},
        "written_ms_a_batch": 1e3 * float(np.median(written)),
        "summed_ms_a_batch": 1e3 * summing / len(batches),
        "scheduled_ms_a_batch": 1e3 * travelling,
        "sent_bytes_a_file": len(pickle.dumps(large)) / len(large.files),
        "bytes_a_field": {
            table: sum(len(batch.files[table]) for batch in counted) / fields for table in counted[0].files
        },
        "cells_a_field": sum(pq.read_metadata(io.BytesIO(c.files["cells"])).num_rows for c in counted)
        / fields,
        "resident_mb": {"first": counted[0].resident_mb, "last": counted[-1].resident_mb},
    }


def add_turns(
    turns: dict[str, Any] | None, rounds: int, root: Path, fields: int, out: Path
) -> dict[str, Any]:
    """Measure rounds of all commands beside those that there are."""
    if turns is None or turns["fields"] != fields:
        turns = {"fields": fields, "rounds": [], "load": []}
    single = root.parent / "single" / "S"
    single.mkdir(parents=True)
    shutil.copy(next(root.rglob("*.jpg")), single)
    for _ in range(rounds):
        each: dict[str, dict[str, Any]] = {"start": {}, "all": {}}
        ways = list(commands(root, out))
        random.Random(len(turns["rounds"])).shuffle(ways)
        for way in ways:
            for what, below in (("start", single.parent), ("all", root)):
                shutil.rmtree(out, ignore_errors=True)
                each[what][way] = measure(commands(below, out)[way])
            sys.stdout.write(
                f"{way}: {each['start'][way]['wall_s']:.1f} s, {each['all'][way]['wall_s']:.1f} s\n"
            )
            sys.stdout.flush()
        turns["rounds"].append(each)
        turns["load"].append(os.getloadavg()[0])
    turns["ratios"] = list(ratios(turns))
    for ratio in turns["ratios"]:
        sys.stdout.write(
            "{name}, {fields} fields: {median:.3f} ({least:.3f} to {most:.3f})\n".format(**ratio)
        )
    return turns


def whole(root: Path, out: Path) -> dict[str, Any]:
    """Count a large archive with two workers; see what came of every file."""
    files, _ = list_files(str(root))
    for file in files[:: len(files) // max(1, len(files) // A_DAMAGED)]:
        os.truncate(file.source, Path(file.source).stat().st_size // 2)
    took = measure(commands(root, out)[ARCHIVED], codes=(1,))
    fields, failures = (ds.dataset(out / name).to_table().to_pylist() for name in ("fields", "failures"))
    came = Counter(row["source"] for row in (*fields, *failures))
    return {
        "fields": len(files),
        **took,
        "status": Counter(row["status"] for row in fields),
        "failures": Counter(row["kind"] for row in failures),
        "lost": sum(came[file.source] == 0 for file in files),
        "doubled": sum(number > 1 for number in came.values()),
        "bytes": {name: bytes_below(out / name) for name in TABLES},
    }


def bytes_below(folder: Path) -> int:
    """Add up the files of a table."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Measure and print; write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=list(FIELDS), help="all if none is named")
    parser.add_argument("--fields", type=int, help="of the archive that a part counts")
    parser.add_argument("--rounds", type=int, default=3, help="of the turns")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="the document")
    arguments = parser.parse_args()
    there = arguments.json and arguments.json.exists()
    document = json.loads(arguments.json.read_text()) if there else {}
    document |= {"machine": describe_machine(), "software": describe_software()}
    for part in arguments.parts or FIELDS:
        fields = arguments.fields or FIELDS[part]
        with tempfile.TemporaryDirectory() as folder:
            root, out = Path(folder) / "archive", Path(folder) / "out"
            write_archive(root, fields, arguments.data)
            if part == "constants":
                document[part] = constants(root, out)
            elif part == "turns":
                document[part] = add_turns(document.get(part), arguments.rounds, root, fields, out)
            else:
                document[part] = whole(root, out)
        sys.stdout.write(json.dumps(document[part], indent=1) + "\n")
        if arguments.json:
            arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
