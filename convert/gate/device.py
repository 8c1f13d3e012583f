"""A converted file in the device's interpreters, each in a process of its own.

Where TensorFlow is loaded, the other interpreters' libraries take its symbols for their own. Measured with
TensorFlow 2.19: ``tflite_runtime`` then answers in TensorFlow's time (2.5 ms instead of 8.5), with its
outputs bit for bit, and opens files that it refuses when alone. A gate in TensorFlow's process would
judge one interpreter under three names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import TensorSpec
from edge.classification.interpreter import RuntimeName
from edge.errors import GateError, ModelError

#: Many times what 3,000 crops take: 0.01 s a crop.
_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True, eq=False)
class DeviceRun:
    """What an interpreter gave for a file and crops.

    Attributes
    ----------
    runtime : name and version of the interpreter
    input, output : the file's tensors
    lsb : smallest step of the output
    ops : operations in order, as the interpreter sees them
    outputs : (n, 2) float32, in the device's own batches
    batch_differences : outputs that change when crops are run in a batch of 4 or 8
    latency_ms : of single crops, one thread; empty where none was asked for
    """

    runtime: str
    input: TensorSpec
    output: TensorSpec
    lsb: float
    ops: tuple[str, ...]
    outputs: NDArray[np.float32]
    batch_differences: int
    latency_ms: NDArray[np.float32]


def run_on_device(path: Path, runtime: RuntimeName, crops: NDArray[np.uint8], timed: int = 0) -> DeviceRun:
    """Run a file in an interpreter, in a process without TensorFlow.

    Parameters
    ----------
    path : ``.tflite`` file
    runtime : which interpreter
    crops : (n, s, s, 3) uint8 RGB, n at least 1
    timed : single crops to take the time of

    Returns
    -------
    DeviceRun

    Raises
    ------
    ModelError
        The interpreter cannot open or run it.
    """
    with tempfile.TemporaryDirectory(prefix="blastcount-") as folder:
        stored = Path(folder) / "crops.npy"
        np.save(stored, crops)
        found = _call("look", path, runtime, [str(stored), str(timed)], Path(folder))
    facts = found.pop("facts")
    if "error" in facts:
        raise ModelError(facts["error"])
    return DeviceRun(
        runtime=facts["runtime"],
        input=_tensor(facts["input"]),
        output=_tensor(facts["output"]),
        lsb=facts["lsb"],
        ops=tuple(facts["ops"]),
        batch_differences=facts["batch_differences"],
        outputs=found["outputs"],
        latency_ms=found["latency_ms"],
    )


def check_golden_on_device(bundle: Path, runtime: RuntimeName) -> float:
    """Open a bundle as a device does and run its golden crops.

    Returns
    -------
    float
        Largest difference of p_blast.

    Raises
    ------
    GateError
        It cannot be opened, or its golden crops disagree.
    """
    with tempfile.TemporaryDirectory(prefix="blastcount-") as folder:
        facts = _call("golden", bundle, runtime, [], Path(folder))["facts"]
    if "error" in facts:
        raise GateError(facts["error"])
    return float(facts["worst"])


def record_field_on_device(bundle: Path) -> Path:
    """Send the golden field down the whole line, and write what it gives beside the bundle.

    Returns
    -------
    the file

    Raises
    ------
    GateError
        A device could not count it.
    """
    with tempfile.TemporaryDirectory(prefix="blastcount-") as folder:
        facts = _call("field", bundle, "any", [], Path(folder))["facts"]
    if "error" in facts:
        raise GateError(facts["error"])
    return Path(facts["path"])


def _call(task: str, path: Path, runtime: str, arguments: list[str], folder: Path) -> dict[str, Any]:
    answer = folder / "answer.npz"
    # The child must find this very package, wherever the parent found it.
    here = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "convert.gate.probe",
            task,
            str(path.resolve()),
            runtime,
            *arguments,
            str(answer),
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if child.returncode != 0 or not answer.is_file():
        last = (child.stderr.strip().splitlines() or ["no message"])[-1][:160]
        return {"facts": {"error": f"{path.name}: {runtime} ended with {child.returncode} ({last})"}}
    with np.load(answer, allow_pickle=False) as archive:
        found: dict[str, Any] = {name: archive[name] for name in archive.files}
    found["facts"] = json.loads(str(found["facts"]))
    return found


def _tensor(spec: dict[str, Any]) -> TensorSpec:
    return TensorSpec(tuple(spec["shape"]), spec["dtype"], spec["scale"], spec["zero_point"])
