"""``blastcount sample``: from opening to handing on."""

from __future__ import annotations

import csv
import json
import re
import shutil
import string
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edge import cli
from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.pseudonym import personal_doubt, wrong_id
from edge.bloodlog.users import User, UserFile
from edge.commands import sample as sample_command
from edge.device.passwords import password_hash
from edge.results.geojson import encode_field
from edge.results.polygons import cell_polygons
from edge.results.reading import Reading
from edge.structures import CellRef
from tests.edge.results.conftest import NAME, fill, read_all
from tests.edge.results.test_annotate import labels
from tests.edge.results.test_geojson import left_in_qupath

pytestmark = pytest.mark.usefixtures("no_system_config")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["sample", *map(str, arguments)])


def test_the_life_of_a_sample(tmp_path: Path) -> None:
    log_path = tmp_path / "b.db"
    opened = run("open", "--id", NAME, "--specimen", "marrow", "--log", log_path, "--who", "AK")
    assert opened.stdout == "sample S-0142: open, marrow, 500 white cells to count\n"
    second = run("open", "--id", "S-0143", "--log", log_path)
    assert (second.exit_code, "S-0142 is open; close it before" in second.stderr) == (1, True)
    # Another process finds it open: nothing but the log knows of it, so a power cut changes nothing.
    assert json.loads(run("show", "--json", "--log", log_path).stdout)["sample"]["id"] == NAME
    # Nothing was counted: a script has to say that this is meant.
    refused = run("close", NAME, "--log", log_path)
    assert (refused.exit_code, "S-0142 has 0 of 500 white cells; say --yes" in refused.stderr) == (2, True)
    assert ": closed," in run("close", NAME, "--yes", "--log", log_path).stdout
    assert ": closed," in run("close", NAME, "--log", log_path).stdout  # it is so already
    assert "its pictures are kept" in run("keep", NAME, "--log", log_path).stdout
    assert "kept" not in run("release", NAME, "--log", log_path).stdout
    record = json.loads(run("show", NAME, "--json", "--log", log_path).stdout)["sample"]
    assert record["closed_by"] is None  # nobody gave a sign
    assert "by nobody who was named" in run("show", NAME, "--log", log_path).stdout
    assert run("show", "--log", log_path).exit_code == 2
    assert ": open," in run("reopen", NAME, "--log", log_path).stdout
    run("close", NAME, "--yes", "--who", "Sri", "--log", log_path)
    assert json.loads(run("show", NAME, "--json", "--log", log_path).stdout)["sample"]["closed_by"] == "Sri"
    assert re.search(r"State: closed .* by Sri\n", run("show", NAME, "--log", log_path).stdout)
    blood = json.loads(run("open", "--id", "S-0143", "--log", log_path, "--json").stdout)
    assert (blood["quota"], blood["specimen"], blood["closed_at"]) == (200, "blood", None)
    lines = run("list", "--log", log_path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["sample", NAME, "S-0143"]
    assert len(run("list", "--json", "--log", log_path).stdout.splitlines()) == 2
    with BloodLog.open(log_path) as log:
        assert log.verify() == ()


def test_a_configured_log_is_used_and_its_folder_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    before = run("list")  # nobody has done anything wrong yet
    assert (before.exit_code, "`blastcount sample open --id ID` opens one" in before.stdout) == (0, True)
    asked = run("show")
    assert (asked.exit_code, "no such log; `blastcount sample open --id ID` makes" in asked.stderr) == (
        1,
        True,
    )
    assert not (tmp_path / "state").exists()
    assert run("open", "--id", NAME, "--quota", "100").exit_code == 0
    assert "no cells" in run("list").stdout


@pytest.mark.parametrize(("said", "code", "is_open"), [("y\n", 0, False), ("n\n", 1, True), ("", 1, True)])
def test_a_person_is_asked_before_an_empty_sample_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, is_open: bool
) -> None:
    log_path = tmp_path / "b.db"
    run("open", "--id", NAME, "--log", log_path)
    monkeypatch.setattr(sample_command, "is_terminal", lambda: True)
    done = CliRunner().invoke(cli.main, ["sample", "close", NAME, "--log", str(log_path)], input=said)
    assert (done.exit_code, "has 0 of 200 white cells. Close it" in done.stderr) == (code, True)
    with BloodLog.open(log_path, read_only=True) as log:
        assert log.sample(NAME).is_open == is_open


def test_a_sample_with_cells_is_closed_without_a_question(sample_log: Path) -> None:
    assert run("close", NAME, "--log", sample_log).exit_code == 0


@pytest.mark.parametrize("broken", ["[camera]\nwidht = 3\n", "[camra]\n", "[review]\nport = 0\n"])
def test_a_mistake_elsewhere_in_the_configuration_is_named_and_stops_nothing(
    sample_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    config = tmp_path / "c.toml"
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    config.write_text(f'{broken}[log]\npath = "{sample_log}"\n')
    for command in (("sample", "list"), ("sample", "show", NAME), ("log", "verify", "--no-pictures")):
        done = CliRunner().invoke(cli.main, command)
        assert (done.exit_code, done.stdout != "") == (0, True)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"blastcount: warning: {config} ")
        assert line.endswith("does not need it")


@pytest.mark.parametrize(
    "broken", ["[log]\npaht = 3\n", "[lgo]\npath = 'b'\n", "[log\n", "[log]\npath = 1\n"]
)
def test_a_mistake_in_what_is_needed_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (tmp_path / "c.toml").write_text(broken)
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "c.toml"))
    done = run("open", "--id", NAME)
    assert (done.exit_code, done.stderr.startswith(f"blastcount: error: {tmp_path}/c.toml ")) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


def test_a_folder_that_somebody_named_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a disk that is not there today."""
    (tmp_path / "c.toml").write_text("[log]\npath = 'disk/b.db'\n")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "c.toml"))
    done = run("open", "--id", NAME)
    assert (done.exit_code, "disk does not exist; make it first" in done.stderr) == (1, True), done.output
    assert not (tmp_path / "disk").exists()


def test_fields_that_were_counted_before_a_sample_was_open(sample_log: Path) -> None:
    with BloodLog.open(sample_log) as log:
        inside = list(log.fields(log.sample(NAME).id))
        for _ in range(3):
            log.append(inside[0].result, config_sha256="c" * 64, software_version="1", runtime="r")
        first = inside[-1].id + 1
    named = run("assign", NAME, "--log", sample_log)
    assert (named.exit_code, f"belong to no sample: {first}-{first + 2}" in named.stderr) == (2, True)
    put = run("assign", NAME, f"{first}-{first + 1}", str(first), "--who", "AK", "--log", sample_log)
    assert put.stdout.startswith(f"sample {NAME}: 2 fields put into it")
    shown = run("show", NAME, "--log", sample_log).stdout
    assert "put into the sample afterwards 2" in shown
    assert run("unassign", str(first), "--log", sample_log).stdout.startswith("1 field taken out")
    shown = json.loads(run("show", NAME, "--json", "--log", sample_log).stdout)
    assert shown["fields"]["by_warning"]["assigned"] == 1


@pytest.mark.parametrize(
    "wrong", ["0", "x", "3-", "-3", "5-3", "1-999999999", "1.5", f"1-{10**22}", str(10**29), "9" * 5000]
)
def test_what_are_no_numbers_of_fields(sample_log: Path, wrong: str) -> None:
    done = run("assign", NAME, "--log", sample_log, "--", wrong)
    assert (done.exit_code, "expected" in done.stderr) == (2, True), done.output


def test_what_a_sample_gave(sample_log: Path) -> None:
    shown = run("show", NAME, "--log", sample_log).stdout
    assert "42.9 % (95 % 24.5 to 62.8 %), 12 of 28" in shown
    assert "Count on: 28 of 200 cells" in shown
    assert "out of focus 1" in shown
    assert "with a warning: 2 of 4 (blank slide burnt out 2, another scale 1)" in shown
    assert "not for diagnosis" in shown
    read_all(sample_log, "AK")
    read_all(sample_log, "BT")
    shown = run("show", NAME, "--log", sample_log).stdout
    assert re.search(r"Program +After people's words +AK +BT$", shown, re.MULTILINE)
    assert "kappa 1.00" in shown


def test_exports(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    csv_file, fhir, training = tmp_path / "c.csv", tmp_path / "f.json", tmp_path / "set"
    done = run("export", NAME, "--csv", csv_file, "--fhir", fhir, "--training", training, "--log", sample_log)
    assert done.exit_code == 0, done.output
    assert "4 fields added, 0 updated; 12 blast, 16 normal, 8 unknown" in done.stderr
    # A line of titles, nine cells of four fields, and one for the rejected field.
    assert len(csv_file.read_text().splitlines()) == 1 + 4 * 9 + 1
    doubts = {row["field"]: row["warnings"] for row in csv.DictReader(csv_file.read_text().splitlines())}
    assert doubts == {
        "1": "", "2": "background_clipped", "3": "background_clipped scale_changed", "4": "", "5": "",
    }  # fmt: skip
    assert json.loads(fhir.read_text())["resourceType"] == "Bundle"
    rows = run("export", NAME, "--jsonl", "-", "--log", sample_log).stdout.splitlines()
    assert {json.loads(row)["kind"] for row in rows} >= {"sample", "field", "review"}


def test_an_export_that_writes_nothing_fails(sample_log: Path, tmp_path: Path) -> None:
    shutil.rmtree(ThumbnailStore.beside(sample_log).folder)
    for form in ("--ome", "--coco"):
        done = run("export", NAME, form, tmp_path / "out", "--log", sample_log)
        assert done.exit_code == 1
        assert "the field's picture is not there" in done.stderr
        assert "removed" not in done.stderr  # no row says so
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["open", "--id", "../x"], "expected letters, digits"),
        (["open", "--id", "Siti"], "looks like a name"),
        (["open", "--id", "3174051290000001"], "looks like a national number"),
        (["open", "--id", "B-12051987"], "perhaps of birth"),
        (["open", "--id", "S-1", "--quota", "150"], "'150' is not one of"),
        (["export", NAME], "say in which form"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, "--log", tmp_path / "b.db")
    assert (done.exit_code, message in done.stderr) == (2, True), done.output
    assert not (tmp_path / "b.db").exists()


def test_a_code_that_looks_like_a_name_can_be_insisted_on(tmp_path: Path) -> None:
    assert run("open", "--id", "Siti", "--sure", "--log", tmp_path / "b.db").exit_code == 0


def test_an_unknown_sample(sample_log: Path) -> None:
    for command in ("show", "close", "keep"):
        done = run(command, "S-9", "--log", sample_log)
        assert (done.exit_code, "there is no sample S-9" in done.stderr) == (1, True)


def test_a_second_sample_is_not_mixed_in(sample_log: Path) -> None:
    with BloodLog.open(sample_log) as log:
        log.change_sample(NAME, "closed")
        fill(log, log.open_sample("S-0143", "blood", 200).id, fields=1)
    assert json.loads(run("show", "S-0143", "--json", "--log", sample_log).stdout)["program"]["n"] == 7
    assert json.loads(run("show", NAME, "--json", "--log", sample_log).stdout)["program"]["n"] == 28


@given(st.text(max_size=40))
def test_ids_never_hold_what_a_path_or_a_shell_reads(text: str) -> None:
    if wrong_id(text) is None:
        assert set(text) <= set(string.ascii_letters + string.digits + "._-")
        assert text[0].isalnum()
        assert "/" not in text


@given(st.integers(0, 99_999_999), st.sampled_from(["S-", "LAB.", "x_", "ABC"]))
def test_short_codes_are_taken_without_a_word(number: int, prefix: str) -> None:
    code = f"{prefix}{number % 100_000}"
    assert wrong_id(code) is None
    assert personal_doubt(code) is None


@pytest.mark.requirement(17)
@given(st.text(string.digits, min_size=9, max_size=20))
def test_long_numbers_are_doubted(digits: str) -> None:
    assert personal_doubt(digits) is not None


@given(st.text(string.ascii_letters, min_size=4, max_size=20), st.integers(0, 9999), st.sampled_from("._-"))
def test_words_are_doubted_with_and_without_a_number(word: str, number: int, mark: str) -> None:
    for name in (word, f"{word}{number}", f"{number}{word}", f"{word}{mark}{number}", f"S{mark}{word}"):
        assert "looks like a name" in (personal_doubt(name) or "")


@pytest.mark.requirement(17)
@pytest.mark.parametrize("name", ["Budi1", "budi", "BUDI1", "Ani", "ani2", "J.Doe", "Li-Wei3", "12Ali"])
def test_names_are_doubted(name: str) -> None:
    assert "looks like a name" in (personal_doubt(name) or "")


@pytest.mark.parametrize("code", ["ABC", "ABC-12", "S-0142", "m7", "bm-7", "A1B2C3", "AML.31"])
def test_codes_are_taken(code: str) -> None:
    assert personal_doubt(code) is None


def test_words_from_qupath(sample_log: Path) -> None:
    with BloodLog.open(sample_log, read_only=True) as log:
        first = next(log.fields()).result
    drawn = labels(first)
    content = json.loads(encode_field(first, cell_polygons(drawn, drawn)))
    content["features"][3]["properties"]["classification"] = {"name": "blast", "color": [200, 0, 0]}
    content["features"][4]["properties"]["classification"] = {"name": "Stroma"}
    file = sample_log.with_name("seen.geojson")
    file.write_text(json.dumps(content))
    arguments = ("import", NAME, file, "--observer", "AK", "--log", sample_log)
    taken = run(*arguments)
    assert (taken.exit_code, taken.stdout.splitlines()[0]) == (
        0,
        "sample S-0142: 1 word of AK added, 0 there before",
    )
    assert "'Stroma'" in taken.stderr
    assert "0 words of AK added, 1 there before" in run(*arguments).stdout
    with BloodLog.open(sample_log) as log:
        (word,) = log.reviews(log.sample(NAME).id)
        assert (word.cell, word.label, word.observer) == (CellRef(1, 4), "blast", "AK")
        assert log.verify() == ()
    assert run(*arguments[:3], "--log", sample_log).exit_code == 2  # nobody said it


def test_who_has_a_password_is_asked_for_it_before_words_are_taken(sample_log: Path) -> None:
    file = left_in_qupath(sample_log, {4: "blast"})
    UserFile.beside(sample_log).add(User("Ayu", "reader", password_hash("correct horse")))
    arguments = ["sample", "import", NAME, str(file), "--log", str(sample_log), "--observer"]

    def typed(observer: str, password: str) -> Result:
        return CliRunner().invoke(cli.main, [*arguments, observer], input=password)

    assert "there is no user AK" in typed("AK", "correct horse\n").stderr
    refused = typed("Ayu", "wrong horse\n")
    assert (refused.exit_code, "not the password of Ayu" in refused.stderr) == (1, True)
    with BloodLog.open(sample_log) as log:
        assert log.reviews(log.sample(NAME).id) == ()
    assert typed("ayu", "correct horse\n").exit_code == 0
    with BloodLog.open(sample_log) as log:
        (word,) = log.reviews(log.sample(NAME).id)
        assert (word.label, word.observer, word.role) == ("blast", "Ayu", "reader")


@pytest.mark.usefixtures("cheap_passwords")
def test_a_file_does_not_change_words_that_stand_on_the_page(sample_log: Path) -> None:
    with BloodLog.open(sample_log) as log:
        number = log.sample(NAME).id
        read = dict.fromkeys(Reading.of(log, number).to_read, "normal")
        for name, others in (("Ayu", {}), ("Budi", {CellRef(1, 4): "blast", CellRef(1, 5): "smudge"})):
            log.add_reviews({**read, **others}, name, role="reader")  # type: ignore[arg-type]  # plain strings
        log.settle({CellRef(1, 4): "blast"}, "Citra")
    # Settled; in dispute; one word of both.
    file = left_in_qupath(sample_log, dict.fromkeys((4, 5, 6), "not_a_cell"))
    UserFile.beside(sample_log).add(User("Ayu", "reader", password_hash("correct horse")))
    arguments = ["sample", "import", NAME, str(file), "--log", str(sample_log), "--observer", "Ayu"]
    taken = CliRunner().invoke(cli.main, arguments, input="correct horse\n")
    assert "1 word of Ayu added, 0 there before" in taken.stdout
    assert "left out, readers differed, which a supervisor settles: 2" in taken.stderr
    with BloodLog.open(sample_log) as log:
        reading = Reading.of(log, number)
    assert reading.settled == {CellRef(1, 4): ("blast", "Citra")}
    said = [reading.said("Ayu", CellRef(1, cell)) for cell in (4, 5, 6)]
    assert said == ["normal", "normal", "not_a_cell"]


@pytest.mark.usefixtures("cheap_passwords")
def test_who_has_a_password_is_asked_for_it_before_a_change_is_put_down_to_that_name(tmp_path: Path) -> None:
    log_path = tmp_path / "b.db"
    run("open", "--id", NAME, "--log", log_path, "--who", "on trust")
    UserFile.beside(log_path).add(User("Citra", "supervisor", password_hash("correct horse")))

    def typed(*arguments: str, password: str = "") -> Result:
        given = ["sample", *arguments, "--log", str(log_path)]
        return CliRunner().invoke(cli.main, given, input=password)

    changes = [["close", NAME, "--yes"], ["reopen", NAME], ["keep", NAME], ["release", NAME]]
    changes += [["open", "--id", "S-2"], ["assign", NAME, "1"], ["unassign", "1"]]
    for change in changes:
        assert "there is no user Nobody There" in typed(*change, "--who", "Nobody There").stderr, change
        refused = typed(*change, "--who", "citra", password="wrong horse\n")
        assert (refused.exit_code, "not the password of Citra" in refused.stderr) == (1, True), change
    with BloodLog.open(log_path, read_only=True) as log, log.reading() as connection:
        assert connection.execute("SELECT who FROM sample_event").fetchall() == [("on trust",)]
    assert typed(*changes[0]).exit_code == 0  # in nobody's name
    assert "by nobody who was named" in typed("show", NAME).stdout
    for change in (changes[1], changes[0]):
        assert typed(*change, "--who", "citra", password="correct horse\n").exit_code == 0
    with BloodLog.open(log_path, read_only=True) as log:
        sample = log.sample(NAME)
        assert (sample.closed_by, sample.closed_as) == ("Citra", "supervisor")


@pytest.mark.parametrize("name", ["", "   ", "A" * 41, "A\nB\x1b[31mred"])
def test_what_is_no_name_is_refused_wherever_one_is_given(sample_log: Path, name: str) -> None:
    file = sample_log.with_name("seen.geojson")
    file.write_text("[]")
    commands = [["import", NAME, file, "--observer", name], ["open", "--id", "S-2", "--who", name]]
    commands += [[change, NAME, "--who", name] for change in ("close", "reopen", "keep", "release")]
    commands += [["assign", NAME, "1", "--who", name], ["unassign", "1", "--who", name]]
    for command in commands:
        refused = run(*command, "--log", sample_log)
        assert (refused.exit_code, "1 to 40 characters that can be seen" in refused.stderr) == (2, True)
