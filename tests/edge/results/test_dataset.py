"""Corrected cells as a data set: it grows, nothing in it doubles, and what nobody called normal is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bloodlog import BloodLog, ReviewLabel
from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import DataSetError, OutputError
from edge.results.dataset import (
    INDEX,
    NO_PICTURE,
    CellReview,
    DatasetCell,
    DatasetField,
    Exported,
    add_fields,
    agreed_label,
    agreed_type,
    export_corrections,
    read_dataset,
)
from edge.results.reading import Reading
from edge.structures import CellRef, CellType
from tests.edge.results.conftest import NAME, WARNED, fill, place, read_all


def export(path: Path, folder: Path, name: str = NAME) -> Exported:
    with BloodLog.open(path, read_only=True) as log:
        sample = log.sample(name)
        return export_corrections(
            Reading.of(log, sample.id), sample, ThumbnailStore.beside(path), folder, "bench-pi"
        )


def labels_of(folder: Path) -> dict[tuple[str, int], str]:
    return {
        (field.frame_sha256[-2:], cell.id): cell.label
        for field in read_dataset(folder).fields
        for cell in field.cells
    }


@pytest.mark.requirement(12)
def test_one_word_on_one_cell_leaves_all_others_unknown(sample_log: Path, tmp_path: Path) -> None:
    """Three cells of the field are called blasts by the program and were looked at by nobody."""
    with BloodLog.open(sample_log) as log:
        log.add_reviews({CellRef(1, 4): "normal"}, "AK")
    assert export(sample_log, tmp_path / "set") == Exported(1, 0, {"normal": 1, "unknown": 8}, {})
    assert labels_of(tmp_path / "set") == {("01", n): "normal" if n == 4 else "unknown" for n in range(1, 10)}


def test_what_is_known_of_a_field_is_in_it(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK", {CellRef(1, 4): "blast", CellRef(1, 1): "not_a_cell"})
    made = export(sample_log, tmp_path / "set")
    # Seven of nine cells of a field count: cell 7 is cut by the edge, cell 9 a smudge.
    assert made == Exported(4, 0, {"blast": 12, "normal": 15, "other": 1, "unknown": 8}, {})
    first = read_dataset(tmp_path / "set").fields[0]
    assert (first.sample, first.specimen, first.device) == (NAME, "blood", "bench-pi")
    assert (first.width, first.height, first.um_per_px, first.scale_source) == (400, 400, 0.2, "configured")
    assert first.provenance["model_sha256"] == "a" * 64
    assert "field_1.jpg" not in (tmp_path / "set" / INDEX).read_text()
    assert first.picture(tmp_path / "set").read_bytes().startswith(b"\xff\xd8")
    assert [field.warnings for field in read_dataset(tmp_path / "set").fields] == [
        WARNED.get(number, ()) for number in range(1, 5)
    ]
    fourth = first.cells[3]
    assert ((fourth.x, fourth.y), fourth.program, fourth.label) == (place(4), "normal", "blast")
    assert [(review.reviewer, review.word) for review in fourth.reviews] == [("AK", "blast")]
    assert [cell.id for cell in first.cells if cell.touches_border] == [7]


def test_a_word_that_was_taken_back_is_unknown_again(sample_log: Path, tmp_path: Path) -> None:
    with BloodLog.open(sample_log) as log:
        log.add_reviews({CellRef(1, 1): "blast"}, "AK")
        export(sample_log, tmp_path / "set")
        log.undo_review("AK", log.sample(NAME).id)
    assert export(sample_log, tmp_path / "set") == Exported(0, 1, {"unknown": 9}, {})
    assert set(labels_of(tmp_path / "set").values()) == {"unknown"}


def test_samples_are_added_and_nothing_doubles(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    export(sample_log, tmp_path / "set")
    with BloodLog.open(sample_log) as log:
        log.change_sample(NAME, "closed")
        # The same four frames, counted into another sample: one field more is new.
        second = log.open_sample("S-0143", "blood", 200)
        fill(log, second.id, fields=5)
        log.add_reviews({CellRef(6, 1): "normal"}, "BT")
        log.add_reviews({CellRef(10, 1): "blast"}, "BT")
    made = export(sample_log, tmp_path / "set", "S-0143")
    assert (made.added, made.updated) == (1, 1)
    fields = read_dataset(tmp_path / "set").fields
    assert [field.sample for field in fields] == [NAME] * 4 + ["S-0143"]
    contested = fields[0].cells[0]
    assert [(review.reviewer, review.word) for review in contested.reviews] == [
        ("AK", "blast"),
        ("BT", "normal"),
    ]
    assert contested.label == "unknown"


@pytest.mark.requirement(12)
def test_people_who_differ_are_both_kept_and_teach_nothing(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    read_all(sample_log, "BT", {CellRef(1, 4): "blast"})
    export(sample_log, tmp_path / "set")
    labels = labels_of(tmp_path / "set")
    assert labels["01", 4] == "unknown"
    assert labels["02", 4] == "normal"


def test_types_are_those_of_people_beside_the_programs(sample_log: Path, tmp_path: Path) -> None:
    with BloodLog.open(sample_log) as log:
        log.add_reviews({CellRef(1, 4): "monocyte", CellRef(1, 5): "lymphocyte"}, "AK")
        log.add_reviews({CellRef(1, 4): "normal", CellRef(1, 5): "neutrophil"}, "BT")
    export(sample_log, tmp_path / "set")
    assert labels_of(tmp_path / "set")["01", 4] == "normal"
    (field,) = read_dataset(tmp_path / "set").fields
    assert [cell.type for cell in field.cells[3:5]] == ["monocyte", msgspec.UNSET]
    # Without types, of people or of a network, nothing of them is written.
    written = (tmp_path / "set" / INDEX).read_text()
    assert (written.count('"type"'), written.count("program_type"), written.count("p_type")) == (1, 0, 0)
    claimed = field.cells[3]
    with pytest.raises(ValueError, match="cell 4 is a basophil, but its reviews make it a monocyte"):
        msgspec.structs.replace(claimed, type="basophil")


def test_an_erythroblast_is_no_normal_cell(tmp_path: Path) -> None:
    words = {
        1: [said("AK", "erythroblast"), said("BT", "normal")],
        2: [said("AK", "erythroblast"), said("BT", "lymphocyte")],
    }
    field = make_field(words)
    assert [cell.label for cell in field.cells] == ["other", "unknown", "unknown"]
    assert [cell.type for cell in field.cells[:2]] == ["erythroblast", msgspec.UNSET]
    # A data set of an earlier version calls both normal; it is read and added to as if it did not.
    add_fields(tmp_path / "set", [(field, b"jpeg")])
    index = tmp_path / "set" / INDEX
    older = index.read_text().replace('"label":"other"', '"label":"normal"')
    index.write_text(older.replace('"label":"unknown"', '"label":"normal"', 1))
    assert read_dataset(tmp_path / "set").fields == (field,)


def test_a_field_that_was_counted_otherwise_is_left_out(tmp_path: Path) -> None:
    field = make_field({1: [said("AK", "blast")]})
    add_fields(tmp_path / "set", [(field, b"jpeg")])
    moved = msgspec.structs.replace(field.cells[0], bbox=(1, 0, 9, 9))
    other = msgspec.structs.replace(field, cells=(moved, *field.cells[1:]))
    assert sum(add_fields(tmp_path / "set", [(other, b"jpeg")]).left_out.values()) == 1
    assert read_dataset(tmp_path / "set").fields == (field,)


def test_a_field_whose_picture_was_removed_is_left_out(sample_log: Path, tmp_path: Path) -> None:
    read_all(sample_log, "AK")
    with BloodLog.open(sample_log) as log:
        sha256 = log.image(1)
    assert sha256 is not None
    ThumbnailStore.beside(sample_log).path(sha256).unlink()
    made = export(sample_log, tmp_path / "set")
    assert (made.added, dict(made.left_out)) == (3, {NO_PICTURE: 7})


def test_what_cannot_be_written_to(sample_log: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no cell of sample S-0142 has a person's word"):
        export(sample_log, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    read_all(sample_log, "AK")
    with pytest.raises(OutputError, match="make it first"):
        export(sample_log, tmp_path / "no" / "set")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").touch()
    with pytest.raises(DataSetError, match=r"holds letter.txt and is no data set"):
        export(sample_log, tmp_path / "notes")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        export(sample_log, tmp_path / "file")


def said(reviewer: str, word: ReviewLabel | None, minute: int = 0) -> CellReview:
    return CellReview(reviewer, word, datetime(2026, 5, 3, 7, minute, tzinfo=UTC))


def make_field(words: dict[int, list[CellReview]], number: int = 1, cells: int = 3) -> DatasetField:
    return DatasetField(
        schema="blastcount.dataset/1",
        frame_sha256=f"{number:064x}",
        picture_sha256=f"{number:064x}",
        width=100,
        height=80,
        um_per_px=0.2,
        scale_source="red_cells",
        sample="S-1",
        specimen="blood",
        device="pi",
        provenance={"row": number},
        cells=tuple(
            DatasetCell(
                id=n,
                x=5.0,
                y=5.0,
                bbox=(0, 0, 9, 9),
                area_px=60,
                kind="wbc",
                touches_border=False,
                seen_before=False,
                program="normal",
                p_blast=0.1,
                label=agreed_label(words.get(n, ())),
                reviews=tuple(words.get(n, ())),
                type=agreed_type(words.get(n, ())),
            )
            for n in range(1, cells + 1)
        ),
    )


#: Everything that may be said of three cells by two people, each word at a moment of its own.
histories = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(("AK", "Sri <b>\u2028")),
        st.sampled_from([*get_args(ReviewLabel), None]),
    ),
    max_size=8,
)


@given(history=histories, cut=st.integers(0, 8))
@settings(max_examples=40)
def test_what_is_read_is_what_was_last_said(
    history: list[tuple[int, str, ReviewLabel | None]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Exported in two parts, in either order, and one of them twice: the data set is the same."""

    def part(moments: range) -> DatasetField:
        last: dict[int, dict[str, CellReview]] = {}
        for moment in moments:
            cell, reviewer, word = history[moment]
            last.setdefault(cell, {})[reviewer] = said(reviewer, word, moment)
        return make_field({cell: [own[who] for who in sorted(own)] for cell, own in last.items()})

    cut = min(cut, len(history))
    first, second, both = (
        part(range(cut)), part(range(cut, len(history))), part(range(len(history)))
    )  # fmt: skip
    for parts in ((first, second), (second, first, second)):
        folder = tmp_path_factory.mktemp("set")
        for field in parts:
            add_fields(folder, [(field, b"jpeg")])
        assert read_dataset(folder).fields == (both,)
    for cell in both.cells:
        words = {word for review in cell.reviews if (word := review.word) is not None}
        # The one way to be normal is that everybody who has a word says so.
        types = words & set(get_args(CellType))
        has_type = bool(words) and words <= {"normal"} | types
        assert (cell.label == "normal") == (has_type and "erythroblast" not in types)
        # So is the one way to be of a type, for those who name one.
        assert ({cell.type} == types) == (has_type and len(types) == 1)
        assert (cell.label == "blast") == (words == {"blast"})


def test_exports_at_once_wait_for_each_other(tmp_path: Path) -> None:
    fields = [make_field({1: [said("AK", "blast")]}, number) for number in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda field: add_fields(tmp_path / "set", [(field, b"jpeg")]), fields))
    assert sorted(read_dataset(tmp_path / "set").fields, key=lambda field: field.frame_sha256) == fields


def test_what_the_first_export_is_writing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / ".blastcount-1-a.part"
    part.touch()
    monkeypatch.setattr("edge.results.dataset.fcntl.flock", lambda *_: part.unlink())  # it is done by then
    added = add_fields(tmp_path, [(make_field({1: [said("AK", "blast")]}), b"jpeg")])
    assert added.added == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda field: field["cells"][0].update(label="normal"),
            "labelled normal, but its reviews make it unknown",
        ),
        (
            lambda field: field["cells"][1].update(label="normal"),
            "labelled normal, but its reviews make it blast",
        ),
        (
            lambda field: field["cells"][1]["reviews"].append(field["cells"][1]["reviews"][0]),
            "two words of one",
        ),
        (lambda field: field["cells"][0].update(id=2), "two cells have one id"),
        (lambda field: field["cells"][0].update(bbox=[95, 0, 9, 9]), "lies outside the field"),
        (lambda field: field["cells"][0].update(lable="blast"), "unknown field `lable`"),
        (lambda field: field["cells"][0].pop("label"), "missing required field `label`"),
        (lambda field: field["cells"][1]["reviews"][0].update(at="2026-05-03T07:00:00"), "timezone"),
        (lambda field: field.update(schema="blastcount.dataset/2"), "schema"),
        (lambda field: field.update(picture_sha256="../../etc/passwd"), "picture_sha256"),
        (lambda field: field.update(picture_sha256="f" * 64), "is missing"),
    ],
)
def test_a_malformed_index_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    add_fields(tmp_path, [(make_field({2: [said("AK", "blast")]}), b"jpeg")])
    index = tmp_path / INDEX
    field = json.loads(index.read_text())
    change(field)
    index.write_text(json.dumps(field))
    with pytest.raises(DataSetError, match=rf"{INDEX}, line 1: .*{message}"):
        read_dataset(tmp_path)


def test_a_field_twice_half_a_line_and_no_data_set_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"not a data set of the form blastcount.dataset/1"):
        read_dataset(tmp_path)
    add_fields(tmp_path, [(make_field({}), b"jpeg")])
    line = (tmp_path / INDEX).read_bytes()
    (tmp_path / INDEX).write_bytes(2 * line)
    with pytest.raises(DataSetError, match="is in it twice"):
        read_dataset(tmp_path)
    (tmp_path / INDEX).write_bytes(line[:-9])
    with pytest.raises(DataSetError, match="line 1: Input data was truncated"):
        read_dataset(tmp_path)
    (tmp_path / INDEX).write_bytes(line.replace(b'"device":"', b'"device":"\xff'))
    with pytest.raises(DataSetError, match=r"line 1: .*codec can't decode"):
        read_dataset(tmp_path)
