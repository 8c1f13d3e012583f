"""The fleet's page: every page in every language, protected as the review page is, and it only reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from edge.bloodlog import BloodLog
from edge.device.clock import utc_now
from edge.device.passwords import password_hash
from edge.fleet.alarms import watch
from edge.fleet.broker import Received
from edge.fleet.collecting import Collector
from edge.fleet.database import Database, migrations
from edge.fleet.forwarding import Forwarder
from edge.fleet.overview import samples_of, weeks
from edge.fleet.page import make_site
from edge.i18n import catalogue
from edge.web.access import Lock
from edge.web.app import create_app
from edge.web.setup import Setup
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.edge.fleet.conftest import CONFIG, Broker, Line, add_doubtful, add_fields, received

PATHS = ("/", "/weeks", "/devices/pi-07", "/devices/pi-07/samples/1")


@pytest.fixture
def filled(
    database: Database, log: BloodLog, make_forwarder: Callable[..., Forwarder], tmp_path: Path
) -> str:
    broker = Broker()
    make_forwarder().run(lambda: Line(broker), once=True)
    Collector(database).take(received([*broker.payloads(), b"<b>not JSON</b>"]))
    watch(database, utc_now(), 24.0)
    return str(tmp_path / "fleet.db")


def client_of(where: str, folder: Path, lock: Lock | None = None) -> FlaskClient:
    return create_app(Setup(log_path=folder / "fleet.db", lock=lock), make_site(where)).test_client()


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_page_shows_what_came(filled: str, tmp_path: Path, language: str) -> None:
    client = client_of(filled, tmp_path)
    pages = {path: client.get(path, headers={"Accept-Language": language}) for path in PATHS}
    for answer in pages.values():
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert f'lang="{language}"' in answer.text
    assert "S-0142" in pages["/"].text
    assert "15 / 200" in pages["/"].text
    assert "15 of 15 = 100.0 %" in pages[PATHS[3]].text or language == "id"
    assert {"en": "not of the form", "id": "bentuknya salah"}[language] in pages["/devices/pi-07"].text
    assert "<b>not" not in pages["/devices/pi-07"].text


@pytest.fixture
def searched(database: Database, make_forwarder: Callable[..., Forwarder], tmp_path: Path) -> list[bytes]:
    """Messages of a search of five cells, all of them called blasts."""
    with BloodLog.open(tmp_path / "blood.db") as log:
        log.open_sample("S-0143", "marrow", 1000, search=True)
        add_fields(log, 1)
        broker = Broker()
        make_forwarder().run(lambda: Line(broker), once=True)
    return broker.payloads()


@pytest.mark.parametrize(
    ("language", "words"), [("en", "A search for few blasts"), ("id", "Pencarian blas yang jarang")]
)
def test_of_a_search_no_share_is_shown(
    searched: list[bytes], database: Database, tmp_path: Path, language: str, words: str
) -> None:
    Collector(database).take(received(searched))
    client = client_of(str(tmp_path / "fleet.db"), tmp_path)
    for path in PATHS[2:]:
        text = client.get(path, headers={"Accept-Language": language}).text
        main = text[text.index("<main") : text.index("</main>")]
        assert words in main
        assert not re.search(
            r"\d %|<svg", main.replace(catalogue(language)("report.denominator_classified"), "")
        )


def test_a_search_that_came_before_the_column_is_known_from_its_message(
    searched: list[bytes], database: Database, tmp_path: Path
) -> None:
    Collector(database).take(received(searched))
    for view in ("retired", "sample_tally", "fleet", "standing_incident"):
        database.execute(f"DROP VIEW {view}")
    for table in ("retirement", "acknowledgement", "control_run", "picture"):
        database.execute(f"DROP TABLE {table}")
    database.execute("DROP INDEX field_row")
    database.execute("ALTER TABLE sample DROP COLUMN search")
    for name in ("sample_tally", "fleet"):
        (view,) = (part for part in migrations()[0].sql.split(";") if f"CREATE VIEW {name} " in part)
        database.execute(view[view.index(f"CREATE VIEW {name}") :].replace("{moment}", "TEXT"))
    database.execute("DELETE FROM migration WHERE number > 1")
    with Database.open(str(tmp_path / "fleet.db")) as newer:
        (sample,) = samples_of(newer, "pi-07")
    assert (sample.search, sample.tally.blast_fraction) == (True, None)


def test_an_empty_fleet_has_pages_too(database: Database, tmp_path: Path) -> None:
    client = client_of(str(tmp_path / "fleet.db"), tmp_path)
    assert [client.get(path).status_code for path in PATHS] == [200, 200, 404, 404]
    assert client.get(f"/devices/x/samples/{10**30}").status_code == 404


def test_a_token_is_asked_for_and_opens_the_page(filled: str, tmp_path: Path) -> None:
    client = client_of(filled, tmp_path, Lock(password_hash("a long enough token")))
    for path in PATHS:
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 302
    form = client.get("/login")
    assert "S-0142" not in form.text
    token = form.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    sent = {"csrf_token": token, "token": "a long enough token"}
    assert client.post("/login", data=sent, headers={"Origin": "http://localhost"}).status_code == 302
    assert "S-0142" in client.get("/").text


def test_nothing_can_be_written(filled: str, tmp_path: Path) -> None:
    client = client_of(filled, tmp_path)
    rules = [rule for rule in client.application.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert {rule.endpoint.partition(".")[0] for rule in rules} == {"login"}
    with Database.open(filled, read_only=True) as database, pytest.raises(Exception, match="readonly"):
        database.execute("DELETE FROM link")


@pytest.mark.parametrize(
    ("language", "words"), [("en", "A run of control slide K-1"), ("id", "Hitungan sediaan kontrol K-1")]
)
def test_a_control_run_is_no_sample(
    database: Database,
    log: BloodLog,
    make_forwarder: Callable[..., Forwarder],
    tmp_path: Path,
    language: str,
    words: str,
) -> None:
    log.change_sample("S-0142", "closed")
    log.open_control("K-1-monday", "K-1")
    log.append(make_result(cells=5), **PROVENANCE, sample_id=2)
    broker = Broker()
    make_forwarder().run(lambda: Line(broker), once=True)
    Collector(database).take(received(broker.payloads()))
    client = client_of(str(tmp_path / "fleet.db"), tmp_path)
    pages = [client.get(path, headers={"Accept-Language": language}).text for path in PATHS]
    assert "K-1-monday" not in pages[0]
    assert "15 / 200" in pages[0]
    _, counts = weeks(database, utc_now())
    assert [sum(of_weeks) for of_weeks in counts.values()] == [1]
    assert words in pages[2]
    run = client.get("/devices/pi-07/samples/2", headers={"Accept-Language": language}).text
    assert words in run
    assert "<svg" not in run


def test_a_sheet_shows_the_pictures_that_came(
    database: Database, log: BloodLog, make_forwarder: Callable[..., Forwarder], tmp_path: Path
) -> None:
    pictures = add_doubtful(log)
    broker = Broker()
    make_forwarder(msgspec.structs.replace(CONFIG, thumbnails="doubtful")).run(
        lambda: Line(broker), once=True
    )
    Collector(database).take([Received(topic, payload, 1, False) for topic, payload in broker.taken])
    client = client_of(str(tmp_path / "fleet.db"), tmp_path)
    shown = re.findall(r'<img src="(/devices/[^"]+)"', client.get("/devices/pi-07/samples/1").text)
    assert len(shown) == 2
    answer = client.get(shown[0])
    assert (answer.mimetype, hashlib.sha256(answer.data).hexdigest()) == ("image/jpeg", pictures[2])
    for path in ("/devices/pi-07/fields/6/cells/1.jpg", f"/devices/pi-07/fields/6/cells/{10**30}.jpg"):
        assert client.get(path).status_code == 404
    locked = client_of(str(tmp_path / "fleet.db"), tmp_path, Lock(password_hash("a long enough token")))
    assert locked.get(shown[0], headers={"Accept": "text/html"}).status_code == 302
