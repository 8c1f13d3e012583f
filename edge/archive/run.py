"""The side that shares batches out: it hands workers a few at a time, and keeps what comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from edge.archive import work
from edge.archive.plan import Batch
from edge.archive.store import StoredFile
from edge.archive.tables import CountedBatch
from edge.config import Config
from edge.counting.provenance import Provenance
from edge.errors import ArchiveError

#: Batches that are handed out for each worker, so that none is idle while results travel. What has not been
#: handed out takes no memory of the scheduler, however many batches there are.
_AHEAD = 2
#: What Dask does in every process beside its work: each 10 ms it looks at what a worker does, for a plot
#: on its page, each 20 ms at its own loop, each 100 ms at its memory. Together that takes 5 to 15 % of what
#: counting takes. Memory is looked at each second: no field needs so much that this would be too late.
_UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}
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
    if scheduler is None:
        with (
            dask.config.set(_UNWATCHED),
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
    under_way: dict[Future, str] = {}
    following = _submitted(client, config, provenance, batches)
    done = as_completed()
    while True:
        for key, future in islice(following, max(0, _room(client) - len(under_way))):
            under_way[future] = key
            done.add(future)
        if not under_way:
            return
        future = next(done)
        yield under_way.pop(future), _result(client, future)


def _room(client: Client) -> int:
    """Say how many batches may be under way: workers come and go."""
    try:
        return _AHEAD * max(1, len(client.nthreads()))
    except OSError as error:
        raise _gone(client) from error


def _gone(client: Client) -> ArchiveError:
    return ArchiveError(f"{client.scheduler.address}: the Dask scheduler is gone; start it again")


def _submitted(
    client: Client, config: Config, provenance: Provenance, batches: Mapping[str, Batch]
) -> Iterator[tuple[str, Future]]:
    """Hand out one batch each time one is asked for; before a folder's first one, the look at the folder."""
    looks: tuple[StoredFile, ...] = ()
    scales: Future | None = None
    for key, batch in batches.items():
        if batch.looks != looks:
            looks = batch.looks
            scales = client.submit(work.look, config, provenance, looks, pure=False) if looks else None
        yield key, client.submit(work.count_batch, config, provenance, batch, scales, pure=False)


def _result(client: Client, future: Future) -> CountedBatch | None:
    if future.cancelled() or client.status != "running":
        raise _gone(client)
    try:
        result: CountedBatch = future.result()
    except KilledWorker:
        return None
    return result
