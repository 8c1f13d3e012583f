"""An archive whose workers, scheduler and client are really killed: the union is that of a single run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.edge.archive.conftest import drawn, rows
from tests.system.conftest import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: Folders of so many files, of which no two fit into one batch; the largest is two, and of another one a file
#: is damaged.
FOLDERS, FILES, LARGE = 5, 151, 301
BATCHES = FOLDERS + 1
#: The tiny network's bundle.
MODEL = Path(__file__).parent.parent / "edge" / "data" / "tiny"
#: Pictures that differ, in links under many names: a field, and blank ones, which are refused at little cost.
DIFFERENT = 5
#: Longest wait for a batch on the busiest machine, from the start of all processes on.
PATIENCE_S = 1200.0
#: What is killed in one run, in an order that is drawn.
VICTIMS = ["worker", "scheduler", "client"] * 2


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    root = tmp_path / "fields"
    for folder in range(FOLDERS):
        (root / f"S-{folder}").mkdir(parents=True)
        for number in range(LARGE if folder == 3 else FILES):
            seed = number % DIFFERENT
            first = root / "S-0" / f"f{seed:03d}.png"
            if not first.exists():
                picture = drawn(1, 0.2) if seed == 0 else np.full((240, 320, 3), 200 + seed, np.uint8)
                Image.fromarray(picture).save(first)
            elif (file := root / f"S-{folder}" / f"f{number:03d}.png") != first:
                os.link(first, file)
    damaged = root / "S-4" / "f050.png"
    content = damaged.read_bytes()[:5000]
    damaged.unlink()
    damaged.write_bytes(content)
    return root


@contextmanager
def started(*command: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which is gone afterwards with all its children."""
    with (
        log.open("wb") as file,
        subprocess.Popen(
            list(map(str, command)), start_new_session=True, stdout=file, stderr=file
        ) as process,
    ):
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its group, as a power cut does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Cluster:
    """A scheduler and two workers, each of which can be killed and started again."""

    def __init__(self, stack: ExitStack, log: Path) -> None:
        self._stack, self._log = stack, log
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.start()

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        self.scheduler = self._dask("scheduler", "--port", port)
        self.workers = [self._dask("worker", self.address, "--nthreads", 1) for _ in range(2)]

    def _dask(self, *arguments: object) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard")
        return self._stack.enter_context(started(*command, log=self._log))

    def kill_scheduler(self) -> None:
        for process in (self.scheduler, *self.workers):
            end(process)

    def kill_worker(self, which: random.Random) -> None:
        """Kill the process that counts; its nanny starts another one."""
        for child in psutil.Process(which.choice(self.workers).pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()


def parts(out: Path) -> list[Path]:
    return sorted((out / "fields").rglob("*.parquet"))


def wait_for_a_batch(client: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until a client has kept a batch more than now, or is at its end."""
    now, deadline = len(parts(out)), time.monotonic() + PATIENCE_S
    while client.poll() is None and len(parts(out)) == now:
        assert time.monotonic() < deadline, "no batch came"
        time.sleep(0.1)


def test_kills_leave_the_rows_of_a_single_run(fields: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "edge.cli", "archive", "--model", MODEL, fields, "--out")
    with started(*command, tmp_path / "single", "--workers", 1, log=tmp_path / "single.log") as single:
        assert single.wait() == 1, (tmp_path / "single.log").read_text()  # a file is damaged
    out, said = tmp_path / "out", tmp_path / "client.log"
    which = random.Random(20)
    to_kill = which.sample(VICTIMS, len(VICTIMS))
    with ExitStack() as stack:
        cluster = Cluster(stack, tmp_path / "dask.log")
        while True:
            with started(*command, out, "--scheduler", cluster.address, log=said) as client:
                while to_kill and client.poll() is None:
                    wait_for_a_batch(client, out)
                    time.sleep(which.uniform(0.0, 1.0))
                    if client.poll() is not None:
                        break
                    victim = to_kill.pop()
                    sys.stdout.write(f"killed with {len(parts(out))} of {BATCHES} batches: {victim}\n")
                    if victim == "client":
                        end(client)
                    elif victim == "worker":
                        cluster.kill_worker(which)
                    else:
                        cluster.kill_scheduler()
                        assert client.wait() == 1
                        assert "the Dask scheduler is gone" in said.read_text()
                        cluster.start()
                client.wait()
            if not to_kill and len(parts(out)) == BATCHES:
                break
            for part in which.sample(parts(out), len(parts(out)) // 2 if to_kill else 0):
                part.unlink()  # so that there is something to do for as long as there is something to kill
    assert client.returncode == 1
    for table in ("fields", "cells", "failures"):
        assert rows(out, table) == rows(tmp_path / "single", table)
    assert len(rows(out, "fields")) == (FOLDERS - 1) * FILES + LARGE - 1
    for part in parts(tmp_path / "single"):
        assert part.read_bytes() == (out / part.relative_to(tmp_path / "single")).read_bytes()
