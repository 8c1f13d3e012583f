"""``blastcount convert`` as a person calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from convert import bundle as export_module
from convert import report as report_module
from convert.cli import convert
from convert.gate.crops import Crops
from edge.classification.card import load_bundle
from edge.errors import DataSetError, GateError, OutputError

pytestmark = pytest.mark.usefixtures("one_interpreter")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    toy_file: Path,
    toy_tflite: bytes,
    rendered: NDArray[np.uint8],
    tmp_path: Path,
) -> Any:
    """Function that calls the command on the toy; the conversion itself is taken from the session's."""

    def call(*arguments: object, content: bytes = toy_tflite) -> Result:
        monkeypatch.setattr(export_module, "quantise", lambda *args: content)
        monkeypatch.setattr(export_module, "rendered_crops", lambda spec: rendered)
        return CliRunner().invoke(
            convert, [str(toy_file), "--out", str(tmp_path / "out"), "--allow-open", *map(str, arguments)]
        )

    return call


def test_model_and_crops_give_a_bundle(
    run: Any, crops_file: Callable[..., Path], calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    crops = crops_file(train_crops=calibration.pixels, test_crops=held_out.pixels)
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"name": "toy", "training": {"epochs": 8}}), encoding="utf-8")
    result = run("--calibration", crops, "--card", card)
    assert result.exception is None
    assert "verdict: passed" in result.stdout
    assert "toy.tflite" in result.stdout
    assert "120 crops to calibrate on, 200 held out" in result.stderr
    assert "gate ..." in result.stderr
    assert load_bundle(tmp_path / "out" / "toy").card.sections["training"] == {"epochs": 8}
    again = run("--calibration", crops, "--card", card)
    assert isinstance(again.exception, OutputError)
    assert run("--calibration", crops, "--card", card, "--force").exception is None
    named = run("--calibration", crops, "--name", "other")
    assert named.exception is None
    assert load_bundle(tmp_path / "out" / "other").card.name == "other"
    early = run("--calibration", crops, "--name", "other")
    assert isinstance(early.exception, OutputError)


def test_a_refused_conversion_shows_why_and_exits_with_4(
    run: Any, crops_file: Callable[..., Path], calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    crops = crops_file(train_crops=calibration.pixels, test_crops=held_out.pixels[:20])
    result = run("--calibration", crops)
    assert isinstance(result.exception, GateError)
    assert result.exception.exit_code == 4
    assert "REFUSED" in result.stdout
    assert not (tmp_path / "out").exists()


def test_crops_for_the_gate_may_come_from_elsewhere(
    run: Any, crops_file: Callable[..., Path], calibration: Crops, held_out: Crops, tmp_path: Path
) -> None:
    parity = tmp_path / "parity.npz"
    np.savez(parity, crops=held_out.pixels)
    crops = crops_file(crops=calibration.pixels)
    result = run("--calibration", crops, "--parity", parity)
    assert result.exception is None
    assert "120 crops to calibrate on, 200 held out" in result.stderr
    same = run("--calibration", crops, "--parity", crops, "--name", "same")
    assert isinstance(same.exception, DataSetError)
    assert "are calibration crops" in str(same.exception)


def test_a_third_is_held_out_where_nothing_else_is_there(
    run: Any, crops_file: Callable[..., Path], held_out: Crops
) -> None:
    result = run("--calibration", crops_file(crops=held_out.pixels))
    assert result.exception is None
    assert "133 crops to calibrate on, 67 held out" in result.stderr


def test_a_report_is_written_even_where_the_gate_refuses(
    run: Any,
    crops_file: Callable[..., Path],
    calibration: Crops,
    held_out: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_module, "collect", lambda subject, tick: {"name": subject.name})
    monkeypatch.setattr(report_module, "markdown", lambda report: f"page of {report['name']}")
    crops = crops_file(train_crops=calibration.pixels, test_crops=held_out.pixels[:20])
    result = run("--calibration", crops, "--report", tmp_path / "report")
    assert isinstance(result.exception, GateError)
    assert not (tmp_path / "out").exists()
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["model.parity.json", "model.parity.md"]
    assert "report in" in result.stderr
