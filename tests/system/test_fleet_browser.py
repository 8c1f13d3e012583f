"""The fleet's page as it is seen: in both languages, themes and widths, of rows in a real PostgreSQL.

Where ``BLASTCOUNT_PICTURES`` names a folder, what was seen is left there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edge.bloodlog import BloodLog
from edge.device.clock import utc_now
from edge.fleet.alarms import watch
from edge.fleet.broker import Received
from edge.fleet.collecting import Collector
from edge.fleet.database import Database
from edge.fleet.device_status import make_status
from edge.fleet.forwarding import Forwarder
from edge.fleet.outbox import Outbox, State
from edge.fleet.overview import acknowledge
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.edge.fleet.conftest import CONFIG, Broker, Line
from tests.system.fleet import postgresql

pytest.importorskip("selenium")
from tests.system.browser import RUN_AXE, Chrome, complaints, keeps, text_of, wide_by

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WIDTHS = (360, 1280)
#: What each page is called in a picture, and where it is.
PAGES = {
    "devices": "/",
    "weeks": "/weeks",
    "device": "/devices/pi-07",
    "sample": "/devices/pi-07/samples/1",
    "control": "/devices/pi-07/samples/2",
    "search": "/devices/pi-07/samples/3",
}


def send(log: Path, device: str) -> list[Received]:
    """What a device's log gives the broker, with pictures and a status."""
    config = msgspec.structs.replace(CONFIG, device=device, thumbnails="doubtful")
    state, broker = State(log.parent / "state", device), Broker()
    outbox = Outbox(log, device, state.key, thumbnails=True)
    status = lambda head, taken: make_status(device, log, log.parent / "none.json", head, taken)  # noqa: E731
    Forwarder(config, outbox, state, status).run(lambda: Line(broker), once=True)
    return [Received(topic, payload, 1, False) for topic, payload in broker.taken]


def fill(database: Database, folder: Path, log_sample: Callable[[Path, int], None]) -> None:
    """A device with a sample, a control run and a search, one that forks, and a silent one."""
    first, second = folder / "pi-07" / "blood.db", folder / "pi-08" / "blood.db"
    for path in (first, second):
        path.parent.mkdir()
    log_sample(first, 40)
    with BloodLog.open(first) as log:
        log.append(make_result(cells=3), **PROVENANCE, sample_id=1)
        log.change_sample("S-0142", "closed")
        log.open_control("K-1-monday", "K-1")
        log.append(make_result(cells=9), **PROVENANCE, sample_id=2)
        log.change_sample("K-1-monday", "closed")
        log.open_sample("S-0143", "marrow", 1000, search=True)
        log.append(make_result(cells=5), **PROVENANCE, sample_id=3)
    log_sample(second, 14)
    came = send(first, "pi-07")
    Collector(database).take([*came, Received("blastcount/1/pi-07/link", b"<b>not JSON</b>", 1, False)])
    acknowledge(database, "pi-07", "malformed", "Ani", "another version of the program; was updated")
    other = [Received(one.topic, one.payload.replace(b"pi-07", b"pi-08"), 1, False) for one in came[:4]]
    missing = b'"number":2,'
    Collector(database).take([one for one in send(second, "pi-08") if missing not in one.payload])
    Collector(database).take(
        [Received(one.topic.replace("pi-07", "pi-08"), one.payload, 1, False) for one in other]
    )
    long_ago = utc_now() - timedelta(days=9)
    name = "laboratory-of-a-long-name-no-0031"[:32]
    Collector(database, lambda: long_ago).take([Received(f"blastcount/1/{name}/online", b"offline", 1, True)])
    watch(database, datetime.now(UTC), 24.0)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def address(
    database: str, tmp_path: Path, log_sample: Callable[[Path, int], None], repository: Path
) -> Iterator[str]:
    with Database.open(database) as opened:
        if not opened.rows("SELECT name FROM device"):
            fill(opened, tmp_path, log_sample)
    command = [sys.executable, "-m", "edge.cli", "collect", "page", "--database", database, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(repository), "STATE_DIRECTORY": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line[line.index("http://") :].split()[0].rstrip("/")
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize("language", ["en", "id"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read(
    address: str, browse: Callable[..., Chrome], axe: str, language: str, theme: str
) -> None:
    chrome = browse(language=language)
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    for name, path in PAGES.items():
        for width in WIDTHS:
            chrome.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
            )
            chrome.get(address + path)
            keeps(chrome, f"fleet-{name}-{language}-{theme}-{width}")
            assert chrome.find_element("tag name", "html").get_attribute("lang") == language
            assert len(chrome.find_elements("tag name", "h1")) == 1
            assert wide_by(chrome) <= 0, (path, width)
            chrome.execute_script(axe)
            assert chrome.execute_async_script(RUN_AXE) == [], (path, width)
        assert complaints(chrome) == [], path


def test_what_the_pages_say(address: str, browse: Callable[..., Chrome]) -> None:
    chrome = browse()
    said = {}
    for name, path in PAGES.items():
        chrome.get(address + path)
        said[name] = text_of(chrome)
    assert "S-0143" in said["devices"]
    assert "missing rows" in said["devices"]
    assert "silent" in said["devices"]
    assert "seen by Ani" in said["device"]
    assert "A run of control slide K-1" in said["device"]
    assert "another version of the program; was updated" in said["device"]
    assert "A run of control slide K-1" in said["control"]
    assert "A search for few blasts" in said["search"]
    chrome.get(address + PAGES["sample"])
    pictures = chrome.find_elements("css selector", ".cell img")
    assert pictures
    chrome.execute_script("arguments[0].scrollIntoView()", pictures[0])
    shown = "return arguments[0].decode().then(() => arguments[0].naturalWidth)"
    assert chrome.execute_script(shown, pictures[0]) == 128
