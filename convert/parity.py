"""The exported file through the interpreters, against Keras, on the same crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classify import calibrate
from edge.interpreter import BATCH, Network
from edge.modelcard import Decision


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """How far one interpreter's outputs lie from Keras's.

    Attributes
    ----------
    runtime : name and version of the interpreter
    n : number of crops
    keras_blasts : how many of them Keras calls blast
    flipped : how many of them the interpreter puts on the other side of the threshold
    mean_delta_p, p99_delta_p, max_delta_p : of |p(file) - p(Keras)|, calibrated
    """

    runtime: str
    n: int
    keras_blasts: int
    flipped: int
    mean_delta_p: float
    p99_delta_p: float
    max_delta_p: float

    @property
    def agreement(self) -> float:
        """Share of crops on the same side of the threshold."""
        return (self.n - self.flipped) / self.n


def compare(
    runtime: str, p: NDArray[np.float32], p_keras: NDArray[np.float32], threshold: float
) -> RuntimeParity:
    """Compare two sets of calibrated probabilities of the same crops.

    Parameters
    ----------
    runtime : names the first set
    p, p_keras : (n,) float32, n at least 1
    threshold : p from which a cell counts as blast

    Returns
    -------
    RuntimeParity

    Examples
    --------
    >>> parity = compare("x 1.0", np.float32([0.1, 0.6]), np.float32([0.1, 0.4]), 0.5)
    >>> parity.flipped, parity.agreement, round(parity.max_delta_p, 3)
    (1, 0.5, 0.2)
    """
    delta = np.abs(p.astype(np.float64) - p_keras.astype(np.float64))
    # A NaN makes every comparison of the gate false, and so refuses; it must not be lost in a maximum.
    return RuntimeParity(
        runtime=runtime,
        n=len(p),
        keras_blasts=int((p_keras >= threshold).sum()),
        flipped=int(((p >= threshold) != (p_keras >= threshold)).sum()),
        mean_delta_p=float(delta.mean()),
        # "higher": a percentile between two crops would be a figure that no crop had.
        p99_delta_p=float(np.percentile(delta, 99, method="higher")),
        max_delta_p=float(delta.max()),
    )


def run_parity(
    network: Network, crops: NDArray[np.uint8], keras_outputs: NDArray[np.float32], decision: Decision
) -> RuntimeParity:
    """Run an exported file on crops and compare with what Keras gave.

    Parameters
    ----------
    network : the exported file in an interpreter
    crops : (n, s, s, 3) uint8 RGB, held out from calibration
    keras_outputs : (n, 2) float32, what the original Keras model gave for them
    decision : threshold and temperature of the card

    Returns
    -------
    RuntimeParity
    """
    temperature, lsb = decision.temperature, network.lsb
    return compare(
        network.runtime,
        calibrate(network.outputs(crops), temperature, lsb),
        # The same clipping for both: what lies beyond the file's last step cannot be said by it at all.
        calibrate(keras_outputs, temperature, lsb),
        decision.threshold,
    )


def batch_differences(network: Network, crops: NDArray[np.uint8]) -> int:
    """Count outputs that differ between one batch and the same crops one by one; there must be none.

    Parameters
    ----------
    network : the exported file in an interpreter
    crops : (n, s, s, 3) uint8 RGB; the first ``edge.interpreter.BATCH`` are used, repeated where fewer

    Returns
    -------
    int
    """
    batch = crops[np.arange(BATCH) % len(crops)]
    together = network.outputs(batch)
    single = np.concatenate([network.outputs(crop[None]) for crop in batch])
    return int((together != single).any(axis=1).sum())
