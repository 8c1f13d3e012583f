"""The parity report: figures that agree with the gate's, and the layer with the fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import report as report_module
from convert.backend import predict
from convert.draft import CardDraft
from convert.flatbuffer.layers import tensor_errors
from convert.flatbuffer.schema import pack, unpack
from convert.gate.crops import Crops
from convert.gate.examine import examine
from convert.recipes import FLOAT32, PLAIN, REFINED, Recipe
from convert.report import Subject, markdown, write_report
from edge.classification.card import Decision
from edge.errors import OutputError
from edge.structures import InputSpec
from tests.convert.conftest import in_this_process

DRAFT = CardDraft(None, InputSpec(size_px=24), Decision())


def _shift_bias(content: bytes, layer: int, by: float) -> bytes:
    """Add to the last bias of one of a file's three weighted layers, in real values."""
    model = unpack(content)
    graph = model.subgraphs[0]
    weighted = [
        operator for operator in graph.operators if len(operator.inputs) == 3 and operator.inputs[1] >= 0
    ]
    tensor = graph.tensors[weighted[layer].inputs[2]]
    assert len(tensor.shape) == 1
    bias = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(bias.data), np.int32).copy()
    values[-1] += round(by / float(tensor.quantization.scale[-1]))
    bias.data = np.frombuffer(values.tobytes(), np.uint8)
    return pack(model, len(content))


@pytest.fixture(scope="module")
def subject(
    toy_model: Any,
    toy_tflite: bytes,
    toy_file: Path,
    calibration: Crops,
    held_out: Crops,
    tmp_path_factory: pytest.TempPathFactory,
) -> Subject:
    """Return the toy with a blast's logit raised by one, so that cells flip."""
    path = tmp_path_factory.mktemp("report") / "toy.tflite"
    path.write_bytes(_shift_bias(toy_tflite, -1, 1.0))
    fields = np.array([f"f{i % 5}" for i in range(len(held_out))])
    parity = Crops(held_out.pixels, held_out.labels, "discs", fields)
    examined = examine(path, REFINED, calibration, parity, predict(toy_model, parity.pixels), DRAFT.decision)
    return Subject("toy", toy_model, DRAFT, [toy_file], calibration, parity, examined)


@pytest.fixture(scope="module")
def written(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        in_this_process(patch)
        # Two recipes show how the table is made; the others have tests of their own.
        patch.setattr(report_module, "RECIPES", {recipe.name: recipe for recipe in (REFINED, FLOAT32)})
        page = write_report(subject, tmp_path_factory.mktemp("written") / "new")
    return page, json.loads((page.parent / "toy.parity.json").read_text(encoding="utf-8"))


def test_the_figures_are_the_gate_s(written: tuple[Path, dict[str, Any]], subject: Subject) -> None:
    _, figures = written
    judged = [row for row in figures["table"] if row["judged"]]
    for row, parity in zip(judged, subject.examined.evidence.parities, strict=True):
        assert (row["runtime"], row["max_delta_p"]) == (parity.runtime, parity.max_delta_p)
    assert figures["verdict"]["findings"] == subject.examined.verdict.to_json()
    assert not figures["verdict"]["passed"]
    assert figures["crops"]["parity"]["fields"] == 5
    assert set(figures["files"]) == {"toy.tflite", "model.keras"}
    rows = {(row["recipe"], row["runtime"].split()[0]): row for row in figures["table"]}
    keras, float32 = rows["Keras", "keras"], rows["float32", "ai_edge_litert"]
    assert float32["max_delta_p"] < 1e-4
    assert float32["accuracy"] == keras["accuracy"]
    assert keras["accuracy"]["n"] == 200


def test_every_flipped_cell_is_there_with_both_probabilities(
    written: tuple[Path, dict[str, Any]], subject: Subject
) -> None:
    flips = {flip["index"]: flip for flip in written[1]["flips"]}
    p, p_keras = subject.examined.p[0], subject.examined.p_keras[0]
    expected = np.flatnonzero((p >= 0.5) != (p_keras >= 0.5))
    assert len(expected) > 0
    assert set(expected) <= set(flips)
    for i in expected:
        assert flips[i]["p_keras"] == pytest.approx(float(p_keras[i]))
        assert flips[i]["field"] == f"f{i % 5}"


def test_the_page_is_the_json_rendered(written: tuple[Path, dict[str, Any]]) -> None:
    page, figures = written
    text = page.read_text(encoding="utf-8")
    assert text == markdown(figures)
    assert "**REFUSED" in text
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    for name in ("refined (judged)", "Keras", "float32", str(figures["flips"][0]["index"]), "conv2_1/Relu"):
        assert name in cells


def test_a_page_of_a_file_without_labels_flips_or_interpreters(
    written: tuple[Path, dict[str, Any]],
) -> None:
    bare = json.loads(json.dumps(written[1]))
    bare["flips"] = []
    bare["table"] = [{"recipe": "plain", "judged": True, "runtime": "x", "size_bytes": 1, "error": "no"}]
    bare["crops"]["parity"] |= {"blasts": None, "fields": None}
    text = markdown(bare)
    assert "does not open" in text
    assert "blasts: –, fields: –" in text
    assert "None: every interpreter" in text


def test_a_folder_that_cannot_be_made_is_named(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "collect", lambda subject, tick: {})
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out cannot be written .*give another folder with --report"):
        write_report(subject, tmp_path / "file" / "out")


def test_the_layer_with_the_fault_is_the_first_with_noise(
    toy_as: Callable[[Recipe], bytes], held_out: Crops
) -> None:
    """A bias put off in the second convolution: what lies before it stays as good as it was."""
    plain, reference = toy_as(PLAIN), toy_as(FLOAT32)
    good, unmatched = tensor_errors(plain, reference, held_out.pixels)
    bad, _ = tensor_errors(_shift_bias(plain, 1, 1.0), reference, held_out.pixels)
    assert unmatched == 0
    before, after = ({error.layer: error for error in errors} for errors in (good, bad))
    assert {"conv1_1/Relu", "conv2_1/Relu", "p_1/MatMul"} <= set(before)
    assert before["conv2_1/Relu"].snr_db is not None
    assert after["conv2_1/Relu"].snr_db is not None
    assert before["conv1_1/Relu"] == after["conv1_1/Relu"]
    assert after["conv2_1/Relu"].snr_db < before["conv2_1/Relu"].snr_db - 10
    snr = [error.snr_db for error in good if error.snr_db is not None]
    assert snr == sorted(snr)
    assert min(snr) > 20
    itself, _ = tensor_errors(reference, reference, held_out.pixels[:2])
    assert {(error.snr_db, error.low, error.clipped) for error in itself} == {(None, None, 0.0)}
