"""``blastcount log`` says what is so, with the right exit code, and leaves nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.schema import migrate, shipped_migrations
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.edge.commands.invoking import blastcount
from tests.edge.made_by import PROVENANCE as MADE_BY


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose log has a sample of two fields with pictures."""
    path = tmp_path / "blood.db"
    store = ThumbnailStore.beside(path)
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        for level in (10, 200):
            picture = store.put(np.full((20, 20, 3), level, np.uint8))
            log.append(
                make_result(), **PROVENANCE, sample_id=sample.id, clock_trusted=True, image_sha256=picture
            )
        log.change_sample("S-1", "closed")
    config = tmp_path / "blastcount.toml"
    config.write_text('[log]\npath = "blood.db"\n[storage]\nreserve_mb = 1\npictures_mb = 1\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    return path


def run(*arguments: object) -> Result:
    return blastcount("log", *arguments)


def visible(folder: Path) -> list[str]:
    """Name the files but those that SQLite keeps beside a log that is read."""
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(("-wal", "-shm")))


def break_row(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        connection.execute("UPDATE field SET source = 'other' WHERE id = 2")


@pytest.mark.parametrize(
    "reader",
    [
        "sample show",
        "sample list",
        "qc show",
        "verify status",
        "verify report --html /dev/null",
        "log verify",
    ],
)
def test_readers_name_the_command_that_brings_an_earlier_schema_up_to_date(
    reader: str, tmp_path: Path
) -> None:
    old = tmp_path / "an old one.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        migrate(connection, shipped_migrations()[:-1], str(old))
    said = blastcount(*reader.split(), "--log", old)
    assert (said.exit_code, said.stderr.count("\n")) == (1, 1)
    command = re.findall("`blastcount (.*?)`", said.stderr)[0]
    assert blastcount(*shlex.split(command)).exit_code == 0
    again = blastcount(*reader.split(), "--log", old)
    assert "schema" not in again.stderr


def test_show_prints_a_row_and_what_produced_it(configured: Path) -> None:
    context = {"reference": {"looks": [], "white_point": None}}
    with BloodLog.open(configured) as log:
        made_by = {"provenance": MADE_BY.to_json(), "context": json.dumps(context)}
        row = log.append(make_result(), **PROVENANCE, **made_by)
    shown = run("show", row, "--json")
    assert shown.exit_code == 0, shown.output
    record = json.loads(shown.output)
    assert (record["id"], record["provenance"]["opencv"], record["context"]) == (row, "4.11.0", context)
    assert len(record["cells"]) == len(make_result().cells)
    text = run("show", row).output
    for expected in (f"card_sha256: {MADE_BY.card_sha256}", "architecture: aarch64", "cell 1: "):
        assert expected in text
    assert run("show", 1).exit_code == 0  # a row of an earlier version has none
    absent = run("show", 99)
    assert (absent.exit_code, "there is no field 99" in absent.output) == (1, True)


def test_verify(configured: Path) -> None:
    done = run("verify")
    assert done.exit_code == 0, done.output
    counted, shown, verdict = done.output.splitlines()
    assert counted.startswith("2 fields, 5 links, 2 pictures; ")
    head = shown.removeprefix("head ")
    assert (head[:2], verdict) == ("5:", "verified")
    assert "compared with 1 head from elsewhere" in run("verify", "--head", head[:20]).output

    break_row(configured)
    said = run("verify", "--no-pictures")
    assert (said.exit_code, "pictures not looked at" in said.output) == (4, True)
    record = json.loads(run("verify", "--json").output)
    assert record["schema"] == "blastcount.verify/1"
    # What refuses changes has to go first.
    trigger, link = record["faults"]
    assert "trigger field_no_update is missing" in trigger
    assert link.startswith("link 4: field 2 was changed")
    for fault in record["faults"]:
        assert f"FAULT  {fault}" in said.output
    assert (record["fields"], record["pictures"], record["head"]) == (2, 2, head)


def test_verify_against_what_was_noted_elsewhere(configured: Path, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "backups").exit_code == 0
    assert run("verify", "--against", tmp_path / "backups").exit_code == 0
    configured.unlink()
    with BloodLog.open(configured) as log:
        log.append(make_result(), **PROVENANCE)
    for arguments in (
        ("--against", tmp_path / "backups"),
        ("--against", next((tmp_path / "backups").glob("*.json"))),
        ("--head", "5:0123456789ab"),
    ):
        said = run("verify", *arguments)
        assert said.exit_code == 4
        assert "link 2: missing: the chain is known to have reached link 5" in said.output


def test_backup_and_again(configured: Path, tmp_path: Path) -> None:
    done = run("backup", tmp_path / "backups")
    assert done.exit_code == 0, done.output
    assert "2 fields, 2 pictures (2 of them new), made\nhead 5:" in done.output
    record = json.loads(run("backup", "--json", tmp_path / "backups").output)
    assert (record["made"], record["copied"], record["pictures"], record["faults"]) == (False, 0, 2, [])
    assert Path(record["database"]).is_file()
    # One of a log that does not verify says no.
    break_row(configured)
    said = run("backup", tmp_path / "backups")
    assert (said.exit_code, "FAULT  link 4: field 2 was changed" in said.output) == (4, True)
    assert len(list((tmp_path / "backups").glob("*-faulty.db"))) == 1
    assert len(json.loads(run("backup", "--json", tmp_path / "backups").output)["faults"]) == 2


def test_retention_by_space(configured: Path) -> None:
    assert "0 files, 0.0 MB went\n2 pictures" in run("retention").output
    rng = np.random.default_rng(0)
    with BloodLog.open(configured) as log:
        noise = ThumbnailStore.beside(configured).put(rng.integers(0, 256, (1200, 1200, 3), np.uint8), 100)
        log.append(make_result(), **PROVENANCE, image_sha256=noise)
    dry = json.loads(run("retention", "--dry-run", "--json").output)
    assert (dry["by_space"], dry["files"], dry["dry_run"]) == ([1, 2, 3], 3, True)
    done = run("retention")
    assert "by space: pictures of 3 fields went: 1-3\n" in done.output
    assert run("verify").exit_code == 0


def test_export(tmp_path: Path) -> None:
    done = run("export", "--jsonl")
    assert [json.loads(line)["link"] for line in done.output.splitlines()] == [1, 2, 3, 4, 5]
    out = tmp_path / "cells.csv"
    assert run("export", "--jsonl", "--out", "-").stdout == done.stdout
    assert run("export", "--csv", "--sample", "S-1", "--out", out).exit_code == 0
    assert len(out.read_text().splitlines()) == 1 + 6
    assert sorted(file.name for file in tmp_path.glob(".*")) == []


def test_repair(configured: Path, tmp_path: Path) -> None:
    break_row(configured)
    done = run("repair", "--out", tmp_path / "new.db")
    assert done.exit_code == 0, done.output
    assert "saved: 1 field rows, 1 sample rows, 2 sample_event rows" in done.output
    assert "left behind, not as they were written: field 2" in done.output
    assert "blood.db is as it was" in done.output
    assert run("verify", "--log", tmp_path / "new.db").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify", "--log", "absent.db"], 1, "absent.db: no such log"),
        (["verify", "--head", "12"], 2, "NUMBER:SHA256, got '12'"),
        (["verify", "--against", "."], 2, "no manifest of a backup"),
        (["export"], 2, "--csv or --jsonl"),
        (["export", "--csv", "--sample", "S-9"], 1, "S-9"),
        (["export", "--csv", "--out", "absent/x.csv"], 1, "absent/x.csv: cannot be written"),
        (["backup", "blood.db/x"], 1, "no backup was made"),
        (["repair", "--out", "blood.db"], 1, "blood.db: is there already"),
        (["repair"], 2, "--out"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = visible(tmp_path)
    said = run(*arguments)
    assert said.exit_code == code
    assert message in said.output
    assert "Traceback" not in said.output
    assert visible(tmp_path) == before


def test_a_damaged_log_is_a_no(configured: Path) -> None:
    whole = configured.read_bytes()
    with closing(sqlite3.connect(configured)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'link'").fetchone()
    everywhere = [(start, 100) for start in range(4096, len(whole), 4096)]
    # Where nothing can be read it is no log; where the chain cannot, it is not the one that was written.
    for damage, code in ((everywhere, 1), ([((page - 1) * 4096, 4096)], 4)):
        content = bytearray(whole)
        for start, length in damage:
            content[start : start + length] = bytes(length)
        configured.write_bytes(content)
        said = run("verify")
        assert said.exit_code == code, said.output
        assert re.search("malformed.*`blastcount log repair", said.output)


def test_whoever_may_not_look_into_the_folder_is_told_so(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    path = tmp_path / "locked" / "blood.db"
    path.parent.mkdir(0o700)
    path.touch()
    for above in path.parent.parents[:-1]:
        above.chmod(above.stat().st_mode | stat.S_IXOTH)
    code = (
        "import os, sys; from click.testing import CliRunner; from pathlib import Path\n"
        "import edge.commands.log, edge.commands.review, edge.cli, edge.selfcheck, encodings.utf_8_sig\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); log = sys.argv[1]\n"
        "for line in ('review --port 0 --log', 'log repair --out r.db --log'):\n"
        "    done = CliRunner().invoke(edge.cli.main, [*line.split(), log], catch_exceptions=False)\n"
        "    print(done.stderr, end='')\n"
        "for look in (lambda path: edge.selfcheck.check_log(path)[0], edge.selfcheck.check_rights):\n"
        "    print(look(Path(log)).detail)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=root
    )
    told = f"{path}: only user root may read {path.parent}"
    assert done.stdout.splitlines() == [*2 * [f"blastcount: error: {told}"], told, told]
