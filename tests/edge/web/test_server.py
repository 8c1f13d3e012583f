"""The real command in a process of its own: addresses, floods, ends, and the daemon beside it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.bloodlog import BloodLog
from edge.web.child import ReviewChild
from tests.edge.web.conftest import SMALL, Clinic, append_field, log_clinic
from tests.waiting import PATIENCE_S, wait_for


class Server:
    """``blastcount`` in a process of its own."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.folder = folder
        left_out = ("BLASTCOUNT_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM")
        self.environment = {key: value for key, value in os.environ.items() if key not in left_out} | {
            "PYTHONPATH": str(repository),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.processes: list[subprocess.Popen[str]] = []
        self.port = 0

    def run(self, *arguments: object, **streams: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge.cli", *map(str, arguments)]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **streams)
        self.processes.append(process)
        return process

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start the page on a free port and wait until it can be asked."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.run("review", "--port", 0, *arguments, **pipes)
        assert process.stdout is not None
        found = re.fullmatch(r"review page: http://[^\s0]\S+:([0-9]+)/\n", process.stdout.readline())
        if found is None:
            pytest.fail(process.communicate(timeout=PATIENCE_S)[1])
        self.port = int(found[1])
        return process

    def ask(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def server(repository: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server(repository, tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The small clinic on a page that all tests of this module may ask."""
    folder = tmp_path_factory.mktemp("served")
    made = Server(repository, folder)
    made.start("--log", log_clinic(folder, SMALL).setup.log_path)
    yield made
    made.end()


def test_it_serves_until_it_is_told_to_stop(server: Server) -> None:
    process = server.start("--log", server.folder / "new.db")
    assert server.ask("/")[0] == 200
    assert server.ask("/", Host="evil.example")[0] == 421
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert "review page at http://127.0.0.1:" in errors
    assert "refused 127.0.0.1: unknown host name" in errors
    assert not (server.folder / "new.db").exists()


def test_with_a_token_on_a_network_address_nothing_is_readable_without_it(
    server: Server, clinic: Clinic
) -> None:
    made = server.run("review", "--new-token", "token", stdout=subprocess.PIPE)
    assert re.fullmatch(r"[0-9a-f]{32}\n", made.communicate(timeout=PATIENCE_S)[0])
    server.start("--host", "0.0.0.0", "--token-file", "token", "--log", clinic.setup.log_path)
    for path in ("/", "/samples/1", "/samples/1/cells", "/pictures/1", "/live"):
        status, body = server.ask(path, Accept="text/html")
        assert status == 302
        assert b"S-1" not in body
    assert server.ask("/login")[0] == 200


def test_a_port_that_is_in_use_is_named(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # A name that has an IPv6 address, too, is one address all the same.
        process = server.run("review", "--host", "localhost", "--port", port, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in errors
    assert errors.count("\n") == 1


RAW = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"POST /observer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /observer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /observer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET / ",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


def test_what_is_no_request_is_refused(served: Server) -> None:
    for raw in RAW:
        with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65536)
            except ConnectionError:
                answer = b""
        assert not re.search(b"S-1|root:|Traceback", answer), raw[:40]
        assert not answer or re.match(rb"HTTP/1\.[01] (4|5)", answer), (raw[:40], answer[:60])
    assert served.ask("/")[0] == 200


def test_it_is_small(served: Server) -> None:
    """Below 60 MB after all pages were asked for; tensorflow, OpenCV and the interpreter are not in it."""
    sample = [f"/samples/1{page}" for page in ("", "/cells", "/fields/1", "/observers")]
    for path in 5 * ("/", "/live", "/pictures/1/1", *sample):
        assert served.ask(path)[0] == 200, path
    running = psutil.Process(served.processes[0].pid)
    # For other versions: 66.7 MB with Python 3.13 and NumPy 2.4.
    assert running.memory_info().rss < 60e6 * 1.15
    mapped = {Path(part.path).name for part in running.memory_maps()}
    assert not [name for name in mapped if re.search("cv2|tensorflow|litert|tflite", name)]


def flood(port: int, requests: int, answers: Counter[bytes]) -> None:
    """Ask on one connection as fast as it goes, fifty at a time, from another address of this machine."""
    request = b"GET /samples/1/fields HTTP/1.1\r\nHost: localhost\r\n\r\n"
    source = {"timeout": PATIENCE_S, "source_address": ("127.0.0.2", 0)}
    with socket.create_connection(("127.0.0.1", port), **source) as connection:
        stream = connection.makefile("rb")
        for _ in range(requests // 50):
            connection.sendall(50 * request)
            for _ in range(50):
                answers[stream.readline().split()[1]] += 1
                length = 0
                while (line := stream.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                stream.read(length)


def test_a_flood_is_refused_and_logged_and_the_page_and_the_count_go_on(
    server: Server, clinic: Clinic
) -> None:
    process = server.start("--log", clinic.setup.log_path)
    answers: Counter[bytes] = Counter()
    threads = [threading.Thread(target=flood, args=(server.port, 150, answers)) for _ in range(6)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    counted = 0
    with BloodLog.open(clinic.setup.log_path) as log:
        while not counted or any(thread.is_alive() for thread in threads):
            append_field(log)  # what the daemon does
            assert server.ask("/live/state")[0] == 200  # what a person's browser does
            counted += 1
            time.sleep(0.2)
        assert log.count() == 2 + counted
    took_s = time.monotonic() - began
    # 60 pages at once, then 10 a second; the rest is refused at once.
    assert answers.total() == 900
    assert answers[b"200"] <= 60 + 10 * took_s + 1
    assert answers[b"429"] == 900 - answers[b"200"]
    process.terminate()
    errors = process.communicate(timeout=PATIENCE_S)[1]
    told = [int(n) for n in re.findall(r"refused 127\.0\.0\.2: too many requests, ([0-9]+) times", errors)]
    # Where the machine is so busy that ten a second is all it answers, there is nothing to refuse.
    first = errors.count("refused 127.0.0.2: too many requests\n")
    assert sum(told) + first == answers[b"429"]
    # A line every ten seconds, and one at the end.
    assert len(told) <= took_s / 10 + 2


def unused_port() -> int:
    """A port that nobody is given who asks the system for any, so that nothing takes it before the daemon."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def is_served(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S):
            return True
    except OSError:
        return False


def test_the_daemon_brings_the_page_and_takes_it_along(server: Server, tiny_model: Path) -> None:
    server.port = port = unused_port()
    config = server.folder / "blastcount.toml"
    config.write_text(
        f'[model]\npath = "{tiny_model}"\n'
        '[camera]\nsource = "rendered"\nwidth = 640\nheight = 480\ninterval_s = 0.2\n'
        f'[log]\npath = "blood.db"\n[review]\nwith_daemon = true\nport = {port}\n'
    )
    messages = server.folder / "messages"  # they would fill a pipe
    with messages.open("w") as told:
        daemon = server.run("run", "--config", config, stdout=told, stderr=told)
    wait_for(lambda: is_served(port) or daemon.poll() is not None)
    assert daemon.poll() is None, messages.read_text()
    wait_for(lambda: b"Sharpness" in server.ask("/live/state")[1])
    # Asked again where the questions before it were too many.
    wait_for(lambda: server.ask("/live/picture")[1].startswith(b"\xff\xd8"))
    (page,) = psutil.Process(daemon.pid).children()
    # A page that dies comes back, and the count does not care.
    page.kill()
    wait_for(lambda: page.pid not in [child.pid for child in psutil.Process(daemon.pid).children()])
    wait_for(lambda: is_served(port))
    # A daemon that is killed takes its page along.
    daemon.kill()
    wait_for(lambda: not is_served(port))
    with BloodLog.open(server.folder / "blood.db", read_only=True) as log:
        assert log.count() >= 2


def test_a_page_that_cannot_be_configured_is_not_started_again_and_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(server.folder)
    for key in ("PYTHONPATH", "XDG_STATE_HOME"):
        monkeypatch.setenv(key, server.environment[key])
    with ReviewChild(["--config", "absent.toml"]):
        wait_for(lambda: "cannot be served (exit code 3)" in caplog.text)
    assert caplog.text.count("exit code") == 1


def test_the_page_is_served_without_opencv() -> None:
    """It would be 20 MB more in memory, beside the daemon, which has its own."""
    code = "import sys; import edge.commands.review; sys.exit('cv2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
