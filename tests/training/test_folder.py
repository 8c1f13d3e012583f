from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import OutputError
from training.report import folder

FILES = ("a.txt", "b.txt")


def write(out: Path, text: str, *, force: bool = False) -> None:
    with folder.written_whole(out, FILES, force=force) as new:
        (new / "a.txt").write_text(text, encoding="ascii")


def test_folder_appears_with_its_parents_and_leaves_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write(out, "1")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["a.txt"]


def test_earlier_results_stay_unless_forced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "1")
    with pytest.raises(OutputError, match=r"out: holds earlier results \(a\.txt\); --force replaces them"):
        write(out, "2")
    assert (out / "a.txt").read_text(encoding="ascii") == "1"
    write(out, "2", force=True)
    assert (out / "a.txt").read_text(encoding="ascii") == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_forced_failure_keeps_the_earlier_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "1")
    with pytest.raises(RuntimeError, match="half way"), folder.written_whole(out, FILES, force=True):
        raise RuntimeError("half way")
    assert (out / "a.txt").read_text(encoding="ascii") == "1"


def test_other_things_are_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write(out, "1")  # an empty folder is free
    (out / "thesis.tex").write_text("years", encoding="ascii")
    with pytest.raises(OutputError, match=r"holds thesis\.tex, which this command did not write"):
        write(out, "2", force=True)


def test_file_and_unwritable_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="ascii")
    with pytest.raises(OutputError, match="file: is a file; --out names a folder"):
        folder.check(tmp_path / "file", FILES, force=True)
    with pytest.raises(OutputError, match=r"cannot be written \(File exists\); give another --out"):
        write(tmp_path / "file" / "out", "1")
