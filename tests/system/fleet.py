"""A fleet on one machine: a real Mosquitto set up as docs/fleet.md says, PostgreSQL, and the two commands.

The commands run in forked processes, which start in milliseconds and are killed like any other.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog, chain
from edge.cli import main
from edge.fleet import forwarding, receiving
from edge.fleet.database import Database
from tests.edge.bloodlog.fields import SHA
from tests.system.conftest import free_port
from tests.system.pages import commands

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
#: The broker puts what it took on its disk every second here; the device counts on every three.
SAVES_S, TRUSTED_S = 1, 3.0


def need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install mosquitto postgresql openssl iproute2")


class Mosquitto:
    """A broker with TLS, passwords and rights, by the commands of docs/fleet.md."""

    def __init__(self, folder: Path, names: tuple[str, ...], host: str, saves_s: int) -> None:
        self.folder, self.host, self.port = folder, host, free_port()
        self.etc = folder / "etc"
        for part in ("certs", "conf.d", "data"):
            (self.etc / part).mkdir(parents=True)
        self._set_up(names)
        conf = self.etc / "conf.d" / "blastcount.conf"
        text = conf.read_text().replace("listener 8883", f"listener {self.port}")
        text = text.replace("/etc/mosquitto", str(self.etc))
        conf.write_text(text.replace("autosave_interval 30", f"autosave_interval {saves_s}"))
        (self.etc / "mosquitto.conf").write_text(  # Debian's own, with other places
            f"user root\npersistence true\npersistence_location {self.etc}/data/\n"
            f"log_dest file {folder}/mosquitto.log\ninclude_dir {self.etc}/conf.d\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def _set_up(self, names: tuple[str, ...]) -> None:
        """Type what the page shows, as root and for other places, names and passwords."""
        page = ROOT / "docs" / "fleet.md"
        shown = [line for line in commands(page) if "openssl" in line or "/etc/mosquitto" in line]
        assert len(shown) == 8
        for line in shown:
            line = line.replace("sudo ", "").replace("/etc/mosquitto", str(self.etc))
            kind = "IP" if self.host[0].isdigit() else "DNS"
            line = line.replace("DNS:broker.lab.example", f"{kind}:{self.host}")
            line = line.replace("broker.lab.example", self.host).replace("-o mosquitto ", "")
            line = line.replace(" edge/", f" {ROOT}/edge/").replace("mosquitto_passwd", "mosquitto_passwd -b")
            for name in names if "pi-07" in line else ("pi-07",):
                words = shlex.split(line.replace("pi-07", name))
                words += [PASSWORD] if "mosquitto_passwd" in line else []
                subprocess.run(words, cwd=self.folder, check=True, capture_output=True)

    def start(self) -> None:
        # It warns of files that others may read, on stderr.
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self.etc / "mosquitto.conf")], stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        for _ in range(600):
            with suppress(OSError), socket.create_connection((self.host, self.port), 1.0):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "mosquitto.log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def mosquitto(
    folder: Path, names: tuple[str, ...], host: str = "localhost", saves_s: int = SAVES_S
) -> Iterator[Mosquitto]:
    need("mosquitto", "mosquitto_passwd", "openssl")
    folder.mkdir()
    broker = Mosquitto(folder, names, host, saves_s)
    broker.start()
    try:
        broker.wait()
        yield broker
    finally:
        broker.kill()


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of its own, and the URL of a database in it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or shutil.which("runuser") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="blastcount-pg-"))  # pytest's own folders are the user's alone
    shutil.chown(folder, "postgres")
    bin_, data, port = programs[-1].parent, folder / "data", free_port()

    def as_postgres(*words: object) -> None:
        command = ["runuser", "-u", "postgres", "--", *map(str, words)]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)

    as_postgres(bin_ / "initdb", "-D", data, "--auth=trust", "-U", "postgres")
    options = f"-p {port} -k {folder} -c listen_addresses="
    as_postgres(bin_ / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        as_postgres(bin_ / "createdb", "-h", folder, "-p", port, "-U", "postgres", "fleet")
        yield f"postgresql://postgres@/fleet?host={folder}&port={port}"
    finally:
        as_postgres(bin_ / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


class Command:
    """One of the commands in a process of its own.

    Parameters
    ----------
    arguments : of ``blastcount``
    log : where it says what it does
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._arguments, self._log = arguments, log
        self.pid = 0

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._log.read_text() if self._log.exists() else ""

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = (os.fdopen(one, "w", buffering=1) for one in (1, 2))  # not pytest's
            # A test has no minutes to wait; nothing else is another.
            forwarding.FIRST_WAIT_S, forwarding.LONGEST_WAIT_S, forwarding.POLL_S = 0.05, 0.5, 0.05
            receiving._FIRST_WAIT_S, receiving._LONGEST_WAIT_S = 0.05, 0.5  # type: ignore[misc]
            main(self._arguments, prog_name="blastcount", standalone_mode=False)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:  # noqa: BLE001  # whatever it was, this process must not go on as a test
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def kill(self, with_: signal.Signals = signal.SIGKILL) -> int:
        """End it, and give its exit code."""
        os.kill(self.pid, with_)
        return self.wait()

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


def write_config(folder: Path, broker: Mosquitto, device: str, database: str) -> Path:
    """Configuration of a device and of the collector, in one file."""
    (folder / "password").write_text(PASSWORD)
    path = folder / f"{device}.toml"
    path.write_text(f"""
[log]
path = "{folder}/{device}.db"
[forward]
broker = "{broker.host}"
port = {broker.port}
device = "{device}"
ca_file = "{broker.folder}/ca.crt"
password_file = "password"
broker_saves_s = {TRUSTED_S}
keep_alive_s = 5
[collect]
broker = "{broker.host}"
port = {broker.port}
ca_file = "{broker.folder}/ca.crt"
password_file = "password"
database = "{database}"
""")
    return path


def fill(path: Path, number: int, cells: int = 5) -> None:
    """Add fields to a log as a device does, but many in one transaction."""
    row = {
        "logged_at": "2026-11-01T08:00:00+00:00", "monotonic_s": 1.0, "source_kind": "picamera",
        "captured_at": "2026-11-01T08:00:00+00:00", "source": "picamera:0", "width": 2028, "height": 1520,
        "um_per_px": 0.118, "scale_source": "pooled", "scale_confidence": 0.9, "um_per_px_low": 0.117,
        "um_per_px_high": 0.119, "status": "counted", "reasons": "[]", "warnings": '["faint_stain"]',
        "frame_sha256": SHA, "model_name": "coloured", "model_sha256": SHA, "config_sha256": SHA,
        "software_version": "0.1.0", "runtime": "ai_edge_litert 2.3.0", "sample_id": 1,
        "stage_ms": '{"decode":10.1,"gate":6.2,"segment":51.3,"classify":5.4,"log":3.0}', "clock_trusted": 1,
    }  # fmt: skip
    cell = {
        "x": 10.5, "y": 20.5, "bbox_x": 5, "bbox_y": 6, "bbox_width": 30, "bbox_height": 31, "area_px": 700,
        "nucleus_area_px": 300, "kind": "wbc", "label": "normal", "p_blast": 0.1, "touches_border": 0,
    }  # fmt: skip
    with BloodLog.open(path) as log:
        if not log.samples():
            log.open_sample("S-0142", "blood", 200, who="Ani")
        with log.writing("cannot be filled") as connection:
            for _ in range(number):
                field = chain.insert(connection, "field", row)
                for i in range(1, cells + 1):
                    chain.insert(connection, "cell", {"field_id": field, "id": i, **cell})
                chain.add_link(connection, "field", field)


def links_of(path: Path) -> list[tuple[int, str]]:
    """The chain of a device's log."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT number, sha256 FROM link ORDER BY number").fetchall()
    finally:
        connection.close()


def collected(database: str, device: str) -> list[tuple[int, str]]:
    with Database.open(database) as opened:
        rows = opened.rows("SELECT number, sha256 FROM link WHERE device = %s ORDER BY number", (device,))
    return [(row["number"], row["sha256"]) for row in rows]


def heard(database: str) -> int:
    """The devices' last links here, added up: how many rows there are where none is missing."""
    with Database.open(database, read_only=True) as opened:
        return int(opened.rows("SELECT coalesce(sum(highest), 0) AS n FROM device")[0]["n"])


def incidents(database: str) -> dict[tuple[str, str], int]:
    """What stands, by device and kind."""
    with Database.open(database) as opened:
        rows = opened.rows(
            "SELECT device, kind, sum(times) AS n FROM standing_incident GROUP BY device, kind"
        )
    return {(row["device"], row["kind"]): int(row["n"]) for row in rows}


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.2)


def run_blastcount(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/edge/api"}
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
