"""``blastcount qc``: the charts in a terminal, a control slide, and who has seen an alarm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.results.control import Ledger, look
from tests.edge.bloodlog.days import log_days
from tests.edge.commands.invoking import blastcount

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of 26 days, the lamp turned down on the last."""
    path = tmp_path / "blood.db"
    with BloodLog.open(path) as log:
        log_days(log, range(25), monkeypatch)
        log_days(log, [25], monkeypatch, light=2.2)
        look(log, Ledger())
    monkeypatch.undo()
    return path


def test_show_and_acknowledge(path: Path) -> None:
    shown = blastcount("qc", "show", "--log", path)
    assert shown.exit_code == 0
    light = next(line for line in shown.stdout.splitlines() if line.startswith("light"))
    assert "!" in light
    assert "ALARM 1" in shown.stdout
    assert "lamp" in shown.stdout
    assert blastcount("qc", "acknowledge", 1, "--log", path).exit_code == 2, "somebody has to say who it is"
    said = blastcount("qc", "acknowledge", 1, "--who", "Ani", "--note", "lamp changed", "--log", path)
    assert said.exit_code == 0
    again = blastcount("qc", "acknowledge", 1, "--who", "Budi", "--log", path)
    assert again.exit_code == 1
    assert "by Ani" in again.stderr
    assert "ALARM" not in blastcount("qc", "show", "--log", path).stdout


def test_show_for_machines(path: Path) -> None:
    record = json.loads(blastcount("qc", "show", "--json", "--log", path).stdout)
    assert record["schema"] == "blastcount.qc/1"
    assert record["charts"]["light"][-1]["rule"] == "1-3.5s"
    assert [alarm["chart"] for alarm in record["alarms"]] == ["light"]
    empty = json.loads(blastcount("qc", "show", "--json", "--slide", "QC-9", "--log", path).stdout)
    assert (empty["charts"], empty["alarms"]) == ({}, [])


def test_a_control_slide_is_counted_from_pictures(path: Path) -> None:
    picture = ROOT / "edge" / "samples" / "rendered_0001.jpg"
    result = blastcount("qc", "run", picture, "--slide", "CS-1", "--log", path)
    assert result.exit_code == 0, result.stderr
    assert "(day 1 of 20, field 1 of 200)" in result.stdout
    with BloodLog.open(path, read_only=True) as log:
        (sample,) = log.samples()
        assert not sample.is_open
        assert sample.slide == "CS-1"
        assert log.verify() == ()


def test_nothing_is_opened_where_nothing_can_be_counted(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert blastcount("qc", "run", "--log", path).exit_code == 1, "no daemon runs"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"none")
    (tmp_path / "empty").mkdir()
    for picture in (tmp_path / "absent.jpg", broken, tmp_path / "empty"):
        failed = blastcount("qc", "run", picture, "--log", path)
        assert failed.exit_code == 1
        assert str(picture) in failed.stderr
    monkeypatch.setattr("edge.commands.qc.ask", lambda _socket, command: {"state": "no_camera"})
    failed = blastcount("qc", "run", "--log", path)
    assert failed.exit_code == 1
    assert "does not count now (no_camera)" in failed.stderr
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "b.toml"))
    (tmp_path / "b.toml").write_text('[model]\npath = "absent.tflite"\n')
    failed = blastcount("qc", "run", ROOT / "edge" / "samples" / "rendered_0001.jpg", "--log", path)
    assert failed.exit_code == 3
    assert blastcount("qc", "run", "--slide", "../x", "--log", path).exit_code == 2
    assert blastcount("qc", "run", "--slide", "X" * 19, "--log", path).exit_code == 2
    with BloodLog.open(path, read_only=True) as log:
        assert log.samples() == ()


def test_a_patient_s_sample_is_no_control_slide(path: Path) -> None:
    with BloodLog.open(path) as log:
        log.open_sample("S-0107", "blood", 200)
        log.change_sample("S-0107", "closed")
    picture = ROOT / "edge" / "samples" / "rendered_0001.jpg"
    refused = blastcount("qc", "run", picture, "--slide", "S-0107", "--log", path)
    assert refused.exit_code == 1
    assert "S-0107 is a sample, not a control slide" in refused.stderr
    with BloodLog.open(path, read_only=True) as log:
        assert [sample.name for sample in log.samples()] == ["S-0107"]


@pytest.mark.parametrize("wrong", ["x", "0", "1" * 19, "1.5"])
def test_an_alarm_is_named_by_its_number(path: Path, wrong: str) -> None:
    refused = blastcount("qc", "acknowledge", wrong, "--log", path)
    assert refused.exit_code == 2
    assert f"{wrong!r}: expected the number of an alarm, see `blastcount qc show`" in refused.stderr
