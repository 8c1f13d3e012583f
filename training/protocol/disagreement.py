"""Cells whose label and whose probability out of fold disagree: where labels may be wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.collection import Collection
from training.protocol.judged import JudgedCells

#: Columns of the list; a file is named from the data folder.
COLUMNS = ("file", "x", "y", "class", "label", "p_blast")
Row = dict[str, str | float]


def disagreements(judged: JudgedCells, collection: Collection) -> list[Row]:
    """List the cells of laboratories with both classes whose label a network would change, surest first.

    It changes nothing: a list to look at. Nothing is taken out of what is judged, least of all by the network
    that is judged on it.

    Parameters
    ----------
    judged : cells of a test, each judged by a network that saw none of its group
    collection : that they are of

    Returns
    -------
    list of dict
        Of ``COLUMNS``.
    """
    found: list[Row] = []
    for lab in sorted({cell.lab for cell in judged.cells}):
        part = judged.take([c.lab == lab and c.usable and c.label is not None for c in judged.cells])
        if not part.cells or set(part.labels.tolist()) != {0, 1}:
            continue
        for i in np.nonzero(confidently_wrong(part.labels, part.p_blast))[0].tolist():
            cell = part.cells[i]
            found.append(
                {
                    "file": collection.source(cell.field),
                    "x": round(cell.cell.x),
                    "y": round(cell.cell.y),
                    "class": cell.cell_type or "",
                    "label": "blast" if cell.label else "normal",
                    "p_blast": round(float(part.p_blast[i]), 3),
                }
            )
    return sorted(found, key=lambda row: (-abs(float(row["p_blast"]) - 0.5), row["file"], row["x"]))


def confidently_wrong(labels: NDArray[np.int64], p_blast: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which of (n,) labels are off the diagonal of the confident joint [1]_.

    A cell counts as of the other class where that has at least the mean probability that cells of it have.

    Parameters
    ----------
    labels : (n,) 1 blast, 0 normal, both there
    p_blast : (n,) of the same cells, out of fold

    References
    ----------
    .. [1] C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning: estimating uncertainty in dataset
       labels", JAIR 70 (2021).

    Examples
    --------
    >>> confidently_wrong(np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.1, 0.1, 0.2, 0.95])).tolist()
    [False, True, False, False, True]
    """
    # Where the classes are hardly told apart a cell may count as of both: the larger probability decides.
    as_blast = p_blast >= p_blast[labels == 1].mean()
    as_normal = p_blast <= p_blast[labels == 0].mean()
    says_blast = as_blast & (~as_normal | (p_blast > 0.5))
    says_normal = as_normal & (~as_blast | (p_blast < 0.5))
    other = np.where(labels == 1, says_normal, says_blast)
    return np.asarray(other, np.bool_)
