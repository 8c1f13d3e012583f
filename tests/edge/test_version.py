"""The version that log rows name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

import pytest

from edge import version as version_module
from edge.version import software_version


@pytest.fixture(autouse=True)
def never_asked_before() -> Iterator[None]:
    software_version.cache_clear()
    yield
    software_version.cache_clear()


def test_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "version", lambda name: {"blastcount": "1.2.3"}[name])
    assert software_version() == "1.2.3"


def test_a_source_folder_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version_module, "version", missing)
    assert software_version() == "uninstalled"


def test_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(version_module, "version", lambda name: asked.append(name) or "1.2.3")
    assert {software_version(), software_version()} == {"1.2.3"}
    assert asked == ["blastcount"]
