"""The parity report: figures that agree with the gate's, and a page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convert import report as report_module
from convert.backend import load_schema, predict
from convert.converter import convert_network
from convert.draft import CardDraft
from convert.flatbuffer.ranges import pack
from convert.gate.crops import Crops
from convert.gate.examine import examine
from convert.gate.verdict import LIMITS
from convert.graph.static import static_graph
from convert.layers import tensor_errors, weight_ranges
from convert.page import render, write_report
from convert.plots import check_matplotlib
from convert.quantize import quantise
from convert.recipes import PLAIN, RECIPES, REFINED
from convert.report import Subject, collect
from edge.classification.card import Decision
from edge.errors import OutputError, RuntimeMissingError
from edge.structures import InputSpec

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
pytest.importorskip("matplotlib", reason="Matplotlib is not installed")

DRAFT = CardDraft(None, InputSpec(size_px=24), Decision())


def _shift_bias(content: bytes, layer: int, by: float) -> bytes:
    """Add to the last bias of one of a file's three weighted layers, in real values."""
    model = load_schema().ModelT.InitFromPackedBuf(content, 0)
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
    parity = Crops(held_out.pixels, held_out.labels, "<b>discs</b>", fields)
    examined = examine(path, REFINED, parity, predict(toy_model, parity.pixels), DRAFT.decision)
    return Subject("toy", toy_model, DRAFT, [toy_file], calibration, parity, examined, LIMITS)


@pytest.fixture(scope="module")
def figures(subject: Subject) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        # int16 and dynamic are the recipes' own tests; two formats show how the table is made.
        patch.setattr(report_module, "COMPARED", ("float32", "dynamic"))
        patch.setattr(report_module, "TIMED", 3)
        return collect(subject)


def test_the_figures_are_the_gate_s(figures: dict[str, Any], subject: Subject) -> None:
    json.dumps(figures, allow_nan=False)
    judged = [row for row in figures["table"] if row["judged"]]
    for row, parity in zip(judged, subject.examined.parities, strict=True):
        assert (row["runtime"], row["max_delta_p"]) == (parity.runtime, parity.max_delta_p)
        assert row["timed"] == 3 * report_module.ROUNDS
        assert row["latency_p5_ms"] > 0
    assert figures["verdict"]["findings"] == subject.examined.verdict.to_json()
    assert not figures["verdict"]["passed"]
    assert figures["crops"]["parity"]["fields"] == 5
    assert set(figures["files"]) == {"toy.tflite", "model.keras"}


def test_float32_is_keras_itself_and_every_file_is_there(figures: dict[str, Any]) -> None:
    rows = {(row["recipe"], row["runtime"].split()[0]): row for row in figures["table"]}
    keras, float32 = rows["Keras", "keras"], rows["float32", "ai_edge_litert"]
    assert float32["max_delta_p"] < 1e-4
    assert float32["accuracy"] == keras["accuracy"]
    assert keras["accuracy"]["n"] == 200
    if ("dynamic", "tflite_runtime") in rows:  # its operations are newer than this interpreter
        assert "cannot open it" in rows["dynamic", "tflite_runtime"]["error"]


def test_every_flipped_cell_is_a_picture_with_both_probabilities(
    figures: dict[str, Any], subject: Subject
) -> None:
    assert figures["flips"]
    p, p_keras = subject.examined.p[0], subject.examined.p_keras[0]
    expected = np.flatnonzero((p >= 0.5) != (p_keras >= 0.5))
    assert set(expected) <= {flip["index"] for flip in figures["flips"]}
    for flip in figures["flips"]:
        with Image.open(io.BytesIO(base64.b64decode(flip["png"]))) as image:
            np.testing.assert_array_equal(np.asarray(image), subject.parity.pixels[flip["index"]])
        assert flip["p_keras"] == pytest.approx(float(p_keras[flip["index"]]))


class _Page(HTMLParser):
    """Collects what a page refers to and which elements it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name.split(":")[-1] in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_the_page_needs_nothing_else(figures: dict[str, Any], tmp_path: Path) -> None:
    html, data = write_report(figures, tmp_path / "new")
    assert json.loads(data.read_text(encoding="utf-8")) == figures
    text = html.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.stack == []
    assert page.tags.count("svg") == 3
    assert page.tags.count("img") == len(figures["flips"])
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "REFUSED" in text
    assert "&lt;b&gt;discs" in text
    assert "<b>discs" not in text


def test_a_page_of_a_file_without_labels_or_interpreters(figures: dict[str, Any]) -> None:
    bare = json.loads(json.dumps(figures))
    bare["p"] = {"labels": None, "keras": bare["p"]["keras"], "runs": {}}
    bare["flips"] = []
    bare["trials"] = [
        {
            "recipe": name,
            "chosen": name == "refined",
            "size_bytes": 1000,
            "passed": name == "refined",
            "p99_delta_p": None,
            "max_delta_p": 0.1,
            "refused_for": ["x: max |Δp|"],
        }
        for name in ("plain", "refined")
    ]
    bare["crops"]["parity"] |= {"blasts": None, "fields": None}
    text = render(bare)
    assert "No interpreter opened the file" in text
    assert "an unknown number of blasts" in text
    assert "refined (chosen)" in text
    assert "None: every interpreter" in text
    unlabelled = json.loads(json.dumps(figures))
    unlabelled["p"]["labels"] = None
    assert "<svg" in render(unlabelled)


def test_a_folder_that_cannot_be_made_is_named(figures: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out cannot be written .*give another folder with --report"):
        write_report(figures, tmp_path / "file" / "out")


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_matplotlib()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RuntimeMissingError, match=r"the report needs Matplotlib.*blastcount\[train\]"):
        check_matplotlib()


def test_the_layer_with_the_fault_is_the_first_with_noise(
    toy_model: Any, calibration: Crops, held_out: Crops
) -> None:
    """A bias put off in the second convolution: what lies before it stays as good as it was."""
    plain = quantise(toy_model, calibration.pixels, PLAIN)
    reference = convert_network(static_graph(toy_model), calibration.pixels, RECIPES["float32"])
    good, unmatched = tensor_errors(plain, reference, held_out.pixels)
    bad, _ = tensor_errors(_shift_bias(plain, 1, 1.0), reference, held_out.pixels)
    assert unmatched == 0
    before, after = ({error.layer: error for error in errors} for errors in (good, bad))
    assert {"conv1_1/Relu", "conv2_1/Relu", "p_1/MatMul"} <= set(before)
    assert before["conv2_1/Relu"].snr_db is not None
    assert after["conv2_1/Relu"].snr_db is not None
    assert before["conv1_1/Relu"] == after["conv1_1/Relu"]
    assert after["conv2_1/Relu"].snr_db < before["conv2_1/Relu"].snr_db - 10
    assert after["conv2_1/Relu"].cosine < before["conv2_1/Relu"].cosine
    snr = [error.snr_db for error in good if error.snr_db is not None]
    assert snr == sorted(snr)
    assert min(snr) > 20
    itself, _ = tensor_errors(reference, reference, held_out.pixels[:2])
    assert {(error.snr_db, error.mse, error.low, error.clipped) for error in itself} == {
        (None, 0.0, None, 0.0)
    }


def test_weights_are_those_of_the_network(toy_model: Any, calibration: Crops) -> None:
    network = static_graph(toy_model)
    for recipe, dtype, tolerance in ((PLAIN, "INT8", 0.01), (RECIPES["float32"], "FLOAT32", 0.0)):
        found = weight_ranges(convert_network(network, calibration.pixels, recipe))
        assert [one.dtype for one in found] == [dtype] * 3
        kernel = toy_model.get_layer("conv2").get_weights()[0]
        assert found[1].count == kernel.size
        assert found[1].low == pytest.approx(kernel.min(), rel=tolerance + 1e-6)
        assert found[1].high == pytest.approx(kernel.max(), rel=tolerance + 1e-6)
        assert found[1].scales == (8 if dtype == "INT8" else 0)
    assert weight_ranges(convert_network(network, calibration.pixels, RECIPES["float16"])) == ()
