"""SFTP to hosts that are known: fsspec's own takes any host for the one that was named."""

from __future__ import annotations

from pathlib import Path

from fsspec.implementations.sftp import SFTPFileSystem
from paramiko import BadHostKeyException, SSHClient, SSHException

#: Where OpenSSH looks for the keys of hosts, beside the ``~/.ssh/known_hosts`` of who asks.
_EVERYBODYS = Path("/etc/ssh/ssh_known_hosts")


class KnownHosts(SFTPFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """fsspec's SFTP, to hosts whose key OpenSSH knows."""

    def _connect(self) -> None:
        """Connect, as fsspec's own does but for the host's key.

        Raises
        ------
        PermissionError
            The host's key is not known or another one, or the host refuses who asks.
        """
        self.client = SSHClient()  # which refuses a host that it has no key of
        self.client.load_system_host_keys()
        if _EVERYBODYS.exists():
            self.client.load_system_host_keys(str(_EVERYBODYS))
        try:
            self.client.connect(self.host, **self.ssh_kwargs)
        except SSHException as error:
            self.client.close()
            if isinstance(error, BadHostKeyException):
                said = f"the host key of {self.host} is not that of known_hosts: it may be another machine"
            else:
                said = str(error)
                if "known_hosts" in said:
                    said += f"; sign in with ssh to {self.host} once"
            raise PermissionError(said) from error
        self.ftp = self.client.open_sftp()
