"""``blastcount review``: the page on which people watch the count and look at every cell."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from edge.bloodlog.connection import check_name
from edge.commands.journal import logging_to_stderr
from edge.commands.options import PATH, config_option, log_option
from edge.config import Config, ReviewConfig, load_config
from edge.daemon.served import open_log
from edge.device.passwords import password_hash
from edge.device.rights import become_owner_of
from edge.errors import ServerError
from edge.results.summary import known_errors, known_thresholds
from edge.web.access import Lock, new_token, read_token_file, write_token_file
from edge.web.reach import NO_NETWORK, PageAddress, every_address, login_url, page_addresses, qr_text
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
    "--phone",
    is_flag=True,
    help="Let a phone in the same network open the page: with a token of its own, address and QR code.",
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
    phone: bool,
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
    config = load_config(config_path).changed(log={"path": log_path})
    token = None
    if phone:
        section = _section(config, port=port, token_file=token_file)
        setup, token = _for_phone(config, section, host)
    else:
        section = _section(config, host=host, port=port, token_file=token_file)
        setup = make_setup(config, section)
    become_owner_of(setup.log_path.parent)
    check_name(setup.log_path, makes_it=False)
    named = bool(setup.users.all())  # says now what is wrong with their file
    if setup.log_path.exists():
        # Brings an older log up to date, and says now what is wrong with one that cannot be used.
        open_log(setup.log_path).close()

    def ready(port: int) -> None:
        addresses = page_addresses(setup.host, port, setup.public_url)
        _announce(addresses or page_addresses("localhost", port))
        if phone:
            _show_to_phone(addresses, None if named else token, named=named)

    with logging_to_stderr(logging.WARNING if phone else logging.INFO):
        give_way()
        if until_stdin_ends:
            stop_with_stdin()
        serve(setup, 0 if port == 0 else section.port, ready)


def _for_phone(config: Config, section: ReviewConfig, host: str | None) -> tuple[Setup, str | None]:
    """Gather what the pages need, on an address that a phone reaches, and the token where one was made now.

    A token for one evening is in no file: it ends with the page. A file that the configuration names is made
    where it is not there yet; where it is, the page asks for the token that was shown then.
    """
    if host is not None:
        ReviewConfig(host=host, token_file=Path())  # refuses what is no address
    else:
        stays = section.public_url is not None or not section.is_loopback
        host = section.host if stays else every_address()
    if not page_addresses(host, section.port, section.public_url):
        raise ServerError(NO_NETWORK)
    if section.token_file is not None and section.token_file.exists():
        return replace(make_setup(config, section), host=host), None
    token = new_token()
    if section.token_file is not None:
        write_token_file(section.token_file, token)
    return replace(make_setup(config, section, Lock(password_hash(token))), host=host), token


def _show_to_phone(addresses: Sequence[PageAddress], token: str | None, *, named: bool) -> None:
    """Tell a person how a phone opens the page; a code only where there is somebody to see it."""
    first, *others = addresses
    network = f" ({first.network})" if first.network else ""
    click.echo(f"The phone must be in the same network{network}. Point its camera at this:", err=True)
    if sys.stderr.isatty():
        click.echo(qr_text(first.url if token is None else login_url(first, token)), err=True)
    asked = "the token that was shown when its file was made" if token is None else f"the token {token}"
    click.echo(f"or open {first.url} and type {'your name and password' if named else asked}.", err=True)
    for other in others:
        click.echo(f"From network {other.network}: {other.url}", err=True)
    click.echo("Ctrl-C ends the page.", err=True)


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


def _section(config: Config, *, port: int | None, **given: str | Path | None) -> ReviewConfig:
    """Put options of the command line over the configuration's values."""
    # Port 0, any free one, is for trying things out; a configuration that means it cannot be bookmarked.
    return config.changed(review={**given, "port": port or None}).review


def make_setup(config: Config, section: ReviewConfig, lock: Lock | None = None) -> Setup:
    """Gather what the pages need of the machine; with another lock than that of the token file.

    Raises
    ------
    ConfigError
        The token file is missing or unusable.
    """
    if lock is None and section.token_file is not None:
        lock = Lock(read_token_file(section.token_file))
    return Setup(
        log_path=config.log_path,
        host=section.host,
        names=tuple((section.names or "").split()),
        public_url=section.public_url,
        errors_of=known_errors(config),
        threshold_of=known_thresholds(config),
        denominator=config.sample.denominator,
        lock=lock,
    )


def _announce(addresses: Sequence[PageAddress]) -> None:
    for address in addresses:
        # The one result of this command; a script may wait for it.
        click.echo(f"review page: {address.url}")
        _log.info("review page at %s", address.url)
