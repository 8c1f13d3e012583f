"""Who signed a package: OpenSSH's signatures of files, made and verified by its own program.

``ssh-keygen -Y`` is on every Raspberry Pi OS; a signature is verified by the code that guards the machine's
door, with nothing of our own and no further package. Form and rules: ssh-keygen(1), ALLOWED SIGNERS.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RuntimeMissingError, UpdateRefusedError

#: A signature that the same key has given to something else, a commit or a letter, is none of a package.
NAMESPACE = "blastcount-update"
_GOOD = re.compile(r'^Good "[^"]*" signature (?:for (?P<name>.+) )?with (?P<key>\S+ key SHA256:\S+)$', re.M)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature was found.

    Attributes
    ----------
    name : as the file of those who may sign has it
    key : kind and fingerprint of the key
    """

    name: str
    key: str

    def __str__(self) -> str:
        """One line for a person and the log."""
        return f"{self.name} ({self.key})"


def verify(content: bytes, signature: bytes, signers: Path) -> Signer:
    """Find out who signed something.

    Parameters
    ----------
    content : what was signed
    signature : as ``ssh-keygen -Y sign`` writes it
    signers : file of those whose signature is believed, in the form of ssh-keygen's ALLOWED SIGNERS

    Raises
    ------
    UpdateRefusedError
        ``altered``: the signature is not one of this content. ``foreign``: it is somebody else's.
    RuntimeMissingError
        There is no ssh-keygen.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        # First whether it fits, whoever made it: what was changed on its way is not a stranger's.
        fits = _ask("check-novalidate", "-n", NAMESPACE, "-s", file, given=content)
        found = _GOOD.search(fits.stdout)
        if "namespace does not match" in fits.stderr:
            raise UpdateRefusedError(
                "the signature was given to something else than a package; ask where this one comes from",
                "foreign",
            )
        if fits.returncode != 0 or found is None:
            raise UpdateRefusedError(
                f"the signature does not fit the manifest ({_last_line(fits)}): one of them was altered; "
                "copy the package again from where it was made",
                "altered",
            )
        named = _ask("find-principals", "-s", file, "-f", signers)
        for name in named.stdout.splitlines() if named.returncode == 0 else ():
            judged = _ask("verify", "-f", signers, "-I", name, "-n", NAMESPACE, "-s", file, given=content)
            good = _GOOD.search(judged.stdout)
            if judged.returncode == 0 and good is not None:
                return Signer(name, good["key"])
    raise UpdateRefusedError(
        f"signed with {found['key']}, whose owner {signers} does not name for packages: a stranger's; "
        "ask where this package comes from",
        "foreign",
    )


def sign(path: Path, key: Path) -> Path:
    """Sign a file; the signature lies beside it.

    Parameters
    ----------
    path : the file
    key : a private key, or the public one of a key that an agent or a security key holds

    Returns
    -------
    the signature's file, ``path`` with ``.sig`` behind it

    Raises
    ------
    UpdateRefusedError
        ``unsigned``: the key cannot sign.
    RuntimeMissingError
        There is no ssh-keygen.
    """
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)  # it would be asked for
    done = _ask("sign", "-f", key, "-n", NAMESPACE, path)
    if done.returncode != 0:
        raise UpdateRefusedError(f"{path}: {key} does not sign it: {_last_line(done)}", "unsigned")
    return signature


def _ask(task: str, *arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    command = ["ssh-keygen", "-Y", task, *map(str, arguments)]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, env=os.environ | {"LC_ALL": "C"}, check=False
        )
    except FileNotFoundError as error:
        raise RuntimeMissingError(
            "ssh-keygen is not installed, which verifies signatures: sudo apt install openssh-client"
        ) from error
    out, said = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, out, said)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
