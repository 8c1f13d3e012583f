"""``blastcount archive``: stored fields by the hundred thousand to tables, on many workers.

This module loads without the extra, so that every installation can say what the command is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from edge.archive.forkserver import start_early
from edge.commands.options import ADDRESS, FOLDER, FiniteRange, model_option
from edge.commands.outputs import prepare_folder
from edge.commands.progress import Progress
from edge.config import load_config
from edge.errors import OutputError, RuntimeMissingError
from edge.structures import COARSEST_UM_PER_PX, FINEST_UM_PER_PX


@click.command("archive")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=ADDRESS)
@click.option(
    "--out", type=FOLDER, required=True, metavar="DIR", help="Folder for the tables; a stopped run goes on."
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler to count on, as tcp://host:8786.")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="Processes on this machine; a core each if not given.",
)
@model_option
@click.option(
    "--um-per-px",
    type=FiniteRange(FINEST_UM_PER_PX, COARSEST_UM_PER_PX),
    help="Scale of the images in µm per pixel; measured on the red cells if not given.",
)
@click.option("--recursive/--no-recursive", default=True, help="Search the subfolders of folders, too.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on stderr but errors and warnings.")
def archive(
    paths: Sequence[str],
    out: Path,
    scheduler: str | None,
    workers: int | None,
    model: Path | None,
    um_per_px: float | None,
    recursive: bool,
    quiet: bool,
) -> None:
    """Count stored fields into Parquet tables, on the cores of this machine or on a Dask cluster.

    PATH is a folder, a file, a .zip, or an address that fsspec reads, as s3://bucket/fields. The counts are
    those of `blastcount count`. A run that was stopped, killed or lost its workers goes on where it was with
    the same command; what is unchanged is not counted again. What cannot be read is in a table, too, and the
    exit code is 1.
    """
    if scheduler is not None and workers is not None:
        raise click.UsageError("--workers are processes here; with --scheduler the cluster has its own")
    if scheduler is None:
        start_early()
    try:
        from edge.archive.job import Job  # Dask and Arrow are of the extra
    except ImportError as error:
        raise RuntimeMissingError(
            f"archive: this install lacks what it needs ({error}); pip install 'blastcount[archive]'"
        ) from error
    config = load_config().changed(  # one thread: cores are shared out by the number of workers
        model={"path": model, "threads": 1}, scale={"um_per_px": um_per_px}
    )
    _check_outside(out, paths)
    job = Job(config, out, Progress("counting", quiet=quiet), quiet=quiet)
    job.find(paths, recursive=recursive)
    prepare_folder(out)
    job.count(scheduler, workers or len(os.sched_getaffinity(0)))
    if not job.report():
        click.get_current_context().exit(1)


def _check_outside(out: Path, paths: Sequence[str]) -> None:
    """See that the tables are not written among the pictures.

    Raises
    ------
    OutputError
        They would be.
    """
    for folder in map(Path, paths):  # an address is no folder here
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{out}: lies in {folder}, which is counted; name a folder outside of it")
