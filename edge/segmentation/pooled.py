"""One scale for the fields that were taken with one microscope, from the red cells of all of them.

A field's red cells give its scale; where they are few, out of focus or in piles they give a wrong one. Fields
of one sample have one scale, so what many of them say is pooled, and one field does not overrule the others,
unless its own red cells leave no doubt that it was taken at another magnification. Fields of a folder may be
of many persons, whose red cells differ a little: there a field's own word counts as far as it is precise.

The limits below were measured on 1,544 fields of ten sources of one microscope each, against the weighted
median of their source.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.segmentation.stain import MAD_TO_SIGMA
from edge.structures import Frame, PooledScale, RedCellScale, Scale

#: Relative standard deviation of the error of a field's own scale by its confidence c: 0.026 / c - 0.01. The
#: fields' scales were 0.15 apart at a confidence of 0.17, 0.11 at 0.25, 0.08 at 0.4, 0.06 at 0.65 and 0.03
#: at 0.95, of which 0.05 are persons and not errors.
_ERROR_TIMES_CONFIDENCE = 0.026
_ERROR_LESS = 0.01
_LEAST_CONFIDENCE = 0.02
#: What all fields of a sample share: mean diameters of healthy persons' red cells differ by 2 % (standard
#: deviation), those of patients by more, and outlines by threshold against boxes by people by 4 %.
_SYSTEMATIC = 0.04
_Z95 = 1.96
#: The median of normal deviates has this much more spread than their mean.
_MEDIAN_SPREAD = 1.2533
#: Relative standard deviation of the scales, as red cells give them, of one folder's persons: 0.03 and 0.04
#: in 84 fields of confidence 1 by two cameras, 0.07 between 73 patients of one scanner.
BETWEEN_PERSONS = 0.05
#: Two scales that differ by more than a quarter are not one: white cells of one kind differ less in diameter.
_JUMP = math.log(1.25)
#: Of 409 fields of this confidence none was off by a jump, but for two that were taken at twice the
#: magnification; of those of 0.3 to 0.6, 1.5 % were.
_CERTAIN = 0.6
#: Red cells contradict a given scale that is so many standard deviations away, where those of other fields do
#: not vouch for it. Given the scale of their source, 25 of 2,319 pictures of thirteen sources are that far
#: away: two at another magnification, and 18 of the 272 that are 224 px wide. With three it is 73.
_ERRORS_OF_CONTRADICTION = 4.0
#: Fewer fields, or fields that say so little that their median is known no better than to 9 %, are no pool.
_LEAST_FIELDS = 3
_LEAST_PRECISION = 200.0
#: Least share of the evidence within a jump of the median. Sixteen fields of one microscope had 0.70 or more
#: in 99 of 100 draws from the source with the poorest optics; half and half of two objectives have 0.5.
_LEAST_AGREEMENT = 0.65
#: So many fields, or two certain ones, that do not agree are of more than one scale; fewer are chance.
_LEAST_FIELDS_MIXED = 8
_LEAST_CERTAIN_MIXED = 2
#: Fields that are remembered. A sample has 20 to 100, and the latest are what the objective is now.
_MOST_FIELDS = 200


class ScalePool:
    """The scales of fields that were taken with one microscope, as they come.

    Parameters
    ----------
    between : relative standard deviation of the true scales: 0 for one sample, ``BETWEEN_PERSONS`` for many
    """

    def __init__(self, between: float = 0.0) -> None:
        self._between = between
        self._fields: deque[RedCellScale] = deque(maxlen=_MOST_FIELDS)

    def add(self, scale: Scale) -> None:
        """Add what a field's own red cells say; nothing where they say nothing."""
        if scale.red_cells is not None:
            self._fields.append(scale.red_cells)

    def pooled(self) -> PooledScale | None:
        """Give the scale of the fields so far; None where these are too few to have a word.

        Notes
        -----
        The weighted median of the log scales, weights being the inverse variance that a field's confidence
        stands for. Its error is that of the median of the effective number of fields, by the larger of the
        spread that was expected and that which was found.

        Examples
        --------
        >>> pool = ScalePool()
        >>> for um_per_px in (0.10, 0.16, 0.11, 0.10):
        ...     pool.add(scale_of_red_cells(RedCellScale(um_per_px, 0.5)))
        >>> round(pool.pooled().um_per_px, 3)
        0.1
        """
        if not self._fields:
            return None
        logs = np.log([field.um_per_px for field in self._fields])
        confidence = np.array([field.confidence for field in self._fields])
        certain = confidence >= _CERTAIN
        enough = np.count_nonzero(certain) >= _LEAST_CERTAIN_MIXED
        if enough and not _agree(logs[certain], confidence[certain]):
            return PooledScale(None, 0.0, 0.0, len(logs))
        weights = np.array([1 / (_spread(c) ** 2 + self._between**2) for c in confidence.tolist()])
        if len(logs) < _LEAST_FIELDS or weights.sum() < _LEAST_PRECISION:
            return None
        middle = _weighted_median(logs, weights)
        if (agreement := _agreement(logs, confidence, middle)) < _LEAST_AGREEMENT:
            return PooledScale(None, 0.0, 0.0, len(logs)) if len(logs) >= _LEAST_FIELDS_MIXED else None
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        found = MAD_TO_SIGMA * _weighted_median(np.abs(logs - middle), weights)
        expected = math.sqrt(len(logs) / float(weights.sum()))
        error = _MEDIAN_SPREAD * max(found, expected) / math.sqrt(effective)
        return PooledScale(math.exp(middle), math.hypot(error, self._between), agreement, len(logs))


def scale_of_red_cells(own: RedCellScale) -> Scale:
    """Make the scale that a field by itself has, with the interval that its confidence stands for."""
    interval = _interval(own.um_per_px, _spread(own.confidence))
    return Scale(own.um_per_px, "red_cells", own.confidence, interval, own)


def settle(own: Scale, frame: Frame) -> Scale:
    """Choose the scale that a field is counted with.

    Parameters
    ----------
    own : what the field by itself gives
    frame : whose configured scale goes before all, and whose pooled one before its own

    Returns
    -------
    Scale, its ``red_cells`` being the field's own

    Notes
    -----
    The pooled scale and the field's own are averaged on the logarithm with the inverse of their variances as
    weights, as in Bayes' theorem for normal errors. An own scale that is a jump away is a gross error, which
    is not normal, and has no weight; or, where the field is certain of it, another magnification.
    """
    if frame.um_per_px is not None:
        return Scale(frame.um_per_px, "configured", 1.0, frame.um_per_px_interval, own.red_cells)
    pooled = frame.pooled
    if pooled is None or pooled.um_per_px is None or _jumps(own.red_cells, pooled.um_per_px):
        return own
    um_per_px, spread, red_cells = pooled.um_per_px, pooled.spread, own.red_cells
    if red_cells is not None and abs(shift := math.log(red_cells.um_per_px / um_per_px)) <= _JUMP:
        share = spread**2 / (spread**2 + _spread(red_cells.confidence) ** 2)
        um_per_px, spread = um_per_px * math.exp(share * shift), spread * math.sqrt(1 - share)
    return Scale(um_per_px, "pooled", pooled.confidence, _interval(um_per_px, spread), red_cells)


def has_changed(scale: Scale, frame: Frame) -> bool:
    """Say whether a field's scale is in doubt because red cells contradict it.

    Its own red cells leave no doubt of another one than is pooled, or the fields that it was to share its
    scale with have more than one. A scale that was given is contradicted by the red cells of the other
    fields, or where these have no word by its own, however few, if it is farther away than their error
    explains.

    Parameters
    ----------
    scale : that the field was counted with
    frame : the field
    """
    own, pooled = scale.red_cells, frame.pooled
    if frame.um_per_px is None:
        return pooled is not None and (pooled.um_per_px is None or _jumps(own, pooled.um_per_px))
    if _jumps(own, frame.um_per_px):
        return True
    if pooled is not None and pooled.um_per_px is not None:
        return _contradicts(pooled.um_per_px, pooled.spread, frame.um_per_px)
    if own is None:
        return False
    return _contradicts(own.um_per_px, math.hypot(_spread(own.confidence), BETWEEN_PERSONS), frame.um_per_px)


def _contradicts(um_per_px: float, spread: float, given: float) -> bool:
    """Say whether what red cells say, with its relative error, is another scale than the one given."""
    away = abs(math.log(um_per_px / given))
    return away > max(_JUMP, _ERRORS_OF_CONTRADICTION * math.hypot(spread, _SYSTEMATIC))


def _jumps(own: RedCellScale | None, um_per_px: float) -> bool:
    """Say whether a field is certain of another scale."""
    if own is None or own.confidence < _CERTAIN:
        return False
    return abs(math.log(own.um_per_px / um_per_px)) > _JUMP


def _spread(confidence: float) -> float:
    return _ERROR_TIMES_CONFIDENCE / max(confidence, _LEAST_CONFIDENCE) - _ERROR_LESS


def _interval(um_per_px: float, spread: float) -> tuple[float, float]:
    factor = math.exp(_Z95 * math.hypot(spread, _SYSTEMATIC))
    return um_per_px / factor, um_per_px * factor


def _agreement(logs: NDArray[np.float64], confidence: NDArray[np.float64], middle: float) -> float:
    """Share of the evidence within a jump of the middle.

    The chance of a gross error falls with the confidence faster than the spread does: hence its square.
    """
    evidence = confidence**2
    return float(evidence[np.abs(logs - middle) <= _JUMP].sum() / max(float(evidence.sum()), 1e-9))


def _agree(logs: NDArray[np.float64], confidence: NDArray[np.float64]) -> bool:
    middle = _weighted_median(logs, confidence**2)
    return _agreement(logs, confidence, middle) >= _LEAST_AGREEMENT


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
