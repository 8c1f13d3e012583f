"""The page of a verification: readers say what cells are, and see nobody's word but their own."""

from __future__ import annotations

import re

from edge.bloodlog import BloodLog
from edge.bloodlog.verifications import DrawnCell, held_words
from edge.structures import CellRef
from tests.edge.web.conftest import Browser, Clinic

DRAWN = [CellRef(2, 4), CellRef(1, 1), CellRef(1, 3)]


def opened(clinic: Clinic) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        cells = [DrawnCell(ref, "blast", 1.0, number == 0) for number, ref in enumerate(DRAWN)]
        log.open_verification("{}", cells)


def held(clinic: Clinic) -> dict[str, dict[int, str]]:
    with clinic.log as log:
        return {reader: dict(own) for reader, own in held_words(log.verified_words(1)).items()}


def test_without_a_verification_it_says_how_one_begins(clinic: Clinic) -> None:
    text = Browser(clinic).get("/verification").text
    assert "blastcount verify open" in text
    assert 'class="gallery"' not in text


def test_a_reader_sees_no_word_but_the_own(clinic: Clinic) -> None:
    opened(clinic)
    first = Browser(clinic).says_who("Ani")
    text = first.get("/verification").text
    # In the order of drawing, without a probability, the program's word, or a way to the field that shows it.
    places = [text.index(f'id="c{ref.field_id}-{ref.cell_id}"') for ref in DRAWN]
    assert places == sorted(places)
    gallery = text[text.index('class="gallery"') : text.index("</form>", text.index('class="gallery"'))]
    assert (
        "/fields/" not in gallery.replace("/fields/2/cells", "").replace("/fields/1/cells", "")
        or "href" not in gallery
    )
    for telling in ("97 %", "0.97", "0,97", 'data-sure="blast"', "p_blast"):
        assert telling not in gallery
    answer = first.script("/verification/words", {"word": "2-4-normal"})
    assert answer.json is not None
    assert (answer.json["word"], answer.json["figure"]) == ("normal", "")
    assert "1 of 3" in answer.json["progress"]
    first.script("/verification/words", {"word": "1-1-lymphocyte"})
    assert held(clinic) == {"Ani": {1: "normal", 2: "lymphocyte"}}
    pressed = re.findall(r'data-word="(\w+)"[^>]*aria-pressed="true"', first.get("/verification").text)
    assert pressed == ["normal", "normal"]  # a type is a normal cell

    second = Browser(clinic).says_who("Budi")
    text = second.get("/verification").text  # the share that is for two
    assert [f'id="c{ref.field_id}-{ref.cell_id}"' in text for ref in DRAWN] == [True, False, False]
    assert 'aria-pressed="true"' not in text
    second.script("/verification/words", {"word": "2-4-blast"})
    assert held(clinic)["Budi"] == {1: "blast"}
    # The samples' own words are as they were.
    assert clinic.words() == []


def test_a_word_is_taken_back_and_nothing_else_is_taken(clinic: Clinic) -> None:
    opened(clinic)
    browser = Browser(clinic).says_who("Ani")
    browser.get("/verification")
    last = browser.script("/verification/words", {"word": "1-3-blast"}).json
    assert last is not None
    assert browser.script("/verification/undo", {"last": last["last"] + 1}).status_code == 409
    undone = browser.script("/verification/undo", {"last": last["last"]}).json
    assert undone is not None
    assert (undone["word"], undone["last"]) == (None, None)
    assert held(clinic) == {"Ani": {}}
    assert browser.script("/verification/words", {"word": "1-2-blast"}).status_code == 404  # not drawn
    assert browser.script("/verification/words", {"word": "1-3-leukaemia"}).status_code == 400
    assert browser.get("/verification?part=none").status_code == 400
    with BloodLog.open(clinic.setup.log_path) as log:
        log.note_verification(1, "abandoned", "{}")
    assert browser.script("/verification/words", {"word": "1-3-blast"}).status_code == 409


def test_without_a_name_nothing_is_said(clinic: Clinic) -> None:
    opened(clinic)
    browser = Browser(clinic)
    browser.get("/verification")
    assert browser.script("/verification/words", {"word": "1-3-blast"}).status_code == 428
    assert held(clinic) == {}
