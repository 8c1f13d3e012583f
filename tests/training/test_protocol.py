"""The leak-free protocol: whole groups, decisions from other cells, figures with intervals."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from edge.classification.card import Decision
from edge.errors import ConfigError, DataSetError, OutputError
from training.data.cache import Cache
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.protocol import run, statistics
from training.protocol.decision import (
    TEMPERATURES,
    choose,
    cross_entropy,
    even_weights,
    expected_calibration_error,
    fit,
    logit,
    rescale,
    words,
)
from training.protocol.disagreement import COLUMNS, disagreements
from training.protocol.equal import at_equal_sensitivity
from training.protocol.evaluation import Evaluated, evaluate, sections
from training.protocol.figures import of_test
from training.protocol.folds import SCHEMA
from training.protocol.goals import against_goals
from training.protocol.judged import decide_on, judge
from training.protocol.plan import Split, check, joined, plan
from training.report import evaluation as report


@pytest.fixture(scope="module")
def document(evaluated: Evaluated) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(evaluated.document))
    return found


def by_name(document: dict[str, Any]) -> dict[str, Any]:
    return {test["test"]: test for test in document["tests"]}


@pytest.mark.requirement(11)
@pytest.mark.parametrize("labs", [("all-idb",), ("all-idb", "all-taleqani", "bccd")])
def test_no_group_is_on_both_sides(collection: Collection, labs: tuple[str, ...]) -> None:
    splits = plan(collection, labs)
    assert {split.test for split in splits} >= {"scene", "session", "lab:all-taleqani", "lab:bccd"}
    for split in splits:
        sides = [{collection.cells[i].group for i in side} for side in (split.train, split.judged)]
        assert not sides[0] & sides[1]
        inner = {collection.cells[i].group for i in split.inner}
        assert not inner & {collection.cells[i].group for i in split.without_inner}
        assert all(collection.cells[i].usable and collection.cells[i].lab in labs for i in split.train)


def test_every_cell_of_a_grouped_test_is_judged_once(collection: Collection) -> None:
    for test in ("scene", "session"):
        judged = [i for s in plan(collection, ("all-idb",)) if s.test == test for i in s.judged]
        wanted = [
            i for i, cell in enumerate(collection.cells) if cell.lab == "all-idb" and cell.cell.kind == "wbc"
        ]
        assert sorted(judged) == wanted


def test_a_left_out_laboratory_is_not_trained_on(collection: Collection) -> None:
    labs = ("all-idb", "all-taleqani", "bccd")
    split = next(s for s in plan(collection, labs) if s.test == "lab:all-taleqani")
    assert {collection.cells[i].lab for i in split.judged} == {"all-taleqani"}
    assert "all-taleqani" not in {collection.cells[i].lab for i in split.train}


def test_folds_of_all_idb_do_not_depend_on_other_laboratories(collection: Collection) -> None:
    def folds(labs: tuple[str, ...]) -> list[list[str]]:
        return [
            [collection.cells[i].key for i in s.judged if collection.cells[i].lab == "all-idb"]
            for s in plan(collection, labs)
            if s.test == "scene"
        ]

    assert folds(("all-idb",)) == folds(("all-idb", "all-taleqani", "bccd"))


@pytest.mark.requirement(11)
def test_a_leaked_cell_is_refused(collection: Collection) -> None:
    split = next(s for s in plan(collection, ("all-idb",)) if s.test == "scene")
    leaky = dataclasses.replace(split, train=(*split.train, split.judged[0]))
    with pytest.raises(DataSetError, match="is trained on, too; expected whole groups on one side"):
        check(collection.cells, leaky)


def test_a_cell_of_the_same_field_is_refused_for_the_choice_of_the_decision(collection: Collection) -> None:
    split = next(s for s in plan(collection, ("all-idb",)) if s.inner)
    leaky = dataclasses.replace(split, inner=split.inner[1:])
    with pytest.raises(DataSetError, match="is decided on"):
        check(collection.cells, leaky)


def test_groupings_are_joined_over_others() -> None:
    assert joined(["a", "b", "c", "d"], ["x", "x", "y", "y"]) == ["a", "a", "c", "c"]
    assert joined(["a", "b", "b", "c"], ["x", "x", "y", "y"]) == ["a"] * 4


def test_a_decision_keeps_the_wanted_sensitivity_and_share() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(2000) < 0.5).astype(np.int64)
    logits = random.normal(3.0 * (2 * labels - 1), 2.5)
    p = 1 / (1 + np.exp(-logits))
    found = choose(labels, p)
    said = found.calibrated(p)

    def youden(threshold: float) -> float:
        return float((said[labels == 1] >= threshold).mean() + (said[labels == 0] < threshold).mean())

    assert youden(found.threshold) == pytest.approx(max(map(youden, np.linspace(0.01, 0.99, 981))), abs=0.005)
    assert youden(found.threshold) > youden(0.9)
    assert float((words(said, found) == 1).mean()) == pytest.approx(0.08, abs=0.002)
    # These logits are right up to a factor of 3 * 2 / 2.5² = 0.96.
    assert found.temperature == pytest.approx(1 / 0.96, abs=0.15)
    assert found.offset == pytest.approx(0, abs=0.3)


def test_an_offset_is_found_and_the_order_stays() -> None:
    random = np.random.default_rng(3)
    p = random.random(4000)
    labels = (random.random(4000) < p).astype(np.int64)
    # A network that was trained on other shares of the classes: every logit is 1.5 too low.
    low = 1 / (1 + np.exp(-(logit(p) - 1.5)))
    found = choose(labels, low)
    assert found.offset == pytest.approx(1.5, abs=0.15)
    assert expected_calibration_error(labels, found.calibrated(low)) < 0.03
    assert expected_calibration_error(labels, low) > 0.2
    other = choose(labels, p)
    np.testing.assert_array_equal(
        found.calibrated(low) >= found.threshold, other.calibrated(p) >= other.threshold
    )


def test_the_temperature_that_was_put_in_is_found_and_is_the_least_cross_entropy() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    p = 1 / (1 + np.exp(-3 * logits))  # too sure by a factor of 3
    temperature, offset = fit(labels, p)
    assert temperature == pytest.approx(3.0, rel=0.1)
    here = cross_entropy(labels, rescale(p, temperature, offset))
    for changed in ((0.7 * temperature, offset), (1.4 * temperature, offset), (temperature, offset + 0.5)):
        assert cross_entropy(labels, rescale(p, *changed)) > here
    assert expected_calibration_error(labels, p) > 0.1
    assert expected_calibration_error(labels, rescale(p, temperature, offset)) < 0.03


def test_a_perfect_network_is_sharpened_to_the_limit_only() -> None:
    labels = np.array([0, 1] * 20)
    assert fit(labels, labels * 0.98 + 0.01)[0] == pytest.approx(TEMPERATURES[0], rel=0.1)
    assert expected_calibration_error(np.array([1, 0]), np.array([1.0, 0.0])) == 0.0
    assert expected_calibration_error(np.zeros(0, np.int64), np.zeros(0)) == 0.0


def test_probabilities_of_a_world_of_halves_are_right_there_and_wrong_where_blasts_are_rare() -> None:
    random = np.random.default_rng(5)
    p = random.random(40_000)
    labels = (random.random(len(p)) < p).astype(np.int64)
    kept = (labels == 0) | (random.random(len(p)) < 0.1)  # a world with a tenth of the blasts
    labels, p = labels[kept], p[kept]
    assert expected_calibration_error(labels, p, even_weights(labels)) < 0.03
    assert expected_calibration_error(labels, p) > 0.2


def judged_split(p: Sequence[float], cells: Sequence[int], fold: int) -> run.Judged:
    split = Split("scene", fold, (), (), tuple(cells))
    return run.Judged(split, np.array(p, np.float32), np.zeros(0, np.float32))


def test_no_cell_takes_part_in_its_own_decision(collection: Collection) -> None:
    cells = [c for c in collection.cells if c.lab == "all-idb" and c.usable and c.label is not None]
    half = {label: [i for i, c in enumerate(cells) if c.label == label][:6] for label in (0, 1)}
    first, second = half[0][:3] + half[1][:3], half[0][3:] + half[1][3:]
    p_first, p_second = [0.1, 0.2, 0.1, 0.9, 0.8, 0.9], [0.2, 0.4, 0.3, 0.7, 0.6, 0.8]
    found = judge(cells, [judged_split(p_first, first, 0), judged_split(p_second, second, 1)])
    # Other probabilities of the first fold change the second's decision, never its own.
    changed = judge(
        cells, [judged_split([0.3, 0.3, 0.3, 0.5, 0.5, 0.4], first, 0), judged_split(p_second, second, 1)]
    )
    assert found.decisions[0] == changed.decisions[0]
    assert found.decisions[1] != changed.decisions[1]


def test_both_laboratories_weigh_alike_in_a_decision(collection: Collection) -> None:
    """ALL-IDB's cells part at a logit of 1, a hundred times as many of the patients' at -1."""
    rng = np.random.default_rng(4)
    template = next(cell for cell in collection.cells if cell.usable)

    def of(lab: str, n: int, middle: float) -> tuple[list[CellRecord], np.ndarray[Any, Any]]:
        labels = [0, 1] * (n // 2)
        cells = [dataclasses.replace(template, lab=lab, label=label) for label in labels]
        return cells, expit(rng.normal(middle, 0.5, n) + 3 * np.array(labels) - 1.5)

    own, p_own = of("all-idb", 200, 1.0)
    patients, p_patients = of("jhu-aml", 20_000, -1.0)
    p = np.concatenate([p_own, p_patients]).astype(np.float32)
    decision, n = decide_on([*own, *patients], p)
    assert n == 20_200
    between = logit(np.array([decision.threshold]))[0] * decision.temperature - decision.offset
    assert between == pytest.approx(0, abs=0.35)  # of the patients alone it would be -1
    # A laboratory without both classes does not serve.
    alone = decide_on([*own, *[c for c in patients if c.label == 1]], p[: 200 + 10_000])
    assert alone[1] == 200


def test_blasts_of_patients_are_judged_against_mature_cells_and_erythroblasts(
    collection: Collection,
) -> None:
    template = next(cell for cell in collection.cells if cell.usable)
    kinds = [("blast", 1), ("monocyte", 0), ("erythroblast", 0), ("myelocyte", 0), ("promyelocyte", None)]
    cells = [
        dataclasses.replace(template, lab="jhu-aml", label=label, cell_type=kind, group=f"p{n % 4}")
        for n, (kind, label) in enumerate(kinds * 4)
    ]
    p = [0.9, 0.1, 0.2, 0.95, 0.97] * 4
    found = of_test(judge(cells, [judged_split(p, range(len(cells)), 0)]), {})["myeloid"]["jhu-aml"]
    assert found["figures"]["auc"]["value"] == 1.0
    assert found["figures"]["auc"]["n"] == 12
    assert found["figures"]["auc"]["groups"] == 4
    assert found["by_type"]["myelocyte"]["called_blast"]["value"] == 1.0
    assert found["by_type"]["promyelocyte"]["called_blast"]["n"] == 4


def test_designs_are_compared_where_they_find_as_many_blasts(collection: Collection) -> None:
    template = next(cell for cell in collection.cells if cell.usable)
    cells: list[CellRecord] = []

    def fold(test: str, lab: str, kinds: Sequence[tuple[str, int]], p: Sequence[float]) -> run.Judged:
        first = len(cells)
        cells.extend(
            dataclasses.replace(template, lab=lab, label=label, cell_type=kind, group=f"{test} {n}")
            for n, (kind, label) in enumerate(kinds)
        )
        split = Split(test, 0, (), (), tuple(range(first, len(cells))))
        return run.Judged(split, np.array(p, np.float32), np.zeros(0, np.float32))

    # Of ten blasts of each known laboratory one has less than 0.6 in the one, and one less than 0.3 in the
    # other; normal cells, however probable, set no threshold.
    session = [
        fold("session", "all-idb", [("blast", 1)] * 10 + [("lymphocyte", 0)], [0.1, *[0.6] * 9, 0.99]),
        fold("session", "jhu-aml", [("blast", 1)] * 10, [0.2, *[0.3] * 9]),
    ]
    kinds = [("basophil", 0), ("monocyte", 0), ("neutrophil", 0), ("ig", 0)]
    pbc = fold("lab:pbc", "pbc", kinds, [0.31, 0.29, 0.3, 0.9])
    bccd = fold("lab:bccd", "bccd", [("neutrophil", 0)] * 2, [0.1, 0.2])
    lmu = fold("lab:lmu-aml", "lmu-aml", [("myeloblast", 1)] * 4, [0.29, 0.3, 0.4, 0.5])
    found = at_equal_sensitivity(
        cells, {"session": session, "lab:pbc": [pbc], "lab:bccd": [bccd], "lab:lmu-aml": [lmu]}
    )
    assert found is not None
    assert found["threshold"] == pytest.approx(0.3)
    assert (found["called_blast"]["pbc"]["k"], found["called_blast"]["pbc"]["n"]) == (2, 3)  # ig is none
    assert found["basophils_called_blast"]["pbc"]["k"] == 1
    assert found["mean_called_blast"] == pytest.approx((2 / 3 + 0) / 2)
    assert (found["blasts_found"]["lmu-aml"]["k"], found["blasts_found"]["lmu-aml"]["n"]) == (3, 4)
    assert at_equal_sensitivity(cells, {"lab:pbc": [pbc]}) is None


def test_a_camera_is_the_worse_one_only_of_several() -> None:
    def left_out(auc: float) -> dict[str, Any]:
        return {"figures": {"auc": {"value": auc, "ci95": [None, None], "n": 9}}}

    both = {"camera:A": left_out(0.9), "camera:B": left_out(0.95)}
    assert [goal["name"] for goal in against_goals(both)] == ["worse camera left out (A): AUC"]
    del both["camera:A"]
    (alone,) = against_goals(both)
    assert (alone["name"], alone["reached"]) == ("camera left out (B): AUC", True)


def test_the_report_has_every_figure_with_n_and_interval(document: dict[str, Any]) -> None:
    scene = by_name(document)["scene"]
    assert scene["figures"]["sensitivity"]["n"] == scene["figures"]["specificity"]["n"] == 18
    assert scene["figures"]["auc"]["value"] == 1.0
    assert scene["count"]["marked"] == 18
    for goal in document["goals"]:
        assert goal["figure"]["n"] > 0
        assert len(goal["figure"]["ci95"]) == 2
    names = [goal["name"] for goal in document["goals"]]
    assert "bccd left out: mature cells called blast" in names
    assert any("all-taleqani" in name for name in names)
    assert by_name(document)["lab:bccd"]["mature"]["bccd"]["figures"]["called_blast"]["n"] == 6
    assert document["equal_sensitivity"]["called_blast"]["bccd"]["n"] == 6


def test_calls_are_those_that_the_device_corrects_by(document: dict[str, Any]) -> None:
    from edge.results.corrected import KnownErrors

    errors = KnownErrors.of_evaluation(sections(document))
    assert errors is not None
    session = by_name(document)["session"]
    assert (errors.blasts, errors.others) == (18, 18)
    assert errors.blasts_called == session["figures"]["blasts_called_blast"]["k"]
    assert errors.others_called == session["figures"]["normal_called_blast"]["k"]


def test_other_thresholds_are_shown_and_fall_with_the_threshold(document: dict[str, Any]) -> None:
    for test in document["tests"]:
        for kind in set().union(*test["at_thresholds"]) - {"threshold"}:
            shares = [row[kind]["value"] for row in test["at_thresholds"]]
            assert shares == sorted(shares, reverse=True), (test["test"], kind)
    scene = by_name(document)["scene"]["at_thresholds"]
    assert {row["all-idb blasts"]["n"] for row in scene} == {18}
    assert any("bccd mature cells" in row for row in by_name(document)["lab:bccd"]["at_thresholds"])


def test_what_cannot_be_tested_is_named(document: dict[str, Any]) -> None:
    assert any(text.startswith("lab:all-idb:") for text in document["not_tested"])
    assert any(text.startswith("lab:wbc-chula: not in the data folder") for text in document["not_tested"])


def test_pages_show_what_the_json_says(document: dict[str, Any], tmp_path: Path) -> None:
    report.write(document, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == document
    text = (tmp_path / "evaluation.md").read_text()
    for goal in document["goals"]:
        row = f"| {goal['name']} | {'≥' if goal['at_least'] else '≤'} {goal['wanted']:g} | "
        assert row + report.number(goal["figure"]) in text
    changed = json.loads(json.dumps(document))
    changed["goals"][0]["figure"]["value"] = 0.123
    report.write(changed, tmp_path)
    assert (tmp_path / "evaluation.md").read_text() != text


def test_a_killed_run_goes_on_where_it_stopped(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    fresh = dataclasses.replace(collection, cache=_Overlay(collection.cache, tmp_path))
    splits = plan(fresh, ("all-idb",))
    jobs = len(run.jobs_of(splits))
    recipe = by_nucleus()
    recipe.fail_at = 3
    with pytest.raises(KeyboardInterrupt):
        run.run(fresh, recipe, splits, seed=0)
    recipe.fail_at = None
    judged, _ = run.run(fresh, recipe, splits, seed=0)
    assert len(recipe.fits) == jobs
    again, _ = run.run(fresh, recipe, splits, seed=0)
    assert len(recipe.fits) == jobs
    for a, b in zip(judged, again, strict=True):
        assert np.array_equal(a.p_blast, b.p_blast)
    run.run(fresh, recipe, splits, seed=1)
    assert len(recipe.fits) == 2 * jobs


def test_a_clone_goes_on_from_the_folds_that_were_left(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "folds"
    splits = [split for split in plan(collection, ("all-idb",)) if split.test == "session"]
    first = by_nucleus()
    judged, _ = run.run(collection, first, splits, seed=0, folds=folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"session-{fold}-seed0.json" for fold in range(len(splits))]
    # A clone elsewhere has an empty cache.
    elsewhere = dataclasses.replace(collection, cache=_Overlay(collection.cache, tmp_path / "elsewhere"))
    again = by_nucleus()
    found, _ = run.run(elsewhere, again, splits, seed=0, folds=folder)
    assert again.fits == []
    for a, b in zip(judged, found, strict=True):
        assert np.array_equal(a.p_blast, b.p_blast)


def test_a_clone_on_another_processor_goes_on_from_them(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    """It rounds other last digits: places of cells, and single levels of their crops."""
    splits = [split for split in plan(collection, ("all-idb",)) if split.test == "session"]
    run.run(collection, by_nucleus(), splits, seed=0, folds=tmp_path / "folds")
    cells = tuple(
        dataclasses.replace(cell, cell=dataclasses.replace(cell.cell, x=cell.cell.x + 1e-7))
        for cell in collection.cells
    )
    cache = _Overlay(collection.cache, tmp_path / "elsewhere")
    elsewhere = dataclasses.replace(collection, cells=cells, cache=cache)
    again = by_nucleus()
    cut(elsewhere, [cell for cell in cells if cell.cell.kind == "wbc"], again.spec)
    for crop in list(elsewhere.cache.crops[again.spec].values())[::10]:
        crop[20:22, 20, 0] ^= 1
    run.run(elsewhere, again, splits, seed=0, folds=tmp_path / "folds")
    assert again.fits == []


def _of_one_other_crop(collection: Collection, folder: Path) -> Collection:
    first = next(i for i, cell in enumerate(collection.cells) if cell.usable)
    cells = list(collection.cells)
    moved = dataclasses.replace(cells[first].cell, x=cells[first].cell.x + 1)
    cells[first] = dataclasses.replace(cells[first], cell=moved)
    return dataclasses.replace(collection, cells=tuple(cells), cache=_Overlay(collection.cache, folder))


def _of_other_crops(collection: Collection, folder: Path) -> Collection:
    cells = tuple(
        dataclasses.replace(cell, cell=dataclasses.replace(cell.cell, x=cell.cell.x + 1))
        for cell in collection.cells
    )
    return dataclasses.replace(collection, cells=cells, cache=_Overlay(collection.cache, folder))


def _of_another_label(collection: Collection, _folder: Path) -> Collection:
    first = next(i for i, c in enumerate(collection.cells) if c.usable and c.label == 1)
    cells = list(collection.cells)
    cells[first] = dataclasses.replace(cells[first], label=None)
    return dataclasses.replace(collection, cells=tuple(cells))


@pytest.mark.parametrize("other", [_of_one_other_crop, _of_other_crops, _of_another_label])
def test_a_fold_of_other_cells_is_trained_anew(
    collection: Collection, by_nucleus: Any, tmp_path: Path, other: Any
) -> None:
    splits = [split for split in plan(collection, ("all-idb",)) if split.test == "session"]
    run.run(collection, by_nucleus(), splits, seed=0, folds=tmp_path / "folds")
    again = by_nucleus()
    run.run(other(collection, tmp_path / "cache"), again, splits, seed=0, folds=tmp_path / "folds")
    assert len(again.fits) == len(run.jobs_of(splits))


def test_a_damaged_fold_is_trained_anew(collection: Collection, by_nucleus: Any, tmp_path: Path) -> None:
    splits = [split for split in plan(collection, ("all-idb",)) if split.test == "session"][:2]
    run.run(collection, by_nucleus(), splits, seed=0, folds=tmp_path)
    damaged = tmp_path / "session-0-seed0.json"
    damaged.write_text(damaged.read_text()[:100])
    again = by_nucleus()
    run.run(collection, again, splits, seed=0, folds=tmp_path)
    assert len(again.fits) == 1


def test_the_folds_of_the_repository_are_whole(repository: Path) -> None:
    paths = sorted((repository / "training" / "models").glob("*/folds/*.json"))
    assert paths
    for path in paths:
        fold = json.loads(path.read_text())
        assert (fold["schema"], fold["recipe"]) == (SCHEMA, path.parts[-3]), path
        assert path.stem == re.sub(r"[^A-Za-z0-9]+", "-", fold["name"]) + f"-seed{fold['seed']}"
        assert fold["trained_on"] > 0, path
        assert fold["logits"], path
        assert np.isfinite(fold["logits"]).all(), path


def test_folds_that_cannot_be_written_are_named(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    splits = plan(collection, ("all-idb",))[:1]
    with pytest.raises(OutputError, match="give another --folds"):
        run.run(collection, by_nucleus(), splits, seed=0, folds=tmp_path / "file")


def test_only_the_wanted_tests_are_run_and_the_others_are_named(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    document = evaluate(collection, by_nucleus(), folds=tmp_path, tests=("session", "lab:bccd")).document
    assert [test["test"] for test in document["tests"]] == ["session", "lab:bccd"]
    assert {"scene: not run", "lab:all-taleqani: not run"} <= set(document["not_tested"])
    with pytest.raises(ConfigError, match="no test 'lab:nowhere' with this data; expected one of scene"):
        evaluate(collection, by_nucleus(), folds=tmp_path, tests=("lab:nowhere",))


class _Overlay(Cache):
    """Trainings in a folder of their own, segmentations from another cache."""

    def __init__(self, base: Cache, folder: Path) -> None:
        super().__init__(folder)
        self._base = base

    def segmentation(self, image: Path, sha256: str, *scale: Any) -> Any:
        return self._base.segmentation(image, sha256, *scale)


def test_no_network_judges_a_cell_whose_field_it_saw(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    fresh = dataclasses.replace(collection, cache=_Overlay(collection.cache, tmp_path))
    recipe = by_nucleus()
    splits = plan(fresh, recipe.labs)
    jobs = run.jobs_of(splits)
    run.run(fresh, recipe, splits, seed=0)
    for job, seen in zip(jobs, recipe.fits, strict=True):
        fields = {key.rpartition("#")[0] for key in seen}
        assert not fields & {fresh.cells[i].field for i in job.cells}


def test_a_wrong_label_is_listed_with_its_file_and_no_other(
    collection: Collection, by_nucleus: Any, tmp_path: Path
) -> None:
    def listed(of: Collection) -> list[dict[str, Any]]:
        splits = [split for split in plan(of, ("all-idb",)) if split.test == "session"]
        judged, _ = run.run(of, by_nucleus(), splits, seed=0, folds=tmp_path)
        return disagreements(judge(of.cells, judged), of)

    at = next(i for i, c in enumerate(collection.cells) if c.label == 1 and c.usable)
    cells = list(collection.cells)
    cells[at] = dataclasses.replace(cells[at], label=0)
    row, *others = listed(dataclasses.replace(collection, cells=tuple(cells)))
    assert tuple(row) == COLUMNS
    assert (row["file"], row["label"]) == (collection.source(cells[at].field), "normal")
    assert (row["x"], row["y"]) == (round(cells[at].cell.x), round(cells[at].cell.y))
    assert row["p_blast"] > 0.9
    assert not others
    assert not listed(collection)


def test_an_interval_over_groups_is_wider_than_one_over_cells() -> None:
    hits = np.array([True] * 60 + [False] * 20)
    alone = statistics.proportion(hits, [str(i) for i in range(80)])
    grouped = statistics.proportion(hits, [str(i // 20) for i in range(80)])
    assert alone.low is not None
    assert grouped.low is not None
    assert grouped.low < alone.low - 0.1
    assert grouped.groups == 4


def test_a_group_bootstrap_is_never_surer_than_the_exact_interval() -> None:
    found = statistics.proportion(np.ones(20, dtype=bool), [str(i) for i in range(20)])
    assert found.low == pytest.approx(0.8316, abs=1e-4)  # exact, Clopper-Pearson for 20 of 20


def test_auc_agrees_with_scikit_learn_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    labels = (random.random(300) < 0.4).astype(np.int64)
    scores = np.round(random.normal(labels, 1.5), 1)
    assert statistics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert statistics.auc(np.ones(3, np.int64), np.ones(3)) is None


def test_the_interval_of_an_auc_covers_the_truth_about_as_often_as_it_says() -> None:
    """Two normal distributions a distance of 1 apart have an AUC of Phi(1/sqrt 2) = 0.760."""
    covered = 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 60)
        scores = random.normal(labels, 1.0)
        found = statistics.statistic(
            lambda i, labels=labels, scores=scores: statistics.auc(labels[i], scores[i]),
            [str(i) for i in range(120)],
            resamples=300,
        )
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.7602 <= found.high
    assert 21 <= covered <= 25


def test_calibration_error_by_chance_is_above_zero_and_falls_with_n() -> None:
    few, many = (
        statistics.calibration_error_by_chance(np.random.default_rng(0).random(n)) for n in (100, 10_000)
    )
    assert 0.05 < few < 0.15
    assert many < 0.015


def test_without_cells_a_figure_is_none_and_not_zero() -> None:
    assert statistics.proportion(np.zeros(0, dtype=bool), []).value is None
    assert statistics.statistic(lambda _i: 1.0, []).value is None


def test_words_follow_the_device() -> None:
    from edge.classification.classifier import decide

    decision = Decision(0.4, 0.3, 0.55, 1.0)
    p = np.linspace(0, 1, 101)
    names = ("normal", "uncertain", "blast")
    assert [names[word] for word in words(p, decision)] == [decide(float(value), decision) for value in p]
