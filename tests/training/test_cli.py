"""``blastcount train``: every file and figure of a short training, and what is refused before any work."""

from __future__ import annotations

import copy
import csv
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from convert.gate.crops import CALIBRATION_KEYS, PARITY_KEYS, check_apart, read_crops
from edge.errors import ConfigError, DataSetError, GateError, OutputError, RuntimeMissingError
from training import cli
from training.backend import load_keras
from training.data.collection import Collection
from training.protocol.evaluation import Evaluated
from training.recipes.akbar2024 import Akbar2024
from training.recipes.relative import Relative
from training.report import cardpage, results


def train(*arguments: object) -> Result:
    return CliRunner().invoke(cli.train, [str(argument) for argument in arguments])


@pytest.fixture(scope="module", autouse=True)
def _small_recipe(small: Akbar2024) -> Any:
    """Train the small network, and the compact recipe for a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "load", lambda name: small if name == "akbar2024" else Relative(steps=2))
        yield


@pytest.fixture(scope="module")
def trained(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One epoch on the drawn data set, two random splits."""
    out = tmp_path_factory.mktemp("trained") / "akbar"
    return out, train(*options(collection, out), "--splits", 2)


def options(collection: Collection, out: Path) -> tuple[object, ...]:
    return ("--data", collection.root, "--cache", collection.cache.folder, "--out", out, "--epochs", 1)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_training_leaves_every_file_and_nothing_else(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {*results.FILES, *results.PAPER_FILES}
    assert [path.name for path in out.parent.iterdir()] == ["akbar"]


def test_table_stands_beside_the_papers(trained: tuple[Path, Result]) -> None:
    out, result = trained
    with (out / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1"]
    assert (rows[0]["paper_error"], rows[0]["paper_accuracy_percent"]) == ("0.6321", "64.94")
    line = next(line for line in result.stdout.splitlines() if line.startswith("| 1 "))
    assert [float(cell) for cell in line.strip("| ").split("|")] == [float(cell) for cell in rows[0].values()]


def test_results_go_to_stdout_with_intervals_and_leakage(trained: tuple[Path, Result]) -> None:
    out, result = trained
    card = read_json(out / "card.json")
    leakage = card["evaluation"]["leakage"]
    # Every drawn ALL-IDB2 crop is also a point of ALL-IDB1.
    assert leakage["cell_also_in_training"] > 0
    assert leakage["text"] in result.stdout
    assert "Research use only." in result.stdout
    assert "95 % interval" in result.stdout


def test_every_random_split_is_written_and_printed(trained: tuple[Path, Result]) -> None:
    out, result = trained
    with (out / "splits.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    card = read_json(out / "card.json")
    together, held_back = card["evaluation"]["repeated_splits"], card["evaluation"]["held_back"]
    assert [line["seed"] for line in lines] == ["0", "1"]
    assert [str(row["right"]) for row in together["each"]] == [line["right"] for line in lines]
    assert together["each"][0]["right"] == held_back["accuracy"]["k"]
    assert together["accuracy"]["n"] == sum(int(line["test"]) for line in lines)
    assert f"({together['accuracy']['k']}/{together['accuracy']['n']})" in result.stdout
    page = (out / "card.md").read_text("utf-8")
    assert page == cardpage.as_markdown(card)
    assert f"| random splits together, leak | accuracy | {together['accuracy']['value']:.3f}" in page
    for row in together["each"]:
        assert f"| {row['seed']} | {row['accuracy']:.3f} ({row['right']}/{row['test']})" in page
    assert f"Mean error {together['error']:.3f}" in result.stdout


def test_card_says_what_a_reader_must_know(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    card = read_json(out / "card.json")
    assert (card["schema"], card["name"]) == ("blastcount.model/1", "akbar2024")
    assert card["labels"] == ["normal", "blast"]
    assert card["input"] == {"size_px": 32, "field_of_view_um": 24.0, "white_point": 235, "channels": "RGB"}
    assert card["intended_use"].startswith("Research use only.")
    assert any("random split" in limit for limit in card["limits"])
    training, evaluation = card["training"], card["evaluation"]
    assert (training["seed"], training["epochs"]) == (0, 1)
    assert training["hyperparameters"]["batch_size"] > 0
    assert {"python", "keras", "numpy"} <= set(training["software"])
    for figure in ("accuracy", "sensitivity", "specificity"):
        assert evaluation["held_back"][figure]["n"] > 0
        assert len(evaluation["held_back"][figure]["ci95"]) == 2
    assert evaluation["held_back"]["paper"] == {"n": 100, "accuracy": 0.98, "error": 0.0482}
    assert evaluation["camera_alone"]["value"] == 1.0  # drawn so: one camera a class
    for name, digest in training["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert set(training["sha256"]) == {"manifest.json", "model.keras", "crops.npz"}


def test_no_path_of_this_machine_is_written(trained: tuple[Path, Result], collection: Collection) -> None:
    out, _ = trained
    for name in ("card.json", "manifest.json", "split.csv", "table1.csv"):
        text = (out / name).read_text(encoding="utf-8")
        assert str(collection.root) not in text
        assert str(out) not in text


def test_manifest_has_every_cell_and_crops_share_no_group(
    trained: tuple[Path, Result], collection: Collection
) -> None:
    out, _ = trained
    rows = read_json(out / "manifest.json")["crops"]
    with (out / "split.csv").open(encoding="utf-8", newline="") as file:
        split = list(csv.DictReader(file))
    assert [(row["source"], row["side"]) for row in split] == [(row["source"], row["side"]) for row in rows]
    assert sum(row["side"] == "test" for row in rows) == round(len(rows) * 100 / 582)
    assert any(row["cell_on_both_sides"] for row in rows if row["side"] == "test")
    for row in rows:
        path = collection.root / row["source"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["source_sha256"]
    with np.load(out / "crops.npz", allow_pickle=False) as crops:
        for side in ("train", "test"):
            hashes = [hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops[f"{side}_crops"]]
            assert hashes == crops[f"{side}_sha256"].tolist()
            assert set(crops[f"{side}_labels"].tolist()) == {0, 1}
        assert len(crops["train_crops"]) + len(crops["test_crops"]) == 36
        # Whole cells of whole groups that calibration never saw.
        assert not set(crops["train_groups"]) & set(crops["test_groups"])
        assert not crops["test_touches_border"].any()
        assert not set(crops["train_sha256"]) & set(crops["test_sha256"])
        size_px = crops["test_crops"].shape[1]
    # The converter finds all of it under the names that it looks for.
    calibration, parity = (read_crops(out / "crops.npz", size_px, k) for k in (CALIBRATION_KEYS, PARITY_KEYS))
    check_apart(calibration, parity)
    for part in (parity.labels, parity.fields, parity.groups, parity.touches_border):
        assert part is not None
        assert len(part) == len(parity)


def test_saved_model_gives_the_recorded_probabilities(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    model = load_keras().models.load_model(out / "model.keras")
    assert not model.compiled
    with np.load(out / "crops.npz", allow_pickle=False) as crops:
        p = np.asarray(model(crops["test_crops"].astype(np.float32)))
        np.testing.assert_allclose(p[:, 1], crops["test_p_blast"], atol=1e-5)


def test_the_protocol_comes_into_the_card_and_its_offset_into_the_model(
    collection: Collection, small: Akbar2024, evaluated: Evaluated, tmp_path: Path
) -> None:
    document = copy.deepcopy(evaluated.document)
    evaluated = dataclasses.replace(
        evaluated, document=document, decision=dataclasses.replace(evaluated.decision, offset=0.7)
    )
    cells = [cell for cell in collection.cells if cell.lab == "all-idb" and cell.usable]
    fitted = dataclasses.replace(small, epochs=1).fit(collection, cells, 0)
    before = fitted(cells)
    training = results.Training(collection, small, 0, fitted, cells, evaluated)
    card = results.write(tmp_path / "out", training, force=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *results.FILES, *results.report.FILES, results.DISAGREEMENT,
    }  # fmt: skip
    header, *rows = (tmp_path / "out" / results.DISAGREEMENT).read_text("utf-8").splitlines()
    assert header == "file,x,y,class,label,p_blast"
    assert len(rows) == len(evaluated.disagreements)
    assert card["evaluation"]["calls"]["blast"]["n"] == 18
    assert card["decision"]["threshold"] == pytest.approx(evaluated.decision.threshold, abs=1e-4)
    assert card["training"]["offset_in_last_bias"] == 0.7
    assert "offset" not in card["decision"]
    moved = np.log(fitted(cells) / (1 - fitted(cells))) - np.log(before / (1 - before))
    np.testing.assert_allclose(moved, 0.7, atol=1e-3)
    page = (tmp_path / "out" / "card.md").read_text("utf-8")
    assert "by session: sensitivity" in page
    for limit in card["limits"]:
        assert limit in page
    # A goal that is missed is among the limits.
    goal = next(goal for goal in evaluated.document["goals"] if goal["name"] == "by scene: sensitivity")
    missed = "Below its goal: by scene: sensitivity"
    assert not any(missed in limit for limit in card["limits"])
    goal["reached"] = False
    assert any(missed in limit for limit in results.limits(training))


def test_a_recipe_without_random_splits_is_trained_on_everything(
    collection: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = train("--recipe", "coloured", *options(collection, out)[:-2])
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == set(results.FILES)
    card = read_json(out / "card.json")
    assert card["evaluation"] == {}
    counts = card["training"]["data"]["by_laboratory_and_label"]
    assert (counts["all-idb blast"], counts["bccd normal"], counts["pbc normal"]) == (18, 6, 1)
    page = (out / "card.md").read_text("utf-8")
    assert "The leak-free protocol over all laboratories was not run." in page
    assert "its threshold and its probabilities mean nothing yet" in page
    assert {row["side"] for row in read_json(out / "manifest.json")["crops"]} == {"train"}


def test_figure_shows_two_curves(trained: tuple[Path, Result]) -> None:
    with Image.open(trained[0] / "figure4.png") as image:
        assert image.size == (1280, 480)
        pixels = np.asarray(image.convert("RGB"))
    ours = (np.abs(pixels.astype(int) - (0x1F, 0x4E, 0x79)) < 10).all(axis=2)
    assert ours[:, :640].sum() > 20
    assert ours[:, 640:].sum() > 20


def test_second_run_gives_the_same_split_and_figures(
    trained: tuple[Path, Result], collection: Collection, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert train(*options(collection, again), "--splits", 2).exit_code == 0
    for name in ("manifest.json", "split.csv", "splits.csv", "table1.csv"):
        assert (again / name).read_bytes() == (trained[0] / name).read_bytes()


def test_earlier_results_are_refused_before_any_work(
    trained: tuple[Path, Result], collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "read_collection", None)  # cannot be called
    result = train(*options(collection, trained[0]))
    assert isinstance(result.exception, OutputError)
    assert "--force replaces them" in str(result.exception)


def test_data_set_errors_reach_the_caller_and_leave_nothing(tmp_path: Path) -> None:
    result = train("--data", tmp_path / "none", "--out", tmp_path / "out")
    assert isinstance(result.exception, DataSetError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["tensorflow", "matplotlib.figure"])
def test_what_is_not_installed_is_named_and_nothing_is_left(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = train(*options(collection, tmp_path / "out"), "--splits", 1)
    assert isinstance(result.exception, RuntimeMissingError)
    assert "pip install 'blastcount[train]'" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_split_that_leaks_is_refused_where_that_is_asked_for(
    collection: Collection, tmp_path: Path
) -> None:
    result = train(*options(collection, tmp_path / "out"), "--refuse-leakage")
    assert isinstance(result.exception, GateError)
    assert not (tmp_path / "out").exists()


def test_epochs_of_a_recipe_that_knows_none_are_refused(collection: Collection, tmp_path: Path) -> None:
    result = train("--recipe", "coloured", *options(collection, tmp_path / "out"))
    assert isinstance(result.exception, ConfigError)
    assert "--epochs: coloured is trained by steps" in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [("--epochs", "3"), ("--splits", "0"), ("--refuse-leakage",), ("--test", "session"), ("--workers", "2")],
)
def test_what_the_recipe_of_types_does_not_know_is_refused(
    tree: Any, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = train("--recipe", "types", "--data", tree.root, "--out", tmp_path / "out", *arguments)
    assert (result.exit_code, f"{arguments[0]}: of recipes of blasts" in result.output) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--recipe", "other"), ("--seed", "-1"), ("--splits", "-1"), ("--epochs", "0"), ("--epochs", "many")],
)
def test_wrong_usage_ends_with_2(tree: Any, tmp_path: Path, arguments: tuple[str, str]) -> None:
    assert train("--data", tree.root, "--out", tmp_path / "out", *arguments).exit_code == 2
    assert train("--data", tree.root).exit_code == 2


def test_every_training_begins_with_the_audit(trained: tuple[Path, Result], tree: Any) -> None:
    lines = trained[1].stdout.splitlines()
    assert lines[0].startswith("Leakage audit")
    assert lines[1].startswith("  all-idb: 12 fields in ")
    assert "; 0 exact copies" in lines[1]
    # Drawn so: one camera a class, two marks in each of the six patients' fields that are no blasts.
    assert "the camera alone names the class of 84.6 % (66/78;" in lines[1]
    n = len(tree.cuts)
    assert f"ALL_IDB2: 100.0 % ({n}/{n};" in lines[2]
