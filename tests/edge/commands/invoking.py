"""Running commands in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from edge import cli


def blastcount(*arguments: object) -> Result:
    """What a command prints and its exit code; a traceback is the test's failure."""
    return CliRunner().invoke(cli.main, list(map(str, arguments)), catch_exceptions=False)


class CountCommand:
    """Runs ``blastcount count`` with the tiny model."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, *arguments: str | Path) -> Result:
        return blastcount("count", "--model", self.model, *arguments)

    def records(self, *arguments: str | Path) -> list[dict[str, Any]]:
        result = self("--json", *arguments)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]
