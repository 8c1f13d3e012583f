"""Whatever docs/hazards.md says is proved by a test has that test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

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
