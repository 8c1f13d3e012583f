"""``blastcount collect``: many devices' rows into one database, and the page that shows them."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import get_args

import click

from edge.commands.journal import logging_to_stderr
from edge.commands.options import PATH, config_option
from edge.commands.people import PERSON
from edge.config import Config, ReviewConfig, load_config, state_folder
from edge.device.printable import printable
from edge.errors import ConfigError, OutputError
from edge.fleet.verifying import Kind

#: Name of the embedded database in the state folder.
DATABASE_NAME = "fleet.db"

database_option = click.option(
    "--database",
    metavar="FILE|URL",
    help="File of SQLite, or postgresql://USER@HOST/NAME (collect.database); fleet.db in the state folder.",
)


@click.group(name="collect")
def collect_group() -> None:
    """Keep many devices' rows in one database, and show them on one page."""


@collect_group.command(name="run")
@config_option
@database_option
def run(config_path: Path | None, database: str | None) -> None:
    """Hear the broker, verify each device's chain and write its rows, exactly once, until told to stop.

    What does not fit is named and never merged. Nothing is sent to a device. For research use only.
    """
    from edge.device.clock import utc_now
    from edge.fleet.alarms import watch
    from edge.fleet.broker import PahoConnection, load_paho
    from edge.fleet.database import Database
    from edge.fleet.receiving import TOPICS, Receiver

    config = load_config(config_path, needed=("collect",)).changed(collect={"database": database})
    section = config.collect
    if section.broker is None:
        raise ConfigError(
            f"collect.broker must be given: [collect] of {config.origin or 'the configuration'} names the "
            "broker; see docs/fleet.md"
        )
    load_paho("collector")
    where = database_of(config)

    def open_alone() -> Database:
        opened = Database.open(where)
        try:
            opened.collect_alone(where)
        except BaseException:
            opened.close()
            raise
        return opened

    open_alone().close()  # says now what is wrong with it
    receiver = Receiver(
        section,
        open_alone,
        lambda database: watch(database, utc_now(), section.silent_h),
    )
    signal.signal(signal.SIGTERM, lambda *_: receiver.stop())
    with logging_to_stderr(logging.INFO):
        receiver.run(lambda: PahoConnection(section, receiver.session, TOPICS))


@collect_group.command("acknowledge")
@click.argument("device")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Of incidents; all where none is given.")
@click.option("--who", type=PERSON, metavar="SIGN", required=True, help="Who has looked after it.")
@click.option("--note", default="", help="What was done about it.")
@config_option
@database_option
def acknowledge(
    device: str, kind: str | None, who: str, note: str, config_path: Path | None, database: str | None
) -> None:
    """Say that what was refused of a device, or is missing, was seen, and by whom.

    It prints what stood, and stays in the database; what comes again stands again.
    """
    from edge.fleet import overview
    from edge.fleet.database import Database

    config = load_config(config_path, needed=("collect",)).changed(collect={"database": database})
    with Database.open(database_of(config)) as opened:
        seen = overview.acknowledge(opened, device, kind, who, note)
    for row in seen:
        click.echo(printable(f"{row['kind']}, {row['times']} times: {row['what']}"))
    click.echo(f"{device}: {len(seen)} seen by {who}" if seen else f"{device}: nothing stands")


@collect_group.command("retire")
@click.argument("device")
@click.option("--who", type=PERSON, metavar="SIGN", required=True, help="Who has taken it out of use.")
@click.option("--note", default="", help="Why, or what it is called now.")
@config_option
@database_option
def retire(device: str, who: str, note: str, config_path: Path | None, database: str | None) -> None:
    """Say that a device is out of use, or has another name now: it raises no more alarms.

    Its rows stay. Where it is heard again it is in use again.
    """
    from edge.fleet import overview
    from edge.fleet.database import Database

    config = load_config(config_path, needed=("collect",)).changed(collect={"database": database})
    with Database.open(database_of(config)) as opened:
        overview.retire(opened, device, who, note)
    click.echo(f"{device}: out of use, by {who}; its rows stay")


def database_of(config: Config) -> str:
    """Say where the collector's rows are.

    Raises
    ------
    OutputError
        The state folder cannot be made.
    """
    if config.collect.database is not None:
        return config.collect.database
    folder = state_folder()
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}; name --database") from error
    return str(folder / DATABASE_NAME)


@collect_group.command(name="page")
@config_option
@database_option
@click.option(
    "--host", default="127.0.0.1", help="Address to listen on; other than loopback only with a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8322, help="TCP port; 0 for any free one.")
@click.option("--token-file", type=PATH, help="File that `blastcount review --new-token FILE` made.")
@click.option(
    "--names", metavar="NAMES", help="Names that browsers may call this machine by, separated by spaces."
)
@click.option(
    "--public-url", metavar="URL", help="Address under which a proxy on this machine shows the page."
)
def page(
    config_path: Path | None,
    database: str | None,
    host: str,
    port: int,
    token_file: Path | None,
    names: str | None,
    public_url: str | None,
) -> None:
    """Show all devices on one page, samples by week, and each sample's sheet.

    It only reads. Open the address that it prints in a browser. For research use only.
    """
    from edge.fleet.database import Database
    from edge.fleet.page import make_site
    from edge.web.access import Lock, read_token_file
    from edge.web.reach import page_addresses
    from edge.web.server import serve
    from edge.web.setup import Setup

    config = load_config(config_path, needed=("collect",)).changed(collect={"database": database})
    # Refuses an address that a network reaches where no token is asked for, as the review page does.
    section = ReviewConfig(host=host, token_file=token_file, names=names, public_url=public_url)
    where = database_of(config)
    Database.open(where, read_only=True).close()  # says now what is wrong with it
    setup = Setup(
        log_path=state_folder() / DATABASE_NAME,  # beside which the users of the page are
        host=section.host,
        names=tuple((section.names or "").split()),
        public_url=section.public_url,
        lock=None if token_file is None else Lock(read_token_file(token_file)),
    )

    def ready(port: int) -> None:
        for address in page_addresses(setup.host, port, public_url) or page_addresses("localhost", port):
            click.echo(f"fleet's page: {address.url}")

    with logging_to_stderr(logging.INFO):
        serve(setup, port, ready, make_site(where))
