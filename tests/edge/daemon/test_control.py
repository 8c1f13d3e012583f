"""The control socket: its language, its rights, and clients that misbehave."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from edge.daemon import protocol
from edge.daemon.client import _is_given_by_root, ask, find_socket
from edge.daemon.control import MAX_CLIENTS, ControlServer
from edge.daemon.protocol import MAX_REQUEST_BYTES, decode_request, runtime_folder, socket_path
from edge.errors import ControlError
from tests.waiting import wait_for


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c") / "run" / "control.sock"


def answer(command: str) -> dict[str, Any]:
    if command == "capture":
        raise ControlError("nothing counted: unplugged", "no_camera")
    return {"asked": command}


@pytest.fixture
def server(path: Path) -> Iterator[ControlServer]:
    with ControlServer(path, answer) as opened:
        yield opened


def exchange(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(str(path))
        connection.sendall(b"".join(lines))
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


def test_commands_are_answered(server: ControlServer) -> None:
    assert ask(server.path, "status") == {"asked": "status"}
    with pytest.raises(ControlError, match="nothing counted: unplugged") as refusal:
        ask(server.path, "capture")
    assert refusal.value.reason == "no_camera"


def test_many_requests_in_one_connection(server: ControlServer) -> None:
    answers = exchange(server.path, *[b'{"protocol": 1, "command": "status"}\n'] * 3)
    assert answers == [{"protocol": 1, "ok": True, "result": {"asked": "status"}}] * 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"status\n", "bad_request"),
        (b"\xff\xfe\n", "bad_request"),
        (b"[]\n", "bad_request"),
        (b"\n", "bad_request"),
        (b'{"command": "status"}\n', "wrong_protocol"),
        (b'{"protocol": 2, "command": "status"}\n', "wrong_protocol"),
        (b'{"protocol": 1}\n', "unknown_command"),
        (b'{"protocol": 1, "command": ["status"]}\n', "unknown_command"),
        (b'{"protocol": 1, "command": "shutdown"}\n', "unknown_command"),
        (b'{"protocol": 1, "command": "status"}' + b" " * MAX_REQUEST_BYTES + b"\n", "bad_request"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(server: ControlServer, line: bytes, reason: str) -> None:
    first, *_ = exchange(server.path, line)
    assert first["ok"] is False
    assert first["error"]["reason"] == reason
    assert ask(server.path, "status") == {"asked": "status"}


def test_a_client_that_goes_away_is_nobody_s_trouble(server: ControlServer) -> None:
    for _ in range(MAX_CLIENTS - 2):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(server.path))
            connection.sendall(b'{"protocol": 1, "comm')
    assert ask(server.path, "status") == {"asked": "status"}


def test_clients_that_say_nothing_do_not_keep_others_out_for_ever(server: ControlServer) -> None:
    with ExitStack() as silent:
        for _ in range(MAX_CLIENTS):
            connection = silent.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(server.path))
            connection.sendall(b'{"protocol": 1, "command": "status"}\n')
            assert connection.recv(1000)
        with pytest.raises(ControlError, match="at most 16 clients at once"):
            ask(server.path, "status")

    def answers() -> bool:
        with suppress(ControlError):
            return bool(ask(server.path, "status"))
        return False

    wait_for(answers, "the places of clients that have gone")


def test_only_the_owner_and_the_group_may_ask(server: ControlServer) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o660
    assert server.path.parent.stat().st_mode & 0o777 == 0o700
    python = shutil.which("python3", path="/usr/bin:/bin")
    if os.geteuid() != 0 or python is None:
        pytest.skip("needs root to be somebody else, and a Python that everybody may run")
    server.path.parent.chmod(0o755)  # as systemd's RuntimeDirectory= is
    for parent in server.path.parents[1:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(server.path)!r})"
    for group, told in ((65534, "PermissionError"), (os.getegid(), "")):
        done = subprocess.run(
            [python, "-c", code], user=65534, group=group, extra_groups=[], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert told in done.stderr
        assert bool(told) == bool(done.stderr)


def test_a_socket_left_behind_is_replaced_and_a_living_one_is_not(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # closed without being removed, as after a kill
    with ControlServer(path, answer):
        assert ask(path, "status")
        with pytest.raises(ControlError, match="another daemon with this log is running") as refusal:
            ControlServer(path, answer).__enter__()
        assert refusal.value.reason == "already_running"
        assert ask(path, "status")
    assert not path.exists()


def test_folders_and_paths_that_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="too long for a socket, at most 107 bytes"):
        ControlServer(tmp_path / ("x" * 120), answer).__enter__()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ControlError, match="must belong to this user"):
        ControlServer(tmp_path / "open" / "s", answer).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(ControlError, match="the control socket cannot be made: "):
        ControlServer(tmp_path / "file" / "s", answer).__enter__()


def test_clients_say_what_to_do(path: Path) -> None:
    with pytest.raises(ControlError, match="no daemon listens here; start it with `systemctl start"):
        ask(path, "status")


@pytest.mark.parametrize("line", [b"", b"hello\n", b"{}\n", b'{"ok": false}\n'])
def test_a_stranger_on_the_socket_is_told_apart(path: Path, line: bytes) -> None:
    path.parent.mkdir()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(line)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with pytest.raises(ControlError, match="not as the daemon does"):
            ask(path, "status")
        thread.join()


@pytest.mark.parametrize(("given_by_root", "believed"), [(False, False), (True, True)])
def test_a_stranger_s_daemon_is_not_believed(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch, given_by_root: bool, believed: bool
) -> None:
    monkeypatch.setattr(protocol.Peer, "of", lambda connection: protocol.Peer(1, 65534))
    monkeypatch.setattr("edge.daemon.client._is_given_by_root", lambda folder: given_by_root)
    if os.geteuid() == 0:
        os.chown(server.path.parent, 65534, -1)
    elif believed:
        pytest.skip("needs root to give a folder away")
    if believed:
        assert ask(server.path, "status") == {"asked": "status"}
        return
    with pytest.raises(ControlError, match="user 65534 listens here, neither this user nor") as refusal:
        ask(server.path, "status")
    assert refusal.value.reason == "stranger"


def test_folders_that_only_root_can_have_put_there(tmp_path: Path) -> None:
    assert _is_given_by_root(Path("/run/blastcount"))
    assert not _is_given_by_root(Path("/tmp/blastcount-0-abc"))


def test_a_daemon_that_does_not_answer(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(
            ControlError, match=r"no answer to status within 0\.05 s; see `journalctl"
        ) as late:
            ask(path, "status", timeout_s=0.05)
        assert late.value.reason == "hung"


def test_where_the_socket_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(protocol, "SYSTEM_RUNTIME", tmp_path / "system")
    monkeypatch.setattr("edge.daemon.client.SYSTEM_RUNTIME", tmp_path / "system")
    one, other = socket_path(Path("/a/blood.db")), socket_path(Path("/b/blood.db"))
    assert one != other
    assert one.parent.parent == tmp_path / "blastcount"
    # A person's shell finds the service's socket, unless a daemon of that person's own is there.
    assert find_socket(Path("/a/blood.db")) == one
    # Whose the service's log is does not change with whether it runs.
    monkeypatch.setattr("edge.daemon.client.SYSTEM_STATE", Path("/a"))
    assert find_socket(Path("/a/blood.db")) == tmp_path / "system/control.sock"
    monkeypatch.setattr("edge.daemon.client.SYSTEM_STATE", Path("/var/lib/none"))
    (tmp_path / "system").mkdir()
    (tmp_path / "system/control.sock").touch()
    assert find_socket(Path("/a/blood.db")) == tmp_path / "system/control.sock"
    one.parent.mkdir(parents=True)
    one.touch()
    assert find_socket(Path("/a/blood.db")) == one
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    bare = runtime_folder(Path("/a/blood.db"))
    assert bare.parent == Path("/tmp")
    assert bare.name == f"blastcount-{os.geteuid()}-{one.parent.name}"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/blastcount:/run/other")
    assert runtime_folder(Path("/a/blood.db")) == Path("/run/blastcount")


def test_requests_decode() -> None:
    commands: list[Callable[[], str]] = [
        lambda command=command: decode_request(json.dumps({"protocol": 1, "command": command}).encode())[0]
        for command in protocol.COMMANDS
    ]
    assert [decode() for decode in commands] == list(protocol.COMMANDS)
