"""``blastcount run``: count what a camera sees, field after field, into the log."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import get_args

import click

from edge.bloodlog import BloodLog
from edge.bloodlog.locks import Patience
from edge.camera.configured import make_source
from edge.classification.classifier import Classifier
from edge.commands.journal import logging_to_stderr
from edge.commands.options import PATH, config_option, log_option
from edge.commands.outputs import make_state_folder
from edge.config import Config, SourceKind, load_config
from edge.counting.golden import load_configured
from edge.counting.recorder import as_configured
from edge.daemon.button import button
from edge.daemon.charts import ChartWatch
from edge.daemon.loop import Daemon, Setup
from edge.daemon.protocol import runtime_folder
from edge.daemon.requests import Requests
from edge.daemon.served import writes_itself
from edge.daemon.supervisor import Supervisor
from edge.daemon.trigger import make_trigger
from edge.daemon.waiting import when_unblocked
from edge.device.clock import WallClock
from edge.device.disk import DiskGuard
from edge.device.memory import keep_freed_memory
from edge.errors import ConfigError, LogError
from edge.web.child import ReviewChild

_log = logging.getLogger(__name__)

#: Longest wait for another process that holds the log, a sample or the pictures; then the status names it.
_WAIT_S = 3.0


@click.command()
@config_option
@click.option(
    "--source", type=click.Choice(get_args(SourceKind)), help="Where frames come from (camera.source)."
)
@click.option("--path", type=PATH, help="What to replay (camera.path).")
@click.option(
    "--interval", "interval_s", type=float, help="Seconds from one field to the next (camera.interval_s)."
)
@click.option("--fields", type=click.IntRange(min=1), help="Stop after this many fields.")
@log_option
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

    def load() -> Config:
        return override(
            load_config(config_path), source=source, path=path, interval_s=interval_s, log_path=log_path
        )

    config = load()
    with (
        logging_to_stderr(logging.DEBUG if verbose else logging.INFO),
        Requests() as requests,
        requests.on_signals(),
    ):
        keep_freed_memory()
        if not writes_itself(config.log_path):
            raise LogError(
                f"{config.log_path}: is another user's log, whose own daemon counts into it "
                "(`systemctl start blastcount`); name another with --log"
            )
        classifier = _load_classifier(config)  # before anything is written: a missing model leaves no log
        make_state_folder(config)
        folder = runtime_folder(config.log_path)
        # Nobody who holds the log may keep the daemon from stopping.
        patience = Patience(_WAIT_S, lambda: requests.is_stopping)
        with Supervisor() as supervisor, ExitStack() as stack:

            def open_log() -> BloodLog:
                return BloodLog.open(config.log_path, patience=patience)

            log = when_unblocked(open_log, config, folder, requests, supervisor)
            if log is None:
                return
            stack.enter_context(log)
            stack.enter_context(_review_page(config, config_path))
            # The journal is another file: what it notes shows later whether the log's end was cut off.
            _log.info("log: %s, %d fields so far, head %s", log.path, log.count(), log.head())
            daemon = Daemon(
                make_setup(config, classifier, log),
                lambda: reloaded(load(), log),
                runtime_folder=folder,
                requests=requests,
                supervisor=supervisor,
            )
            daemon.run(fields)
            _log.info("log: %d fields, head %s", log.count(), log.head())


def _review_page(config: Config, config_path: Path | None) -> AbstractContextManager[object]:
    """Serve the review page beside the daemon, where the configuration asks for it."""
    if not config.review.with_daemon:
        return nullcontext()
    named = [] if config_path is None else ["--config", str(config_path)]
    return ReviewChild([*named, "--log", str(config.log_path)])


def _load_classifier(config: Config) -> Classifier:
    """Load the configured model and check its golden crops and golden field."""
    _log.info("configuration: %s, sha256 %.12s", config.origin or "built-in defaults", config.sha256)
    return load_configured(config)


def reloaded(config: Config, log: BloodLog) -> Setup:
    """Prepare what a configuration asks for while the daemon runs.

    Raises
    ------
    ConfigError
        It asks for another log, which only a restart can open.
    ModelError, GateError
        The model cannot be used.
    """
    if config.log_path != log.path:
        raise ConfigError(
            f"log.path cannot change while the daemon runs, from {log.path} to {config.log_path}; restart it"
        )
    return make_setup(config, _load_classifier(config), log)


def make_setup(config: Config, classifier: Classifier, log: BloodLog) -> Setup:
    """Prepare what a configuration asks for; no camera is touched yet.

    Raises
    ------
    ConfigError
        The rendered smear cannot have the configured scale or size.
    """
    make_source(config)  # what cannot be made is refused now
    card = classifier.card
    pin = config.gpio.button_pin
    return Setup(
        config=config,
        make_source=lambda: make_source(config),
        recorder=as_configured(config, classifier, log, source_kind=config.camera.source, clock=WallClock()),
        trigger=make_trigger(config),
        button=None if pin is None else lambda press: button(pin, config.gpio.debounce_s, press),
        check=lambda: check_place(log, config.storage.reserve_mb),
        model={"name": card.name, "sha256": card.sha256, "runtime": classifier.runtime}
        | ({} if card.recalibration is None else {"recalibration_sha256": card.recalibration}),
        charts=ChartWatch(log, WallClock()),
    )


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
    camera = {"source": source, "path": path, "interval_s": interval_s}
    return config.changed(camera=camera, log={"path": log_path})


def check_place(log: BloodLog, reserve_mb: float) -> None:
    """See whether rows and pictures can be added where they belong.

    Raises
    ------
    LogLostError, LogDamagedError, LogBusyError
        The log's file is no longer the one that is open or does not hold what it held, or somebody holds it.
    DiskFullError
        Its disk, or that of the pictures, is full or takes no writes.
    """
    log.check_free()
    for folder in dict.fromkeys((log.path.parent, log.pictures.folder)):
        if folder.is_dir():  # the pictures' folder is made with the first picture
            DiskGuard(folder, reserve_mb).check()
