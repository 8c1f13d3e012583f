"""How the files of an archive are shared out: whole folders, for their pictures share a scale."""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby, pairwise

import msgspec
from msgspec import Struct

from edge.archive.store import StoredFile
from edge.counting.folder import to_look_at

#: Files of a batch: with fewer, sending takes a share of the time; with more, waiting for the last one does.
#: A folder with more is cut, and looked at before.
_LEAST, _MOST = 100, 300
#: A batch that is large enough ends behind one in so many folders, which their names choose. So a new folder
#: moves the ends of the batches around it only, and those behind stay what they are.
_ENDING = 4
#: At the end, where workers would have nothing more to do while one counts a batch, batches are counted in
#: pieces. A piece is half of what is left for each worker, as in factoring, so that one whose fields take
#: longer than others still ends before the rest.
_PART = 0.5
#: Files of a piece at the least: it costs the scheduler, client and worker some 20 ms, 3 % of counting them.
_LEAST_PIECE = 10
#: What a piece costs the scheduler and the client, 10 ms, in fields of a worker: many workers together must
#: not ask for pieces faster than these two hand them out.
_COST_IN_FIELDS = 0.15
#: A folder with no more files is not divided: its look, before the pieces, would be half of what it costs.
_UNDIVIDED = 20


class Batch(Struct, frozen=True):
    """What a worker counts in one go.

    Attributes
    ----------
    files : in order
    looks : where they are a part of one folder, the pictures that say its scale; else none, and the batch has
        whole folders
    """

    files: tuple[StoredFile, ...]
    looks: tuple[StoredFile, ...] = ()

    def key(self, provenance_sha256: str) -> str:
        """Name what will come of it: the hash of its files, as their stamps tell them, and of what counts."""
        content = [
            provenance_sha256,
            [(file.source, file.stamp, file.is_drawn) for file in self.files],
            [(file.source, file.stamp) for file in self.looks],
        ]
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def each_once(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Leave out what is given twice, by whatever link."""
    once: dict[str, StoredFile] = {}
    for file in files:
        once.setdefault(file.source if file.root else os.path.realpath(file.source), file)
    return list(once.values())


def plan(files: Iterable[StoredFile], least: int = _LEAST, most: int = _MOST) -> list[Batch]:
    """Share files out.

    Parameters
    ----------
    files : each once, in any order of folders
    least, most : files of a batch, but for the last

    Returns
    -------
    batches, the same for the same files
    """
    folders: dict[str, list[StoredFile]] = defaultdict(list)
    for file in files:
        folders[file.folder].append(file)
    batches: list[Batch] = []
    waiting: list[StoredFile] = []

    def close() -> None:
        if waiting:
            batches.append(Batch(tuple(waiting)))
            waiting.clear()

    for folder, members in folders.items():
        if len(members) > most:
            close()
            looks = _looks(members)
            parts = math.ceil(len(members) / most)
            cuts = [len(members) * part // parts for part in range(parts + 1)]
            batches += [Batch(tuple(members[first:last]), looks) for first, last in pairwise(cuts)]
            continue
        if len(waiting) + len(members) > most:
            close()
        waiting += members
        if len(waiting) >= least and zlib.crc32(folder.encode("utf-8", "surrogateescape")) % _ENDING == 0:
            close()
    close()
    return batches


def pieces(batch: Batch, left: int, workers: int) -> list[Batch]:
    """Cut a batch so that no worker waits long for another one at the end.

    What is kept is the batch, whatever the pieces: the rows are the same.

    Parameters
    ----------
    batch : to be handed out now
    left : files that are to be handed out from now on, its own too
    workers : that count

    Returns
    -------
    pieces in the order of its files, the batch alone where much is left

    References
    ----------
    Hummel, Schonberg, Flynn: Factoring: a method for scheduling parallel loops. Communications of the ACM
    35(8), 90-101 (1992).
    """
    if workers == 1:
        return [batch]
    least = max(_LEAST_PIECE, int(_COST_IN_FIELDS * workers))
    cut: list[Batch] = []
    waiting: list[StoredFile] = []

    def close() -> None:
        if waiting:
            cut.append(Batch(tuple(waiting)))
            waiting.clear()

    def size() -> int:
        rest = left - sum(len(piece.files) for piece in cut)
        return max(least, int(_PART * rest / workers))

    for _, folder in groupby(batch.files, lambda file: file.folder):
        members = tuple(folder)
        if batch.looks or len(members) > max(size(), _UNDIVIDED):
            close()
            looks = batch.looks or _looks(members)
            while members:
                most = size()
                cut.append(Batch(members[:most], looks))
                members = members[most:]
            continue
        waiting += members
        if len(waiting) >= size():
            close()
    close()
    return cut


def _looks(folder: Iterable[StoredFile]) -> tuple[StoredFile, ...]:
    """Choose the pictures that say the scale of a folder."""
    by_key = {file.key: file for file in folder}
    return tuple(by_key[key] for key in to_look_at(by_key))
