"""Trains what the plan asks for, keeps each result, and goes on where a killed run stopped."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.commands.progress import Progress
from training.data.collection import Collection
from training.protocol.folds import Folds, Job, Result
from training.protocol.plan import Split
from training.protocol.recipe import Design, Epoch


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


def jobs_of(splits: Sequence[Split]) -> list[Job]:
    """List the trainings that splits need; splits with the same training side share one."""
    names: dict[tuple[int, ...], str] = {}
    wanted: dict[tuple[int, ...], set[int]] = {}
    for split in splits:
        sides = [("", split.train, split.judged)]
        if split.inner:
            sides.append((" without inner", split.without_inner, split.inner))
        for words, train, cells in sides:
            names.setdefault(train, f"{split.test} {split.fold}{words}")
            wanted.setdefault(train, set()).update(cells)
    return [Job(names[train], train, tuple(sorted(cells))) for train, cells in wanted.items()]


def run(
    collection: Collection,
    recipe: Design,
    splits: Sequence[Split],
    *,
    seed: int,
    workers: int = 1,
    folds: Path | None = None,
) -> tuple[list[Judged], float]:
    """Train and judge everything that splits need.

    Parameters
    ----------
    collection : data
    recipe : what is trained
    splits : of the plan
    seed : of every network
    workers : processes, each with one thread
    folds : folder that keeps the results; None takes one in the collection's cache

    Returns
    -------
    judged : each split with its probabilities
    cpu_s : processor time of all trainings, those of earlier runs included
    """
    results: dict[tuple[int, ...], Result] = {}
    kept = Folds(folds or collection.cache.folder / "folds" / recipe.name, collection, recipe, seed)
    jobs, missing, progress = jobs_of(splits), [], Progress("Trainings")
    with progress.over(len(jobs)):
        for job in jobs:
            if (found := kept.read(job)) is None:
                missing.append(job)
            else:
                results[job.train] = found
                progress.step()
        for job, result in _trained(collection, recipe, missing, seed, workers):
            results[job.train] = kept.write(job, result)
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


def train(collection: Collection, recipe: Design, job: Job, seed: int) -> Result:
    """Do one job."""
    start = time.process_time()
    judge = recipe.fit(collection, [collection.cells[i] for i in job.train], seed)
    p_blast = judge([collection.cells[i] for i in job.cells]).tolist()
    cpu_s = time.process_time() - start
    return Result(dict(zip(job.cells, p_blast, strict=True)), judge.history, cpu_s)


def _trained(
    collection: Collection, recipe: Design, jobs: Sequence[Job], seed: int, workers: int
) -> Iterator[tuple[Job, Result]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, train(collection, recipe, job, seed)
        return
    # Spawned, because TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_work, (collection, recipe)) as pool:
        futures = {pool.submit(_work, job, seed): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


_worker: dict[str, Any] = {}


def _begin_work(collection: Collection, recipe: Design) -> None:
    # Two workers with all threads each would fight for the same cores.
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    cv2.setNumThreads(1)
    _worker.update(collection=collection, recipe=recipe)


def _work(job: Job, seed: int) -> Result:
    return train(_worker["collection"], _worker["recipe"], job, seed)
