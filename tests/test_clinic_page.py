"""docs/clinic.md, followed from the first command to the last by somebody who has nothing else."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge import cli
from edge.bloodlog import BloodLog
from edge.counting.tally import clopper_pearson
from edge.structures import CellRef

PAGE = Path(__file__).resolve().parent.parent / "docs" / "clinic.md"
SAMPLES = PAGE.parent.parent / "edge" / "samples"


def commands() -> list[list[str]]:
    lines = re.findall(r"^blastcount (.*)$", PAGE.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_the_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("BLASTCOUNT_CONFIG", raising=False)
    (tmp_path / "pictures").mkdir()
    shutil.copy(SAMPLES / "rendered_0001.jpg", tmp_path / "pictures")
    followed = []
    for words in commands():
        # The second sample stands for another day, and no service runs here.
        if "M-0007" in words or words[0] == "status":
            continue
        if words[:2] == ["sample", "close"]:
            look_at_every_cell(tmp_path / "state" / "blastcount.db")
        result = CliRunner().invoke(cli.main, words)
        assert result.exit_code == 0, (words, result.output)
        followed.append(" ".join(words[:2]))
    assert len(followed) >= 11
    assert (tmp_path / "S-0142.pdf").read_bytes().startswith(b"%PDF-")
    assert "709-6" in (tmp_path / "S-0142.json").read_text()
    assert (tmp_path / "our-cells" / "ALL_IDB1" / "im").is_dir()


def look_at_every_cell(path: Path) -> None:
    with BloodLog.open(path) as log:
        (logged,) = log.fields(log.sample("S-0142").id)
        words = {
            CellRef(logged.id, found.cell.id): found.label if found.label in ("blast", "normal") else "normal"
            for found in logged.result.cells
            if found.cell.kind == "wbc" and not found.cell.touches_border
        }
        assert log.add_reviews(words, "AK") > 5


def test_the_intervals_shown_are_right() -> None:
    text = " ".join(PAGE.read_text().split())
    for k, n in ((40, 200), (4, 20)):
        low, high = (f"{100 * limit:.1f} %" for limit in clopper_pearson(k, n))
        assert f"between {low} and {high}" in text


def test_what_it_says_is_what_the_page_lists() -> None:
    from edge.i18n import catalogue

    texts = catalogue("en").texts
    for key, begin in (
        ("count_on", "Count on"),
        ("clear", "Clear of 20 % already"),
        ("quota_open", "Quota reached"),
    ):
        assert texts[f"stop.{key}"].replace("{line}", "20 %").startswith(begin)
        assert f"| {begin}" in PAGE.read_text()
