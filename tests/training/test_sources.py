"""The laboratories' own layouts: what is said of each image, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.errors import DataSetError
from training.data import sources
from training.data.cache import Cache
from training.data.collection import collect
from training.data.records import MATURE_TYPES, Mark
from training.evaluation.truth import read_truth

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a small picture, whatever it shows."""

    def make(name: str, size: tuple[int, int] = (30, 60)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3))
        Image.fromarray(noise.astype(np.uint8)).save(path)
        return path

    return make


def jhu(root: Path, write: Write, rows: list[tuple[str, str, str, str]]) -> None:
    for file, *_ in rows:
        write(f"jhu-aml/{file}")
    lines = ["file,patient,diagnosis,class", *(",".join(row) for row in rows)]
    (root / "jhu-aml" / "cells.csv").write_text("\n".join(lines) + "\n")


def mark_of(root: Path, lab: str) -> dict[str, Mark]:
    return {field.name: field.marks[0] for field in sources.read(root, lab)}


def test_a_patient_of_jhu_aml_is_a_session(tmp_path: Path, write: Write) -> None:
    rows = [
        ("p1/blast_00.jpg", "p1", "AML", "blast"),
        ("p1/monocyte_00.jpg", "p1", "AML", "monocyte"),
        ("p2/blast_00.jpg", "p2", "APL", "blast"),
    ]
    jhu(tmp_path, write, rows)
    fields = sources.read(tmp_path, "jhu-aml")
    assert [(field.name, field.session, field.weak_label) for field in fields] == [
        ("p1/blast_00", "p1", 1), ("p1/monocyte_00", "p1", 1), ("p2/blast_00", "p2", 1),
    ]  # fmt: skip
    assert [(field.marks[0].label, field.marks[0].cell_type) for field in fields] == [
        (1, "blast"), (0, "monocyte"), (1, "blast"),
    ]  # fmt: skip
    # The middle third of 30x60 px.
    assert fields[0].marks[0].box == pytest.approx((10, 20, 10, 20))


@pytest.mark.parametrize("cell_type", ["promyelocyte", "promonocyte", "smudge", "giant_platelet"])
@pytest.mark.parametrize("diagnosis", ["AML", "APL"])
def test_a_cell_that_may_be_leukaemic_has_its_type_and_no_label(
    tmp_path: Path, write: Write, cell_type: str, diagnosis: str
) -> None:
    jhu(tmp_path, write, [("p1/a.jpg", "p1", diagnosis, cell_type)])
    mark = mark_of(tmp_path, "jhu-aml")["p1/a"]
    assert (mark.label, mark.cell_type) == (None, cell_type)


def test_every_mature_type_of_jhu_aml_is_normal() -> None:
    assert len(sources.JHU_LABELS) == 17
    assert {sources.JHU_LABELS[cell_type] for cell_type in MATURE_TYPES} == {0}
    assert [name for name, label in sources.JHU_LABELS.items() if label == 1] == ["blast"]


def test_patients_stay_together_and_neighbours_of_the_labelled_cell_do_not_count(
    tmp_path: Path, draw: Callable[..., Any]
) -> None:
    folder = tmp_path / "jhu-aml"
    rows = ["file,patient,diagnosis,class"]
    for number, patient in enumerate(("p1", "p1", "p2"), start=1):
        drawn = draw(60 + number, blasts=True)
        x, y = drawn.cells[2]
        (folder / patient).mkdir(parents=True, exist_ok=True)
        # The last picture's cell lies 6 µm off the middle: another cell than the one that the class is of.
        off = 30 if patient == "p2" else 0
        picture = drawn.image[y - 82 : y + 82, x - 82 + off : x + 82 + off]
        Image.fromarray(picture).save(folder / patient / f"blast_{number}.png")
        rows.append(f"{patient}/blast_{number}.png,{patient},AML,blast")
    (folder / "cells.csv").write_text("\n".join(rows))
    found = collect(tmp_path, Cache(tmp_path / "cache"))
    groups = {field.name: field.group for field in found.fields.values()}
    assert groups["p1/blast_1"] == groups["p1/blast_2"] != groups["p2/blast_3"]
    labelled = Counter(cell.field for cell in found.cells if cell.usable and cell.label == 1)
    assert labelled == {"jhu-aml/p1/blast_1": 1, "jhu-aml/p1/blast_2": 1}
    assert found.fields["jhu-aml/p2/blast_3"].unmatched_marks == 1


def test_myeloblasts_are_blasts_and_neutrophils_of_nobody_knows_whom(tmp_path: Path, write: Write) -> None:
    write("lmu-aml/myeloblast/M1.jpg")
    write("lmu-aml/neutrophil/N1.jpg")
    fields = {field.name: field for field in sources.read(tmp_path, "lmu-aml")}
    said = {
        name: (field.weak_label, field.marks[0].label, field.marks[0].cell_type)
        for name, field in fields.items()
    }
    assert said == {"myeloblast/M1": (1, 1, "myeloblast"), "neutrophil/N1": (None, 0, "neutrophil")}


def test_pbc_and_its_other_half_are_one_laboratory(tmp_path: Path, write: Write) -> None:
    write("pbc/basophil/B1.jpg")
    write("pbc-half/basophil/B2.jpg")
    assert sources.present(tmp_path) == ("pbc",)
    assert {name: mark.cell_type for name, mark in mark_of(tmp_path, "pbc").items()} == {
        "basophil/B1": "basophil", "basophil/B2": "basophil",
    }  # fmt: skip


def test_only_white_cells_of_raabin_are_marked(tmp_path: Path, write: Write) -> None:
    write("raabin/images/a.jpg", (100, 100))
    (tmp_path / "raabin" / "labels").mkdir()
    (tmp_path / "raabin" / "labels" / "a.txt").write_text(
        "1 0.2 0.2 0.1 0.1\n0 0.5 0.5 0.2 0.2\n2 0.8 0.8 0.1 0.1\n"
    )
    (tmp_path / "raabin" / "classes.txt").write_text("WBC\nRBC\nPlatelet\n")
    (field,) = sources.read(tmp_path, "raabin")
    assert [(mark.label, mark.box) for mark in field.marks] == [(0, pytest.approx((40, 40, 20, 20)))]
    # Classes among which no one is simply a white cell are types of them.
    (tmp_path / "raabin" / "classes.txt").write_text("neutrophil\nbasophil\nmonocyte\n")
    assert [len(truth.boxes or ()) for truth in read_truth(tmp_path / "raabin")[1]] == [3]


def test_nothing_is_learnt_from_lisc(tmp_path: Path, write: Write) -> None:
    write("lisc/baso_train_3.png")
    (field,) = sources.read(tmp_path, "lisc")
    assert (field.weak_label, field.marks) == (0, ())


def jhu_of_unknown_class(root: Path, write: Write) -> None:
    jhu(root, write, [("p1/a.jpg", "p1", "AML", "mystery")])


def jhu_without_columns(root: Path, _write: Write) -> None:
    (root / "jhu-aml").mkdir()
    (root / "jhu-aml" / "cells.csv").write_text("name,kind\na,b\n")


def jhu_without_a_picture(root: Path, _write: Write) -> None:
    (root / "jhu-aml").mkdir()
    (root / "jhu-aml" / "cells.csv").write_text("file,patient,class\np1/a.jpg,p1,blast\n")


@pytest.mark.parametrize(
    ("lab", "make", "message"),
    [
        ("jhu-aml", jhu_of_unknown_class, "class 'mystery'; expected one of blast"),
        ("jhu-aml", jhu_without_columns, "columns file, patient, class"),
        ("jhu-aml", jhu_without_a_picture, "a.jpg: not a readable image"),
        ("lmu-aml", lambda _root, write: write("lmu-aml/lymphocyte/a.jpg"), "unknown type; expected myelo"),
        ("lisc", lambda root, _write: (root / "lisc").mkdir(), "no image of lisc found"),
    ],
)
def test_a_layout_that_is_not_the_laboratorys_is_refused(
    tmp_path: Path, write: Write, lab: str, make: Callable[[Path, Write], object], message: str
) -> None:
    make(tmp_path, write)
    with pytest.raises(DataSetError, match=message):
        sources.read(tmp_path, lab)


def test_the_real_laboratories_are_read_whole(real_data: Path) -> None:
    labs = ("jhu-aml", "lmu-aml", "pbc", "lisc")
    if missing := set(labs) - set(sources.present(real_data)):
        pytest.skip(f"{', '.join(sorted(missing))}: not among the data sets here")
    found = {lab: sources.read(real_data, lab) for lab in labs}
    assert {lab: len(fields) for lab, fields in found.items()} == {
        "jhu-aml": 4528, "lmu-aml": 420, "pbc": 1640, "lisc": 12,
    }  # fmt: skip
    assert len({field.session for field in found["jhu-aml"]}) == 78
    assert len({field.key for fields in found.values() for field in fields}) == 6600
