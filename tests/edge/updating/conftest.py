"""A device that knows a maker of packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.edge.commands.invoking import blastcount
from tests.edge.updating.packages import INSTALLED, MACHINE, PYTHON, Maker


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("maker") / "known")


@pytest.fixture
def signers(maker: Maker, tmp_path: Path) -> Path:
    file = tmp_path / "update-signers"
    file.write_text(maker.line)
    file.chmod(0o644)
    return file


@pytest.fixture
def device(signers: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Result]:
    """Function by which a device says whether it would take a package."""
    monkeypatch.setattr("edge.commands.update.SIGNERS", signers)
    monkeypatch.setattr("edge.commands.update.software_version", lambda: INSTALLED)
    monkeypatch.setattr("edge.commands.update.platform.machine", lambda: MACHINE)
    monkeypatch.setattr("edge.commands.update._PYTHON", PYTHON)
    return lambda package: blastcount("update", "--verify-only", package)
