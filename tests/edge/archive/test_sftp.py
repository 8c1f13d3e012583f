"""SFTP to a host whose key is known, another one's, or nobody's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from edge.archive import store
from edge.archive.store import list_files
from edge.errors import SourceError

KEY = paramiko.ECDSAKey.generate()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host that shows its key, and lets nobody in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    store._opened.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(KEY)
            # Who does not know the key hangs up, at any moment.
            with suppress(OSError, EOFError, paramiko.SSHException):
                transport.start_server(server=paramiko.ServerInterface())
                transport.join(30)
            transport.close()

        serving = threading.Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        serving.join()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "not found in known_hosts; sign in with ssh to 127.0.0.1 once"),
        (paramiko.ECDSAKey.generate(), "host key of 127.0.0.1 is not that of known_hosts"),
        (KEY, "uthentication failed"),
    ],
)
def test_only_a_known_host_is_asked(
    host: str, tmp_path: Path, known: paramiko.PKey | None, said: str
) -> None:
    if known is not None:
        name, _, port = host.partition(":")
        line = f"[{name}]:{port} {known.get_name()} {known.get_base64()}\n"
        (tmp_path / ".ssh" / "known_hosts").write_text(line)
    with pytest.raises(SourceError, match=rf"sftp://{host}/fields: cannot be opened: .*{said}"):
        list_files(f"sftp://anna:secret@{host}/fields")
