"""Counts the same fields with two states of the code in turn: ``make compare-speed BASE=REVISION``.

Both run as ``count --json`` on one thread, each in a process of its own, field by field, now the one first
and now the other, so that whatever else the machine does meets both. What is measured is the whole field:
decoded, judged, segmented, cropped, classified, hashed, printed. Each lies in a folder of its own: the look
at a folder comes before the first of its fields, and what it saw would be missing in theirs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import quantile_test

from edge.bench import CROWDED
from edge.rendered import render_field
from tests.tools.compare_counts import REPOSITORY, worktree

#: Counts its arguments, and before each field waits for a byte; says how long it took, by the clock on the
#: wall and by the processor's, and the most memory that it had by then. Only the command is used, so that it
#: runs with every state of the code.
WORKER = """
import io, re, runpy, sys, time
class Paced(io.TextIOWrapper):
    def write(self, text):
        if "\\n" in text:
            took = time.perf_counter() - self.wall, time.process_time() - self.cpu
            peak = int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
            sys.__stdout__.write("%f %f %f\\n" % (*took, peak))
            sys.__stdout__.flush()
            self.wait()
        return len(text)
    def wait(self):
        sys.stdin.buffer.read(1)
        self.wall, self.cpu = time.perf_counter(), time.process_time()
sys.stdout = Paced(io.BytesIO(), encoding="utf-8")
sys.argv[1:1] = ["count", "--json", "--threads", "1"]
sys.stdout.wait()
runpy.run_module("edge.cli", run_name="__main__")
"""


@contextmanager
def counting(code: Path, files: list[Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that counts files one by one, each when asked to by :func:`next_field`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, files)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def next_field(process: subprocess.Popen[bytes]) -> tuple[float, float, float]:
    """Let one more field be counted; wall and processor ms that it took, and the peak of memory, MB."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b".")
    process.stdin.flush()
    wall, cpu, peak_mb = map(float, process.stdout.readline().split())
    return 1e3 * wall, 1e3 * cpu, peak_mb


def paired(base: Path, files: list[Path], rounds: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """What :func:`next_field` says of each field, (fields * rounds, 2, 3): by the base and by this state."""
    times = []
    for number in range(rounds):
        # The first field stands for the start and is not looked at.
        with counting(base, files) as before, counting(REPOSITORY, files) as after:
            for n in range(len(files)):
                order = (before, after) if (n + number) % 2 else (after, before)
                took = {process: next_field(process) for process in order}
                if n:
                    times.append((took[before], took[after]))
    return np.array(times)


def crowded(folder: Path, number: int) -> list[Path]:
    """Rendered fields as ``blastcount render`` writes them."""
    files = [folder / f"rendered_{seed:04d}.jpg" for seed in range(number)]
    for seed, file in enumerate(files):
        Image.fromarray(render_field(seed, CROWDED).image).save(file, quality=92, subsampling=0)
    return files


def apart(folder: Path, files: list[Path]) -> list[Path]:
    """Links to files, each in a folder of its own."""
    links = [folder / str(number) / file.name for number, file in enumerate(files)]
    for link, file in zip(links, files, strict=True):
        link.parent.mkdir(parents=True)
        link.symlink_to(file)
    return links


def main() -> int:
    """Compare and print; 1 where the median of the ratios is above ``--most``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fields", type=int, default=12, help="of each set")
    parser.add_argument("--together", action="store_true", help="leave fields in the folders they lie in")
    parser.add_argument("--most", type=float, default=1.0, help="highest median of the ratios that passes")
    arguments = parser.parse_args()
    slower = False
    with tempfile.TemporaryDirectory() as folder, worktree(arguments.base) as base:
        real = sorted((arguments.data / "all-idb1" / "im").glob("*.jpg"))
        sets = {"crowded, rendered": crowded(Path(folder), arguments.fields + 1)}
        if real:
            sets["ALL-IDB1"] = real[:: max(1, len(real) // arguments.fields)][: arguments.fields + 1]
        for name, files in sets.items():
            if not arguments.together:
                files = apart(Path(folder) / name, files)
            times = paired(base, files, arguments.rounds)
            *clocks, peaks_mb = times.transpose(2, 1, 0)
            for clock, (before, after) in zip(("wall", "processor"), clocks, strict=True):
                p5, median = np.percentile([before, after, after / before], (5, 50), axis=1)
                interval = quantile_test(after / before, q=1.0, p=0.5).confidence_interval(0.95)
                sys.stdout.write(
                    f"{name}, {clock}: p5 {p5[0]:.1f} -> {p5[1]:.1f} ms, median {median[0]:.1f} -> "
                    f"{median[1]:.1f} ms; ratio {median[2]:.3f}, in the median of {len(times)} pairs "
                    f"(95 % interval {interval.low:.3f} to {interval.high:.3f})\n"
                )
                slower |= clock == "processor" and float(median[2]) > arguments.most
            before_mb, after_mb = peaks_mb.max(axis=1)
            sys.stdout.write(f"{name}, peak memory: {before_mb:.0f} -> {after_mb:.0f} MB\n")
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
