"""A backup is whole and verified, or it is not there."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog, backup
from edge.bloodlog.backup import Backup, back_up, good_manifests, read_manifest
from edge.bloodlog.inspection import inspect
from edge.bloodlog.locks import Patience, locked
from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import LogBusyError, LogError, OutputError
from tests.edge.bloodlog.fields import PROVENANCE, make_result


def run(path: Path, folder: Path) -> Backup:
    with BloodLog.open(path, read_only=True) as log:
        return back_up(log, ThumbnailStore.beside(path), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "usb" / "backups"


def test_a_backup_holds_everything(full: Path, folder: Path) -> None:
    folder.parent.mkdir()
    made = run(full, folder)
    assert (made.fields, made.pictures, made.copied, made.made) == (7, 19, 19, True)
    with BloodLog.open(full) as log, BloodLog.open(made.database, read_only=True) as copy:
        assert copy.head() == log.head() == made.head
        assert list(copy.fields()) == list(log.fields())
        verdict = inspect(copy, [log.head()], ThumbnailStore.beside(made.database))
        assert (verdict.faults, verdict.pictures) == ((), 19)
    head, manifest = read_manifest(made.manifest)
    assert head == made.head
    assert manifest["database_sha256"] == hashlib.sha256(made.database.read_bytes()).hexdigest()
    names = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    assert names == {made.database.name, made.manifest.name, "pictures"}


def test_the_next_one_copies_what_is_new_and_leaves_the_first(full: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    first = run(full, folder)
    content = first.database.read_bytes()
    again = run(full, folder)
    assert (again.database, again.made, again.copied) == (first.database, False, 0)
    with BloodLog.open(full) as log:
        log.append(make_result("new"), **PROVENANCE)
    second = run(full, folder)
    assert (second.fields, second.copied, second.made) == (8, 0, True)
    assert second.database != first.database
    assert first.database.read_bytes() == content
    assert sorted([second.database, first.database]) == [first.database, second.database]


def test_a_damaged_picture_in_the_backup_is_mended(full: Path, folder: Path) -> None:
    made = run(full, folder)
    (picture, *_) = (folder / "pictures").glob("*/*.jpg")
    picture.write_bytes(b"rot")
    assert run(full, folder).copied == 1
    assert ThumbnailStore(folder / "pictures").read(picture.stem) is not None
    assert made.database.exists()


def test_a_log_that_does_not_verify_is_copied_under_a_name_that_says_so(full: Path, folder: Path) -> None:
    good = run(full, folder)
    with closing(sqlite3.connect(full, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER cell_no_update")
        connection.execute("UPDATE cell SET x = 1 WHERE field_id = 3")
    made = run(full, folder)
    assert made.faults[0] == "file: trigger cell_no_update is missing"
    assert re.match(r"link \d+: field 3 was changed", made.faults[1])
    assert made.database.name == f"{good.database.stem}-faulty.db"
    assert read_manifest(made.manifest)[1]["faults"] == list(made.faults)
    # What it noted proves nothing.
    assert good_manifests(folder) == [good.manifest]


def test_a_missing_picture_is_named_and_the_rest_copied(full: Path, folder: Path) -> None:
    (picture, *_) = ThumbnailStore.beside(full).files()
    picture.unlink()
    made = run(full, folder)
    (fault,) = made.faults
    assert re.fullmatch(rf"picture of field \d+ is missing or damaged: {picture}", fault)
    assert (made.fields, made.pictures, made.copied) == (7, 18, 18)


def test_a_log_that_was_cut_shows_against_earlier_backups(full: Path, folder: Path, tmp_path: Path) -> None:
    run(full, folder)
    other = tmp_path / "other.db"
    with BloodLog.open(other) as log:
        for _ in range(20):
            log.append(make_result(), **PROVENANCE)
    (fault,) = run(other, folder).faults
    assert re.match(r"link 16: field 16 is not what the known head says", fault)


def test_a_backup_beside_a_writer(full: Path, folder: Path) -> None:
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with BloodLog.open(full) as log:
            while not stop.is_set():
                log.append(make_result(), **PROVENANCE)
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [run(full, folder) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert made[-1].fields <= 7 + written
    assert [backup.fields for backup in made] == sorted(backup.fields for backup in made)


def test_a_place_that_cannot_hold_one_is_named(full: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: no backup was made: File exists"):
        run(full, tmp_path / "file")
    with pytest.raises(OutputError, match="no backup was made"):
        run(full, Path("/proc/backups"))


def test_being_cut_off_leaves_no_backup_that_is_not_one(
    full: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(path: Path, content: bytes, **_how: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(backup, "write_whole", cut_off)
    with pytest.raises(OutputError, match="No space left"):
        run(full, folder)
    assert not list(folder.glob("blastcount-*"))
    monkeypatch.undo()
    assert run(full, folder).made


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "other"}', '{"schema": "blastcount.backup/1"}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "blastcount-x.json"
    path.write_text(text)
    with pytest.raises(LogError, match=r"blastcount-x\.json: is no manifest of a backup"):
        read_manifest(path)
    with pytest.raises(LogError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "absent.json")


@pytest.mark.parametrize("accident", ["rotten", "gone", "manifest"])
def test_an_earlier_backup_that_is_no_longer_whole_is_named_and_made_anew(
    full: Path, folder: Path, accident: str
) -> None:
    first = run(full, folder)
    assert run(full, folder).damaged == ()
    content = first.database.read_bytes()
    if accident == "rotten":
        half = len(content) // 2
        first.database.write_bytes(content[:half] + b"\xff" * 4000 + content[half + 4000 :])
    elif accident == "gone":
        first.database.unlink()
    else:
        first.manifest.write_text("{}")
    again = run(full, folder)
    assert again.made
    (damage,) = again.damaged
    assert str(first.manifest if accident == "manifest" else first.database) in damage
    assert again.faults == ()
    with BloodLog.open(again.database, read_only=True) as copy:
        assert inspect(copy, [again.head], ThumbnailStore.beside(again.database)).faults == ()
    assert (run(full, folder).made, run(full, folder).damaged) == (False, ())


def test_what_a_backup_left_behind_that_was_cut_off_goes_with_the_next(full: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for suffix in ("", "-journal"):
        (folder / f".backup-4711.part{suffix}").write_bytes(bytes(1000))
    with (
        locked(folder / ".lock", "exclusive", Patience(), "a backup"),
        BloodLog.open(full, read_only=True, patience=Patience(0.0)) as log,
        pytest.raises(LogBusyError, match="no backup was made: process"),
    ):
        back_up(log, log.pictures, folder)
    assert len(list(folder.glob(".backup-*"))) == 2  # perhaps they are those of the one at work
    run(full, folder)
    assert not list(folder.glob(".backup-*"))
