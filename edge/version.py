"""The version of this software, as every log row names it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software_version() -> str:
    """Give the installed version; ``uninstalled`` where the package runs from its source folder alone."""
    try:
        return version("blastcount")
    except PackageNotFoundError:
        return "uninstalled"
