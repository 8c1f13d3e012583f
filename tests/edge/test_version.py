"""The version that log rows name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from edge import version as version_module
from edge.version import software_version


def test_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "version", lambda name: {"blastcount": "1.2.3"}[name])
    assert software_version() == "1.2.3"


def test_a_source_folder_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version_module, "version", missing)
    assert software_version() == "uninstalled"
