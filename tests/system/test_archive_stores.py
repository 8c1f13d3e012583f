"""Archives on OpenSSH's server and in a bucket of S3: the rows are those of the folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.archive.conftest import rows, write_archive
from tests.system.conftest import free_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: Debian's place of what only root starts.
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
#: The tiny network's bundle.
MODEL = Path(__file__).parent.parent / "edge" / "data" / "tiny"


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    write_archive(tmp_path / "fields")
    return tmp_path / "fields"


def keygen(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def sftp(fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """OpenSSH's server with the archive, which knows a key in the home of who asks."""
    if SSHD is None or os.geteuid() != 0:
        pytest.skip("needs root and sshd: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    home, port = tmp_path / "home", free_port()
    keygen(home / ".ssh" / "id_ed25519")
    keygen(tmp_path / "server" / "key")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/server/key\n"
        f"AuthorizedKeysFile {home}/.ssh/id_ed25519.pub\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    public = (tmp_path / "server" / "key.pub").read_text()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    monkeypatch.setenv("HOME", str(home))
    with subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"]) as server:
        wait_for(lambda: answers(port), "sshd")
        yield f"sftp://root@127.0.0.1:{port}{fields}"
        server.terminate()


@pytest.fixture
def s3(fields: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the archive, on a server that speaks S3."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "anna"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    bucket = s3fs.S3FileSystem()
    bucket.mkdir("bucket")
    bucket.put(f"{fields}/", "bucket/fields", recursive=True)
    yield "s3://bucket/fields"
    server.stop()


def counted(path: str, out: Path) -> tuple[list[list[dict[str, Any]]], str]:
    """The tables, and what is said of what failed."""
    command = [sys.executable, "-m", "edge.cli", "archive", path, "--model", MODEL, "--out", out]
    done = subprocess.run([*command, "--workers", "1", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # one of the files is damaged
    return [rows(out, table) for table in ("fields", "cells", "failures")], done.stderr


@pytest.mark.parametrize("store", ["sftp", "s3"])
def test_the_rows_are_those_of_the_folder(
    store: str, request: pytest.FixtureRequest, fields: Path, tmp_path: Path
) -> None:
    address = request.getfixturevalue(store)
    shown = address.replace("root@", "")
    plain, said = counted(str(fields), tmp_path / "plain")
    stored, also_said = counted(address, tmp_path / "stored")
    assert also_said.replace(shown, str(fields)) == said
    assert [len(table) for table in stored] == [8, len(plain[1]), 2]
    for row in (*stored[2], *plain[2]):
        del row["stamp"]  # of which each store has its own
    for table, expected in zip(stored, plain, strict=True):
        same = [
            {
                name: value.replace(shown, str(fields)) if isinstance(value, str) else value
                for name, value in row.items()
            }
            for row in table
        ]
        assert same == expected
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge.cli",
            "archive",
            f"{address}/none",
            "--model",
            MODEL,
            "--out",
            tmp_path / "no",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"blastcount: error: {shown}/none: ")
    assert done.stderr.count("\n") == 1
