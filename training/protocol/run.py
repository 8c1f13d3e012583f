"""Trains what the plan asks for, keeps each result, and goes on where a killed run stopped."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.cache import Cache, segmentation_code
from training.data.collection import Collection, collect
from training.protocol.plan import Split
from training.protocol.recipe import Recipe, load


@dataclass(frozen=True, slots=True)
class Judged:
    """A split with what its networks said.

    Attributes
    ----------
    split : of the plan
    p_blast : of ``split.judged``, uncalibrated
    p_inner : of ``split.inner``, by the network trained without them
    """

    split: Split
    p_blast: NDArray[np.float32]
    p_inner: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    """One training and the cells that its network is to judge (indices)."""

    train: tuple[int, ...]
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What one job gave.

    Attributes
    ----------
    p_blast : of the job's cells
    cpu_s : processor time of training and judging
    """

    p_blast: NDArray[np.float32]
    cpu_s: float


def jobs_of(splits: Sequence[Split]) -> list[Job]:
    """List the trainings that splits need; splits with the same training side share one."""
    wanted: dict[tuple[int, ...], set[int]] = {}
    for split in splits:
        wanted.setdefault(split.train, set()).update(split.judged)
        if split.inner:
            wanted.setdefault(split.without_inner, set()).update(split.inner)
    return [Job(train, tuple(sorted(cells))) for train, cells in wanted.items()]


def run(
    collection: Collection,
    recipe: Recipe,
    splits: Sequence[Split],
    *,
    seed: int,
    workers: int = 1,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[Judged], float]:
    """Train and judge everything that splits need.

    Parameters
    ----------
    collection : data; its cache keeps the results
    recipe : what is trained
    splits : of the plan
    seed : of every network
    workers : processes, each with one thread
    tick : called after each training, also one that was kept

    Returns
    -------
    judged : each split with its probabilities
    cpu_s : processor time of all trainings, those of earlier runs included
    """
    results: dict[tuple[int, ...], dict[int, float]] = {}
    cpu_s = 0.0
    missing = []
    version = recipe.version()
    for job in jobs_of(splits):
        kept = _kept(_path(collection, recipe.name, version, job, seed), len(job.cells))
        if kept is None:
            missing.append(job)
            continue
        results[job.train] = dict(zip(job.cells, kept.p_blast.tolist(), strict=True))
        cpu_s += kept.cpu_s
        tick()
    for job, result in _train(collection, recipe, missing, seed, workers):
        results[job.train] = dict(zip(job.cells, result.p_blast.tolist(), strict=True))
        cpu_s += result.cpu_s
        tick()
    return [
        Judged(
            split,
            np.array([results[split.train][i] for i in split.judged], np.float32),
            np.array([results[split.without_inner][i] for i in split.inner], np.float32),
        )
        for split in splits
    ], cpu_s


def do(collection: Collection, recipe: Recipe, job: Job, seed: int) -> Result:
    """Do one job and keep its result."""
    # Asked for before the training: whoever edits the recipe meanwhile must not change the result's name.
    version = recipe.version()
    start = time.process_time()
    cells = collection.cells
    predict = recipe.fit(collection, [cells[i] for i in job.train], seed, lambda: None)
    p_blast = np.asarray(predict([cells[i] for i in job.cells]), np.float32)
    result = Result(p_blast, time.process_time() - start)
    buffer = io.BytesIO()
    np.savez(buffer, p_blast=result.p_blast, cpu_s=result.cpu_s)
    collection.cache.write(_path(collection, recipe.name, version, job, seed), buffer.getvalue())
    return result


def _train(
    collection: Collection, recipe: Recipe, jobs: Sequence[Job], seed: int, workers: int
) -> Iterator[tuple[Job, Result]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, do(collection, recipe, job, seed)
        return
    # Spawned, because TensorFlow does not survive a fork; each worker reads the collection from the cache.
    context = multiprocessing.get_context("spawn")
    arguments = (collection.root, collection.cache.folder, recipe.name)
    with ProcessPoolExecutor(workers, context, _begin_work, arguments) as pool:
        futures = {pool.submit(_work, job, seed): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


_worker: dict[str, Any] = {}


def _begin_work(root: Path, cache: Path, name: str) -> None:
    # Two workers with all threads each would fight for the same cores.
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    cv2.setNumThreads(1)
    _worker["collection"] = collect(root, Cache(cache))
    _worker["recipe"] = load(name)


def _work(job: Job, seed: int) -> Result:
    return do(_worker["collection"], _worker["recipe"], job, seed)


def _path(collection: Collection, name: str, version: str, job: Job, seed: int) -> Path:
    """Name a result after everything that it depends on: pixels, labels, cells, recipe and seed."""
    digest = hashlib.sha256(f"{version} {seed} {segmentation_code()}".encode())
    for indices in (job.train, job.cells):
        for i in indices:
            cell = collection.cells[i]
            sha256 = collection.fields[cell.field].sha256
            digest.update(f"{sha256}{cell.cell.id}{cell.label}{cell.weak_label}{cell.origin};".encode())
        digest.update(b"|")
    return collection.cache.folder / "trainings" / name / f"{digest.hexdigest()[:32]}.npz"


def _kept(path: Path, cells: int) -> Result | None:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            result = Result(archive["p_blast"], float(archive["cpu_s"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return result if len(result.p_blast) == cells else None
