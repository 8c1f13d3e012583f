"""A converted file put before the gate: run on held-out crops in every interpreter, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.flatbuffer.accumulators import accumulators
from convert.gate.crops import Crops
from convert.gate.device import DeviceRun, run_on_device
from convert.gate.parity import compare
from convert.gate.verdict import LIMITS, Evidence, Limits, Verdict, judge
from convert.recipes import Recipe
from edge.classification.card import Decision
from edge.classification.classifier import calibrate
from edge.classification.interpreter import RUNTIMES, installed_runtimes
from edge.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """A file's runs, figures and verdict.

    Attributes
    ----------
    content : the ``.tflite`` file
    evidence : its runs and figures
    p, p_keras : calibrated probabilities of the held-out crops, (n,) float32, one for each of the runs;
        Keras's clipped as the file's are
    verdict : the gate's
    """

    content: bytes
    evidence: Evidence
    p: tuple[NDArray[np.float32], ...]
    p_keras: tuple[NDArray[np.float32], ...]
    verdict: Verdict


def examine(
    path: Path,
    recipe: Recipe,
    calibration: Crops,
    crops: Crops,
    keras_outputs: NDArray[np.float32],
    decision: Decision,
    *,
    limits: Limits = LIMITS,
    allow_open: bool = False,
    timed: int = 0,
) -> Examination:
    """Run a file in every installed interpreter, each in a process of its own, and judge it.

    Parameters
    ----------
    path : ``.tflite`` file
    recipe : how it was made
    calibration : crops that it was fitted to
    crops : held out from calibration, see :func:`convert.gate.crops.check_apart`
    keras_outputs : (n, 2) float32, what the original Keras model gave for them
    decision : threshold and temperature of the card
    limits : of the gate
    allow_open : questions that ``crops`` leave open do not refuse
    timed : single crops to take the time of

    Returns
    -------
    Examination
    """
    names = installed_runtimes()
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
        recipe=recipe,
        runs=runs,
        parities=parities,
        # What no interpreter opens need be no TFLite file at all.
        accumulators=accumulators(content) if runs else (),
        unopened=unopened,
        absent=[name for name in RUNTIMES[:2] if name not in names],
        groups=_groups(calibration, crops),
        whole=crops.touches_border is not None and not crops.touches_border.any(),
    )
    return Examination(content, evidence, p, p_keras, judge(evidence, limits, allow_open=allow_open))


def _groups(calibration: Crops, crops: Crops) -> int | None:
    """Count the groups that calibration never saw; None where a crop's group is not known on either side."""
    if calibration.groups is None or crops.groups is None:
        return None
    seen, judged = set(calibration.groups.tolist()), set(crops.groups.tolist())
    return None if "" in seen | judged else len(judged - seen)
