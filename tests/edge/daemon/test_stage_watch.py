"""The stage moves, rests, is focused and returns; nothing else makes it count."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from edge.daemon.stage import PATIENCE_PREVIEWS, REST_PREVIEWS, StageReport, StageWatcher
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import UInt8Image

SETTINGS = RenderSettings(width=428, height=342, um_per_px=0.4)
SLIDE = Slide(4, SETTINGS)


RNG = np.random.default_rng(1)


@cache
def strip(slide: Slide) -> UInt8Image:
    """A stretch of the slide, drawn once for all places on it: drawing takes longer than what is tested."""
    return Slide(4, replace(slide.settings, width=2 * slide.settings.width)).view().image


def preview(slide: Slide, x_um: float, defocus_um: float) -> UInt8Image:
    """What a camera shows of a place, with its noise."""
    left, width = round(x_um / slide.settings.um_per_px), slide.settings.width
    seen = strip(slide)[:, left : left + width]
    if defocus_um:
        seen = cv2.GaussianBlur(seen, (0, 0), 0.8 * abs(defocus_um))
    return cv2.add(seen, RNG.integers(0, 3, seen.shape, np.uint8))


def watch(watcher: StageWatcher, views: list[tuple[float, float]], slide: Slide = SLIDE) -> list[StageReport]:
    return [watcher.update(preview(slide, *view)) for view in views]


def at(x_um: float, defocus_um: float = 0.0) -> tuple[float, float]:
    return x_um, defocus_um


def test_a_resting_stage_is_ready_once_and_again_only_elsewhere() -> None:
    watcher = StageWatcher()
    reports = watch(watcher, [at(0.0)] * (REST_PREVIEWS + 2))
    assert [r.state for r in reports[:2]] == ["moving", "settling"]
    assert [r.ready for r in reports] == [False] * REST_PREVIEWS + [True, True]
    watcher.counted()
    assert not any(r.ready for r in watch(watcher, [at(0.0)] * 10))
    assert not any(r.ready for r in watch(watcher, [at(x) for x in (20.0, 40.0, 60.0, 80.0, 100.0)]))
    assert watch(watcher, [at(100.0)] * (REST_PREVIEWS + 1))[-1].ready


def test_a_nudge_within_the_field_is_no_new_place() -> None:
    watcher = StageWatcher()
    watch(watcher, [at(0.0)] * 6)
    watcher.counted()
    assert not any(r.ready for r in watch(watcher, [at(8.0)] * 8))
    assert watch(watcher, [at(40.0)] * 6)[-1].ready


def test_a_slow_drift_is_motion() -> None:
    watcher = StageWatcher()
    reports = watch(watcher, [at(0.8 * i) for i in range(20)])  # two pixels a preview
    assert not any(r.ready for r in reports)


def test_it_waits_for_the_best_focus() -> None:
    watcher = StageWatcher()
    through_focus = [4.0, 3.0, 2.0, 1.0, 0.0, 0.0, -1.0, -2.0, -2.0, -2.0]
    reports = watch(watcher, [at(0.0, z) for z in through_focus])
    assert not any(r.ready for r in reports[6:])
    assert not reports[-1].sharp
    assert watch(watcher, [at(0.0, 0.0)] * 2)[-1].ready
    # Who stays out of focus is taken at his word in the end; the quality gate has its own.
    stubborn = watch(watcher, [at(0.0, 3.0)] * PATIENCE_PREVIEWS)
    assert not stubborn[-2].ready
    assert stubborn[-1].ready


def test_a_flickering_lamp_is_no_motion() -> None:
    watcher = StageWatcher()
    reports = []
    for shot in range(12):
        seen = preview(SLIDE, 0.0, 0.0) * (0.9 + 0.05 * (-1) ** shot)
        reports.append(watcher.update(seen.astype(np.uint8)))
    assert all(r.state == "settled" for r in reports[REST_PREVIEWS:])
    assert all(r.ready for r in reports[REST_PREVIEWS:])


def test_blank_slide_says_nothing_about_motion() -> None:
    empty = Slide(4, RenderSettings(428, 342, 0.4, population=Population.only()))
    reports = watch(StageWatcher(), [at(0.0)] * 8, empty)
    assert {r.state for r in reports} == {"blank"}
    assert not any(r.ready for r in reports)


def test_one_white_cell_alone_is_enough() -> None:
    few = Slide(4, RenderSettings(428, 342, 0.4, population=Population.only(blast=120.0)))
    assert few.view().truth_counts()["wbc_whole"] in (1, 2)
    assert watch(StageWatcher(), [at(0.0)] * 6, few)[-1].ready


def test_another_preview_size_or_a_reset_starts_anew() -> None:
    watcher = StageWatcher()
    watch(watcher, [at(0.0)] * 6)
    watcher.counted()
    large = Slide(4, RenderSettings(500, 400, 0.35))
    assert watch(watcher, [at(0.0)] * 6, large)[-1].ready
    watch(watcher, [at(0.0)] * 6)
    watcher.counted()
    watcher.reset()
    assert watch(watcher, [at(0.0)] * 6)[-1].ready


def test_noise_alone_never_rests() -> None:
    rng = np.random.default_rng(1)
    watcher = StageWatcher()
    for _ in range(8):
        report = watcher.update(rng.integers(0, 255, (342, 428, 3), dtype=np.uint8))
        assert not report.ready
