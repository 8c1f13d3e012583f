"""docs/verify.md can be followed as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.edge.commands.invoking import blastcount
from tests.edge.verification.conftest import read

#: The page is read in a browser, which tests/system does; counting again needs the model that counted.
ELSEWHERE = ("review", "verify again")


def test_the_afternoon_can_be_followed(
    laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^blastcount (.*)$", (repository / "docs" / "verify.md").read_text(), re.MULTILINE)
    followed = [line for line in lines if not line.startswith(ELSEWHERE)]
    assert len(followed) == len(lines) - 2 >= 4
    for line in followed:
        if line.startswith("verify close"):
            read(laboratory)
        done = blastcount(*shlex.split(line))
        assert done.exit_code == 0, (line, done.output)
    assert {path.name for path in tmp_path.glob("verification.*")} == {
        "verification.pdf",
        "verification.html",
        "verification.json",
    }
