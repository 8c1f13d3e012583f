"""Which cells are read: drawn at random from strata of the program's own words, so that none is too rare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: A stratum is drawn as if at least this share of its cells were called wrong: nobody knows that it is less.
_LEAST_DOUBT = 0.02
#: Fewest cells of a stratum that are drawn, where it has as many.
LEAST_DRAWN = 20
#: Distance of a probability from 0 or 1 within which the program is sure.
_SURE = 0.1


def stratum_of(label: str, p_blast: float, kind: str | None = None) -> str:
    """Name the stratum of a cell by what the program says of it.

    Parameters
    ----------
    label : ``blast``, ``normal`` or ``uncertain``
    p_blast : 0 to 1
    kind : its type, where a network named it

    Examples
    --------
    >>> stratum_of("normal", 0.03), stratum_of("normal", 0.4), stratum_of("normal", 0.01, "monocyte")
    ('normal', 'normal in doubt', 'normal, monocyte')
    """
    if label == "uncertain":
        return label
    if abs(p_blast - (label == "blast")) > _SURE:
        return f"{label} in doubt"
    return label if kind is None or label != "normal" else f"{label}, {kind}"


def allocate(sizes: NDArray[np.int64], doubt: NDArray[np.float64], cells: int) -> NDArray[np.int64]:
    """Say how many cells are drawn of each stratum.

    A half is shared out evenly, so that every stratum is known; the other half as Neyman has it [1]_, by size
    times standard deviation, for which the program's own doubt stands.

    Parameters
    ----------
    sizes : (strata,) int, cells of each
    doubt : (strata,) float, mean over its cells of how likely the program itself thinks them called wrong
    cells : wanted; all are drawn where there are no more

    References
    ----------
    .. [1] W. G. Cochran, "Sampling Techniques", 3rd edition, Wiley 1977, section 5.5.

    Examples
    --------
    >>> allocate(np.array([30, 100, 9870]), np.array([0.3, 0.2, 0.01]), 200).tolist()
    [30, 37, 133]
    """
    doubt = np.clip(doubt, _LEAST_DOUBT, 0.5)
    wanted = 0.5 / len(sizes) + 0.5 * (part := sizes * np.sqrt(doubt * (1.0 - doubt))) / part.sum()
    drawn = np.zeros(len(sizes), np.int64)
    # What a small stratum has not is shared out among the others.
    while (left := min(cells, int(sizes.sum())) - int(drawn.sum())) > 0:
        free = sizes - drawn
        parts = np.where(free > 0, wanted, 0.0)
        more = np.minimum(free, np.floor(left * parts / parts.sum()).astype(np.int64))
        if not more.any():
            more[np.argmax(np.where(free > 0, left * parts / parts.sum(), -1.0))] = 1
        drawn += more
    least = np.minimum(sizes, LEAST_DRAWN)
    for stratum in np.flatnonzero(drawn < least):
        drawn[stratum] = least[stratum]  # a few cells beyond what was asked for
    return drawn


def draw(strata: Sequence[str], doubt: Sequence[float], cells: int, seed: int) -> list[tuple[int, float]]:
    """Draw cells without replacement, stratum by stratum, in random order.

    Parameters
    ----------
    strata : name of each cell's stratum
    doubt : how likely the program itself thinks each called wrong, 0 to 0.5
    cells : wanted
    seed : of the generator; the same one draws the same cells

    Returns
    -------
    index of each drawn cell and its weight: the cells of its stratum over those drawn of it
    """
    names, of = np.unique(np.asarray(strata), return_inverse=True)
    sizes = np.bincount(of, minlength=len(names))
    mean = np.bincount(of, np.asarray(doubt, np.float64), len(names)) / sizes
    numbers = allocate(sizes.astype(np.int64), mean, cells)
    rng = np.random.default_rng(seed)
    drawn: list[tuple[int, float]] = []
    for stratum, number in enumerate(numbers.tolist()):
        members = rng.choice(np.flatnonzero(of == stratum), number, replace=False)
        drawn += [(int(index), float(sizes[stratum]) / number) for index in members]
    return [drawn[index] for index in rng.permutation(len(drawn))]
