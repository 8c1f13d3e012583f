"""The aggregated pair of Kasani et al. 2020: features of two networks that ImageNet taught, heard as one.

The paper joins NASNetLarge and VGG19 and trains them on; here EfficientNet-Lite0 and -Lite2 stand in, stay as
they are, and one dense layer learns.

References
----------
P. H. Kasani, S.-W. Park, J.-W. Jang, "An aggregated-based deep learning method for leukemic B-lymphoblast
classification", Diagnostics 10, 1064, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.structures import InputSpec
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.recipes.features import FeatureDesign
from training.recipes.imagenet import extractor, read_weights

SPEC = InputSpec(size_px=128)
#: Inverse strength of the squared penalty on the dense layer's weights, of features of spread 1: of 2,560
#: features and 400 cells almost any layer is right on all of them.
PENALTY = 1e-3


@dataclass(frozen=True, slots=True)
class Kasani2020(FeatureDesign):
    """The recipe.

    Attributes
    ----------
    sizes : of EfficientNet-Lite
    """

    name: str = "kasani2020"
    spec: InputSpec = SPEC
    sizes: tuple[str, ...] = ("lite0", "lite2")

    def describe(self, collection: Collection, cells: Sequence[CellRecord]) -> NDArray[np.float64]:
        """Give the features of both networks, one beside the other: (n, 2560)."""
        crops = cut(collection, cells, self.spec).astype(np.float32)
        networks = [extractor(read_weights(size), self.spec.size_px) for size in self.sizes]
        return np.concatenate([np.asarray(n(crops, training=False), np.float64) for n in networks], axis=1)

    def classifier(self) -> Any:  # noqa: ANN401  # scikit-learn has no types
        """Make the dense layer: a logistic regression of features of one spread."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=500))
