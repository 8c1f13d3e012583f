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
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from edge.bloodlog import BloodLog
from edge.web.child import ReviewChild

if TYPE_CHECKING:
    from conftest import Clinic


class Server:
    """``blastcount review`` in a process."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.folder = folder
        left_out = ("BLASTCOUNT_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM")
        self.environment = {key: value for key, value in os.environ.items() if key not in left_out} | {
            "PYTHONPATH": str(repository),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        (folder / "run").mkdir(mode=0o700)
        self.processes: list[subprocess.Popen[str]] = []
        self.port = 0

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "edge.cli", *map(str, arguments)]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it on a free port and wait until it can be asked."""
        process = subprocess.Popen(
            self.command("review", "--port", 0, *arguments),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"review page: http://\S+:([0-9]+)/\n", line)
        if found is None:
            _, errors = process.communicate(timeout=30)
            pytest.fail(f"{line!r}: {errors}")
        self.port = int(found[1])
        return process

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method, path, body, {key.replace("_", "-"): text for key, text in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def server(repository: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server(repository, tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_told_to_stop(server: Server, clinic: Clinic) -> None:
    process = server.start("--log", clinic.setup.log_path)
    status, page = server.ask("/")
    assert status == 200
    assert b"S-1" in page
    assert server.ask("/pictures/1/1")[1].startswith(b"\xff\xd8")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "review page at http://127.0.0.1:" in errors
    with clinic.log as log:
        assert log.count() == 2


def test_without_a_log_a_sample_can_be_opened_and_the_log_appears(server: Server) -> None:
    server.start("--log", server.folder / "new.db")
    status, page = server.ask("/")
    assert status == 200
    assert b"No sample has been opened yet" in page
    assert not (server.folder / "new.db").exists()


def test_a_forged_host_is_refused_and_logged(server: Server, clinic: Clinic) -> None:
    process = server.start("--log", clinic.setup.log_path)
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        status, body = server.ask("/", Host=host)
        assert status == 421
        assert b"S-1" not in body
    assert server.ask("/", Host=f"localhost:{server.port}")[0] == 200
    process.terminate()
    assert "refused 127.0.0.1: unknown host name" in process.communicate(timeout=10)[1]


def test_a_network_address_needs_a_token(server: Server, clinic: Clinic) -> None:
    ended = subprocess.run(
        server.command("review", "--host", "0.0.0.0", "--log", clinic.setup.log_path),
        cwd=server.folder,
        env=server.environment,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "can be reached from the network and needs review.token_file" in ended.stderr


def test_with_a_token_on_a_network_address_nothing_is_readable_without_it(
    server: Server, clinic: Clinic
) -> None:
    made = subprocess.run(
        server.command("review", "--new-token", "token"),
        cwd=server.folder,
        env=server.environment,
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"[0-9a-f]{32}\n", made.stdout)
    server.start("--host", "0.0.0.0", "--token-file", "token", "--log", clinic.setup.log_path)
    for path in ("/", "/samples/1", "/samples/1/cells", "/pictures/1", "/live"):
        status, body = server.ask(path, Accept="text/html")
        assert status == 302
        assert b"S-1" not in body
    assert server.ask("/login")[0] == 200


def test_a_port_that_is_in_use_is_named(server: Server, clinic: Clinic) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            server.command("review", "--port", port, "--log", clinic.setup.log_path),
            cwd=server.folder,
            env=server.environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in ended.stderr
    assert ended.stderr.count("\n") == 1


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


def test_what_is_no_request_is_refused(server: Server, clinic: Clinic) -> None:
    process = server.start("--log", clinic.setup.log_path)
    for raw in RAW:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65536)
            except ConnectionError:
                answer = b""
        assert b"S-1" not in answer, raw[:40]
        assert b"root:" not in answer
        assert b"Traceback" not in answer
        assert not answer or re.match(rb"HTTP/1\.[01] (4|5)", answer), (raw[:40], answer[:60])
    assert server.ask("/")[0] == 200
    assert process.poll() is None


def flood(port: int, requests: int, answers: Counter[bytes]) -> None:
    """Ask on one connection as fast as it goes, fifty at a time, from another address of this machine."""
    request = b"GET /samples/1/fields HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 30, source_address=("127.0.0.2", 0)) as connection:
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
    server: Server, clinic: Clinic, append_field: Callable[[BloodLog], int]
) -> None:
    process = server.start("--log", clinic.setup.log_path)
    answers: Counter[bytes] = Counter()
    threads = [threading.Thread(target=flood, args=(server.port, 1000, answers)) for _ in range(6)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    counted, slowest_s = 0, 0.0
    with BloodLog.open(clinic.setup.log_path) as log:
        while any(thread.is_alive() for thread in threads):
            before = time.monotonic()
            append_field(log)  # what the daemon does
            assert server.ask("/live/state")[0] == 200  # what a person's browser does
            slowest_s = max(slowest_s, time.monotonic() - before)
            counted += 1
            time.sleep(0.05)
        assert log.count() == 2 + counted
    took_s = time.monotonic() - began
    # 60 pages at once, then 10 a second; the rest is refused at once.
    assert answers.total() == 6000
    assert answers[b"200"] <= 60 + 10 * took_s + 1
    assert answers[b"429"] == 6000 - answers[b"200"]
    assert took_s < 20.0
    assert counted >= 5
    assert slowest_s < 3.0
    process.terminate()
    errors = process.communicate(timeout=10)[1]
    told = [int(n) for n in re.findall(r"refused 127\.0\.0\.2: too many requests, ([0-9]+) times", errors)]
    assert "refused 127.0.0.2: too many requests\n" in errors
    assert sum(told) + 1 == answers[b"429"]
    assert len(told) <= 3


def test_it_is_small(server: Server, clinic: Clinic) -> None:
    """Below 60 MB after all pages were asked for; tensorflow, OpenCV and the interpreter are not in it."""
    process = server.start("--log", clinic.setup.log_path)
    paths = (
        "/",
        "/live",
        "/samples/1",
        "/samples/1/cells",
        "/samples/1/fields/1",
        "/samples/1/observers",
        "/pictures/1/1",
    )
    for _ in range(5):
        assert [server.ask(path)[0] for path in paths] == [200] * len(paths)
    running = psutil.Process(process.pid)
    assert running.memory_info().rss < 60e6 * 1.1  # 10 % for other versions of Python and NumPy
    mapped = {Path(part.path).name for part in running.memory_maps()}
    assert not [name for name in mapped if re.search("cv2|tensorflow|litert|tflite", name)]


def is_served(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_daemon_brings_the_page_and_takes_it_along(
    server: Server, tiny_model: Path, free_port: int
) -> None:
    config = server.folder / "blastcount.toml"
    config.write_text(
        f'[model]\npath = "{tiny_model}"\n'
        '[camera]\nsource = "rendered"\nwidth = 640\nheight = 480\ninterval_s = 0.2\n'
        f'[log]\npath = "blood.db"\n[review]\nwith_daemon = true\nport = {free_port}\n'
    )
    daemon = subprocess.Popen(
        server.command("run", "--config", config),
        cwd=server.folder,
        env=server.environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # or its messages would fill a pipe
    )
    server.processes.append(daemon)
    wait_for(lambda: is_served(free_port) or daemon.poll() is not None)
    server.port = free_port
    wait_for(lambda: b"Sharpness" in server.ask("/live/state")[1])
    assert server.ask("/live/picture")[1].startswith(b"\xff\xd8")
    (page,) = psutil.Process(daemon.pid).children()
    # A page that dies comes back, and the count does not care.
    page.kill()
    wait_for(lambda: page.pid not in [child.pid for child in psutil.Process(daemon.pid).children()])
    wait_for(lambda: is_served(free_port))
    # A daemon that is killed takes its page along.
    (page,) = psutil.Process(daemon.pid).children()
    daemon.kill()
    wait_for(lambda: not is_served(free_port))
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
