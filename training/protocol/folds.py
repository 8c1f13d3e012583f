"""What each training of the protocol said, one small JSON a training: a run goes on from those of a clone."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from scipy.special import expit

from edge.device.durable import write_whole
from edge.device.machine import describe_machine, describe_software
from edge.errors import OutputError
from training.data.cache import source_hash
from training.data.collection import Collection, cut
from training.protocol.decision import logit
from training.protocol.recipe import Design, Epoch

SCHEMA = "blastcount.fold/1"
#: Decimals of a logit that are kept, whether it is read back or was just computed: 0.001 changes a
#: probability by 0.00025 at most, and int8 changes it by twenty times as much.
_DECIMALS = 3
#: Cells cut at once for their hashes.
_PIECE = 512


@dataclass(frozen=True, slots=True)
class Job:
    """One training and the cells that its network is to judge (indices).

    Attributes
    ----------
    name : of the test and fold that it was first wanted for
    train, cells : indices into the collection's cells
    """

    name: str
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


class _Fold(msgspec.Struct):
    """A fold's file; ``logits`` of the job's cells in their order."""

    schema: str
    name: str
    key: str
    recipe: str
    seed: int
    trained_on: int
    cpu_s: float
    history: tuple[Epoch, ...]
    source: str
    machine: dict[str, object]
    software: dict[str, str]
    logits: list[float]


class Folds:
    """The folder of the results of a recipe's trainings.

    A result is taken up where everything that the recipe looks at is the same: its own source file, those of
    the classes that it builds on, its settings, the seed, and of each cell what is known of it, its picture's
    bytes and the bytes of its crop. A change of the segmentation that moves no outline of any of its cells,
    or of what is beside the recipe, trains nothing anew.

    Parameters
    ----------
    folder : of one JSON a training
    collection : what is trained on and judged
    recipe : what is trained
    seed : of every network
    """

    def __init__(self, folder: Path, collection: Collection, recipe: Design, seed: int) -> None:
        self._folder = folder
        self._recipe, self._seed = recipe, seed
        self._cells = _cell_hashes(collection, recipe)
        source = b"".join(Path(inspect.getfile(kind)).read_bytes() for kind in _made_of(recipe))
        self._all = hashlib.sha256(f"{SCHEMA} {recipe!r} {seed}".encode() + source).digest()

    def read(self, job: Job) -> Result | None:
        """Return what a job gave earlier; None where that is not there, or is of other cells or settings."""
        try:
            fold = msgspec.json.decode(self._path(job).read_bytes(), type=_Fold)
        except (OSError, msgspec.MsgspecError):
            return None
        if fold.key != self._key(job) or len(fold.logits) != len(job.cells):
            return None
        return _result(job, fold.logits, fold.history, fold.cpu_s)

    def write(self, job: Job, found: Result) -> Result:
        """Keep what a job gave, and return it as it will be read back.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        logits = logit(np.array([found.p_blast[i] for i in job.cells])).round(_DECIMALS).tolist()
        fold = _Fold(
            schema=SCHEMA,
            name=job.name,
            key=self._key(job),
            recipe=self._recipe.name,
            seed=self._seed,
            trained_on=len(job.train),
            cpu_s=round(found.cpu_s, 1),
            history=found.history,
            source=source_hash(),
            machine=describe_machine(),
            software=describe_software(),
            logits=logits,
        )
        keep(self._path(job), msgspec.json.encode(fold) + b"\n")
        return _result(job, logits, found.history, fold.cpu_s)

    def _path(self, job: Job) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', job.name)}-seed{self._seed}.json"

    def _key(self, job: Job) -> str:
        digest = hashlib.sha256(self._all)
        for indices in (job.train, job.cells):
            digest.update(b"".join(self._cells[i] for i in indices) + b"|")
        return digest.hexdigest()


def keep(path: Path, content: bytes) -> None:
    """Write what a training said, whole or not at all.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); give another --folds"
        ) from error


def _made_of(recipe: Design) -> list[type]:
    """List the classes that a recipe is made of, its own first."""
    return [kind for kind in type(recipe).__mro__ if kind is not object]


def _result(job: Job, logits: Sequence[float], history: tuple[Epoch, ...], cpu_s: float) -> Result:
    return Result(dict(zip(job.cells, expit(logits).tolist(), strict=True)), history, cpu_s)


def _cell_hashes(collection: Collection, recipe: Design) -> list[bytes]:
    """Hash everything that a recipe sees of each white cell; others are never handed to it."""
    white = [i for i, cell in enumerate(collection.cells) if cell.cell.kind == "wbc"]
    found = [b""] * len(collection.cells)
    for first in range(0, len(white), _PIECE):
        piece = white[first : first + _PIECE]
        cells = [collection.cells[i] for i in piece]
        for i, cell, crop in zip(piece, cells, cut(collection, cells, recipe.spec), strict=True):
            known = f"{cell} {collection.fields[cell.field].sha256}"
            found[i] = hashlib.sha256(known.encode() + crop.tobytes()).digest()
    return found
