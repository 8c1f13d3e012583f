"""A converted file put before the gate: run on held-out crops in every interpreter, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.flatbuffer.accumulators import accumulators
from convert.gate.crops import Crops
from convert.gate.device import DeviceRun, run_on_device
from convert.gate.parity import RuntimeParity, compare
from convert.gate.verdict import LIMITS, Evidence, Limits, Verdict, judge
from convert.recipes import Recipe
from edge.classification.card import Decision
from edge.classification.classifier import calibrate
from edge.classification.interpreter import RUNTIMES, RuntimeName, installed_runtimes
from edge.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """A file's runs, figures and verdict.

    Attributes
    ----------
    recipe : how it was made
    content : the ``.tflite`` file
    runs : one an interpreter that opened it
    unopened : why an installed interpreter did not, by its name
    p, p_keras : calibrated probabilities of the held-out crops, (n,) float32, one for each of ``runs``;
        Keras's clipped as the file's are
    parities : the two compared
    verdict : the gate's
    """

    recipe: Recipe
    content: bytes
    runs: tuple[DeviceRun, ...]
    unopened: dict[str, str]
    p: tuple[NDArray[np.float32], ...]
    p_keras: tuple[NDArray[np.float32], ...]
    parities: tuple[RuntimeParity, ...]
    verdict: Verdict


def examine(
    path: Path,
    recipe: Recipe,
    crops: Crops,
    keras_outputs: NDArray[np.float32],
    decision: Decision,
    *,
    limits: Limits = LIMITS,
    runtimes: tuple[RuntimeName, ...] | None = None,
    timed: int = 0,
) -> Examination:
    """Run a file in every installed interpreter, each in a process of its own, and judge it.

    Parameters
    ----------
    path : ``.tflite`` file
    recipe : how it was made
    crops : held out from calibration
    keras_outputs : (n, 2) float32, what the original Keras model gave for them
    decision : threshold and temperature of the card
    limits : of the gate
    runtimes : interpreters; None for all of the device's that are installed
    timed : single crops to take the time of

    Returns
    -------
    Examination
    """
    names = installed_runtimes() if runtimes is None else runtimes
    runs, unopened = list[DeviceRun](), dict[str, str]()
    for name in names:
        try:
            runs.append(run_on_device(path, name, crops.pixels, timed))
        except ModelError as error:
            unopened[name] = str(error)
    content, temperature = path.read_bytes(), decision.temperature
    p = tuple(calibrate(run.outputs, temperature, run.lsb) for run in runs)
    # The same clipping for both: what lies beyond the file's last step cannot be said by it at all.
    p_keras = tuple(calibrate(keras_outputs, temperature, run.lsb) for run in runs)
    parities = tuple(
        compare(run.runtime, ours, keras, decision.threshold, crops)
        for run, ours, keras in zip(runs, p, p_keras, strict=True)
    )
    evidence = Evidence(
        runs=runs,
        parities=parities,
        # What no interpreter opens need be no TFLite file at all.
        accumulators=accumulators(content) if runs else (),
        unopened=unopened,
        absent=[name for name in RUNTIMES[:2] if name not in names],
        input_dtype=recipe.input_dtype,
        output_dtype=recipe.output_dtype,
    )
    verdict = judge(evidence, limits)
    return Examination(recipe, content, tuple(runs), unopened, p, p_keras, parities, verdict)
