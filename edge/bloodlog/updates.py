"""Updates of the program, as rows of the chain.

``python -m edge.bloodlog.updates`` writes one that it reads as JSON from standard input. The version that is
in use at that moment does so for ``blastcount update``: an older one cannot write to a log whose form a newer
one has changed. So this module's name and what it reads stay as they are.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from edge.bloodlog.chain import append
from edge.bloodlog.core import BloodLog
from edge.config import load_config
from edge.device.clock import utc_now
from edge.device.rights import become_owner_of

Text = Annotated[str, Meta(min_length=1, max_length=300)]


class SoftwareUpdate(Struct, frozen=True):
    """One step of an update."""

    from_version: Text
    to_version: Text
    #: Of the package's manifest, which names the hash of every file.
    package_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    #: Name and key.
    signer: Text
    result: Literal["begun", "installed", "went_back"]


def log_update(log: BloodLog, update: SoftwareUpdate) -> int:
    """Write down a step of an update; return its row's number.

    Raises
    ------
    LogError
        It cannot be written.
    """
    with log.writing("the update was not logged") as connection:
        row = {"at": utc_now().isoformat(), **structs.asdict(update)}
        return append(connection, "software_update", row)


def updates(log: BloodLog) -> tuple[tuple[datetime, SoftwareUpdate], ...]:
    """List the steps of all updates with their wall time in UTC, oldest first."""
    columns = ", ".join(SoftwareUpdate.__struct_fields__)
    with log.reading() as connection:
        rows = connection.execute(f"SELECT at, {columns} FROM software_update ORDER BY id").fetchall()
    return tuple((datetime.fromisoformat(at), SoftwareUpdate(*row)) for at, *row in rows)


def main() -> None:
    """Write the update on standard input into the configured log, as its owner; without a log nothing."""
    update = msgspec.json.decode(sys.stdin.buffer.read(), type=SoftwareUpdate)
    path = load_config(needed=["log"]).log_path
    become_owner_of(path.parent)
    if path.exists():
        with BloodLog.open(path, must_exist=True) as log:
            log_update(log, update)


if __name__ == "__main__":
    main()
