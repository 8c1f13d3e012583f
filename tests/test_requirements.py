"""Each requirement of docs/requirements.md has tests, and each marked test names one that is there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def marked(source: str) -> dict[str, list[int]]:
    """Numbers of the requirements that a module's tests are marked with, by name of the test.

    Examples
    --------
    >>> marked("@pytest.mark.requirement(2)\\n@other(3)\\ndef test_a(): ...")
    {'test_a': [2]}
    """
    found: dict[str, list[int]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator).startswith("pytest.mark.requirement("):
                    assert isinstance(decorator, ast.Call)
                    found.setdefault(node.name, []).extend(ast.literal_eval(a) for a in decorator.args)
    return found


def test_the_page_has_the_tests_of_every_requirement() -> None:
    """Where this fails, the row that it shows belongs into the page."""
    tests = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, numbers in marked(path.read_text(encoding="utf-8")).items():
            for number in numbers:
                tests[number].append(f"{path.relative_to(ROOT)}::{name}")
    page = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.*) \|$", page, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == sorted(tests) == list(range(1, len(rows) + 1))
    for number, requirement, shown in rows:
        wanted = ", ".join(f"`{test}`" for test in sorted(tests[int(number)]))
        assert shown == wanted, f"| {number} | {requirement} | {wanted} |"
