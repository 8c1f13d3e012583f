"""The child of :mod:`convert.gate.device`: one file in one interpreter, in a process without TensorFlow."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.classification.interpreter import BATCH, Network, RuntimeName
from edge.counting.golden import field_path, record
from edge.device.durable import write_whole
from edge.errors import EdgeError

#: Crops in the batch that is compared with single runs, twice the device's own batch.
LARGE_BATCH = 8
#: Runs before the clock counts: the first ones fill caches and pack weights.
_WARM_UP = 5
#: What the order of summation may change in a float output: ten times what was measured (1e-6).
_FLOAT_ROUNDING = 1e-5


def look(path: Path, runtime: RuntimeName, crops: NDArray[np.uint8], timed: int) -> dict[str, Any]:
    """Run a file on crops, in the device's way and in others, and time it.

    Parameters
    ----------
    path : ``.tflite`` file
    runtime : which interpreter
    crops : (n, s, s, 3) uint8 RGB, n at least 1
    timed : single crops to take the time of

    Returns
    -------
    dict
        ``outputs`` (n, 2) float32, ``latency_ms`` (timed,) float32 and ``facts``, JSON of the rest.
    """
    network = Network(path, runtime=runtime)
    latency_ms = np.empty(timed, np.float32)
    for i in range(-_WARM_UP if timed else 0, timed):
        crop = crops[i % len(crops)][None]
        start_ns = time.perf_counter_ns()
        network.outputs(crop)
        if i >= 0:
            latency_ms[i] = (time.perf_counter_ns() - start_ns) / 1e6
    facts = {
        "runtime": network.runtime,
        "input": structs.asdict(network.input),
        "output": structs.asdict(network.output),
        "lsb": network.lsb,
        "ops": network.ops(),
        "batch_differences": batch_differences(network, crops),
    }
    return {"outputs": network.outputs(crops), "latency_ms": latency_ms, "facts": json.dumps(facts)}


def batch_differences(network: Network, crops: NDArray[np.uint8]) -> int:
    """Count outputs that differ between batches and the same crops one by one; there must be none.

    Parameters
    ----------
    network : the exported file in an interpreter
    crops : (n, s, s, 3) uint8 RGB; the first ``LARGE_BATCH`` are used, repeated where fewer

    Returns
    -------
    int
        Over one batch of ``LARGE_BATCH`` and the device's own batches.
    """
    batch = crops[np.arange(LARGE_BATCH) % len(crops)]
    single = network.outputs(batch, batch=1)
    # Integers must be equal; floats may be summed in another order.
    tolerance = _FLOAT_ROUNDING if network.output.dtype == "float32" else 0.0
    return sum(
        int((np.abs(network.outputs(batch, batch=size) - single) > tolerance).any(axis=1).sum())
        for size in (BATCH, LARGE_BATCH)
    )


def main(arguments: list[str]) -> None:
    """Carry out ``look FILE RUNTIME CROPS.npy TIMED OUT.npz`` or ``golden|field BUNDLE RUNTIME OUT.npz``."""
    task, path, runtime, *rest = arguments
    try:
        if "tensorflow" in sys.modules:
            raise EdgeError("TensorFlow is loaded, so that no other interpreter can be told from its own")
        if task == "golden":
            classifier = Classifier(load_bundle(Path(path)), runtime=cast(RuntimeName, runtime))
            found: dict[str, Any] = {"facts": json.dumps({"worst": classifier.check_golden()})}
        elif task == "field":
            bundle = load_bundle(Path(path))
            write_whole(field_path(bundle), record(bundle).to_bytes())
            found = {"facts": json.dumps({"path": str(field_path(bundle))})}
        else:
            crops = np.load(rest[0], allow_pickle=False)
            found = look(Path(path), cast(RuntimeName, runtime), crops, int(rest[1]))
    except EdgeError as error:
        found = {"facts": json.dumps({"error": str(error)})}
    np.savez(rest[-1], **found)


if __name__ == "__main__":
    main(sys.argv[1:])
