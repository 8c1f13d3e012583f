"""The way to a bundle, and every fault that must not get there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import bundle as export_module
from convert import converter
from convert.bundle import Conversion, check_output, export
from convert.draft import CardDraft
from convert.flatbuffer.schema import pack, unpack
from convert.gate import examine as examine_module
from convert.gate.crops import Crops
from convert.gate.device import DeviceRun, run_on_device
from convert.gate.golden import LEAST_DELTA_P, rendered_crops
from convert.recipes import PLAIN
from edge.classification.card import Decision, load_bundle
from edge.classification.classifier import Classifier
from edge.classification.interpreter import installed_runtimes
from edge.counting.golden import check_golden_field, load_golden_field
from edge.errors import DataSetError, GateError, OutputError
from edge.structures import InputSpec

DRAFT = CardDraft(None, InputSpec(size_px=24), Decision(0.5, 0.4, 0.6, 1.2), {"limits": ["drawn discs"]})
Export = Callable[..., Conversion]


@pytest.fixture
def converted(
    one_interpreter: None,
    monkeypatch: pytest.MonkeyPatch,
    toy_model: Any,
    toy_tflite: bytes,
    calibration: Crops,
    held_out: Crops,
    rendered: NDArray[np.uint8],
    tmp_path: Path,
) -> Export:
    """Function that exports the toy with a fault put into the converted file, without converting again."""

    def run(
        content: bytes = toy_tflite,
        model: Any = toy_model,
        parity: Crops = held_out,
        whole: bool = False,
    ) -> Conversion:
        if whole:  # in every interpreter, each in its process, and asked for its golden field
            monkeypatch.undo()
        monkeypatch.setattr(export_module, "quantise", lambda *args: content)
        if export_module.rendered_crops is rendered_crops:  # a test may have put a failing one there
            monkeypatch.setattr(export_module, "rendered_crops", lambda spec: rendered)
        out = tmp_path / "out"
        paths = check_output(out, "toy", force=False)
        return export(model, DRAFT, calibration, parity, paths, allow_open=True)

    return run


def _refused(result: Conversion, message: str, out: Path) -> None:
    assert result.paths == ()
    with pytest.raises(GateError, match=message):
        result.verdict.refuse()
    assert not out.exists()


def _edit(content: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """Change a .tflite file through its schema; change gets the model and its only graph."""
    model = unpack(content)
    change(model, model.subgraphs[0])
    return pack(model, len(content))


def _edit_kernel(content: bytes, change: Callable[[NDArray[np.int8]], NDArray[np.int8]]) -> bytes:
    """Change the weights of the first convolution, (filters, 3, 3, 3)."""

    def edit(model: Any, graph: Any) -> None:
        tensor = graph.tensors[graph.operators[0].inputs[1]]
        buffer = model.buffers[tensor.buffer]
        kernel = np.frombuffer(bytes(buffer.data), np.int8).reshape(tensor.shape)
        buffer.data = np.frombuffer(np.ascontiguousarray(change(kernel)).tobytes(), np.uint8)

    return _edit(content, edit)


def test_a_good_conversion_is_a_whole_bundle(converted: Export, tmp_path: Path, toy_tflite: bytes) -> None:
    result = converted(whole=True)
    out = tmp_path / "out"
    assert result.verdict.passed
    suffixes = (".field.npz", ".golden.npz", ".json", ".tflite")
    assert sorted(path.name for path in out.iterdir()) == [f"toy{suffix}" for suffix in suffixes]
    bundle = load_bundle(out / "toy")
    assert bundle.tflite_path.read_bytes() == toy_tflite
    assert result.size_bytes == len(toy_tflite)
    assert bundle.card.decision == DRAFT.decision
    assert bundle.card.golden.max_delta_p == LEAST_DELTA_P
    assert bundle.card.sections["limits"] == ["drawn discs"]
    card = json.loads((out / "toy.json").read_text(encoding="utf-8"))
    assert [row["runtime"].split()[0] for row in card["parity"]["runtimes"]] == list(installed_runtimes())
    assert not any(finding["passed"] is False for finding in card["parity"]["findings"])
    assert [finding["name"] for finding in card["parity"]["findings"] if finding["passed"] is None]
    assert card["parity"]["allow_open"]
    assert card["conversion"]["calibration"]["n"] == 120
    assert (out / "toy.golden.npz").stat().st_size < 400_000
    for runtime in installed_runtimes():
        classifier = Classifier(bundle, runtime=runtime)
        assert classifier.check_golden() <= LEAST_DELTA_P / 2
        check_golden_field(classifier, load_golden_field(bundle))


@pytest.mark.usefixtures("one_interpreter")
def test_crops_that_answer_every_question_need_no_leave(
    toy_model: Any, toy_tflite: bytes, rendered: NDArray[np.uint8], discs: Callable[[int, int], Crops],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(export_module, "quantise", lambda *args: toy_tflite)
    monkeypatch.setattr(export_module, "rendered_crops", lambda spec: rendered)

    def known(n: int, seed: int) -> Crops:
        names = np.array([f"{seed}-{i % 10}" for i in range(n)])
        return replace(discs(n, seed), fields=names, groups=names, touches_border=np.zeros(n, bool))

    calibration, parity = known(50, 1), known(1000, 2)
    paths = check_output(tmp_path / "out", "toy", force=False)
    result = export(toy_model, DRAFT, calibration, parity, paths)
    assert result.verdict.passed
    assert load_bundle(paths[0]).card.sections["parity"]["crops"]["groups"] == 10  # type: ignore[call-overload,index]  # JSON
    with pytest.raises(DataSetError, match=r"of 1 group\(s\)"):
        export(toy_model, DRAFT, replace(calibration, groups=np.array(["2-3"] * 50)), parity, paths)
    bare = export(toy_model, DRAFT, calibration, replace(parity, groups=None), paths)
    assert bare.verdict.left_open == ("groups of fields that calibration never saw",)
    assert bare.paths == ()


def test_unfaulted_edits_pass(converted: Export, toy_tflite: bytes) -> None:
    """The controls below fail for their fault, not for having been rewritten."""
    assert converted(_edit_kernel(toy_tflite, lambda kernel: kernel)).verdict.passed


def test_flipped_weights_are_refused(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    _refused(converted(_edit_kernel(toy_tflite, np.negative)), r"max \|Δp\|", tmp_path / "out")


def test_a_dead_channel_is_refused(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    def kill(kernel: NDArray[np.int8]) -> NDArray[np.int8]:
        dead = kernel.copy()
        dead[np.abs(kernel.astype(int)).sum(axis=(1, 2, 3)).argmax()] = 0
        return dead

    _refused(converted(_edit_kernel(toy_tflite, kill)), r"max \|Δp\|", tmp_path / "out")


def test_a_sum_that_could_overflow_is_refused(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    def raise_bias(model: Any, graph: Any) -> None:
        # The bias of an output that 16 others of its layer outweigh: no held-out crop need show it.
        bias = model.buffers[graph.tensors[graph.operators[0].inputs[2]].buffer]
        values = np.frombuffer(bytes(bias.data), np.int32).copy()
        values[0] = 2**31 - 1
        bias.data = np.frombuffer(values.tobytes(), np.uint8)

    _refused(
        converted(_edit(toy_tflite, raise_bias)), r"largest integer sum, proved 1e\+02 %", tmp_path / "out"
    )


def test_a_file_that_an_interpreter_cannot_open_is_refused(converted: Export, tmp_path: Path) -> None:
    result = converted(b"TFL3 no file", whole=True)
    assert set(result.examined.evidence.unopened) == set(installed_runtimes())
    _refused(result, "ai_edge_litert: opens it .* cannot open it", tmp_path / "out")


def test_swapped_rgb_is_refused(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    _refused(
        converted(_edit_kernel(toy_tflite, lambda kernel: kernel[..., ::-1])), r"max \|Δp\|", tmp_path / "out"
    )


def test_a_shifted_input_zero_point_is_refused(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    def shift(model: Any, graph: Any) -> None:
        graph.tensors[graph.inputs[0]].quantization.zeroPoint = np.array([-112], np.int64)

    _refused(converted(_edit(toy_tflite, shift)), "input int8 scale 1 zero point -112", tmp_path / "out")


def test_crops_stored_with_a_shifted_zero_point_are_refused(
    converted: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pixel stored as half its value means 128 more in a file whose zero point is -128.
    def shifted(path: Path, runtime: Any, crops: NDArray[np.uint8], timed: int = 0) -> DeviceRun:
        return run_on_device(path, runtime, 128 + crops // 2, timed)

    monkeypatch.setattr(examine_module, "run_on_device", shifted)
    _refused(converted(), r"max \|Δp\|", tmp_path / "out")


def test_a_dynamic_graph_is_refused(
    converted: Export, toy_model: Any, calibration: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "static_graph", lambda model: model)
    dynamic = converter.quantise(toy_model, calibration.pixels, PLAIN)
    _refused(
        converted(dynamic), "operations that ask for a shape SHAPE, STRIDED_SLICE, PACK", tmp_path / "out"
    )


@pytest.mark.usefixtures("one_interpreter")
def test_calibration_on_noise_is_refused(toy_model: Any, held_out: Crops, tmp_path: Path) -> None:
    # Faint noise about grey: ranges of a network that has never seen a cell.
    noise = np.random.default_rng(0).integers(120, 136, (40, 24, 24, 3), dtype=np.uint8)
    out = tmp_path / "out"
    paths = check_output(out, "toy", force=False)
    _refused(export(toy_model, DRAFT, Crops(noise, None, "noise"), held_out, paths), r"Δp", out)


def test_calibration_crops_cannot_judge(converted: Export, calibration: Crops, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="120 crop"):
        converted(parity=calibration)
    assert not (tmp_path / "out").exists()


def test_too_few_held_out_crops_are_refused(converted: Export, held_out: Crops, tmp_path: Path) -> None:
    _refused(converted(parity=held_out.take(np.arange(20))), "held-out crops 20", tmp_path / "out")


def test_a_refusal_leaves_what_was_there(converted: Export, toy_tflite: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert not converted(_edit_kernel(toy_tflite, np.negative)).verdict.passed
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_an_error_on_the_way_leaves_nothing(
    converted: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spec: InputSpec) -> NDArray[np.uint8]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(export_module, "rendered_crops", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        converted()
    assert not (tmp_path / "out").exists()


def test_a_card_whose_golden_crops_fail_is_not_shipped(
    converted: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = export_module._golden

    def stale(*args: Any) -> Any:
        golden, tolerance = good(*args)
        return replace(golden, p_blast=golden.p_blast[::-1].copy()), tolerance

    monkeypatch.setattr(export_module, "_golden", stale)
    with pytest.raises(GateError, match="golden crops of toy disagree"):
        converted()
    assert not (tmp_path / "out").exists()


def test_output_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "toy.json").touch()
    with pytest.raises(OutputError, match=r"already has toy\.json; give another --name, or --force"):
        check_output(tmp_path, "toy", force=False)
    assert check_output(tmp_path, "toy", force=True)[1] == tmp_path / "toy.json"
    assert check_output(tmp_path, "other", force=False)[0] == tmp_path / "other.tflite"


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="name must be 1 to 64 letters"):
        check_output(tmp_path, name, force=False)


def test_a_folder_that_cannot_be_made_is_named(
    toy_model: Any, calibration: Crops, held_out: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(export_module, "quantise", lambda *args: b"")
    paths = check_output(tmp_path / "file" / "out", "toy", force=False)
    with pytest.raises(OutputError, match=r"file/out cannot be written \(.*give another folder with --out"):
        export(toy_model, DRAFT, calibration, held_out, paths)
