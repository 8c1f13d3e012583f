"""Sharing out: whole folders, the same batches for the same files, few others for a new folder."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from edge.archive.plan import Batch, each_once, pieces, plan
from edge.archive.store import StoredFile
from edge.counting.folder import to_look_at


def files(folder: str, number: int) -> list[StoredFile]:
    return [StoredFile(f"/data/{folder}/f{n}.jpg", f"{n} 1", is_drawn=False) for n in range(number)]


def cohort(samples: int, each: int = 20) -> list[StoredFile]:
    return [file for sample in range(samples) for file in files(f"S-{sample:04d}", each)]


def test_every_file_is_in_one_batch_and_a_folder_in_one() -> None:
    batches = plan(cohort(200))
    assert [file for batch in batches for file in batch.files] == cohort(200)
    assert all(100 <= len(batch.files) <= 300 for batch in batches[:-1])
    folders = [folder for batch in batches for folder in {file.folder for file in batch.files}]
    assert len(folders) == len(set(folders)) == 200
    assert not any(batch.looks for batch in batches)


def test_a_large_folder_is_cut_evenly_and_looked_at_as_a_whole() -> None:
    batches = plan([*files("a", 10), *files("large", 700), *files("b", 10)])
    assert [len(batch.files) for batch in batches] == [10, 233, 233, 234, 10]
    assert [batch.looks for batch in batches[:1] + batches[4:]] == [(), ()]
    expected = to_look_at(Path(file.source) for file in files("large", 700))
    assert len(expected) == 64
    for batch in batches[1:4]:
        assert [file.key for file in batch.looks] == expected


@pytest.mark.parametrize("new", ["S-0000-b", "S-0050-b", "S-0199-b"])
def test_a_new_folder_changes_the_batches_beside_it_only(new: str) -> None:
    before = cohort(200)
    after = sorted([*before, *files(new, 20)], key=lambda file: file.folder)
    old, now = ({batch.key("p") for batch in plan(given)} for given in (before, after))
    assert len(now - old) <= 4
    assert len(old) > 15


def test_the_key_tells_files_looks_and_what_counts_apart() -> None:
    one = Batch(tuple(files("a", 2)))
    touched = msgspec.structs.replace(one.files[1], stamp="9 9")
    others = [
        Batch(tuple(files("a", 2)), looks=tuple(files("a", 1))),
        Batch((one.files[0], touched)),
        Batch((one.files[1], one.files[0])),
        Batch((one.files[0],)),
        Batch((msgspec.structs.replace(one.files[0], is_drawn=True), one.files[1])),
    ]
    assert len({batch.key("p") for batch in [one, *others]} | {one.key("q")}) == 7
    elsewhere = msgspec.structs.replace(one.files[0], root="s3://anna:secret@bucket", place="x")
    assert Batch((elsewhere, one.files[1])).key("p") == one.key("p")


def test_what_is_given_twice_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    given = [StoredFile(str(tmp_path / name / "f.jpg"), "1 1", is_drawn=False) for name in ("a", "b", "a")]
    assert each_once(given) == given[:1]
    assert each_once(cohort(3)) == cohort(3)


def uncut(given: list[Batch]) -> list[StoredFile]:
    return [file for piece in given for file in piece.files]


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("each", [7, 30, 65, 150, 700])
def test_pieces_are_the_files_of_their_batches_and_no_folder_lacks_its_look(workers: int, each: int) -> None:
    batches = plan(cohort(2000 // each, each))
    left = 2000 // each * each
    for batch in batches:
        cut = pieces(batch, left, workers)
        assert uncut(cut) == list(batch.files)
        by_folder = {name: list(files) for name, files in groupby(batch.files, lambda file: file.folder)}
        for piece in cut:
            if piece.looks:
                (folder,) = {file.folder for file in piece.files}
                whole = files(folder.rpartition("/")[2], each)
                assert [file.key for file in piece.looks] == to_look_at(file.key for file in whole)
            else:
                assert all(set(by_folder[file.folder]) <= set(piece.files) for file in piece.files)
        left -= len(batch.files)


def test_batches_are_cut_where_the_rest_is_too_little_for_all_workers() -> None:
    (batch,) = plan(cohort(9, 20), least=180)
    assert pieces(batch, 100_000, 2) == pieces(batch, 720, 2) == pieces(batch, 180, 1) == [batch]
    assert [len(piece.files) for piece in pieces(batch, 400, 2)] == [100, 80]
    assert [len(piece.files) for piece in pieces(batch, 180, 2)] == [60, 40, 20, 20, 20, 20]
    assert [len(piece.files) for piece in pieces(batch, 180, 20)] == [20] * 9
    assert [len(piece.files) for piece in pieces(batch, 180, 400)] == [60] * 3  # no faster than the client
    (large,) = plan(files("large", 100))
    sizes = [len(piece.files) for piece in pieces(large, 100, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], min(sizes[:-1])) == (25, 10)
    (small,) = plan(files("small", 20))
    assert pieces(small, 20, 8) == [small]
