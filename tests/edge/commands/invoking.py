"""Running commands in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge import cli


def blastcount(*arguments: object) -> Result:
    """What a command prints and its exit code; a traceback is the test's failure."""
    return CliRunner().invoke(cli.main, list(map(str, arguments)), catch_exceptions=False)


class CountCommand:
    """Runs ``blastcount count`` with the tiny model; a folder with a rendered field lies ready."""

    def __init__(self, model: Path, folder: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model, self.folder, self.config = model, folder, config
        self.field = folder / "rendered_0001.jpg"
        self.monkeypatch = monkeypatch

    def configure(self, toml: str) -> None:
        self.config.write_text(toml)
        self.monkeypatch.setenv("BLASTCOUNT_CONFIG", str(self.config))

    def __call__(self, *arguments: str | Path) -> Result:
        return blastcount("count", "--model", self.model, *arguments)

    def records(self, *arguments: str | Path) -> list[dict[str, Any]]:
        result = self("--json", *arguments)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]
