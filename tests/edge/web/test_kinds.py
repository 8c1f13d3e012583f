"""Kinds of cells on the page: set by a person, grouped and filtered, and hidden with the program's words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge.bloodlog import BloodLog
from edge.results.texts import LETTERS, TYPE_LETTERS
from edge.structures import CellRef, CellType, ModelIdentity
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.web.conftest import Browser, Clinic, a_field
from tests.edge.web.test_cells import shown

#: Of the third field's cells: a blast, three normal ones, an uncertain one.
PROBABILITIES = (0.9, 0.1, 0.2, 0.05, 0.5)
TYPES: tuple[CellType, ...] = ("lymphocyte", "neutrophil", "other", "neutrophil", "monocyte")


@pytest.fixture
def typed(clinic: Clinic) -> Clinic:
    """The small clinic with one field more, whose cells have types."""
    plain = a_field(3, PROBABILITIES)
    cells = tuple(
        replace(cell, type=kind, p_type=0.875) for cell, kind in zip(plain.cells, TYPES, strict=True)
    )
    with BloodLog.open(clinic.setup.log_path) as log:
        result = replace(plain, cells=cells, type_model=ModelIdentity("types", "b" * 64))
        log.append(result, **PROVENANCE, sample_id=1)
    return clinic


@pytest.fixture
def ani(typed: Clinic) -> Browser:
    return Browser(typed).says_who("Ani")


def test_cells_are_grouped_and_filtered_by_kind(ani: Browser) -> None:
    page = ani.get("/samples/1/cells?field=3&grouped=1").text
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "blast: 1", "neutrophil: 2", "other, look: 1", "uncertain: 1"
    ]  # fmt: skip
    assert shown(ani, "?field=3&grouped=1") == ["3-1", "3-2", "3-4", "3-3", "3-5"]
    assert set(shown(ani, "?kind=neutrophil")) == {"3-2", "3-4"}
    assert shown(ani, "?kind=basophil") == []
    # The own word goes before the program's.
    ani.say("3-2-basophil")
    assert shown(ani, "?kind=basophil") == ["3-2"]
    assert shown(ani, "?show=changed") == ["3-2"]
    assert ani.get("/samples/1/cells?kind=plasma").status_code == 400


def test_without_a_network_a_reader_s_own_kinds_are_grouped(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    assert "kind=" not in browser.get("/samples/1/cells").text
    browser.say("1-3-lymphocyte")
    page = browser.get("/samples/1/cells?grouped=1").text
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "blast: 3", "lymphocyte: 1", "uncertain: 2", "normal: 2"
    ]  # fmt: skip
    assert shown(browser, "?kind=lymphocyte") == ["1-3"]
    assert (
        "kind=" not in Browser(clinic).says_who("Budi").get("/samples/1/cells").text
    )  # another's are not told


def test_a_kind_is_a_word_that_is_undone_like_any_other(ani: Browser, typed: Clinic) -> None:
    answer = ani.say("3-1-erythroblast")
    assert (answer.json["word"], answer.json["own"]) == ("normal", "you: erythroblast")
    assert answer.json["said"] == "Cell 3-1: erythroblast."
    assert typed.words() == [(CellRef(3, 1), "erythroblast", "Ani")]
    undone = ani.script("/samples/1/undo", {"last": answer.json["last"]})
    assert (undone.json["word"], undone.json["own"]) == (None, "not looked at")


def test_agreeing_keeps_the_program_s_kind_where_it_names_one(ani: Browser, typed: Clinic) -> None:
    page = ani.get("/samples/1/cells?field=3").text
    sure = dict(re.findall(r'data-ref="([^"]*)"[^>]*data-sure="([^"]*)"', page))
    assert sure == {"3-1": "blast", "3-2": "neutrophil", "3-3": "normal", "3-4": "neutrophil", "3-5": ""}
    ani.post("/samples/1/agreed", {"refs": " ".join(sure)})
    said = {cell.cell_id: word for cell, word, _observer in typed.words()}
    assert said == {1: "blast", 2: "neutrophil", 3: "normal", 4: "neutrophil"}


def test_no_kind_is_told_to_who_hides_the_program(typed: Clinic) -> None:
    hiding = Browser(typed).says_who("Budi", hide_program="1")
    page = hiding.get("/samples/1/cells").text
    assert "0.88" not in page
    assert "other, look" not in re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "kind=" not in page
    assert hiding.get("/samples/1/cells?kind=neutrophil").status_code == 400
    assert "Differential" not in hiding.get("/samples/1").text
    # What one says oneself is not hidden.
    assert hiding.say("3-2-monocyte").json["own"] == "you: monocyte"


def test_the_result_has_the_differential_where_types_were_named(ani: Browser, typed: Clinic) -> None:
    page = ani.get("/samples/1").text
    assert "Differential of whole white cells" in page
    assert "Program, n = 13" in page
    assert "/cells?kind=other" in page  # what is to be looked at is a click away
    with BloodLog.open(typed.setup.log_path) as log:
        log.change_sample("S-1", "closed")
        log.open_sample("S-2", "blood", 200)
    assert "Differential" not in ani.get("/samples/2").text


def test_a_field_names_the_kinds_of_its_cells_the_own_one_before_the_program_s(ani: Browser) -> None:
    def letters(browser: Browser) -> list[str]:
        return re.findall(r"<text[^>]*>(.)</text>", browser.get("/samples/1/fields/3").text)

    assert letters(ani) == ["B", "P", "O", "P", "U"]
    ani.say("3-2-basophil")
    page = ani.get("/samples/1/fields/3").text
    assert letters(ani) == ["B", "A", "O", "P", "U"]
    assert 'aria-label="Cell 3-2: neutrophil, you: basophil"' in page
    assert 'aria-label="Cell 3-3: other, look"' in page
    assert len(re.findall(r'class="box normal"', page)) == 3  # they have the colour of their class
    ani.post("/observer", {"observer": "Ani", "hide_program": "1"})
    hidden = ani.get("/samples/1/fields/3").text
    assert letters(ani) == []
    assert "neutrophil" not in hidden


def test_the_map_shows_the_cells_of_one_kind(ani: Browser, typed: Clinic) -> None:
    def dots(query: str = "") -> int:
        page = ani.get(f"/samples/1/map{query}").text
        return sum(
            path.count("z") for path in re.findall(r'<path class="dot [a-z]*" d="(M[^"]*\dz)"/>\n', page)
        )

    with BloodLog.open(typed.setup.log_path) as log:
        third = log.field(3)
        assert third is not None
        result = replace(third.result, frame_sha256="e" * 64)
        log.append(result, **PROVENANCE, sample_id=1, overlaps=[(3, 50.0, 20.0)])
    assert "neutrophil 4" in ani.get("/samples/1/map").text
    assert (dots(), dots("?kind=neutrophil"), dots("?kind=basophil")) == (10, 4, 0)
    ani.say("3-2-basophil")
    assert (dots("?kind=neutrophil"), dots("?kind=basophil")) == (3, 1)
    assert ani.get("/samples/1/map?kind=plasma").status_code == 400
    ani.post("/observer", {"observer": "Ani", "hide_program": "1"})
    assert "neutrophil" not in ani.get("/samples/1/map").text
    assert ani.get("/samples/1/map?kind=neutrophil").status_code == 400


def test_without_the_script_the_button_of_normal_cells_says_a_chosen_kind(
    ani: Browser, typed: Clinic
) -> None:
    assert '<noscript><p><label>The button N says <select name="kind">' in ani.get("/samples/1/cells").text
    for word, kind in (("3-2-normal", "basophil"), ("3-3-normal", ""), ("3-4-blast", "basophil")):
        assert ani.post("/samples/1/words", {"word": word, "kind": kind}).status_code == 200
    assert [word for _cell, word, _observer in typed.words()] == ["basophil", "normal", "blast"]
    assert ani.post("/samples/1/words", {"word": "3-2-normal", "kind": "plasma"}).status_code == 400


def test_keys_are_all_different() -> None:
    letters = [*LETTERS.values(), *TYPE_LETTERS.values(), "C", "F"]  # U takes a word back
    assert len(set(letters)) == len(letters)
