"""From a cell's crop to the classifier's word on it."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import Decision, ModelBundle, ModelCard
from edge.classification.interpreter import Network, RuntimeName, check_tensors
from edge.classification.recalibration import Recalibrated, Recalibration
from edge.errors import GateError, ModelError
from edge.structures import CellClass


class Classifier:
    """A model bundle in an interpreter: crops in, calibrated probabilities and classes out.

    Not safe to share between threads.

    Parameters
    ----------
    bundle : a complete bundle, from :func:`edge.classification.card.load_bundle`
    threads : threads that one invocation may use, 1 or more
    runtime : which interpreter; None takes the first installed of its ``RUNTIMES``

    Attributes
    ----------
    recalibration_problem : why a recalibration that is there is not used; None where all is well

    Raises
    ------
    RuntimeMissingError
        The runtime asked for (or any, where none is) is missing or broken.
    ModelError
        The network cannot be opened, or its tensors are not the ones its card promises.
    """

    def __init__(self, bundle: ModelBundle, threads: int = 1, runtime: RuntimeName | None = None) -> None:
        self._bundle = bundle
        self._card = bundle.card
        self.recalibration_problem: str | None = None
        self._network = Network(bundle.tflite_path, threads=threads, runtime=runtime)
        card = bundle.card
        check_tensors(self._network, card.input_tensor, card.output_tensor, card.name)
        if card.input.size_px != self._network.size_px:
            raise ModelError(
                f"{card.name}: the card's crops are {card.input.size_px} px wide, the network takes "
                f"{self._network.size_px} px; use the card that was written with this network"
            )

    @property
    def card(self) -> ModelCard:
        """The bundle's card: name, hash, input spec, decision; the latter of the recalibration, if any."""
        return self._card

    def recalibrated(self, recalibration: Recalibration) -> Classifier:
        """Give a classifier with this network that reads it as a laboratory does.

        Golden crops and golden field are of the card's own decision: they are checked before.

        Raises
        ------
        ConfigError
            The recalibration was fitted for another card.
        """
        other = copy(self)
        other._card = recalibration.applied(self._bundle.card)
        return other

    @property
    def runtime(self) -> str:
        """Name and version of the interpreter, e.g. ``ai_edge_litert 2.3.0``."""
        return self._network.runtime

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give each crop its calibrated probability of showing a blast.

        Parameters
        ----------
        crops : (n, size_px, size_px, 3) uint8 RGB, cut by :func:`edge.classification.crop.to_input` with the
            card's input spec; n may be 0

        Returns
        -------
        (n,) float32 in 0 to 1

        Raises
        ------
        ImageError
            The crops have another shape or dtype.
        """
        decision = self.card.decision
        offset = decision.offset if isinstance(decision, Recalibrated) else 0.0
        return calibrate(self._network.outputs(crops), decision.temperature, self._network.lsb, offset)

    def label(self, p_blast: float) -> CellClass:
        """Name the class of a cell with this calibrated probability, by the card's decision."""
        return decide(p_blast, self.card.decision)

    def check_golden(self) -> float:
        """Run the golden crops again and compare with what the network said when it was made.

        Outputs are never compared bit by bit: between runtimes and processors they differ by a few
        steps. Within the card's tolerance no crop can change sides unless it lies that near the threshold.

        Returns
        -------
        float
            Largest difference of p_blast.

        Raises
        ------
        GateError
            A probability is off by more than the card's tolerance.
        """
        golden, tolerance = self._bundle.golden, self.card.golden.max_delta_p
        p_blast = self.p_blast(golden.crops)
        delta = np.abs(p_blast - golden.p_blast)
        worst = float(delta.max())
        if not worst <= tolerance:
            threshold = self.card.decision.threshold
            flipped = int(((p_blast >= threshold) != (golden.p_blast >= threshold)).sum())
            raise GateError(
                f"golden crops of {self.card.name} disagree in {self.runtime}: p_blast is off by up to "
                f"{worst:.3f}, at most {tolerance:.3f} expected; {int((delta > tolerance).sum())} of "
                f"{len(delta)} are off, {flipped} change class; do not count with this model here, "
                "reinstall the bundle or the runtime"
            )
        return worst


def decide(p_blast: float, decision: Decision) -> CellClass:
    """Turn a calibrated probability into a class.

    Parameters
    ----------
    p_blast : 0 to 1
    decision : threshold and uncertain band

    Returns
    -------
    str
        ``uncertain`` inside [uncertain_low, uncertain_high), else ``blast`` from the threshold on,
        else ``normal``.

    Examples
    --------
    >>> rule = Decision(threshold=0.5, uncertain_low=0.3, uncertain_high=0.7)
    >>> [decide(p, rule) for p in (0.29, 0.3, 0.5, 0.69, 0.7)]
    ['normal', 'uncertain', 'uncertain', 'uncertain', 'blast']
    """
    if decision.uncertain_low <= p_blast < decision.uncertain_high:
        return "uncertain"
    return "blast" if p_blast >= decision.threshold else "normal"


def calibrate(
    outputs: NDArray[np.float32], temperature: float, lsb: float, offset: float = 0.0
) -> NDArray[np.float32]:
    """Turn the network's two outputs into a probability and divide its logit by a temperature [1]_.

    An int8 softmax says 0 to 255/256: never 1, so that taking the second output alone would make a sure
    blast less sure than a sure normal cell. Half the sum of p(blast) and 1 - p(normal) treats both alike and
    halves the rounding; in float it is p(blast). It is then kept half a step away from 0 and 1, where the
    logit would be infinite and which such an output cannot tell from its last step.

    Parameters
    ----------
    outputs : (n, 2) float32, the softmax's (normal, blast)
    temperature : above 1 pulls towards 0.5, 1 changes nothing but the clipping
    lsb : smallest step of the output
    offset : of a recalibration, added to the logit before it is divided

    Returns
    -------
    (n,) float32 in 0 to 1

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.

    Examples
    --------
    >>> steps = np.float32([[255, 0], [192, 64], [128, 128], [0, 255]]) / 256
    >>> calibrate(steps, temperature=2.0, lsb=1 / 256).round(3)
    array([0.042, 0.366, 0.5  , 0.958], dtype=float32)
    """
    p = (outputs[:, 1].astype(np.float64) + 1.0 - outputs[:, 0]) / 2
    clipped = np.clip(p, lsb / 2, 1 - lsb / 2)
    logit = np.log(clipped) - np.log1p(-clipped)
    return np.asarray(1 / (1 + np.exp(-(logit + offset) / temperature)), dtype=np.float32)
