"""The version that log rows name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from edge import version as version_module
from edge.version import folder_sha256, software_version


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


def test_the_code_s_hash_is_of_names_and_content(tmp_path: Path) -> None:
    def hashed(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return folder_sha256(folder)

    first = hashed(a="x", b__c="y")
    assert hashed(a="x", b__c="y") == first
    others = [hashed(a="xy", b__c=""), hashed(a="x", b__d="y"), hashed(a="x"), hashed(a="z", b__c="y")]
    assert len({first, *others}) == 5


def test_compiled_files_models_samples_and_the_api_are_no_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    before = folder_sha256(tmp_path)
    for name in ("__pycache__", "api", "models", "samples", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.pyc").touch()
    assert folder_sha256(tmp_path) == before
