"""Who is not let in, what is not taken, a network that is cut, and how fast it all is, on a real broker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog.chain import GENESIS, Head
from edge.config import ForwardConfig
from edge.fleet import broker as fleet_broker
from edge.fleet.broker import BrokerError, PahoConnection, Received, Session, Taken
from edge.fleet.database import Database
from edge.fleet.messages import encoded, link_message, seal, topic
from tests.edge.bloodlog.fields import SHA
from tests.system.fleet import (
    PASSWORD,
    ROOT,
    Command,
    Mosquitto,
    collected,
    fill,
    heard,
    incidents,
    links_of,
    mosquitto,
    need,
    postgresql,
    run_blastcount,
    until,
    write_config,
)

pytestmark = pytest.mark.slow

#: Rows that a device has to send after weeks, and devices with rows that a collector comes back to.
BACKLOG = int(os.environ.get("BACKLOG", "100000"))
FLEET, ROWS = 50, int(os.environ.get("ROWS", "2000"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker", ("pi-07", "pi-08")) as running:
        yield running


@contextmanager
def running(command: Command) -> Iterator[Command]:
    command.start()
    try:
        yield command
    finally:
        command.kill()


def connection_of(
    server: Mosquitto, user: str, subscribe: tuple[str, ...] = (), password: str = PASSWORD
) -> PahoConnection:
    file = server.folder / f"{user}.password"
    file.write_text(password)
    config = ForwardConfig(
        broker=server.host, port=server.port, ca_file=server.folder / "ca.crt", password_file=file
    )
    return PahoConnection(config, Session(f"test-{user}", user, window=1000), subscribe)


def codes(connection: PahoConnection, messages: list[tuple[str, bytes]]) -> list[int]:
    """Publish, and give what the broker says of each; -1 where it hangs up."""
    for where, payload in messages:
        connection.publish(where, payload)
    found = []
    for _ in messages:
        event = connection.events.get(timeout=60)
        found.append(event.code if isinstance(event, Taken) else -1)
    return found


def field_row(number: int) -> dict[str, Any]:
    return {
        "id": number, "logged_at": "2026-11-01T08:00:00+00:00", "captured_at": "2026-11-01T08:00:00+00:00",
        "status": "counted", "reasons": "[]", "warnings": "[]", "source_kind": "picamera", "width": 2028,
        "height": 1520, "um_per_px": 0.118, "scale_source": "pooled", "scale_confidence": 0.9,
        "frame_sha256": SHA, "model_name": "coloured", "model_sha256": SHA, "config_sha256": SHA,
        "software_version": "0.1.0", "runtime": "ai_edge_litert 2.3.0", "sample_id": 1, "clock_trusted": 1,
        "stage_ms": '{"decode":10.1,"gate":6.2,"segment":51.3,"classify":5.4,"log":3.0}',
        "provenance": json.dumps({"code_sha256": SHA, "card_sha256": SHA, "numpy": "2.4.1"}),
    }  # fmt: skip


def chain_of(device: str, rows: int) -> Iterator[dict[str, Any]]:
    """Messages of a device that there is none of."""
    previous, previous_seal = Head(0, GENESIS), GENESIS
    for number in range(1, rows + 1):
        link = Head(number, f"{number:064x}")
        content = {"kind": "field", "row": field_row(number), "cells": []}
        message = link_message(device, link, previous, previous_seal, content, b"")
        yield message
        previous, previous_seal = link, message["seal"]


def test_who_is_not_let_in_is_named(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_config(tmp_path, broker, "pi-07", str(tmp_path / "fleet.db"))
    fill(tmp_path / "pi-07.db", 3)
    right = config.read_text()

    def says(change: tuple[str, str]) -> str:
        config.write_text(right.replace(*change))
        done = run_blastcount("forward", "--once", "--config", str(config))
        assert done.returncode == 1, done.stderr
        return done.stderr.splitlines()[-1]

    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=another", "-keyout", "ca.key", "-out", "ca.crt"],
        cwd=other, check=True, capture_output=True,
    )  # fmt: skip
    assert "certificates do not agree" in says((f"{broker.folder}/ca.crt", f"{other}/ca.crt"))
    (tmp_path / "wrong").write_text("guessed")
    assert "does not let pi-07 in" in says(('password_file = "password"', 'password_file = "wrong"'))
    assert "does not let pi-99 in" in says(('device = "pi-07"', 'device = "pi-99"'))
    # By another of the broker's names than its certificate has.
    assert "certificates do not agree" in says(('broker = "localhost"', 'broker = "127.0.0.1"'))
    assert "has nobody to keep the rows for" in says(("", ""))


def test_what_is_not_taken_is_named_and_the_right_rows_are_all_the_same(
    tmp_path: Path, broker: Mosquitto
) -> None:
    where = str(tmp_path / "fleet.db")
    config = write_config(tmp_path, broker, "pi-07", where)
    rows = list(chain_of("pi-07", 20))
    good = [(topic("pi-07", "link"), encoded(row)) for row in rows]
    altered = rows[10] | {"tally": rows[10]["tally"] | {"blasts": 7}}
    other = rows[4] | {"sha256": "f" * 64}
    collector = Command(["collect", "run", "--config", str(config)], tmp_path / "collect.log")
    with running(collector):
        until(lambda: "connected" in collector.said, 60, "the collector")
        with connection_of(broker, "pi-07") as device:
            assert codes(device, good[:10]) == [0] * 10
            bad = [b"{", encoded(altered), encoded(other | {"seal": seal(other)}), b" " * 100_000]
            assert codes(device, [(topic("pi-07", "link"), payload) for payload in bad]) == [0] * 4
        with connection_of(broker, "pi-08") as thief:
            # Another's topic the broker does not take; in its own the collector sees the other's name.
            assert codes(thief, [good[10]]) == [0x87]  # and hangs up
        with connection_of(broker, "pi-08") as thief:
            assert codes(thief, [(topic("pi-08", "link"), encoded(rows[10]))]) == [0]
        with connection_of(broker, "pi-08") as large:
            assert codes(large, [(topic("pi-08", "link"), b" " * 10_000_000)]) == [-1]
        with connection_of(broker, "pi-07") as device:
            assert codes(device, good[10:]) == [0] * 10
        until(lambda: len(collected(where, "pi-07")) == 20, 60, "the right rows")
    assert collected(where, "pi-07") == [(row["number"], row["sha256"]) for row in rows]
    assert collected(where, "pi-08") == []
    assert incidents(where) == {
        ("pi-07", "malformed"): 1,
        ("pi-07", "altered"): 1,
        ("pi-07", "fork"): 1,
        ("pi-07", "oversized"): 1,
        ("pi-08", "stolen_name"): 1,
    }


def test_nothing_that_arrives_can_reach_a_device(tmp_path: Path, broker: Mosquitto) -> None:
    """The broker hands a device nothing, whatever it asks for, and nobody may say anything to one."""
    everything = ("#", topic("pi-07", "#"), topic("pi-07", "command"), "homeassistant/#")
    with connection_of(broker, "pi-07", everything) as device, connection_of(broker, "pi-08") as another:
        for said in (topic("pi-07", "command"), "homeassistant/status"):
            with connection_of(broker, "collector") as collector:
                assert codes(collector, [(said, b"stop")]) == [0x87]
        assert codes(another, [(topic("pi-07", "command"), b"stop")]) == [0x87]
        # What it says itself is not handed to it either, though the broker has noted what it asks for.
        assert codes(device, [(topic("pi-07", "command"), b"stop")])[0] in (0, 0x10)
        with suppress(fleet_broker.queue.Empty):
            assert not isinstance(device.events.get(timeout=2.0), Received)
    with pytest.raises(BrokerError, match="does not let"), connection_of(broker, "pi-07", password="no"):
        pass


@pytest.fixture
def device_behind_a_cable(tmp_path: Path) -> Iterator[tuple[list[str], str]]:
    """A network namespace with a cable to this machine that can be pulled: how to get in, and its end."""
    need("ip")
    name, ours, theirs = "blastcount-device", "bc-broker", "bc-device"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("needs the right to make network namespaces")
    try:
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        ip("addr", "add", "10.77.21.1/24", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", name, "addr", "add", "10.77.21.2/24", "dev", theirs)
        ip("-n", name, "link", "set", theirs, "up")
        ip("-n", name, "link", "set", "lo", "up")  # paho wakes itself by a socket there
        yield ["ip", "netns", "exec", name], ours
    finally:
        ip("netns", "del", name)


def used(pid: int) -> tuple[float, float]:
    """Largest resident memory so far, MB; processor time, s."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return peak_kb / 1000.0, (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def test_a_network_that_is_cut_for_seconds_and_for_weeks(
    tmp_path: Path, device_behind_a_cable: tuple[list[str], str]
) -> None:
    inside, cable = device_behind_a_cable
    log, where = tmp_path / "pi-07.db", str(tmp_path / "fleet.db")

    def set_cable(state: str) -> None:
        subprocess.run(["ip", "link", "set", cable, state], check=True)

    fill(log, 10)
    with mosquitto(tmp_path / "broker", ("pi-07",), host="10.77.21.1") as broker:
        config = write_config(tmp_path, broker, "pi-07", where)
        command = [*inside, sys.executable, "-m", "edge.cli", "forward", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/edge/api"}
        collector = Command(["collect", "run", "--config", str(config)], tmp_path / "collect.log")
        with running(collector), (tmp_path / "forward.log").open("w") as said:
            device = subprocess.Popen(command, env=environment, stderr=said)
            try:
                until(lambda: len(collected(where, "pi-07")) == 12, 120, "the first rows")
                for _ in range(3):
                    set_cable("down")
                    fill(log, 20)
                    time.sleep(8.0)  # longer than the keep-alive
                    set_cable("up")
                    rows = links_of(log)
                    until(lambda: collected(where, "pi-07") == rows, 120, "rows after some seconds")  # noqa: B023
                set_cable("down")
                fill(log, BACKLOG)
                rows = links_of(log)
                before_s = used(device.pid)[1]
                began_s = time.monotonic()
                set_cable("up")
                until(lambda: heard(where) == len(rows), 3600, "rows after weeks")
                drained_s = time.monotonic() - began_s
                peak_mb, processor_s = used(device.pid)
                time.sleep(5.0)
                rest_s, _ = used(device.pid)[1], time.sleep(60.0)
                at_rest = (used(device.pid)[1] - rest_s) / 60.0
            finally:
                device.terminate()
                assert device.wait(20) == 0
    assert collected(where, "pi-07") == rows
    assert incidents(where) == {}
    rate = BACKLOG / drained_s
    print(  # noqa: T201
        f"\nbacklog of {BACKLOG} rows: {drained_s:.0f} s, {rate:.0f} rows/s "
        f"({BACKLOG / (processor_s - before_s):.0f} rows a second of processor); "
        f"resident at most {peak_mb:.1f} MB; at rest {at_rest:.2%} of a core"
    )
    assert peak_mb <= 45.0
    if "MEASURE" in os.environ:  # a machine that nobody else works on
        assert rate >= 500.0
        assert at_rest <= 0.01


def test_a_collector_keeps_up_with_fifty_devices(tmp_path: Path) -> None:
    names = tuple(f"pi-{number:02}" for number in range(1, FLEET + 1))
    # The broker saves as docs/fleet.md sets it up: a million rows are a gigabyte each time.
    with postgresql() as where, mosquitto(tmp_path / "broker", names, saves_s=30) as broker:
        config = write_config(tmp_path, broker, "pi-01", where)
        collector = Command(["collect", "run", "--config", str(config)], tmp_path / "collect.log")
        with running(collector):
            until(lambda: "connected" in collector.said, 60, "the collector")
        for name in names:
            with connection_of(broker, name) as device:
                for row in chain_of(name, ROWS):
                    device.publish(topic(name, "link"), encoded(row))
                for _ in range(ROWS):
                    assert isinstance(device.events.get(timeout=300), Taken)

        # Not forked: what this process has taken of the memory is not the collector's.
        command = [sys.executable, "-m", "edge.cli", "collect", "run", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/edge/api"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            until(lambda: heard(where) > 0, 120, "the first row")
            began_s, first = time.monotonic(), heard(where)
            until(lambda: heard(where) == FLEET * ROWS, 3600, "all rows")
            took_s = time.monotonic() - began_s
            peak_mb, processor_s = used(process.pid)
            process.terminate()
        with Database.open(where) as database:
            (there,) = database.rows("SELECT count(*) AS n FROM link")
        assert there["n"] == FLEET * ROWS
        assert incidents(where) == {}
        rate = (FLEET * ROWS - first) / took_s
        print(  # noqa: T201
            f"\n{FLEET} devices, {ROWS} rows each: {rate:.0f} rows/s into PostgreSQL "
            f"({FLEET * ROWS / processor_s:.0f} rows a second of the collector's processor, {peak_mb:.0f} MB)"
        )
        if "MEASURE" in os.environ:
            assert rate >= 2000.0


def test_the_programs_are_there() -> None:
    """So that a test that is skipped for want of one is seen."""
    assert [name for name in ("mosquitto", "openssl", "ip") if shutil.which(name) is None] == []
