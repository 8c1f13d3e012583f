"""Altered fields: where things go, what is still found, and that a loss is noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.rendered import RenderedField, RenderSettings, render_field
from training.evaluation.alterations import ALTERATIONS, Alteration
from training.evaluation.robustness import MarkedField, Robustness, rendered_fields, robustness

SMALL = RenderSettings(width=900, height=700, um_per_px=0.15)


@pytest.fixture(scope="module")
def fields() -> list[MarkedField]:
    return list(rendered_fields(2, SMALL))


@pytest.fixture(scope="module")
def field() -> RenderedField:
    return render_field(1, SMALL)


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=[a.name for a in ALTERATIONS])
def test_boxes_go_where_the_pixels_go(alteration: Alteration, field: RenderedField) -> None:
    """A cell's own box, altered, still holds its nucleus: the stain's centre stays in the middle of it."""
    cell = next(c for c in field.cells if c.kind == "blast" and not c.touches_border)
    marked = np.full_like(field.image, 200)
    marked[field.nucleus_labels == cell.id] = 50
    height, width = marked.shape[:2]
    image = alteration.image(marked, SMALL.um_per_px)
    x, y, w, h = alteration.box((*map(float, cell.bbox),), width, height)  # type: ignore[arg-type]
    dark = np.argwhere(image[..., 1].astype(int) < 0.5 * alteration.gains[1] * 200)
    assert image.shape[0] * image.shape[1] == pytest.approx(height * width * alteration.zoom**2, rel=0.01)
    assert dark.shape[0] == pytest.approx(cell.nucleus_area_px * alteration.zoom**2, rel=0.1)
    assert (dark >= (y - 1, x - 1)).all()
    assert (dark <= (y + h + 1, x + w + 1)).all()


def test_rendered_fields_hold_against_every_alteration(fields: list[MarkedField]) -> None:
    results = robustness(fields)
    assert [r.name for r in results] == [a.name for a in ALTERATIONS]
    assert sum(r.marked for r in results) > 100
    assert [r.name for r in results if not r.held] == []


@pytest.mark.parametrize(
    "harm",
    [
        Alteration("far out of focus", defocus_um=4.0),
        Alteration("lamp off", gains=(0.002, 0.002, 0.002)),
        Alteration("no colour left of the stain", gains=(1.0, 60.0, 1.0)),
    ],
    ids=lambda a: a.name,
)
def test_what_destroys_the_cells_is_not_held(fields: list[MarkedField], harm: Alteration) -> None:
    (result,) = robustness(fields, [harm])
    assert result.hits_before > 0
    assert result.drop > 0.02
    assert not result.held


def test_scales_out_of_range_are_left_out(fields: list[MarkedField]) -> None:
    (result,) = robustness(fields, [Alteration("far too fine", zoom=4.0)])
    assert (result.fields, result.marked, result.drop) == (0, 0, 0.0)


def test_a_changed_count_is_held_against_what_only_moves() -> None:
    assert Robustness("turned", 10, 50, 49, 49, 10, moves_only=True).held
    assert not Robustness("turned", 10, 50, 49, 49, 9, moves_only=True).held
    assert Robustness("JPEG", 10, 50, 49, 49, 9, moves_only=False).held
    assert not Robustness("JPEG", 10, 50, 50, 48, 10, moves_only=False).held


def test_command_prints_json(fields: list[MarkedField], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.cli.rendered_fields", lambda number: fields[:number])
    printed = CliRunner().invoke(main, ["evaluate", "robustness", "--rendered", "1", "--json"])
    assert printed.exit_code == 0, printed.stderr
    document = json.loads(printed.stdout)
    assert [a["name"] for a in document["sources"][0]["alterations"]] == [a.name for a in ALTERATIONS]


def test_command_says_no_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Robustness("mirrored", 1, 10, 10, 5, 0, moves_only=True)
    monkeypatch.setattr("training.evaluation.cli.robustness", lambda *_, **__: [lost])
    result = CliRunner().invoke(main, ["evaluate", "robustness", "--rendered", "1"])
    assert result.exit_code == 4
    assert "| rendered | mirrored | 1 | 10/10 | 5/10 | 50.0 ! | 0/1 |" in result.stdout
    assert "exclamation mark" in result.stderr


def test_command_needs_something_to_alter() -> None:
    result = CliRunner().invoke(main, ["evaluate", "robustness"])
    assert result.exit_code == 2
    assert "give --truth FOLDER or --rendered N" in result.stderr
