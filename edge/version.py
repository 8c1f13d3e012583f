"""The version of this software, as every log row names it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def software_version() -> str:
    """Give the installed version; ``uninstalled`` where the package runs from its source folder alone.

    Read once: every field is logged with it, and reading takes half a millisecond.
    """
    try:
        return version("blastcount")
    except PackageNotFoundError:
        return "uninstalled"
