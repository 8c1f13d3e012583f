"""The side that shares batches out: it hands workers a few at a time, and keeps what comes back."""

from __future__ import annotations

import gc
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain, islice, pairwise

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from edge.archive import work
from edge.archive.plan import Batch, pieces
from edge.archive.store import StoredFile
from edge.archive.tables import CountedBatch, joined
from edge.config import Config
from edge.counting.provenance import Provenance
from edge.errors import ArchiveError

#: Batches or pieces that are handed out for each worker, so that none is idle while results travel. What has
#: not been handed out takes no memory of the scheduler, however many batches there are.
_AHEAD = 2
#: What Dask does in every process beside its work: each 10 ms it looks at what a worker does, for a plot
#: on its page, each 20 ms at its own loop, each 100 ms at its memory, each 500 ms at disk and network.
#: Together that takes 5 to 15 % of what counting takes. Memory is looked at each second: no field needs so
#: much that this would be too late.
_UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
#: The scheduler hands a worker nothing while it counts: behind a long piece, another one would wait.
_IN_TURN = {"distributed.scheduler.worker-saturation": 1.0}
#: Workers come from the process of :mod:`edge.archive.forkserver`, which has loaded what they need.
_FORKED = {"distributed.worker.multiprocessing-method": "forkserver"}
#: A scheduler that does not answer for so long is not there.
_PATIENCE_S = 30


@contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or start one with workers on this machine.

    Parameters
    ----------
    scheduler : its address, as ``tcp://host:8786``; None starts one
    workers : processes to start

    Raises
    ------
    ArchiveError
        The scheduler does not answer.
    """
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters to a person is said here
    gc.freeze()  # what is loaded stays: Python's last look through all of it would take a third of a second
    if scheduler is None:
        with (
            dask.config.set(_UNWATCHED | _IN_TURN | _FORKED),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=_PATIENCE_S)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{scheduler}: no Dask scheduler answers there: {error}") from error
    with client:
        yield client


def page_of(client: Client) -> str:
    """Name Dask's own page on what the workers do: its plots where they are installed, else its tables."""
    link = str(client.dashboard_link)
    return link if find_spec("bokeh") else link.replace("/status", "/info/main/workers.html")


def count_batches(
    client: Client, config: Config, provenance: Provenance, batches: Mapping[str, Batch]
) -> Iterator[tuple[str, CountedBatch | None]]:
    """Have batches counted.

    Parameters
    ----------
    client : connected
    config, provenance : as for :func:`edge.archive.work.count_batch`
    batches : by their keys

    Yields
    ------
    a batch's key and what came of it, in the order in which they are done; None where it ended each worker
    that tried it

    Raises
    ------
    ArchiveError
        The scheduler is gone.
    EdgeError
        A worker refuses to count.
    """
    under_way: dict[Future, tuple[str, int, int]] = {}
    came: dict[str, dict[int, CountedBatch | None]] = defaultdict(dict)
    following = _submitted(client, config, provenance, batches)
    done = as_completed()
    while True:
        room = _AHEAD * _workers(client) - len(under_way)
        for place, future in islice(following, max(0, room)):
            under_way[future] = place
            done.add(future)
        if not under_way:
            return
        future = next(done)
        key, number, of = under_way.pop(future)
        came[key][number] = _result(client, future)
        if len(came[key]) == of:
            yield key, _whole(came.pop(key))


def _workers(client: Client) -> int:
    """Say how many workers there are: they come and go."""
    try:
        return max(1, len(client.nthreads()))
    except OSError as error:
        raise _gone(client) from error


def _gone(client: Client) -> ArchiveError:
    return ArchiveError(f"{client.scheduler.address}: the Dask scheduler is gone; start it again")


def _submitted(
    client: Client, config: Config, provenance: Provenance, batches: Mapping[str, Batch]
) -> Iterator[tuple[tuple[str, int, int], Future]]:
    """Hand out one piece each time one is asked for: its batch, its number, of how many.

    The looks at a batch's folders go before the pieces of the batch before it, so that none waits for them.
    """
    scales: dict[tuple[StoredFile, ...], Future] = {}
    for (key, cut), (_, following) in pairwise(chain(_cut(client, batches), [("", [])])):
        looks = dict.fromkeys(piece.looks for piece in (*cut, *following) if piece.looks)
        scales = {
            each: scales[each]
            if each in scales
            else client.submit(work.look, config, provenance, each, pure=False)
            for each in looks
        }
        for number, piece in enumerate(cut):
            scale = scales.get(piece.looks)
            future = client.submit(work.count_batch, config, provenance, piece, scale, pure=False)
            yield (key, number, len(cut)), future


def _cut(client: Client, batches: Mapping[str, Batch]) -> Iterator[tuple[str, list[Batch]]]:
    left = sum(len(batch.files) for batch in batches.values())
    for key, batch in batches.items():
        yield key, pieces(batch, left, _workers(client))
        left -= len(batch.files)


def _whole(came: Mapping[int, CountedBatch | None]) -> CountedBatch | None:
    parts = [part for number in sorted(came) if (part := came[number]) is not None]
    return joined(parts) if len(parts) == len(came) else None


def _result(client: Client, future: Future) -> CountedBatch | None:
    if future.cancelled() or client.status != "running":
        raise _gone(client)
    try:
        result: CountedBatch = future.result()
    except KilledWorker:
        return None
    return result
