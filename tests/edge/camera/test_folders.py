"""What a path given by a person stands for, and what is left out of a folder, by kind."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from edge.camera.folders import OUTPUT_SUFFIXES, find, find_files, left_out_line
from edge.errors import SourceError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(folder: Path, **options: bool) -> list[str]:
    return [str(file.relative_to(folder)) for file in find(folder, **options).files]


def test_a_folder_is_listed_as_people_count(tmp_path: Path) -> None:
    make(tmp_path, "f10.png", "f2.JPG", "F1.tif", "f2.png", "f.bmp", "f3.jfif", "f4.jpe")
    assert names(tmp_path) == ["F1.tif", "f2.JPG", "f2.png", "f3.jfif", "f4.jpe", "f10.png", "f.bmp"]


def test_subfolders_come_after_the_files_beside_them(tmp_path: Path) -> None:
    make(tmp_path, "s10/f1.png", "s2/f10.png", "s2/f9.png", "s2/deep/f1.png", "z.png", "s3.png/a.png")
    whole = ["z.png", "s2/f9.png", "s2/f10.png", "s2/deep/f1.png", "s3.png/a.png", "s10/f1.png"]
    assert names(tmp_path) == whole
    assert find_files(tmp_path) == [tmp_path / name for name in whole]
    assert names(tmp_path, recursive=False) == ["z.png"]
    assert find(tmp_path, recursive=False).folders == {"subfolder": 3}


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    stored = f"ab/{'ab' * 32}.jpg"
    make(
        tmp_path,
        "f1.png",
        "v.avi",
        "f1.truth.json",
        "notes.TXT",
        "a/b.heic",
        "c.heic",
        "README",
        "a. long name, no suffix",
    )
    make(tmp_path, ".hidden.png", "._f1.png", ".git/x.png", "@eaDir/f1.png", "sub/$RECYCLE.BIN/f.jpg")
    make(tmp_path, *(f"out/f1{suffix}" for suffix in OUTPUT_SUFFIXES), f"pictures/{stored}")
    # Not what the log stores, although named alike.
    make(tmp_path, f"{'ab' * 32}.jpg")
    found = find(tmp_path)
    assert [file.name for file in found.files] == [f"{'ab' * 32}.jpg", "f1.png", "v.avi"]
    assert found.left_out == {
        ".txt": 1, ".heic": 2, "without a suffix": 2, "hidden": 2, "written by this program": 4,
    }  # fmt: skip
    assert found.folders == {"hidden subfolder": 3}
    # A file is itself whatever its folder would leave out.
    assert find(tmp_path / ".hidden.png").files == [tmp_path / ".hidden.png"]


def test_a_sum_of_many_kinds_stays_one_line() -> None:
    kinds = Counter({f".{n}": 100 - n for n in range(20)})
    line = left_out_line(kinds, Counter())
    assert line is not None
    assert line.startswith("1810 files left out: 100 .0, 99 .1, ")
    assert line.endswith(f"93 .7, {1810 - sum(range(93, 101))} of other kinds")
    assert left_out_line(Counter(), Counter({"subfolder": 0})) is None


def test_links_are_followed_and_none_goes_round(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    make(folder, "f1.png", "sub/f2.png")
    make(elsewhere, "f3.png", "deep/f4.png")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "itself").symlink_to(folder / "sub" / "itself")
    (folder / "other").symlink_to(elsewhere)
    (elsewhere / "deep" / "back").symlink_to(folder)
    found = find(folder)
    assert [file.name for file in found.files] == ["f1.png", "f3.png", "f4.png", "f2.png"]
    assert found.left_out == {"without a suffix": 1}


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("empty", r"no images or videos in this folder$"),
        ("absent", "absent: no such file or folder"),
        ("notes.txt", r"notes.txt: .*; expected one of \.avi, "),
        ("itself.png", "Too many levels of symbolic links"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_path_that_gives_no_file(tmp_path: Path, name: str, named: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "itself.png").symlink_to("itself.png")
    with pytest.raises(SourceError, match=named):
        find(tmp_path / name)


def test_who_needs_files_is_told_that_there_are_none(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt")
    assert find(tmp_path).files == []
    with pytest.raises(SourceError, match="no images or videos in this folder"):
        find_files(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named_and_the_others_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/f1.png", "b/f2.png")
    honest = Path.iterdir

    def refuse(self: Path) -> object:
        if self.name == "a":
            raise PermissionError(13, "Permission denied")
        return honest(self)

    monkeypatch.setattr(Path, "iterdir", refuse)  # the superuser may list everything
    found = find(tmp_path)
    assert [file.name for file in found.files] == ["f2.png"]
    (error,) = found.errors
    assert str(error) == f"{tmp_path / 'a'}: cannot be read: Permission denied"
    with pytest.raises(SourceError, match="a: cannot be read"):
        find_files(tmp_path)


def test_names_of_any_bytes_and_length(tmp_path: Path) -> None:
    longest = "ä" * 125 + "a.png"
    make(tmp_path, longest, os.fsdecode(b"lat\xe4.png"), "new\nline.png", "血液.jpg")
    assert len(os.fsencode(longest)) == 255
    assert len(names(tmp_path)) == 4
