"""The compact recipe: which cells it learns from, what it makes of them, and three networks in one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.structures import Cell
from training.data.records import CellRecord
from training.recipes import coloured, relative
from training.recipes.coloured import ColouredViews
from training.recipes.relative import SPEC, WEAK_TARGET, Views, kinds, sources


def record(
    lab: str, label: int | None, weak_label: int = 1, camera: str = "c", cell_type: str | None = None
) -> CellRecord:
    cell = Cell(1, 10.0, 10.0, (5, 5, 10, 10), 80, 40, "wbc", touches_border=False)
    origin: Any = "unmarked" if label is None else "xyc"
    return CellRecord("f", cell, lab, camera, "s", "g", weak_label, label, cell_type, origin)


def test_cells_are_drawn_by_what_is_known_of_them() -> None:
    cells = [
        record("all-idb", 1, camera="one"),
        record("all-idb", 1, camera="two"),
        record("all-idb", 0),  # a normal cell of a patient
        record("all-idb", None),  # nobody knows
        record("all-idb", None, weak_label=0),  # a healthy person has no blasts
        record("all-taleqani", None, weak_label=1),
        record("all-taleqani", None, weak_label=0),
        record("bccd", 0, weak_label=0),
        record("bccd", None, weak_label=0),
        record("own", 1),
        record("own", 0),
        record("own", None),  # nobody has a word on it
    ]
    found = {tuple(source.members.tolist()): source.target for source in sources(cells)}
    assert found == {
        (0,): 1.0, (1,): 1.0, (2,): 0.0, (4,): 0.0, (5,): WEAK_TARGET[1], (6,): WEAK_TARGET[0], (7,): 0.0,
        (9,): 1.0, (10,): 0.0,
    }  # fmt: skip


def test_blasts_of_unknown_patients_weigh_a_quarter_of_a_camera() -> None:
    labels = (("all-idb", 1), ("jhu-aml", 1), ("lmu-aml", 1), ("jhu-aml", None))
    cells = [record(lab, label, camera=lab) for lab, label in labels]
    weight = {tuple(source.members.tolist()): source.weight for source in sources(cells)}
    assert weight == {(0,): 2.0, (1,): 2.0, (2,): 0.5}


def test_the_second_head_learns_only_kinds_that_are_known() -> None:
    cells = [
        record("all-idb", 1),
        record("all-idb", 0),
        record("jhu-aml", 1, cell_type="blast"),
        record("jhu-aml", 0, cell_type="neutrophil_band"),
        record("pbc", 0, cell_type="neutrophil"),
        record("jhu-aml", None, cell_type="promyelocyte"),
        record("pbc", 0, cell_type="ig"),
    ]
    blast, *others = kinds(cells).tolist()
    assert others == [-1, blast, 3, 3, -1, 6]
    assert relative.KINDS[blast][0] == "blast"
    named = [cell_type for types in relative.KINDS for cell_type in types]
    assert len(named) == len(set(named))


@pytest.fixture(scope="module")
def views() -> Views:
    """One cell of 12 µm with a nucleus of 8 µm, at the resolution that views are made from."""
    y, x = np.mgrid[:80, :80] - 39.5
    radius_um = np.hypot(x, y) * 30 / 80
    cell, nucleus = (np.where(radius_um < r, 255, 0).astype(np.uint8)[None] for r in (6.0, 4.0))
    rgb = np.full((1, 80, 80, 3), 235, np.uint8)
    rgb[cell > 0] = (200, 180, 210)
    rgb[nucleus > 0] = (110, 70, 150)
    return Views(rgb, cell, nucleus)


def test_views_differ_and_stay_the_same_cell(views: Views) -> None:
    rng = np.random.default_rng(1)
    made = np.stack([views.random(0, rng) for _ in range(60)])
    assert made.shape == (60, SPEC.size_px, SPEC.size_px, 3)
    assert made.dtype == np.uint8
    assert len({view.tobytes() for view in made}) == 60
    um2 = (SPEC.field_of_view_um / SPEC.size_px) ** 2
    for plane, radius_um in ((1, 6.0), (2, 4.0)):
        areas = np.count_nonzero(made[..., plane], axis=(1, 2)) * um2
        # Sizes vary by 7 % a side and outlines by a fraction of a µm; the mean is the cell's own.
        assert areas.mean() == pytest.approx(np.pi * radius_um**2, rel=0.1)
        assert areas.std() > 0.05 * areas.mean()
    # The nucleus's own mean is what density is relative to, whatever the stain.
    inside = [view[..., 0][view[..., 2] > 0].mean() for view in made]
    assert np.allclose(inside, 128, atol=3)


def test_the_network_that_ships_is_the_trained_one_without_norms() -> None:
    rng = np.random.default_rng(2)
    trained = relative.network(48)
    # As after a training: batch norms of their own, and activations that reach their end.
    trained.set_weights([rng.uniform(0.2, 3.0, w.shape) if w.ndim == 1 else w for w in trained.get_weights()])
    crops = rng.integers(0, 256, (6, 48, 48, 3)).astype(np.float32)
    crops[3:] *= np.linspace(0, 1, 48)[None, :, None, None]
    logits = np.asarray(trained(crops, training=False))[:, 0, 0]
    shipped = relative.without_norms(trained, 48)
    p = np.asarray(shipped(crops, training=False))
    assert np.allclose(p.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(np.log(p[:, 1] / p[:, 0]), logits, atol=1e-3)
    assert np.ptp(logits) > 0.01
    assert not any("norm" in layer.name or "drop" in layer.name for layer in shipped.layers)
    assert shipped.count_params() < 2**20  # int8 keeps a byte of each


def test_a_third_of_the_coloured_views_have_no_colour_and_all_where_no_red_cells_are_shown(
    views: Views,
) -> None:
    rng = np.random.default_rng(3)
    seen = ColouredViews(views.rgb, views.cell, views.nucleus, red_cells=np.full((1, 3), 3**-0.5, np.float32))
    made = np.stack([seen.random(0, rng) for _ in range(100)])
    um2 = (SPEC.field_of_view_um / SPEC.size_px) ** 2
    for level, radius_um in ((128, 6.0), (255, 4.0)):
        areas = np.count_nonzero(made[..., 2] >= level, axis=(1, 2)) * um2
        assert areas.mean() == pytest.approx(np.pi * radius_um**2, rel=0.1)
    colourless = np.mean([np.isin(view[..., 1], (0, 128)).all() for view in made])
    assert colourless == pytest.approx(coloured.COLOURLESS, abs=0.15)
    unknown = replace(seen, red_cells=seen.red_cells * np.nan)
    assert np.isin(unknown.random(0, rng)[..., 1], (0, 128)).all()


def test_the_plain_trunk_never_sees_colour_and_the_answer_is_the_mean_of_both() -> None:
    rng = np.random.default_rng(4)
    trunks = coloured.TRUNKS
    trained = relative.network(48, trunks)
    crops = rng.integers(0, 256, (8, 48, 48, 3)).astype(np.float32)
    drawn_from = [relative.Source(1.0, target, np.arange(4)) for target in (0.0, 1.0)]

    class Crops:
        def random(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
            del rng
            return crops[index]

    views: Any = Crops()
    relative._train(trained, views, drawn_from, np.zeros(8, np.int32), 2, rng)
    other = crops.copy()
    other[..., 1] = rng.integers(0, 256, other.shape[:3])
    first, second = (np.asarray(trained(seen, training=False)) for seen in (crops, other))
    plain, with_colour = np.abs(first - second).max(axis=(0, 2))
    assert plain == 0
    assert with_colour > 0
    p = np.asarray(relative.without_norms(trained, 48, trunks)(crops, training=False))
    assert np.allclose(np.log(p[:, 1] / p[:, 0]), first[..., 0].mean(axis=1), atol=1e-3)
