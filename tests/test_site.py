"""The pages as a site: it builds without a warning, and asks nothing of a network."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
#: What a browser loads by itself, in a page or in a style.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc="(https?:[^"]*)|<link[^>]*\shref="(https?:[^"]*)|"""
    r"""url\(["']?(https?:[^"')]*)|@import\s+["'](https?:[^"']*)"""
)


def build(pages: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Run what ``make site`` runs."""
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", "html"]
    return subprocess.run(
        [*command, str(pages), str(site)], capture_output=True, text=True, check=False, timeout=280
    )


def loaded_from_elsewhere(site: Path) -> list[str]:
    return [
        f"{path.name}: {''.join(found)}"
        for path in sorted(site.rglob("*"))
        if path.suffix in (".html", ".css")
        for found in _LOADED.findall(path.read_text(encoding="utf-8"))
    ]


def test_the_site_has_every_page_and_needs_no_network(tmp_path: Path) -> None:
    built = build(DOCS, tmp_path / "site")
    assert (built.returncode, built.stderr) == (0, "")
    made = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in DOCS.glob("*.md")} <= made
    assert loaded_from_elsewhere(tmp_path / "site") == []


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("[there](nowhere.md)", "nowhere.md"),
        ("[there](other.md#no-such-heading)", "no-such-heading"),
        ("![there](images/none.png)", "images/none.png"),
    ],
)
def test_a_broken_link_is_refused(tmp_path: Path, broken: str, named: str) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    shutil.copy(DOCS / "conf.py", pages)
    (pages / "other.md").write_text("# Other\n")
    (pages / "index.md").write_text(f"# Start\n\n{broken}\n\n```{{toctree}}\nother\n```\n")
    built = build(pages, tmp_path / "site")
    assert built.returncode == 1
    assert named in built.stderr


@pytest.mark.parametrize(
    "text",
    ['<script src="https://x/y.js">', '<link rel="stylesheet" href="https://x/y">', "url(https://x/y)"],
)
def test_what_would_be_loaded_from_elsewhere_is_noticed(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert len(loaded_from_elsewhere(tmp_path)) == 1


def test_the_page_on_architecture_has_every_room_in_the_order_that_lint_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = []
    for name in (
        name.strip().removeprefix("edge.") for layer in reversed(layers) for name in layer.split("|")
    ):
        room = ROOT / "edge" / name
        text = ast.get_docstring(
            ast.parse((room / "__init__.py" if room.is_dir() else room.with_suffix(".py")).read_text())
        )
        assert text is not None
        rows.append((f"`{name}`", text.splitlines()[0].replace("``", "`")))
    page = (DOCS / "architecture.md").read_text()
    assert re.findall(r"^\| (`[a-z0-9]+`) \| (.*) \|$", page, re.MULTILINE) == rows


@pytest.mark.parametrize("name", ["architecture.md", "contributing.md"])
def test_files_that_these_pages_name_are_there(name: str) -> None:
    named = re.findall(r"`([A-Za-z_./]+)`", (DOCS / name).read_text())
    assert len(named) > 3
    for word in named:
        if "/" in word and not word.startswith("out/"):
            assert (ROOT / word).exists(), word
