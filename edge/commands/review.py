"""``blastcount review``: the page on which people watch the count and look at every cell."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from edge.commands.journal import logging_to_stderr
from edge.commands.options import PATH, config_option, log_option
from edge.config import Config, ReviewConfig, load_config
from edge.daemon.served import open_log
from edge.results.summary import known_errors
from edge.web.access import Lock, new_token, read_token_file, write_token_file
from edge.web.server import give_way, serve, stop_with_stdin
from edge.web.setup import Setup

_log = logging.getLogger(__name__)


@click.command()
@config_option
@log_option
@click.option("--host", help="Address to listen on (review.host); other than loopback only with a token.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port (review.port); 0 for any free one.")
@click.option(
    "--token-file", type=PATH, help="File with the hash of the token that opens the page (review.token_file)."
)
@click.option(
    "--new-token",
    type=PATH,
    metavar="FILE",
    help="Make a token, write its hash to FILE, print the token once, and do nothing else.",
)
@click.option(
    "--new-password",
    type=PATH,
    metavar="FILE",
    help="Ask for a password, write its hash to FILE, and do nothing else.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True, help="Stop with the process that started it.")
def review(
    config_path: Path | None,
    log_path: Path | None,
    host: str | None,
    port: int | None,
    token_file: Path | None,
    new_token: Path | None,
    new_password: Path | None,
    until_stdin_ends: bool,
) -> None:
    """Serve the page on which people watch the count and look at every cell.

    Open the address that it prints in a browser. It can be reached from this machine alone unless --host and
    a token say otherwise. For research use only.
    """
    if new_token is not None or new_password is not None:
        _make_secret(new_token, new_password)
        return
    config = load_config(config_path)
    if log_path is not None:
        config = config.changed(log={"path": log_path})
    section = _section(config, host=host, port=port, token_file=token_file)
    setup = make_setup(config, section)
    if setup.log_path.exists():
        # Brings an older log up to date, and says now what is wrong with one that cannot be used.
        open_log(setup.log_path).close()
    with logging_to_stderr(logging.INFO):
        give_way()
        if until_stdin_ends:
            stop_with_stdin()
        serve(setup, section.host, 0 if port == 0 else section.port, _announce)


def _make_secret(token_path: Path | None, password_path: Path | None) -> None:
    if token_path is not None and password_path is not None:
        raise click.UsageError("give --new-token or --new-password, not both")
    if token_path is not None:
        token = new_token()
        write_token_file(token_path, token)
        click.echo(token)
        click.echo(
            f"This token opens the page and is shown only now. Its hash is in {token_path}.",
            err=True,
        )
    elif password_path is not None:
        write_token_file(
            password_path, click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        )
        click.echo(f"Its hash is in {password_path}.", err=True)


def _section(config: Config, *, host: str | None, port: int | None, token_file: Path | None) -> ReviewConfig:
    """Put options of the command line over the configuration's values."""
    # Port 0, any free one, is for trying things out; a configuration that means it cannot be bookmarked.
    given: dict[str, Any] = {"host": host, "port": port or None, "token_file": token_file}
    return config.changed(review={key: value for key, value in given.items() if value is not None}).review


def make_setup(config: Config, section: ReviewConfig) -> Setup:
    """Gather what the pages need of the machine.

    Raises
    ------
    ConfigError
        The token file is missing or unusable.
    """
    return Setup(
        log_path=config.log_path,
        names=tuple((section.names or "").split()),
        errors_of=known_errors(config),
        denominator=config.sample.denominator,
        lock=None if section.token_file is None else Lock(read_token_file(section.token_file)),
    )


def _announce(address: str) -> None:
    # The one result of this command; a script may wait for it.
    click.echo(f"review page: {address}")
    _log.info("review page at %s", address)
