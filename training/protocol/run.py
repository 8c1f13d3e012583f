"""Trains what the plan asks for, keeps each result, and goes on where a killed run stopped."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.commands.progress import Progress
from training.data.collection import Collection
from training.protocol.plan import Split
from training.protocol.recipe import Epoch, Recipe


@dataclass(frozen=True, slots=True)
class Judged:
    """A split with what its networks said.

    Attributes
    ----------
    split : of the plan
    p_blast : of ``split.judged``, uncalibrated
    p_inner : of ``split.inner``, by the network trained without them
    history : of the first network's training
    """

    split: Split
    p_blast: NDArray[np.float32]
    p_inner: NDArray[np.float32]
    history: tuple[Epoch, ...] = ()


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
    p_blast : by cell of the job
    history : of the training
    cpu_s : processor time of training and judging
    """

    p_blast: dict[int, float]
    history: tuple[Epoch, ...]
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
) -> tuple[list[Judged], float]:
    """Train and judge everything that splits need.

    Parameters
    ----------
    collection : data; its cache keeps the results
    recipe : what is trained
    splits : of the plan
    seed : of every network
    workers : processes, each with one thread

    Returns
    -------
    judged : each split with its probabilities
    cpu_s : processor time of all trainings, those of earlier runs included
    """
    results: dict[tuple[int, ...], Result] = {}
    jobs, progress = jobs_of(splits), Progress("Trainings")
    with progress.over(len(jobs)):
        for job, result in _results(collection, recipe, jobs, seed, workers):
            results[job.train] = result
            progress.step()
    return [
        Judged(
            split,
            np.array([results[split.train].p_blast[i] for i in split.judged], np.float32),
            np.array([results[split.without_inner].p_blast[i] for i in split.inner], np.float32),
            results[split.train].history,
        )
        for split in splits
    ], sum(result.cpu_s for result in results.values())


def do(collection: Collection, recipe: Recipe, job: Job, seed: int) -> Result:
    """Do one job, or return what it gave before."""
    return collection.cache.kept(
        f"trainings-{recipe.name}",
        _inputs(collection, recipe, job, seed),
        lambda: _train(collection, recipe, job, seed),
    )


def _train(collection: Collection, recipe: Recipe, job: Job, seed: int) -> Result:
    start = time.process_time()
    judge = recipe.fit(collection, [collection.cells[i] for i in job.train], seed)
    p_blast = judge([collection.cells[i] for i in job.cells]).tolist()
    cpu_s = time.process_time() - start
    return Result(dict(zip(job.cells, p_blast, strict=True)), judge.history, cpu_s)


def _results(
    collection: Collection, recipe: Recipe, jobs: Sequence[Job], seed: int, workers: int
) -> Iterator[tuple[Job, Result]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, do(collection, recipe, job, seed)
        return
    # Spawned, because TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_work, (collection, recipe)) as pool:
        futures = {pool.submit(_work, job, seed): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


_worker: dict[str, Any] = {}


def _begin_work(collection: Collection, recipe: Recipe) -> None:
    # Two workers with all threads each would fight for the same cores.
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    cv2.setNumThreads(1)
    _worker.update(collection=collection, recipe=recipe)


def _work(job: Job, seed: int) -> Result:
    return do(_worker["collection"], _worker["recipe"], job, seed)


def _inputs(collection: Collection, recipe: Recipe, job: Job, seed: int) -> str:
    """Name everything that a result depends on beside the source: recipe, seed, images, cells and labels."""
    digest = hashlib.sha256(f"{recipe!r} {seed}".encode())
    for indices in (job.train, job.cells):
        for i in indices:
            digest.update(
                f"{i} {collection.cells[i]} {collection.fields[collection.cells[i].field].sha256};".encode()
            )
        digest.update(b"|")
    return digest.hexdigest()
