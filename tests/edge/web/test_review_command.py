"""``blastcount review``: options, tokens, and the words of its errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.commands.review import make_setup
from edge.config import Config, ReviewConfig
from edge.errors import ConfigError
from edge.web.access import Lock, new_token, read_token_file, write_token_file


def test_a_new_token_is_printed_once_and_opens_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = CliRunner().invoke(main, ["review", "--new-token", str(path)])
    assert made.exit_code == 0
    assert re.fullmatch(r"[0-9a-f]{32}\n", made.stdout)
    assert "shown only now" in made.stderr
    assert Lock(read_token_file(path)).opens(made.stdout.strip())
    again = CliRunner().invoke(main, ["review", "--new-token", str(path)])
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert again.stdout == ""


def test_a_password_is_asked_for_twice_and_never_shown(tmp_path: Path) -> None:
    path, password = tmp_path / "token", "correct horse battery"
    made = CliRunner().invoke(
        main, ["review", "--new-password", str(path)], input=f"{password}\n{password}\n"
    )
    assert made.exit_code == 0, made.stderr
    assert password not in made.stdout + made.stderr
    assert Lock(read_token_file(path)).opens(password)
    short = CliRunner().invoke(
        main, ["review", "--new-password", str(tmp_path / "x")], input="short\nshort\n"
    )
    assert short.exit_code == 3
    assert "at least 12 characters, got 5" in short.stderr


def test_not_both() -> None:
    both = CliRunner().invoke(main, ["review", "--new-token", "a", "--new-password", "b"])
    assert both.exit_code == 2
    assert not Path("a").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--config", "absent.toml"], 3, "absent.toml: no such configuration file"),
        (["--host", "0.0.0.0"], 3, "needs review.token_file"),
        (["--host", "my-pi"], 3, "review.host must be an address"),
        (["--token-file", "absent"], 3, "absent: no such token file; make it with"),
        (["--port", "70000"], 2, "70000"),
        (["--log", "/dev/null"], 1, "/dev/null: "),
    ],
)
@pytest.mark.usefixtures("no_system_config")
def test_mistakes_are_named(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["review", *arguments])
    assert ended.exit_code == code
    assert message in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_reaches_the_server(tmp_path: Path) -> None:
    write_token_file(tmp_path / "token", new_token())
    section = ReviewConfig(host="0.0.0.0", port=8000, token_file=tmp_path / "token", names="scope a.example")
    setup = make_setup(Config(review=section), section)
    assert setup.lock is not None
    assert setup.names == ("scope", "a.example")
    assert make_setup(Config(), ReviewConfig()).lock is None
    with pytest.raises(ConfigError, match="no such token file"):
        make_setup(Config(), ReviewConfig(token_file=tmp_path / "absent"))
