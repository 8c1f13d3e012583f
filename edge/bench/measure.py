"""Timing of several subjects in turn, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

#: Rounds that are run and thrown away: the first fills caches and allocates tensors, the second is for the
#: clock of the processor, which takes some 10 ms of load to rise.
WARMUP_ROUNDS = 2
#: Bytes that the yardstick hashes: 2 to 20 ms, in the range of what is measured.
_YARDSTICK_BYTES = 4_000_000

#: By series, (rounds, items) float64 ms: an item is a field, or the one batch of a network.
Samples = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is timed.

    Attributes
    ----------
    name : of its series
    run : runs it once and gives, for each item, milliseconds by part; the part "" is the whole
    """

    name: str
    run: Callable[[], Sequence[Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Summary:
    """Percentiles of a series.

    Attributes
    ----------
    n : number of samples
    p5, p50, p90, p99 : ms; of fewer than 100 samples, p99 is next to the largest
    """

    n: int
    p5: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, samples_ms: NDArray[np.float64]) -> Summary:
        """Sum up samples of any shape.

        Examples
        --------
        >>> Summary.of(np.arange(101.0))
        Summary(n=101, p5=5.0, p50=50.0, p90=90.0, p99=99.0)
        """
        p5, p50, p90, p99 = (float(q) for q in np.percentile(samples_ms, (5, 50, 90, 99)))
        return cls(samples_ms.size, p5, p50, p90, p99)

    def to_json(self) -> dict[str, float]:
        """Give the figures, rounded to 0.1 µs."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def interleave(
    subjects: Sequence[Subject],
    rounds: int,
    *,
    warmup: int = WARMUP_ROUNDS,
    seed: int = 0,
    after_round: Callable[[], None] = lambda: None,
) -> Samples:
    """Run each subject once a round, in a new order every round.

    Parameters
    ----------
    subjects : with different names
    rounds : that are kept
    warmup : rounds before them that are not
    seed : of the orders
    after_round : called after every round, the warm-up's among them

    Returns
    -------
    by ``name`` or ``name part``, (rounds, items) ms
    """
    # Always the same order would give each subject the same neighbour's leavings in the cache.
    order, shuffler = list(subjects), random.Random(seed)
    kept: dict[str, list[list[float]]] = {}
    for number in range(warmup + rounds):
        shuffler.shuffle(order)
        for subject in order:
            items = subject.run()
            if number >= warmup:
                for part in items[0]:
                    key = f"{subject.name} {part}".rstrip()
                    kept.setdefault(key, []).append([item[part] for item in items])
        after_round()
    return {key: np.asarray(values, np.float64) for key, values in kept.items()}


def timed(
    name: str,
    work: Callable[[], object],
    *,
    warm: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Subject:
    """Make a subject of a call that is timed as a whole.

    Parameters
    ----------
    name : of the subject
    work : what is timed
    warm : run it once untimed just before: the subject before it left the caches cold, which is most of the
        time of a call of 1 ms and not what a caller meets who makes one after the other
    clock : in seconds
    """

    def run() -> list[dict[str, float]]:
        if warm:
            work()
        started = clock()
        work()
        return [{"": (clock() - started) * 1000.0}]

    return Subject(name, run)


def yardstick() -> Subject:
    """Make a subject that never changes: how fast the machine itself is while the others run."""
    content = bytes(_YARDSTICK_BYTES)
    return timed("yardstick", lambda: hashlib.blake2b(content).digest())
