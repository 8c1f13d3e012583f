"""``blastcount forward``: the log's rows to an MQTT broker, from where a collector takes them."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import click

from edge.commands.journal import logging_to_stderr
from edge.commands.options import PATH, config_option, log_option
from edge.config import Config, ForwardConfig, load_config
from edge.errors import ConfigError

#: Name of the folder beside the log in which the cursor is kept, where no other is named.
STATE_NAME = "forward"


@click.command()
@config_option
@log_option
@click.option(
    "--state",
    type=PATH,
    metavar="FOLDER",
    help="Where is kept how far it was sent; `forward` beside the log.",
)
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    metavar="LINK",
    help="Send again from this link on, for a collector that misses it; what it has it knows.",
)
@click.option("--once", is_flag=True, help="Send what is in the log now, then end.")
def forward(
    config_path: Path | None, log_path: Path | None, state: Path | None, first: int | None, once: bool
) -> None:
    """Send the log's rows to the fleet's MQTT broker.

    In order, each until the broker has it; what the network was away for is sent when it is back. Nothing is
    subscribed to. What crosses the network is in docs/fleet.md. For research use only.
    """
    from functools import partial

    from edge.bloodlog.connection import check_there
    from edge.daemon.client import find_socket
    from edge.daemon.protocol import HEARTBEAT_NAME
    from edge.fleet.broker import PahoConnection, load_paho
    from edge.fleet.device_status import home_assistant, make_status
    from edge.fleet.forwarding import Forwarder
    from edge.fleet.outbox import Outbox, State

    config = load_config(config_path, needed=("forward", "log")).changed(log={"path": log_path})
    section, device = check_forward(config)
    load_paho("fleet")
    log = config.log_path
    if once:
        check_there(log)
    kept = State(log.parent / STATE_NAME if state is None else state, device)
    outbox = Outbox(log, device, kept.key, thumbnails=section.thumbnails == "doubtful")
    forwarder = Forwarder(
        section,
        outbox,
        kept,
        partial(make_status, device, log, find_socket(log).parent / HEARTBEAT_NAME),
        (home_assistant(device),) if section.home_assistant else (),
    )
    signal.signal(signal.SIGTERM, lambda *_: forwarder.stop())
    with kept.alone(), logging_to_stderr(logging.INFO):
        if first is not None:
            kept.write(outbox.before(first, kept.read()))
        forwarder.run(lambda: PahoConnection(section, forwarder.session), once=once)


def check_forward(config: Config) -> tuple[ForwardConfig, str]:
    """See that the section says where to send, and as whom.

    Raises
    ------
    ConfigError
        Something is missing.
    """
    section = config.forward
    if section.broker is None or section.device is None:
        missing = "broker" if section.broker is None else "device"
        raise ConfigError(
            f"forward.{missing} must be given: [forward] of {config.origin or 'the configuration'} names the "
            "broker and this device; see docs/fleet.md"
        )
    return section, section.device
