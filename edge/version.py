"""Which software this is, as log rows name it: a version for people, and a hash that tells the truth."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).parent
#: Compiled files come and go; models have hashes of their own in their cards, and samples decide nothing.
#: What `import blastcount` gives lies in `api` in a tree, and beside the package where it is installed.
_NO_CODE = frozenset({"__pycache__", "api", "models", "samples"})


@cache
def software_version() -> str:
    """Give the installed version; ``uninstalled`` where the package runs from its source folder alone.

    It is made from git when the package is built, so that a source tree which went on since then names an
    older one; :func:`code_sha256` does not. Read once: reading takes half a millisecond.
    """
    try:
        return version("blastcount")
    except PackageNotFoundError:
        return "uninstalled"


@cache
def code_sha256() -> str:
    """Hash the sources that are installed here: names and content of all modules and data files.

    Computed once a process, in under 10 ms. A process that runs on while its files are replaced goes on
    naming what it was started from, if it asked at its start.
    """
    return folder_sha256(_PACKAGE)


def folder_sha256(folder: Path) -> str:
    """Hash the relative names and the content of a package's files, in the order of their names.

    Parameters
    ----------
    folder : of the package; compiled files, models and samples are passed over
    """
    files: list[tuple[str, str]] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NO_CODE and not name.startswith(".")]
        files += [
            (os.path.relpath(path, folder), path)
            for path in (os.path.join(parent, name) for name in names if not name.startswith("."))  # noqa: PTH118  # Path takes twice as long
        ]
    digest = hashlib.sha256()
    for name, path in sorted(files):
        with open(path, "rb") as file:  # noqa: PTH123  # as above
            content = file.read()
        # The length keeps a name's end and a content's beginning apart.
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
