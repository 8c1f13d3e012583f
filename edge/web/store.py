"""The blood log for the length of one request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from flask import abort

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.pictures import ThumbnailStore
from edge.daemon.served import open_log
from edge.web.setup import setup


@contextmanager
def reading() -> Iterator[BloodLog]:
    """Open the log to read in it; nothing is found where there is none yet."""
    path = setup().log_path
    if not path.exists():
        abort(404)
    with BloodLog.open(path, read_only=True) as log:
        yield log


def has_picture(sha256: str | None) -> bool:
    """Whether a picture was stored and has not made room since."""
    return sha256 is not None and _pictures(setup().log_path).size(sha256) > 0


@lru_cache(maxsize=1)
def _pictures(log_path: Path) -> ThumbnailStore:
    return ThumbnailStore.beside(log_path)


def writing() -> BloodLog:
    """Open the log to add to it; what is added is checked by the log against what others add meanwhile."""
    return open_log(setup().log_path)


def sample_of(log: BloodLog, sample_id: int) -> Sample:
    """Find a sample by its number."""
    sample = log.numbered_sample(sample_id)
    if sample is None:
        abort(404)
    return sample
