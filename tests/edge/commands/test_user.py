"""``blastcount user``: made, listed, changed, removed; a password is asked for and shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge import cli
from edge.bloodlog import BloodLog
from edge.bloodlog.users import UserFile
from edge.device.passwords import matches

pytestmark = pytest.mark.usefixtures("no_system_config", "cheap_passwords")

PASSWORD = "correct horse battery"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log without a field."""
    path = tmp_path / "blood.db"
    BloodLog.open(path).close()
    return path


def user(log: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["user", *arguments, "--log", str(log)], input=typed)


def test_the_life_of_a_user(log: Path) -> None:
    assert "nobody can sign" in user(log, "list").stdout
    made = user(log, "add", "  dr.  Sari ", "--role", "supervisor", typed=f"{PASSWORD}\n")
    assert (made.exit_code, made.stdout) == (0, "user dr. Sari: supervisor\n"), made.output
    assert user(log, "add", "Budi", typed=f"{PASSWORD}\r\n").exit_code == 0
    lines = user(log, "list", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"name": "dr. Sari", "role": "supervisor"},
        {"name": "Budi", "role": "reader"},
    ]
    assert user(log, "password", "budi", typed="another password\n").exit_code == 0
    users = UserFile.beside(log).all()
    assert matches(users["dr. Sari"].password, PASSWORD)
    assert matches(users["Budi"].password, "another password")
    assert PASSWORD not in UserFile.beside(log).path.read_text()
    assert user(log, "remove", "BUDI").stdout == "user Budi: removed\n"
    assert user(log, "list").stdout == "dr. Sari: supervisor\n"


def test_a_person_is_asked_twice_and_shown_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.commands.people.is_terminal", lambda: True)
    done = user(log, "add", "Ani", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert "Repeat for confirmation" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "said"),
    [
        (("add", "Ani"), "", 2, "the password must have 12 to 256 characters, got 0; it is asked for"),
        (("add", "Ani"), "short\n", 2, "got 5"),
        (("add", "Ani"), "x" * 5000, 2, "got 258"),
        (("add", "Ani", PASSWORD), "", 2, "unexpected extra argument"),
        (("add", " "), "", 2, "expected 1 to 40 characters"),
        (("add", "Ani", "--role", "admin"), "", 2, "'admin' is not one of 'reader', 'supervisor'"),
        (("password", "Ani"), "", 1, "there is no user Ani; there are: none"),
        (("remove", "Ani"), "", 1, "there is no user Ani"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    log: Path, arguments: tuple[str, ...], typed: str, code: int, said: str
) -> None:
    done = user(log, *arguments, typed=typed)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert not UserFile.beside(log).path.exists()


def test_a_name_that_somebody_has_is_refused_before_a_password_is_asked_for(log: Path) -> None:
    user(log, "add", "Ani", typed=f"{PASSWORD}\n")
    done = user(log, "add", "ANI")
    assert (done.exit_code, "user Ani is there already" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("there", "name", "said"),
    [
        ("Ani", "\N{CYRILLIC CAPITAL LETTER A}ni", "has Latin and Cyrillic letters"),
        ("Ani", "An\N{GREEK SMALL LETTER IOTA}", "has Latin and Greek letters"),
        ("Coco", "\u0421\u043e\u0441\u043e", "looks like Coco"),  # all Cyrillic
        ("Ani", "\N{FULLWIDTH LATIN CAPITAL LETTER A}ni", "looks like Ani"),
    ],
)
def test_two_users_have_names_that_can_be_told_apart(log: Path, there: str, name: str, said: str) -> None:
    user(log, "add", there, typed=f"{PASSWORD}\n")
    done = user(log, "add", name, typed=f"{PASSWORD}\n")
    assert (done.exit_code, said in done.stderr) == (1, True), done.output
    assert list(UserFile.beside(log).all()) == [there]
    for other in ("\u0410\u043d\u0438", "Andr\u00e9 2"):
        assert user(log, "add", other, typed=f"{PASSWORD}\n").exit_code == 0
