"""Activation ranges from percentiles instead of extremes."""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from convert.backend import FlatObject, load_schema
from convert.flatbuffer.tensors import OpTensors

#: Bins between a tensor's extremes; a bin is an eighth of an int8 step.
_BINS = 2048
#: Operations that hand values on unchanged: their tensors share one range, or int8 would be rounded anew.
_CARRYING = ("MAX_POOL_2D", "RESHAPE", "CONCATENATION")
#: Their ranges stay: the input's is 0 to 255 by design, the softmax's and the logits' are set elsewhere.
_KEPT = ("FULLY_CONNECTED", "SOFTMAX")


def narrow_ranges(content: bytes, calibration: NDArray[np.uint8], percentile: float) -> bytes:
    """Clip the rarest values of each activation, so that the others have finer steps.

    Parameters
    ----------
    content : float ``.tflite`` file in which the calibrator has noted minima and maxima
    calibration : (n, s, s, 3) uint8 RGB
    percentile : share of values, in %, that a range must hold; on a side where all are 0 or above (a ReLU's)
        the range begins at 0 as before

    Returns
    -------
    bytes
        The file with other ranges noted.
    """
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    tensors = OpTensors(content)
    changed = {
        i: (float(graph.tensors[i].quantization.min[0]), float(graph.tensors[i].quantization.max[0]))
        for i, op in tensors.made_by.items()
        if op not in _KEPT and graph.tensors[i].quantization.max is not None
    }
    counts = {i: np.zeros(_BINS, np.int64) for i in changed}
    for crop in calibration:
        for i, values in tensors.run(crop, tuple(changed)).items():
            low, high = changed[i]
            bins = ((values.ravel() - low) * (_BINS / max(high - low, 1e-12))).astype(np.int64)
            counts[i] += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)
    found = {i: percentile_range(counts[i], *changed[i], percentile) for i in changed}
    for group in _groups(tensors, set(changed)):
        low, high = min(found[i][0] for i in group), max(found[i][1] for i in group)
        for i in group:
            noted = graph.tensors[i].quantization
            noted.min, noted.max = np.array([low], np.float32), np.array([high], np.float32)
    return pack(model, len(content))


def percentile_range(
    counts: NDArray[np.int64], low: float, high: float, percentile: float
) -> tuple[float, float]:
    """Narrow a range to what holds a share of the values, half of the rest cut on either side.

    Parameters
    ----------
    counts : values in equal bins from ``low`` to ``high``
    low, high : extremes; a ``low`` of 0 or above is kept
    percentile : in %

    Examples
    --------
    >>> percentile_range(np.array([90, 9, 0, 1]), 0.0, 4.0, 99.0)
    (0.0, 2.0)
    """
    edges = np.linspace(low, high, len(counts) + 1)
    total, cut = counts.sum(), counts.sum() * (100 - percentile) / 100
    if low < 0:
        cut /= 2
        low = float(edges[np.searchsorted(np.cumsum(counts), cut, side="right")])
    return low, float(edges[np.searchsorted(np.cumsum(counts), total - cut) + 1])


def pack(model: FlatObject, size: int) -> bytes:
    """Write a ``ModelT`` as a file; ``size`` is about how long it will be."""
    builder = importlib.import_module("flatbuffers").Builder(size)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _groups(tensors: OpTensors, changed: set[int]) -> list[set[int]]:
    """Join tensors between which values are only handed on."""
    groups = [{i} for i in changed]
    for op, inputs, output in tensors.ops:
        if op in _CARRYING:
            met = [group for group in groups if group & {output, *inputs}]
            groups = [group for group in groups if group not in met] + ([set().union(*met)] if met else [])
    return groups
