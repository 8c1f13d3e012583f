"""A network of types that is told what to say: it names them in turn, whatever it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from edge.structures import CellType, InputSpec, ModelIdentity


class TellingTypes:
    """Names types in turn and remembers what it was shown.

    Parameters
    ----------
    named : types with their probabilities, said over and over
    """

    identity = ModelIdentity("told", "7" * 64)
    card_sha256 = "8" * 64
    input = InputSpec(size_px=16)

    def __init__(self, *named: tuple[CellType, float]) -> None:
        self._named = cycle(named or [("lymphocyte", 0.875), ("other", 0.5)])
        self.batches: list[NDArray[np.uint8]] = []

    def types_of(self, crops: NDArray[np.uint8]) -> Sequence[tuple[CellType, float]]:
        """Name as many types as there are crops."""
        self.batches.append(crops)
        return [next(self._named) for _ in crops]
