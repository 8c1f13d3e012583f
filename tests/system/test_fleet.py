"""A fleet in trouble: nothing is lost, nothing stands twice, and whoever is not let in is named."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.fleet import database as fleet_database
from edge.fleet.database import Database, DatabaseError
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.system.fleet import (
    Command,
    Mosquitto,
    collected,
    incidents,
    links_of,
    mosquitto,
    postgresql,
    until,
    write_config,
)

pytestmark = pytest.mark.slow

#: Kills of device, collector and broker together.
KILLS = int(os.environ.get("KILLS", "150"))
DEVICES = ("pi-07", "pi-08")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker", DEVICES) as running:
        yield running


def add(path: Path, number: int) -> None:
    with BloodLog.open(path) as log:
        if not log.samples():
            log.open_sample("S-0142", "blood", 200, who="Ani")
        for _ in range(number):
            log.append(make_result(cells=3), **PROVENANCE, sample_id=1)


def is_all_there(database: str, path: Path, device: str) -> bool:
    return len(collected(database, device)) == len(links_of(path))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_whoever_is_killed(
    tmp_path: Path, broker: Mosquitto, database: str, kind: str
) -> None:
    where = database if kind == "postgresql" else str(tmp_path / "fleet.db")
    device = "pi-07" if kind == "postgresql" else "pi-08"
    config = write_config(tmp_path, broker, device, where)
    log = tmp_path / f"{device}.db"
    sender = Command(["forward", "--config", str(config)], tmp_path / "forward.log")
    collector = Command(["collect", "run", "--config", str(config)], tmp_path / "collect.log")
    chance = random.Random(20)
    add(log, 3)
    collector.start()
    sender.start()
    until(lambda: is_all_there(where, log, device), 60, collector.said)
    kills = Counter[str]()
    try:
        while kills.total() < KILLS:
            add(log, chance.randrange(4))
            time.sleep(chance.expovariate(4.0))
            name = chance.choice(("device", "collector", "broker"))
            kills[name] += 1
            if name == "broker":
                broker.kill()
                broker.start()
            else:
                victim = sender if name == "device" else collector
                victim.kill()
                victim.start()
        broker.wait()
        until(lambda: is_all_there(where, log, device), 300, f"{kills}: {incidents(where)}")
    finally:
        sender.kill()
        collector.kill()
    assert collected(where, device) == links_of(log)
    with Database.open(where) as opened:
        (fields,) = opened.rows("SELECT count(*) AS n FROM field WHERE device = %s", (device,))
        gaps = opened.rows("SELECT closed_at FROM incident WHERE device = %s", (device,))
        (heard,) = opened.rows("SELECT repeated FROM device WHERE name = %s", (device,))
    assert fields["n"] == len(links_of(log)) - 2
    assert {key: n for key, n in incidents(where).items() if key[0] == device} == {}
    print(  # noqa: T201
        f"\n{kind}: {dict(kills)} killed; {len(links_of(log))} rows: 0 lost, 0 doubled; "
        f"{heard['repeated']} came again, {len(gaps)} gaps were named and filled"
    )


def test_one_process_collects_into_a_database_of_postgresql(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_database, "_PATIENCE_S", 0.2)
    with Database.open(database) as one, Database.open(database) as other:
        one.collect_alone(database)
        with pytest.raises(DatabaseError, match="another `blastcount collect run` collects into it"):
            other.collect_alone(database)
        one.close()
        monkeypatch.setattr(fleet_database, "_PATIENCE_S", 30.0)
        other.collect_alone(database)
