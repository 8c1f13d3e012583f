"""An output folder that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.device import durable
from edge.errors import OutputError


def check(out: Path, files: Collection[str], *, force: bool) -> None:
    """Refuse early, before hours of work, what :func:`written_whole` would refuse at the end.

    Parameters
    ----------
    out : folder to be written
    files : names of all files that may be in it
    force : whether earlier results may be replaced

    Raises
    ------
    OutputError
        ``out`` is a file, holds results and ``force`` is not given, or holds other things than results.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out}: is a file; --out names a folder")
    there = sorted(path.name for path in out.iterdir())
    foreign = [name for name in there if name not in files]
    if foreign:
        raise OutputError(
            f"{out}: holds {foreign[0]}, which this command did not write; give --out a folder of its own"
        )
    if there and not force:
        raise OutputError(f"{out}: holds earlier results ({', '.join(there)}); --force replaces them")


@contextmanager
def written_whole(out: Path, files: Collection[str], *, force: bool) -> Iterator[Path]:
    """Give a folder to write to, and make it ``out`` when all is written.

    Parameters
    ----------
    out, files, force : as for :func:`check`

    Yields
    ------
    folder beside ``out``; when the block ends without an error it is renamed to ``out``, otherwise removed

    Raises
    ------
    OutputError
        As :func:`check`, or a folder cannot be made or renamed.
    """
    check(out, files, force=force)
    with _translated(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with durable.written_whole(out) as new:
            new.mkdir()
            yield new
            check(out, files, force=force)


@contextmanager
def _translated(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror or error}); give another --out"
        ) from error
