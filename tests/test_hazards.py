"""Whatever docs/hazards.md says is proved by a test has that test, and in a whole run it ran."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAST_ROWS = 25


@cache
def named_tests(file: str) -> frozenset[str]:
    """Names of the test functions of a module."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_row_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= LEAST_ROWS
    for row in rows:
        assert len(row) == 6, row
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[5])
        assert named, row[1]
        assert len(named) == row[5].count("`") // 2, row[5]
        for file, name in named:
            assert name in named_tests(file), f"{file}::{name}"


RUN = """
import pytest
from tests.conftest import Proof

class Two(Proof):
    def __init__(self):
        super().__init__(slow=False)
        assert len(self.open) > 100
        assert not any(name.startswith("tests/system/") for name in self.open)
        self.open = {"test_two.py::test_one", "test_two.py::test_other"}

raise SystemExit(pytest.main(["-p", "no:cacheprovider", "-q", "test_two.py"], plugins=[Two()]))
"""


@pytest.mark.parametrize(
    ("other", "code"), [("assert n", 0), ("pytest.skip('no device')", 1)], ids=["passed", "skipped"]
)
def test_a_whole_run_fails_where_a_proof_was_skipped(tmp_path: Path, other: str, code: int) -> None:
    (tmp_path / "test_two.py").write_text(
        f"import pytest\ndef test_one(): pass\n"
        f"@pytest.mark.parametrize('n', [1, 2])\ndef test_other(n): {other}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert ("NOT PROVED  test_two.py::test_other: " in done.stdout) == (code == 1)
    assert "test_one:" not in done.stdout
