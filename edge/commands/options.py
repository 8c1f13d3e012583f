"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

Command = Callable[..., None]


def log_option(command: Command) -> Command:
    """Let a command work on another log than the configured one, as ``log_path``."""
    return click.option(
        "--log",
        "log_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The log; without it the configured one.",
    )(command)


def model_option(command: Command) -> Command:
    """Let a command work with another model than the shipped one, as ``model``."""
    return click.option(
        "--model",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Model bundle, if not the shipped one.",
    )(command)
