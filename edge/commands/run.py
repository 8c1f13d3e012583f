"""``blastcount run``: count what a camera sees, field after field, into the log."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click

from edge.bloodlog import BloodLog
from edge.camera.picamera import PiCameraSource
from edge.camera.rendered import RenderedSource, RenderSettings
from edge.camera.replay import ReplaySource
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.classify import Classifier
from edge.config import Config, LogConfig, SourceKind, load_config
from edge.daemon import Daemon, Provenance, StopRequest, Supervisor
from edge.errors import LogError
from edge.modelcard import default_bundle_path, load_bundle
from edge.pipeline import Pipeline
from edge.version import software_version

_log = logging.getLogger(__name__)

#: journald reads a line's priority from this prefix; see sd-daemon(3).
_JOURNAL_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="TOML file. Without it: the one that BLASTCOUNT_CONFIG names, else "
    "/etc/blastcount/blastcount.toml, else defaults.",
)
@click.option(
    "--source", type=click.Choice(get_args(SourceKind)), help="Where frames come from (camera.source)."
)
@click.option("--path", type=click.Path(path_type=Path), help="What to replay (camera.path).")
@click.option(
    "--interval", "interval_s", type=float, help="Seconds from one field to the next (camera.interval_s)."
)
@click.option("--fields", type=click.IntRange(min=1), help="Stop after this many fields.")
@click.option("--log", "log_path", type=click.Path(path_type=Path), help="File of the blood log (log.path).")
@click.option("--verbose", "-v", is_flag=True, help="Report every field on stderr, too.")
def run(
    config_path: Path | None,
    source: SourceKind | None,
    path: Path | None,
    interval_s: float | None,
    fields: int | None,
    log_path: Path | None,
    verbose: bool,
) -> None:
    """Count what a camera sees, a field every few seconds, into the log.

    Runs in the foreground until SIGTERM or Ctrl-C; under systemd it reports readiness, status and
    that it is alive. For research use only.
    """
    config = override(
        load_config(config_path), source=source, path=path, interval_s=interval_s, log_path=log_path
    )
    with (
        _logging_to_stderr(logging.DEBUG if verbose else logging.INFO),
        StopRequest() as stop,
        stop.on_signals(),
    ):
        _log.info("configuration: %s, sha256 %.12s", config.origin or "built-in defaults", config.sha256)
        classifier = Classifier(
            load_bundle(config.model.path or default_bundle_path()), threads=config.model.threads
        )
        worst = classifier.check_golden()
        _log.info(
            "model: %s in %s, golden crops agree to %.3f", classifier.card.name, classifier.runtime, worst
        )
        _make_state_folder(config)
        provenance = Provenance(config.sha256, software_version(), classifier.runtime, config.camera.source)
        with BloodLog.open(config.log_path) as log, Supervisor() as supervisor:
            _log.info("log: %s, %d fields so far", log.path, log.count())
            daemon = Daemon(
                make_source(config),
                Pipeline(classifier),
                log,
                provenance,
                interval_s=config.camera.interval_s,
                timeout_s=config.camera.timeout_s,
                stop=stop,
                supervisor=supervisor,
            )
            daemon.run(fields)


def override(
    config: Config,
    *,
    source: SourceKind | None = None,
    path: Path | None = None,
    interval_s: float | None = None,
    log_path: Path | None = None,
) -> Config:
    """Put options of the command line over the configuration's values; the hash follows.

    Raises
    ------
    ConfigError
        A value is out of range, or one that it needs is missing.
    """
    given: dict[str, Any] = {"source": source, "path": path, "interval_s": interval_s}
    camera = replace(config.camera, **{key: value for key, value in given.items() if value is not None})
    return replace(config, camera=camera, log=config.log if log_path is None else LogConfig(log_path))


def make_source(config: Config) -> FrameSource:
    """Make the configured source; nothing is opened yet.

    Raises
    ------
    ConfigError
        The rendered smear cannot have the configured scale or size.
    """
    camera, um_per_px = config.camera, config.scale.um_per_px
    if camera.source == "picamera":
        return PiCameraSource(
            int(camera.device), width=camera.width, height=camera.height, um_per_px=um_per_px
        )
    if camera.source == "v4l2":
        return V4L2Source(camera.device, width=camera.width, height=camera.height, um_per_px=um_per_px)
    if camera.source == "replay":
        assert camera.path is not None  # CameraConfig has checked that
        return ReplaySource(camera.path, loop=camera.loop, um_per_px=um_per_px)
    settings = RenderSettings()
    if camera.width is not None and camera.height is not None:
        settings = replace(settings, width=camera.width, height=camera.height)
    if um_per_px is not None:
        settings = replace(settings, um_per_px=um_per_px, report_scale=True)
    return RenderedSource(camera.seed, settings)


def _make_state_folder(config: Config) -> None:
    """Make the folder of the default log. A folder that somebody named must be there: it may be a mount."""
    if config.log.path is not None:
        return
    folder = config.log_path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(
            f"{folder}: the state folder cannot be made: {error.strerror}; set log.path"
        ) from error


class _JournalFormatter(logging.Formatter):
    """Puts the priority in front, in the form that journald takes off again."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return f"<{_JOURNAL_PRIORITY.get(record.levelno, 6)}>{super().format(record)}"


@contextmanager
def _logging_to_stderr(level: int) -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("edge")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
