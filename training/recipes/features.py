"""Recipes that measure cells once and learn only what follows: features, then a classifier of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol.recipe import Epoch
from training.recipes.published import Published

#: Cells measured at once.
_PIECE = 256


@dataclass(frozen=True, slots=True)
class FeatureDesign(Published):
    """A published system of features and a classifier."""

    def describe(self, collection: Collection, cells: Sequence[CellRecord]) -> NDArray[np.float64]:
        """Measure cells: (n, features)."""
        raise NotImplementedError

    def classifier(self) -> Any:  # noqa: ANN401  # scikit-learn has no types
        """Make what learns from features; it has ``fit`` and ``decision_function``."""
        raise NotImplementedError

    def features(self, collection: Collection, cells: Sequence[CellRecord]) -> NDArray[np.float64]:
        """Measure cells, those that were measured before in this process not again: (n, features)."""
        known = collection.cache.features.setdefault(self.key, {})
        keys = [(collection.fields[cell.field].sha256, cell.cell) for cell in cells]
        new = {key: cell for key, cell in zip(keys, cells, strict=True) if key not in known}
        for first in range(0, len(new), _PIECE):
            piece = list(new.items())[first : first + _PIECE]
            found = self.describe(collection, [cell for _, cell in piece])
            known.update({key: row for (key, _), row in zip(piece, found, strict=True)})
        return np.stack([known[key] for key in keys])

    @property
    def key(self) -> str:
        """Name of what is measured; recipes that measure the same have the same."""
        return f"{type(self).__name__} {self.spec}"

    def fit(self, collection: Collection, cells: Sequence[CellRecord], seed: int) -> FeatureJudge:
        """Train the classifier; nothing in it is random."""
        chosen = [cell for cell in cells if cell.label is not None]
        classifier = self.classifier()
        classifier.fit(self.features(collection, chosen), [cell.label for cell in chosen])
        return FeatureJudge(self, collection, classifier)


@dataclass(frozen=True, slots=True)
class FeatureJudge:
    """A trained classifier with what measures the cells that it judges."""

    design: FeatureDesign
    collection: Collection
    classifier: Any
    history: tuple[Epoch, ...] = ()

    def __call__(self, cells: Sequence[CellRecord]) -> NDArray[np.float32]:
        """Give p_blast: the logistic function of the distance from the classifier's border, (n,)."""
        if not cells:
            return np.zeros(0, np.float32)
        distance = self.classifier.decision_function(self.design.features(self.collection, cells))
        return np.asarray(expit(distance), np.float32)
