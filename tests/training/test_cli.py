from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge.errors import ConfigError, DataSetError, OutputError, RuntimeMissingError
from training import cli, terminal
from training.audit_cli import brief
from training.backend import load_keras
from training.data.audit import audit
from training.data.cache import Cache
from training.protocol.decision import Chosen
from training.protocol.evaluation import Evaluated
from training.recipes import akbar2024
from training.report import results
from training.report.card import ELSEWHERE, NOT_ELSEWHERE


def train(*arguments: object) -> Result:
    return CliRunner().invoke(cli.train, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One epoch on the drawn data set, test by scenes included."""
    out = tmp_path_factory.mktemp("trained") / "akbar"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(akbar2024, "FOLDS", 2)
        return out, train(
            "--recipe", "akbar2024", "--data", tree.root, "--out", out, "--epochs", 1, "--splits", 2
        )


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_training_leaves_every_file_and_nothing_else(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == set(results.FILES)
    assert [path.name for path in out.parent.iterdir()] == ["akbar"]


def test_table_stands_beside_the_papers(trained: tuple[Path, Result]) -> None:
    out, result = trained
    with (out / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1"]
    assert (rows[0]["paper_error"], rows[0]["paper_accuracy_percent"]) == ("0.6321", "64.94")
    line = next(line for line in result.stdout.splitlines() if line.startswith("    1"))
    printed = [float(word) for word in line.split()]
    assert printed == pytest.approx(
        [1, float(rows[0]["error"]), float(rows[0]["accuracy_percent"]), 0.6321, 64.94], abs=0.006
    )
    assert read_json(out / "history.json")["epochs"][0]["error"] == float(rows[0]["error"])


def test_results_go_to_stdout_with_intervals_and_leakage(trained: tuple[Path, Result]) -> None:
    out, result = trained
    card = read_json(out / "card.json")
    leakage = card["evaluation"]["leakage"]
    # Every drawn ALL-IDB2 crop is also a point of ALL-IDB1.
    assert leakage["cell_also_in_training"] > 0
    assert leakage["text"] in result.stdout
    assert "Research use only." in result.stdout
    assert "95 % interval" in result.stdout
    assert "6 fields" not in result.stdout
    assert "12 fields, 18 crops" in result.stderr
    assert "Epochs" not in result.output  # no progress bar where no terminal is


def test_every_random_split_is_written_and_printed(trained: tuple[Path, Result]) -> None:
    out, result = trained
    with (out / "splits.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    card, history = read_json(out / "card.json"), read_json(out / "history.json")
    together, held_back = card["evaluation"]["repeated_splits"], card["evaluation"]["held_back"]
    assert [line["seed"] for line in lines] == ["0", "1"]
    assert together["each"] == history["splits"]
    assert [str(row["right"]) for row in together["each"]] == [line["right"] for line in lines]
    assert together["each"][0]["right"] == held_back["accuracy"]["k"]
    assert together["accuracy"]["n"] == sum(int(line["test"]) for line in lines)
    assert f"({together['accuracy']['k']}/{together['accuracy']['n']};" in result.stdout
    assert f"mean error   {together['error']:.4f}" in result.stdout


def test_card_says_what_a_reader_must_know(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    card = read_json(out / "card.json")
    assert (card["schema"], card["name"]) == ("blastcount.model/1", "akbar2024")
    assert card["labels"] == ["normal", "blast"]
    assert card["input"] == {"size_px": 128, "field_of_view_um": 24.0, "white_point": 235, "channels": "RGB"}
    assert card["intended_use"].startswith("Research use only.")
    assert any("random split" in limit for limit in card["limits"])
    assert NOT_ELSEWHERE in card["limits"]
    training, evaluation = card["training"], card["evaluation"]
    assert (training["seed"], training["parameters"]) == (0, 552_002)
    assert training["hyperparameters"]["batch_size"] > 0
    assert {"python", "keras", "numpy"} <= set(training["software"])
    for figure in ("accuracy", "sensitivity", "specificity"):
        assert evaluation["held_back"][figure]["n"] > 0
        assert len(evaluation["held_back"][figure]["ci95"]) == 2
        assert evaluation["by_scene"][figure]["n"] > 0
    assert evaluation["held_back"]["paper"] == {"n": 100, "accuracy": 0.98, "error": 0.0482}
    assert evaluation["camera_alone"]["value"] == 1.0  # drawn so: one camera a class
    for name, digest in training["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert set(training["sha256"]) == {"manifest.json", "model.keras", "crops.npz"}


def test_no_path_of_this_machine_is_written(trained: tuple[Path, Result], tree: Any) -> None:
    out, _ = trained
    for name in ("card.json", "manifest.json", "split.csv", "history.json", "table1.csv"):
        text = (out / name).read_text(encoding="utf-8")
        assert str(tree.root) not in text
        assert str(out) not in text


def test_manifest_has_the_hash_of_every_crop(trained: tuple[Path, Result], tree: Any) -> None:
    out, _ = trained
    manifest = read_json(out / "manifest.json")
    rows = manifest["crops"]
    with np.load(out / "crops.npz", allow_pickle=False) as crops:
        for side in ("train", "test"):
            hashes = [hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops[f"{side}_crops"]]
            assert hashes == crops[f"{side}_sha256"].tolist()
            listed = [row for row in rows if row["side"] == side]
            kept = [row for row in listed if side == "test" or not row["cell_on_both_sides"]]
            assert hashes == [row["sha256"] for row in kept]
            assert crops[f"{side}_labels"].tolist() == [row["label"] for row in kept]
            assert crops[f"{side}_fields"].tolist() == [row["field"] or "" for row in kept]
        assert crops["test_p_blast"].shape == crops["test_labels"].shape
        assert not set(crops["train_sha256"]) & set(crops["test_sha256"])
    assert {row["source"].split("/")[0] for row in rows} == {"ALL_IDB1", "ALL_IDB2"}
    assert all((tree.root / row["source"]).is_file() for row in rows)
    with (out / "split.csv").open(encoding="utf-8", newline="") as file:
        split = list(csv.DictReader(file))
    assert [(row["sha256"], row["side"]) for row in split] == [(row["sha256"], row["side"]) for row in rows]
    n_test = sum(row["side"] == "test" for row in rows)
    assert n_test == round(len(rows) * 100 / 582)


def test_saved_model_gives_the_recorded_probabilities(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    model = load_keras().models.load_model(out / "model.keras")
    assert not model.compiled
    with np.load(out / "crops.npz", allow_pickle=False) as crops:
        p = np.asarray(model(crops["test_crops"].astype(np.float32)))
        np.testing.assert_allclose(p[:, 1], crops["test_p_blast"], atol=1e-5)


def test_the_protocol_comes_into_the_card_and_its_calls_do_not(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol decides with other thresholds than this card, so its calls must not correct the device."""
    document = {
        "tests": [{"test": "session", "confusion": {"blast": {"blast": 9}, "normal": {"blast": 1}}}],
        "goals": [],
    }
    evaluated = Evaluated(document, Chosen(0.4, 0.3, 0.5, 1.0))
    monkeypatch.setattr(cli, "read_collection", lambda *_: None)
    monkeypatch.setattr(cli, "_evaluate", lambda *_: evaluated)
    monkeypatch.setattr(cli, "goals", lambda _: iter(()))
    monkeypatch.setattr(results, "sections", lambda _: {"protocol": {"mark": 1}, "calls": {"mark": 2}})
    monkeypatch.setattr(results.report, "write", lambda *_: None)
    monkeypatch.setattr(results.cardpage, "as_markdown", lambda _: "")
    out = tmp_path / "out"
    options = ("--epochs", 1, "--splits", 1, "--no-leak-free", "--evaluate")
    assert train("--data", tree.root, "--out", out, *options).exit_code == 0
    card = read_json(out / "card.json")
    assert card["evaluation"]["protocol"] == {"mark": 1}
    assert "calls" not in card["evaluation"]
    assert ELSEWHERE in card["limits"]
    assert NOT_ELSEWHERE not in card["limits"]
    assert card["decision"]["threshold"] == 0.5


def test_figure_shows_two_curves(trained: tuple[Path, Result]) -> None:
    with Image.open(trained[0] / "figure4.png") as image:
        assert image.size == (1280, 480)
        pixels = np.asarray(image.convert("RGB"))
    ours = (np.abs(pixels.astype(int) - (0x1F, 0x4E, 0x79)) < 10).all(axis=2)
    assert ours[:, :640].sum() > 20
    assert ours[:, 640:].sum() > 20


def test_second_run_gives_the_same_crops_split_and_figures(
    trained: tuple[Path, Result], tree: Any, tmp_path: Path
) -> None:
    out, _ = trained
    again = tmp_path / "again"
    assert (
        train("--data", tree.root, "--out", again, "--epochs", 1, "--splits", 2, "--no-leak-free").exit_code
        == 0
    )
    for name in ("manifest.json", "split.csv", "splits.csv", "table1.csv", "history.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    assert read_json(again / "card.json")["evaluation"]["by_scene"] == {"text": "not run (--no-leak-free)"}


def test_earlier_results_are_refused_before_any_work(
    trained: tuple[Path, Result], tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(cli.allidb, "load", never)
    result = train("--data", tree.root, "--out", trained[0])
    assert isinstance(result.exception, OutputError)
    assert "--force replaces them" in str(result.exception)


def test_data_set_errors_reach_the_caller_and_leave_nothing(tmp_path: Path) -> None:
    result = train("--data", tmp_path / "none", "--out", tmp_path / "out")
    assert isinstance(result.exception, DataSetError)
    assert list(tmp_path.iterdir()) == []


def test_missing_tensorflow_is_said_before_any_work(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = train("--data", tree.root, "--out", tmp_path / "out")
    assert isinstance(result.exception, RuntimeMissingError)
    assert "pip install 'blastcount[train]'" in str(result.exception)


def test_missing_matplotlib_leaves_nothing_half_written(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = train(
        "--data", tree.root, "--out", tmp_path / "out", "--epochs", 1, "--splits", 1, "--no-leak-free"
    )
    assert isinstance(result.exception, RuntimeMissingError)
    assert "drawing needs Matplotlib" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("--recipe", "other"), ("--seed", "-1"), ("--splits", "0"), ("--epochs", "0"), ("--epochs", "many")],
)
def test_wrong_usage_ends_with_2(tree: Any, tmp_path: Path, arguments: tuple[str, str]) -> None:
    assert train("--data", tree.root, "--out", tmp_path / "out", *arguments).exit_code == 2
    assert train("--data", tree.root).exit_code == 2


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, True), (False, False)])
def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, shown: bool
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.bar("Epochs", 2) as tick:
        tick()
        tick()
    assert ("Epochs" in stream.getvalue() and "2/2" in stream.getvalue()) is shown
    assert bool(stream.getvalue()) is shown


def test_every_training_begins_with_the_audit(trained: tuple[Path, Result], tree: Any) -> None:
    lines = trained[1].stdout.splitlines()
    assert lines[0].startswith("Leakage audit")
    assert lines[1].startswith("  all-idb: 12 fields in ")
    # Drawn so: one camera a class, two marks in each of the six patients' fields that are no blasts.
    assert "the camera alone names the class of 84.6 % (66/78;" in lines[1]
    n = len(tree.cuts)
    assert f"ALL_IDB2: 100.0 % ({n}/{n};" in lines[2]


def test_an_audit_of_what_is_there_twice_says_so(tree: Any, tmp_path: Path) -> None:
    clean = brief(audit(tree.root, Cache(tmp_path / "a"), ("all-idb",)))
    assert "; 0 exact copies" in next(clean)
    root = tmp_path / "data"
    shutil.copytree(tree.root, root)
    first = min((root / "ALL_IDB1" / "im").glob("*_1.jpg"))
    shutil.copy(first, first.with_name("Im999_1.jpg"))
    shutil.copy(root / "ALL_IDB1" / "xyc" / f"{first.stem}.xyc", root / "ALL_IDB1" / "xyc" / "Im999_1.xyc")
    assert "; 1 exact copies" in next(brief(audit(root, Cache(tmp_path / "b"), ("all-idb",))))


def test_a_recipe_of_cells_cannot_be_told_to_leak(tree: Any, tmp_path: Path) -> None:
    result = train("--recipe", "relative", "--data", tree.root, "--out", tmp_path / "out", "--allow-leakage")
    assert isinstance(result.exception, ConfigError)
    assert "relative is tested on whole groups of fields and cannot leak" in str(result.exception)
    assert not (tmp_path / "out").exists()
