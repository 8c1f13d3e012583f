"""``blastcount review``: options, tokens, and the words of its errors."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.bloodlog.users import User, UserFile
from edge.cli import main
from edge.commands.review import make_setup
from edge.config import Config, ReviewConfig
from edge.device.network import NetworkAddress
from edge.device.passwords import password_hash
from edge.errors import ConfigError
from edge.web.access import Lock, new_token, read_token_file, write_token_file
from edge.web.setup import Setup


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


def start_with_phone(
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    addresses: Sequence[NetworkAddress],
    terminal: bool = True,
) -> tuple[Any, list[Setup]]:
    """Run the command up to where it would serve; a page is then ready on port 8321."""
    made: list[Setup] = []

    def serve(setup: Setup, port: int, ready: Callable[[int], None]) -> None:
        made.append(setup)
        ready(port)

    monkeypatch.setattr("edge.commands.review.serve", serve)
    monkeypatch.setattr("edge.commands.review.give_way", lambda: None)
    monkeypatch.setattr("edge.web.reach.network_addresses", lambda: list(addresses))
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _stream: terminal, raising=False)
    return CliRunner().invoke(main, ["review", "--phone", *arguments], color=True), made


WLAN = NetworkAddress("wlan0", IPv4Address("192.168.4.23"))
CABLE = NetworkAddress("eth0", IPv4Address("10.0.0.5"))
OUTSIDE = NetworkAddress("eth0", IPv6Address("2001:db8::5"))


def decoded(text: str) -> str:
    """Read a QR code as a phone does, from the half blocks of a terminal."""
    rows = []
    for line in re.findall(r"\033\[97;40m(.*?)\033\[0m", text):
        rows.append([255 if block in "█▀" else 0 for block in line])
        rows.append([255 if block in "█▄" else 0 for block in line])
    image = np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8))
    image = cv2.copyMakeBorder(image, 32, 32, 32, 32, cv2.BORDER_CONSTANT, value=255)
    # OpenCV's plain detector misses one in thirty of these codes, by what the token happens to be.
    return str(cv2.QRCodeDetectorAruco().detectAndDecode(image)[0])


@pytest.mark.usefixtures("no_system_config")
def test_a_phone_gets_every_address_and_a_code_that_opens_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, (setup,) = start_with_phone(monkeypatch, addresses=[WLAN, CABLE, OUTSIDE])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout == "review page: http://192.168.4.23:8321/\nreview page: http://10.0.0.5:8321/\n"
    assert setup.host == "0.0.0.0"
    assert setup.lock is not None
    (token,) = re.findall(r"the token ([0-9a-f]{32})", ended.stderr)
    assert setup.lock.opens(token)
    assert decoded(ended.stderr) == f"http://192.168.4.23:8321/login#{token}"
    assert "same network (wlan0)" in ended.stderr
    assert "From network eth0: http://10.0.0.5:8321/" in ended.stderr
    # The token is in no file: it ends with the page.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_system_config")
def test_a_phone_where_there_is_only_ipv6_or_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, (setup,) = start_with_phone(monkeypatch, addresses=[OUTSIDE], terminal=False)
    assert ended.stdout == "review page: http://[2001:db8::5]:8321/\n"
    assert setup.host == "::"
    assert "\033" not in ended.stderr


@pytest.mark.usefixtures("no_system_config")
@pytest.mark.parametrize("given", [(), ("--host", "0.0.0.0"), ("--host", "::")])
def test_without_a_network_a_phone_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    ended, made = start_with_phone(monkeypatch, *given, addresses=[])
    assert (ended.exit_code, made) == (1, [])
    assert "no network: this machine has no address that a phone could reach" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_phone_asks_a_user_for_name_and_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "blastcount.toml"
    config.write_text('[log]\npath = "blood.db"\n')
    users = UserFile.beside(tmp_path / "blood.db")
    users.add(User("Ani", "reader", password_hash("correct horse")))
    ended, (setup,) = start_with_phone(monkeypatch, "--config", str(config), addresses=[WLAN])
    assert decoded(ended.stderr) == "http://192.168.4.23:8321/"
    assert "and type your name and password" in ended.stderr
    # Should the last user be removed meanwhile, the page is not open to all.
    assert setup.lock is not None
    users.path.write_text("{}")
    ended, made = start_with_phone(monkeypatch, "--config", str(config), addresses=[WLAN])
    assert (ended.exit_code, made) == (1, [])
    assert "blood.db.users: the users cannot be read" in ended.stderr


def test_a_token_file_that_is_named_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "blastcount.toml"
    config.write_text('[review]\nhost = "192.168.4.23"\ntoken_file = "token"\n[log]\npath = "blood.db"\n')
    first, (setup,) = start_with_phone(monkeypatch, "--config", str(config), addresses=[WLAN, CABLE])
    (token,) = re.findall(r"the token ([0-9a-f]{32})", first.stderr)
    assert Lock(read_token_file(tmp_path / "token")).opens(token)
    assert setup.host == "192.168.4.23"
    again, (setup,) = start_with_phone(monkeypatch, "--config", str(config), addresses=[WLAN, CABLE])
    assert setup.lock is not None
    assert setup.lock.opens(token)
    assert decoded(again.stderr) == "http://192.168.4.23:8321/"
    assert "the token that was shown when its file was made" in again.stderr


def test_a_phone_is_sent_to_the_public_address_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "blastcount.toml"
    config.write_text('[review]\npublic_url = "https://lab.example/blast"\ntoken_file = "token"\n')
    ended, (setup,) = start_with_phone(
        monkeypatch, "--config", str(config), "--log", str(tmp_path / "blood.db"), addresses=[WLAN]
    )
    assert ended.stdout == "review page: https://lab.example/blast/\n"
    assert setup.host == "127.0.0.1"
    assert decoded(ended.stderr).startswith("https://lab.example/blast/login#")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_serves_as_the_owner_of_the_log(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    program = (
        "import os, sys; from pathlib import Path; from edge.device.rights import become_owner_of; "
        "become_owner_of(Path(sys.argv[1])); print(os.getuid(), os.getgid(), os.getgroups())"
    )
    made = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "not yet")], capture_output=True, text=True, check=True
    )
    assert made.stdout == f"{nobody.pw_uid} {nobody.pw_gid} []\n"
