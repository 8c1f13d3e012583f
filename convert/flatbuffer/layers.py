"""Where in the network the conversion loses: every tensor against its float twin."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_tensorflow, native_silence
from convert.flatbuffer.schema import operation_names, short_name, unpack

#: Crops that the figures are taken over; 32 fix the signal-to-noise ratio to a tenth of a decibel.
CROPS = 32


@dataclass(frozen=True, slots=True)
class TensorError:
    """How far a tensor of the converted graph lies from its float twin, errors of earlier layers included.

    Attributes
    ----------
    layer, op : which layer and operation made it
    snr_db : power of the float values over that of the difference; None where they are equal
    found_low, found_high : extremes of the float values on these crops
    low, high : what the tensor can hold; None in float
    clipped : share of the float values beyond that
    """

    layer: str
    op: str
    snr_db: float | None
    found_low: float
    found_high: float
    low: float | None
    high: float | None
    clipped: float


def tensor_errors(
    content: bytes, reference: bytes, crops: NDArray[np.uint8]
) -> tuple[tuple[TensorError, ...], int]:
    """Compare every tensor that an operation makes with the tensor of the same name in a float file.

    Parameters
    ----------
    content : the converted file
    reference : the same network in float32
    crops : (n, s, s, 3) uint8 RGB; the first ``CROPS`` are used

    Returns
    -------
    errors : worst signal-to-noise ratio first
    unmatched : operations whose tensor has no twin, such as the quantisation of a float input
    """
    ours, theirs = _Tensors(content), _Tensors(reference)
    twins = {theirs.names[i]: i for i in theirs.made_by}
    pairs = {i: twins[ours.names[i]] for i in ours.made_by if ours.names[i] in twins}
    ranges = {i: ours.range(i) for i in pairs}
    sums = {i: np.zeros(4) for i in pairs}  # of signal² and difference², values clipped, values in all
    extremes = dict.fromkeys(pairs, (math.inf, -math.inf))
    for crop in crops[:CROPS]:
        found, expected = ours.run(crop, tuple(pairs)), theirs.run(crop, tuple(pairs.values()))
        for i, twin in pairs.items():
            values = expected[twin]
            low, high = ranges[i] or (-math.inf, math.inf)
            clipped = np.count_nonzero((values < low) | (values > high))
            noise = ((found[i] - values) ** 2).sum()
            sums[i] += np.array([(values**2).sum(), noise, clipped, values.size], np.float64)
            extremes[i] = (min(extremes[i][0], values.min()), max(extremes[i][1], values.max()))
    errors = [
        TensorError(
            layer=short_name(ours.names[i]),
            op=ours.made_by[i],
            snr_db=10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None,
            found_low=float(extremes[i][0]),
            found_high=float(extremes[i][1]),
            low=None if held is None else held[0],
            high=None if held is None else held[1],
            clipped=clipped / count,
        )
        for i, held in ranges.items()
        for signal, noise, clipped, count in [map(float, sums[i])]
    ]
    errors.sort(key=lambda error: math.inf if error.snr_db is None else error.snr_db)
    return tuple(errors), len(ours.made_by) - len(pairs)


class _Tensors:
    """A file opened in TensorFlow's interpreter such that every tensor can be read after a run.

    Attributes
    ----------
    made_by : the operation that makes a tensor, by the tensor's number
    names : of all tensors
    """

    def __init__(self, content: bytes) -> None:
        tf, model = load_tensorflow(), unpack(content)
        graph = model.subgraphs[0]
        operations = zip(graph.operators, operation_names(model), strict=True)
        self.made_by = {int(operator.outputs[0]): name for operator, name in operations}
        self.names = [tensor.name.decode() for tensor in graph.tensors]
        resolvers = tf.lite.experimental.OpResolverType
        with native_silence(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            # A delegate keeps the tensors within it to itself.
            self._interpreter: Any = tf.lite.Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}

    def run(self, crop: NDArray[np.uint8], wanted: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """Run one (s, s, 3) uint8 RGB crop; real values by the tensor's number."""
        self._interpreter.set_tensor(self._input["index"], self._stored(crop[None]))
        self._interpreter.invoke()
        return {i: self._real(i) for i in wanted}

    def range(self, i: int) -> tuple[float, float] | None:
        """Give the extremes that a quantised tensor can hold; None for a float one."""
        scale, zero_point = self._details[i]["quantization"]
        if not scale > 0:
            return None
        limits = np.iinfo(self._details[i]["dtype"])
        return float(scale * (limits.min - zero_point)), float(scale * (limits.max - zero_point))

    def _stored(self, crop: NDArray[np.uint8]) -> NDArray[Any]:
        if self._input["dtype"] is not np.int8:
            return crop.astype(np.float32)
        scale, zero_point = self._input["quantization"]
        return np.asarray(np.clip(np.rint(crop / scale) + zero_point, -128, 127), np.int8)

    def _real(self, i: int) -> NDArray[np.float64]:
        values = self._interpreter.get_tensor(i).astype(np.float64)
        scale, zero_point = self._details[i]["quantization"]
        return np.asarray((values - zero_point) * scale if scale > 0 else values, np.float64)
