"""An update of the program is a row of the chain."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.repair import repair
from edge.bloodlog.updates import SoftwareUpdate, log_update, main, updates
from edge.errors import LogError
from tests.edge.commands.invoking import blastcount

BEGUN = SoftwareUpdate("1.0.0", "1.1.0", "ab" * 32, "maker@example (ED25519 key SHA256:x)", "begun")


def steps(log: BloodLog) -> tuple[SoftwareUpdate, ...]:
    return tuple(step for _at, step in updates(log))


def test_both_steps_are_rows_of_the_chain(log: BloodLog, tmp_path: Path) -> None:
    done = msgspec.structs.replace(BEGUN, result="installed")
    assert (log_update(log, BEGUN), log_update(log, done)) == (1, 2)
    assert steps(log) == (BEGUN, done)
    assert log.verify() == ()
    assert repair(log.path, tmp_path / "new.db").saved["software_update"] == 2
    with BloodLog.open(tmp_path / "new.db", read_only=True) as repaired:
        assert updates(repaired) == updates(log)


def test_they_stay_and_a_change_shows(log: BloodLog) -> None:
    log_update(log, BEGUN)
    with closing(sqlite3.connect(log.path)) as connection, connection:
        for statement in ("UPDATE software_update SET signer = 'me'", "DELETE FROM software_update"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only: software_update"):
                connection.execute(statement)
        connection.execute("DROP TRIGGER software_update_no_update")
        connection.execute("UPDATE software_update SET signer = 'me'")
    (fault,) = log.verify()
    assert "software_update 1 was changed" in str(fault)


def test_what_is_no_step(log: BloodLog) -> None:
    with pytest.raises(LogError, match="the update was not logged: CHECK constraint"):
        log_update(log, msgspec.structs.replace(BEGUN, result="perhaps"))
    assert updates(log) == ()


def test_the_version_in_use_writes_what_it_is_told(
    log: BloodLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_system_config: None
) -> None:
    def told(content: bytes) -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        main()

    config = tmp_path / "b.toml"
    config.write_text(f'[log]\npath = "{log.path}"\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    told(msgspec.json.encode(BEGUN))
    assert steps(log) == (BEGUN,)
    with pytest.raises(msgspec.ValidationError):
        told(b'{"result": "begun"}')
    # Where nothing was ever counted there is nothing that an update could change.
    config.write_text(f'[log]\npath = "{tmp_path / "none.db"}"\n')
    told(msgspec.json.encode(BEGUN))
    assert not (tmp_path / "none.db").exists()


def test_they_are_listed_for_people_and_programs(log: BloodLog, no_system_config: None) -> None:
    def said(*further: str) -> str:
        return blastcount("log", "updates", "--log", log.path, *further).stdout

    assert said() == f"{log.path}: tells of no update\n"
    for result in ("begun", "went_back"):
        log_update(log, msgspec.structs.replace(BEGUN, result=result, signer="\x1b[1mmaker"))
    first, second = said().splitlines()
    when = f"{updates(log)[0][0]:%Y-%m-%d %H:%M} UTC"
    assert first == rf"{when}  1.0.0 to 1.1.0, begun; package {'ab' * 6} signed by \x1b[1mmaker"
    assert "1.0.0 to 1.1.0, went back; package" in second
    told = json.loads(said("--json"))
    assert [step["result"] for step in told["updates"]] == ["begun", "went_back"]
    assert told["updates"][0]["package_sha256"] == BEGUN.package_sha256
