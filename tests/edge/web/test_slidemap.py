"""The slide map: fields where the log says that they lie, cells as dots, and what has no place beside it."""

from __future__ import annotations

import re
from dataclasses import replace

import simplejpeg

from edge.bloodlog import BloodLog
from edge.bloodlog.rows import LoggedField
from edge.structures import Cell, ClassifiedCell
from edge.web.slidemap import _once, _Part, places
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.web.conftest import Browser, Clinic, a_field

Overlap = tuple[int, float, float]


def logged(
    number: int, stage_um: tuple[float, float] | None = None, overlaps: tuple[Overlap, ...] = ()
) -> LoggedField:
    result = replace(a_field(number, ()), stage_um=stage_um)
    return LoggedField(number, None, 0.0, None, "file", "", "", "", result, overlaps=overlaps)  # type: ignore[arg-type]  # no time


def test_fields_are_placed_by_the_mosaic_and_by_each_other() -> None:
    placed = places(
        [
            logged(1, (0.0, 0.0)),
            logged(2),
            logged(3, None, ((2, 10.0, 5.0),)),
            logged(4, (50.0, -20.0), ((1, 50.0, -20.0),)),
            logged(5),
        ]
    )
    assert placed == {1: (0, 0, 0), 2: (2, 0, 0), 3: (2, 10, 5), 4: (0, 50, -20), 5: (5, 0, 0)}


def test_a_field_that_overlaps_two_groups_makes_them_one() -> None:
    apart = [logged(1, (0.0, 0.0)), logged(2), logged(3, None, ((2, 10.0, 5.0),))]
    joined = places([*apart, logged(4, (100.0, 0.0), ((1, 100.0, 0.0), (3, -30.0, 0.0)))])
    assert joined == {1: (0, 0, 0), 4: (0, 100, 0), 3: (0, 130, 0), 2: (0, 120, -5)}
    # Also where the overlap with the other group is the better one, and none has a place on the mosaic.
    late = places([*apart, logged(4, None, ((3, -30.0, 0.0), (1, 100.0, 0.0))), logged(5, (0.0, 9.0))])
    assert late == joined | {5: (0, 0, 9)}
    # An overlap with a field that is none of the sample's counted ones says nothing.
    assert places([logged(7, None, ((3, 1.0, 1.0),))]) == {7: (7, 0, 0)}


def log_fields(clinic: Clinic) -> None:
    """Two fields 60 µm apart: the first cuts a cell that the second shows whole, and one that none does."""

    def cell(number: int, x: int, y: int, *, cut: bool = False) -> ClassifiedCell:
        found = Cell(number, x + 20.0, y + 20.0, (x, y, 40, 40), 1250, 800, "wbc", touches_border=cut)
        return ClassifiedCell(found, "blast", 0.9)

    with BloodLog.open(clinic.setup.log_path) as log:
        image = log.image(1)
        first = replace(a_field(3, ()), cells=(cell(1, 1160, 500, cut=True), cell(2, 1160, 100, cut=True)))
        third = log.append(first, **PROVENANCE, sample_id=1, image_sha256=image)
        second = replace(a_field(4, ()), cells=(cell(1, 660, 500), cell(2, 300, 300)))
        moved_um = 500 * second.scale.um_per_px
        log.append(second, **PROVENANCE, sample_id=1, image_sha256=image, overlaps=[(third, moved_um, 0.0)])


def dots(page: str, name: str) -> int:
    (path,) = re.findall(rf'<path class="dot {name}" d="(M[^"]*z)"/>\n', page) or [""]
    return path.count("M")


def test_the_map_shows_what_hangs_together_and_lists_the_rest(browser: Browser, clinic: Clinic) -> None:
    assert "No two fields show the same place" in browser.get("/samples/1/map").text
    log_fields(clinic)
    page = browser.get("/samples/1/map").text
    assert re.findall(r'class="place" href="/samples/1/fields/(\d+)"', page) == ["3", "4"]
    assert re.findall(r'<a href="/samples/1/fields/(\d+)"><img[^>]+src="/pictures/(\d+)/small"', page) == [
        ("1", "1"),
        ("2", "2"),
    ]
    assert "Field 4: white cells 2, blasts among them 2" in page
    # The cut cell that the other field shows whole is one dot, not two.
    assert (dots(page, "blast"), dots(page, "border"), dots(page, "normal")) == (2, 1, 0)
    # A person's word changes the dot; what is no cell has none.
    browser.says_who("Ani")
    browser.say("4-1-normal")
    browser.say("4-2-not_a_cell")
    page = browser.get("/samples/1/map").text
    assert (dots(page, "blast"), dots(page, "normal")) == (0, 1)
    assert "Field 4: white cells 2, blasts among them 0" in page
    # Who hides what the program says sees cells without a class.
    browser.says_who("Budi", hide_program="1")
    page = browser.get("/samples/1/map").text
    assert (dots(page, "none"), dots(page, "blast")) == (2, 0)
    assert "blast" not in page.partition("<main")[2].partition("</main>")[0].replace('"dot blast"', "")


def test_pictures_of_the_map_are_small(browser: Browser) -> None:
    answer = browser.get("/pictures/1/small")
    assert answer.mimetype == "image/jpeg"
    height, width, *_ = simplejpeg.decode_jpeg_header(answer.data)
    assert (height, width) == (263, 263)  # 7/8 of 300: the least that is no shorter than 240 px
    assert browser.get("/pictures/9/small").status_code == 404


def test_a_cell_that_several_fields_cut_is_one_ring() -> None:
    """Three fields show a side of one cell; a neighbour that one of them cuts, too, is another."""
    left, right, below = (0.0, 0.0, 6.0, 10.0), (5.0, 0.0, 10.0, 10.0), (0.0, 7.0, 10.0, 11.0)
    beside = (9.8, 0.0, 18.0, 10.0)
    parts = [
        _Part(field, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, *box)
        for field, box in ((1, left), (2, right), (3, below), (1, beside))
    ]
    assert sorted(_once(parts)) == [(3.0, 5.0), (13.9, 5.0)]
    assert _once([]) == []
