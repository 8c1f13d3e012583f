"""Figures of fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bench import probe, process
from edge.errors import GateError


def test_imports() -> None:
    assert 20 < process.imports_ms() < 60_000


def test_the_first_count(tiny_model: Path, field_folder: Path) -> None:
    model = tiny_model.with_suffix(".tflite")
    assert process.first_count_ms(model, field_folder / "rendered_0001.jpg") > 50


def test_a_start_that_ends_without_a_count(tmp_path: Path, field_folder: Path) -> None:
    with pytest.raises(GateError, match=r"ended with 3: blastcount: error: .*absent"):
        process.first_count_ms(tmp_path / "absent.tflite", field_folder / "rendered_0001.jpg")


def test_memory_of_the_classifier_alone_is_less_than_that_of_the_whole_path(
    tiny_model: Path, field_folder: Path, tmp_path: Path
) -> None:
    alone = process.classifier_memory(tiny_model)["peak_mb"]
    whole = process.path_memory(tiny_model, tmp_path / "log.sqlite", [field_folder / "rendered_0001.jpg"])
    assert 10 < alone < whole["peak_mb"]
    assert whole["after_last_round_mb"] <= whole["peak_mb"]


def test_the_parent_s_memory_is_not_the_child_s(tiny_model: Path) -> None:
    small = process.classifier_memory(tiny_model)["peak_mb"]
    held = np.ones(30_000_000)  # 240 MB, written
    assert abs(process.classifier_memory(tiny_model)["peak_mb"] - small) < 30
    assert held[-1] == 1


def test_a_probe_that_fails(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"edge\.bench\.probe classifier ended with 1: .*ModelError"):
        process.classifier_memory(tmp_path / "absent")


def test_a_probe_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = subprocess.CompletedProcess[str]([], 9, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: silent)
    with pytest.raises(GateError, match="ended with 9: it said nothing"):
        process.imports_ms()


def test_memory_of_a_kernel_that_tells_it(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t   50000 kB\nVmRSS:\t   40000 kB\n")
    assert probe.memory_mb("VmHWM", status) == pytest.approx(51.2)
    assert probe.memory_mb("VmRSS", status) == pytest.approx(40.96)
    with pytest.raises(ValueError, match="has no VmPeak"):
        probe.memory_mb("VmPeak", status)


def test_the_classifier_s_process_loads_no_opencv(tiny_model: Path) -> None:
    code = f"import sys; from edge.bench import probe; probe.classifier({str(tiny_model)!r}); "
    code += "print('cv2' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
