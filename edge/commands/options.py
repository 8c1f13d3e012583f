"""Options that several commands share, and the types of paths that options take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

Command = Callable[..., None]

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
#: A file for a result, or ``-`` for stdout.
RESULT = click.Path(path_type=Path, dir_okay=False, allow_dash=True)

config_option = click.option(
    "--config",
    "config_path",
    type=PATH,
    help="TOML file. Without it: the one that BLASTCOUNT_CONFIG names, else "
    "/etc/blastcount/blastcount.toml, else defaults.",
)
#: For another log than the configured one.
log_option = click.option(
    "--log", "log_path", type=PATH, metavar="FILE", help="The log; without it the configured one."
)
#: For another model than the configured or shipped one.
model_option = click.option(
    "--model", type=PATH, metavar="FILE", help="Model bundle; without it the configured or shipped one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")
