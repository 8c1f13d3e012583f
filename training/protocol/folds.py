"""What each training of the protocol said, one small JSON a training: a run goes on from those of a clone."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from edge.device.durable import write_whole
from edge.device.machine import describe_machine, describe_software
from edge.errors import OutputError
from training.data.cache import source_hash
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol.decision import logit
from training.protocol.recipe import Design, Epoch

SCHEMA = "blastcount.fold/2"
#: Decimals of a logit that are kept, whether it is read back or was just computed: 0.001 changes a
#: probability by 0.00025 at most, and int8 changes it by twenty times as much.
_DECIMALS = 3
#: Cells cut at once.
_PIECE = 512
#: Random projections of the crops that are kept.
_PROJECTIONS = 16
#: Most that the crops of a job may differ by, root of the mean square over all their values (0 to 255).
#: Processors of two makes round few values of one crop in ten to the next level, which makes 0.005; one crop
#: of 13,000 that moves by one px makes 0.3.
_SAME_RMS = 0.05


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
    """A fold's file; ``logits`` of the job's cells in their order, ``looks`` of :class:`Folds`."""

    schema: str
    name: str
    key: str
    recipe: str
    seed: int
    trained_on: int
    looks: list[float]
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
    bytes and its crop. A change of the segmentation that moves no outline of any of its cells, or of what is
    beside the recipe, trains nothing anew.

    Parameters
    ----------
    folder : of one JSON a training
    collection : what is trained on and judged
    recipe : what is trained
    seed : of every network

    Notes
    -----
    All but the crops is compared by a hash. Another processor rounds other last digits, so that crops differ
    in single levels: of them random projections are kept, whose mean squared difference is that of the crops,
    as well as so many tell it [1]_. With NumPy's code for AVX-512 the scale of 22 of 8,326 fields is another
    one, by up to 1.4 %; what was found without it is not taken up there, nor the other way round.

    References
    ----------
    .. [1] W. B. Johnson, J. Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space",
       Contemporary Mathematics 26, 1984.
    """

    def __init__(self, folder: Path, collection: Collection, recipe: Design, seed: int) -> None:
        self._folder = folder
        self._recipe, self._seed = recipe, seed
        self._known, self._looks = _look(collection, recipe)
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
        if not self._alike(fold.looks, job):
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
            looks=self._looks_of(job),
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
            digest.update(b"".join(self._known[i] for i in indices) + b"|")
        return digest.hexdigest()

    def _looks_of(self, job: Job) -> list[float]:
        looks: list[float] = self._looks[[*job.train, *job.cells]].sum(axis=0).round(1).tolist()
        return looks

    def _alike(self, looks: Sequence[float], job: Job) -> bool:
        if len(looks) != _PROJECTIONS:
            return False
        values = self._recipe.spec.size_px**2 * 3 * (len(job.train) + len(job.cells))
        apart = np.subtract(looks, self._looks_of(job))
        return bool(np.sqrt(np.mean(apart**2) / values) <= _SAME_RMS)


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


def _look(collection: Collection, recipe: Design) -> tuple[list[bytes], NDArray[np.float64]]:
    """Hash what is known of each white cell, and project its crop; others are never handed to a recipe.

    Each projection is a sum of all values with random signs. A cell's own sign, of its hash, keeps from
    cancelling out what changes alike in two cells.
    """
    white = [i for i, cell in enumerate(collection.cells) if cell.cell.kind == "wbc"]
    known = [b""] * len(collection.cells)
    looks = np.zeros((len(collection.cells), _PROJECTIONS))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (recipe.spec.size_px**2 * 3, _PROJECTIONS))
    for first in range(0, len(white), _PIECE):
        piece = white[first : first + _PIECE]
        cells = [collection.cells[i] for i in piece]
        for i, cell, crop in zip(piece, cells, cut(collection, cells, recipe.spec), strict=True):
            about = f"{_without_place(cell)} {collection.fields[cell.field].sha256}"
            known[i] = hashlib.sha256(about.encode()).digest()
            looks[i] = (crop.ravel() @ signs) * (1 if known[i][0] & 1 else -1)
    return known, looks


def _without_place(cell: CellRecord) -> CellRecord:
    """Leave out what the last digits of a processor change; the crop shows it."""
    bare = replace(cell.cell, x=0.0, y=0.0, bbox=(0, 0, 0, 0), area_px=0, nucleus_area_px=0)
    return replace(cell, cell=bare)
