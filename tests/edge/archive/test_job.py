"""``blastcount archive`` as a whole, with Dask in this process; real kills are in tests/system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from click.testing import Result
from distributed import Client, KilledWorker
from distributed.comm import CommClosedError

from edge.archive import command, job, plan, run
from edge.archive.store import list_files
from edge.errors import ArchiveError
from tests.edge.archive.conftest import rows
from tests.edge.commands.invoking import blastcount


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        yield client


@pytest.fixture
def archiving(client: Client, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on these workers, with batches of three files."""

    @contextmanager
    def connected(_scheduler: str | None, _workers: int) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(command, "start_early", lambda: None)
    monkeypatch.setattr(run, "connected", connected)
    monkeypatch.setattr(job, "plan", lambda files: plan.plan(files, least=1, most=3))

    def call(*arguments: object) -> Result:
        return blastcount("archive", "--model", tiny_model, *arguments)

    return call


def test_an_archive_becomes_tables_and_what_failed_is_told(
    archiving: Any, archive: Path, tmp_path: Path
) -> None:
    result = archiving(archive, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"error: {archive}/S-2/bad.png: damaged" in result.stderr
    assert "1 file left out: 1 .txt" in result.stderr
    assert "http://" in result.stderr
    assert result.stdout.startswith("fields: 7 counted, 1 rejected\n  reasons: no_colour: 1\n")
    assert "failures: damaged: 1\n" in result.stdout
    assert len(rows(tmp_path / "out", "fields")) == 8
    assert len(rows(tmp_path / "out", "failures")) == 2


def test_a_finished_run_counts_nothing_again(
    archiving: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archiving(f"{archive}/S-1", f"{archive}/S-3", "--out", tmp_path / "out")
    before = rows(tmp_path / "out", "fields")
    monkeypatch.setattr(run, "connected", None)
    result = archiving(f"{archive}/S-1", f"{archive}/S-3", "--quiet", "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert rows(tmp_path / "out", "fields") == before


def test_a_stopped_run_goes_on_to_the_rows_of_a_single_one(
    archiving: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archiving(archive, "--out", tmp_path / "whole")
    honest, done = run._result, []

    def result_of(client: Client, future: Any) -> Any:
        done.append(future.key)
        if len(done) == 3:
            raise ArchiveError("the Dask scheduler is gone")
        return honest(client, future)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_result", result_of)
        result = archiving(archive, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 of 4 batches are done and kept; the same command goes on from there" in result.stderr
    assert 0 < len(rows(tmp_path / "out", "fields")) < 8
    archiving(archive, "--out", tmp_path / "out")
    for table in ("fields", "cells", "failures"):
        assert rows(tmp_path / "out", table) == rows(tmp_path / "whole", table)


def test_a_new_picture_lets_its_folder_be_counted_again(
    archiving: Any, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    archiving(archive, "--out", out)
    kept = [row for row in rows(out, "fields") if "/S-1/" in row["source"]]
    shutil.copy(archive / "S-2" / "f1.png", archive / "S-2" / "f9.png")
    result = archiving(archive, "--out", out)
    assert "2 batches had files that are others now; moved to superseded" in result.stderr
    assert [row for row in rows(out, "fields") if "/S-1/" in row["source"]] == kept
    archiving(archive, "--out", tmp_path / "anew")
    assert rows(out, "fields") == rows(tmp_path / "anew", "fields")
    assert len(rows(out, "fields")) == 9


def test_a_part_of_an_archive_does_not_tear_its_batches(
    archiving: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(job, "plan", plan.plan)
    archiving(archive, "--out", out)
    before = rows(out, "fields")
    for part in (archive / "S-1", archive / "S-2" / "f1.png"):
        result = archiving(part, "--out", out)
        assert result.exit_code == 1
        assert "was counted in one batch with" in result.stderr
        assert rows(out, "fields") == before
    shutil.rmtree(archive / "S-1")  # it is gone, not left out
    archiving(archive, "--out", out)
    assert rows(out, "fields") == [row for row in before if "/S-1/" not in row["source"]]


def test_paths_share_no_batch(
    archiving: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "plan", plan.plan)
    archiving(archive / "S-1", archive / "S-3", "--out", tmp_path / "out")
    before = rows(tmp_path / "out", "fields")
    monkeypatch.setattr(run, "connected", None)
    assert archiving(archive / "S-3", "--out", tmp_path / "out").exit_code == 0
    assert rows(tmp_path / "out", "fields") == before


def test_a_batch_that_ends_its_workers_is_named_and_the_others_are_counted(
    archiving: Any, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = run._result

    def result_of(client: Client, future: Any) -> Any:
        given = honest(client, future)
        return None if given is not None and given.failures else given

    monkeypatch.setattr(run, "_result", result_of)
    result = archiving(archive, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "not counted, this batch ended every worker that tried it" in result.stderr
    assert 0 < len(rows(tmp_path / "out", "fields")) < 8


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of all files, in pieces of a file or two."""
    monkeypatch.setattr(job, "plan", plan.plan)
    monkeypatch.setattr(plan, "_LEAST_PIECE", 1)
    monkeypatch.setattr(plan, "_UNDIVIDED", 1)


def test_the_end_in_pieces_leaves_the_bytes_of_whole_batches(
    archiving: Any, archive: Path, tmp_path: Path, in_small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, came = run._result, []

    def result_of(client: Client, future: Any) -> Any:
        came.append(honest(client, future))
        return came[-1]

    monkeypatch.setattr(run, "_result", result_of)
    archiving(archive, "--out", tmp_path / "pieces")
    assert len(came) > 3
    monkeypatch.setattr(run, "pieces", lambda batch, left, workers: [batch])
    archiving(archive, "--out", tmp_path / "whole")
    parts = sorted((tmp_path / "whole").rglob("*.parquet"))
    assert len(parts) == 3
    for part in parts:
        same = tmp_path / "pieces" / part.relative_to(tmp_path / "whole")
        assert same.read_bytes() == part.read_bytes()


def test_a_batch_that_lacks_a_piece_is_not_kept(
    archiving: Any, archive: Path, tmp_path: Path, in_small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, came = run._result, []

    def result_of(client: Client, future: Any) -> Any:
        came.append(honest(client, future))
        return None if len(came) == 2 else came[-1]

    with monkeypatch.context() as patch:
        patch.setattr(run, "_result", result_of)
        result = archiving(archive, "--out", tmp_path / "out")
    assert "not counted, this batch ended every worker that tried it" in result.stderr
    assert not list((tmp_path / "out").rglob("*.parquet"))
    archiving(archive, "--out", tmp_path / "out")
    assert len(rows(tmp_path / "out", "fields")) == 8


def test_workers_are_forked_from_what_has_loaded_their_work(tmp_path: Path, repository: Path) -> None:
    """Not from the command, and none of them is ended by the Ctrl-C that is the command's."""
    script = tmp_path / "started.py"
    script.write_text(
        """
import os, signal, sys
from multiprocessing import get_context

def tell(pipe):
    told = ["edge.archive.work" in sys.modules, signal.getsignal(signal.SIGINT) == signal.SIG_IGN]
    pipe.send([*told, os.environ["OPENBLAS_NUM_THREADS"]])

if __name__ == "__main__":
    from edge.archive.forkserver import start_early
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background of a script
    start_early()
    ours, theirs = get_context("forkserver").Pipe()
    worker = get_context("forkserver").Process(target=tell, args=(theirs,))
    worker.start()
    print(ours.recv(), "edge.archive.work" in sys.modules)
    worker.join()
    print(signal.getsignal(signal.SIGINT) == before)
"""
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), *sys.path])}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[True, True, '1'] False\nTrue\n"


def test_a_lost_future_is_a_lost_scheduler_and_a_killed_worker_is_none() -> None:
    class Lost:
        status = "running"
        scheduler = type("Scheduler", (), {"address": "tcp://here:1"})

        def __init__(self, cancelled: bool) -> None:
            self._cancelled = cancelled

        def cancelled(self) -> bool:
            return self._cancelled

        def result(self) -> None:
            raise KilledWorker("count_batch", None, 3)  # type: ignore[arg-type]

        def nthreads(self) -> dict[str, int]:
            if self._cancelled:
                raise CommClosedError
            return {"one": 1, "two": 4}

    for ask in (lambda: run._result(Lost(True), Lost(True)), lambda: run._workers(Lost(True))):  # type: ignore[arg-type]
        with pytest.raises(ArchiveError, match="tcp://here:1: the Dask scheduler is gone"):
            ask()
    assert run._workers(Lost(False)) == 2  # type: ignore[arg-type]
    assert run._result(Lost(False), Lost(False)) is None  # type: ignore[arg-type]


def test_a_scheduler_that_is_not_there_is_named(
    archive: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_PATIENCE_S", 1)
    arguments = ("--model", tiny_model, archive, "--out", tmp_path / "out")
    result = blastcount("archive", "--scheduler", "tcp://127.0.0.1:9", *arguments)
    assert result.exit_code == 1
    assert "tcp://127.0.0.1:9: no Dask scheduler answers there" in result.stderr
    assert "batches" not in result.stderr  # nothing was begun
    assert blastcount("archive", "--scheduler", "tcp://h:1", "--workers", 2, *arguments).exit_code == 2


def test_workers_of_this_machine_are_not_watched_while_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Dask does all the time beside the work took a tenth of it."""
    honest = run.LocalCluster
    seen: list[bool] = []

    def cluster(*, processes: bool, **options: Any) -> Any:
        assert processes
        seen.append(dask.config.get("distributed.worker.multiprocessing-method") != "forkserver")
        return honest(processes=False, **options)  # a thread of this process, which reads the same settings

    monkeypatch.setattr(run, "LocalCluster", cluster)
    with run.connected(None, 1) as client:
        for worker in client.cluster.workers.values():
            seen.append("profile" in worker.periodic_callbacks)
            assert worker.periodic_callbacks["tick"].callback_time >= 1000
    assert seen == [False, False]
    assert dask.config.get("distributed.worker.profile.enabled")  # in there alone


@pytest.mark.parametrize("inside", [".", "S-1", "new/tables", "../link/tables"])
def test_tables_are_not_written_among_the_pictures(archiving: Any, archive: Path, inside: str) -> None:
    (archive.parent / "link").symlink_to(archive)
    before = sorted(archive.rglob("*"))
    result = archiving(archive.parent / "elsewhere.png", archive, "--out", archive / inside)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"lies in {archive}, which is counted; name a folder outside of it" in result.stderr
    assert sorted(archive.rglob("*")) == before


def test_the_command_loads_and_explains_itself_without_the_extra(repository: Path, archive: Path) -> None:
    """On a device there is neither Dask nor Arrow, and the manual page is made of all commands."""
    hide = "import sys\nfor name in ('dask', 'distributed', 'pyarrow', 'fsspec'): sys.modules[name] = None\n"
    script = f"{hide}from edge.cli import main\nmain(sys.argv[1:], prog_name='blastcount')"

    def run_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    assert "--scheduler ADDRESS" in run_it("archive", "--help").stdout
    refused = run_it("archive", str(archive), "--out", str(archive / "out"))
    assert refused.returncode == 3
    assert "pip install 'blastcount[archive]'" in refused.stderr
    assert not (archive / "out").exists()


def test_nothing_else_loads_what_counts_archives(repository: Path) -> None:
    names = "{'dask', 'distributed', 'pyarrow', 'fsspec'}"
    script = (
        "import importlib, pkgutil, sys, edge\n"
        "for module in pkgutil.walk_packages(edge.__path__, 'edge.'):\n"
        "    if not module.name.startswith(('edge.archive.', 'edge.fleet', 'edge.api', 'edge.camera.')):\n"
        "        importlib.import_module(module.name)\n"
        f"print(sorted({names} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_device_install_has_nothing_of_the_extra(repository: Path) -> None:
    extra = {"dask", "distributed", "pyarrow", "fsspec", "tornado", "cloudpickle"}

    def locked(path: str) -> set[str]:
        return set(re.findall(r"^([\w-]+)==", (repository / path).read_text(), re.MULTILINE))

    assert not extra & locked("systemd/locked/device.txt")
    assert extra <= locked(".ci/locked.txt")


def test_every_batch_knows_its_folders_pictures(archive: Path) -> None:
    batches = plan.plan(list_files(str(archive))[0], least=1, most=3)
    assert [len(batch.files) for batch in batches] == [2, 2, 3, 3]
