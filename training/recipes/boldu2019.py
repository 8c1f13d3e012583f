"""Boldú et al. 2019: geometric, colour and texture features of cell and nucleus, with LDA or an SVM.

The outlines are those of the product's segmentation in place of the paper's colour clustering.

References
----------
L. Boldú, A. Merino, S. Alférez, A. Molina, A. Acevedo, J. Rodellar, "Automatic recognition of different types
of acute leukaemia in peripheral blood by image analysis", J. Clin. Pathol. 72, 755-761, 2019.
R. M. Haralick, K. Shanmugam, I. Dinstein, "Textural features for image classification", IEEE Trans. Syst. Man
Cybern. 3, 610-621, 1973.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import InputSpec, UInt8Image
from training.data.collection import Collection, cut
from training.data.records import CellRecord
from training.recipes.features import FeatureDesign

SPEC = InputSpec(size_px=96, channels="density+cell+nucleus")
#: Share of the features that is kept, those whose means differ most between the classes of the training side
#: (analysis of variance): the paper keeps 700 of 2,867.
KEPT_SHARE = 700 / 2867
#: Grey levels of a co-occurrence matrix.
LEVELS = 16
#: Steps of a co-occurrence matrix: the next pixel to the right, below, and on both diagonals.
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, slots=True)
class Boldu2019(FeatureDesign):
    """The recipe.

    Attributes
    ----------
    classifier_of : linear discriminant analysis, or a support vector machine with radial basis functions
    """

    name: str = "boldu2019-lda"
    spec: InputSpec = SPEC
    classifier_of: Literal["lda", "svm"] = "lda"

    def describe(self, collection: Collection, cells: Sequence[CellRecord]) -> NDArray[np.float64]:
        """Measure each cell."""
        planes = cut(collection, cells, self.spec)
        crops = cut(collection, cells, replace(self.spec, channels="RGB"))
        return np.stack(
            [
                features(crop, plane[..., 1] > 0, plane[..., 2] > 0)
                for crop, plane in zip(crops, planes, strict=True)
            ]
        )

    def classifier(self) -> Any:  # noqa: ANN401  # scikit-learn has no types
        """Make the pipeline: features that vary, of one spread, the best quarter of them, LDA or SVM."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        last = LinearDiscriminantAnalysis() if self.classifier_of == "lda" else SVC()
        best = SelectPercentile(f_classif, percentile=100 * KEPT_SHARE)
        return make_pipeline(VarianceThreshold(), StandardScaler(), best, last)


def features(crop: UInt8Image, cell: NDArray[np.bool_], nucleus: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure a cell.

    Parameters
    ----------
    crop : (side, side, 3) uint8 RGB
    cell, nucleus : (side, side) masks

    Returns
    -------
    (n,) float64
        Geometry of cell and nucleus in px and ratios; of nucleus and cytoplasm in each of 19 colour channels
        six statistics of the histogram and five of the co-occurrence matrix.
    """
    cytoplasm = cell & ~nucleus
    found = [*geometry(cell), *geometry(nucleus), nucleus.sum() / max(1, cell.sum())]
    for channel in channels(crop):
        for inside in (nucleus, cytoplasm):
            found += [*histogram_statistics(channel, inside), *texture(channel, inside)]
    return np.array(found, np.float64)


def geometry(mask: NDArray[np.bool_]) -> list[float]:
    """Area, perimeter, circularity, solidity, elongation, extent and equivalent diameter of a mask."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return [0.0] * 7
    outline = max(contours, key=cv2.contourArea)
    area, perimeter = float(mask.sum()), cv2.arcLength(outline, closed=True)
    hull = max(1.0, cv2.contourArea(cv2.convexHull(outline)))
    _, (first, second), _ = cv2.minAreaRect(outline)
    longer, shorter = max(first, second, 1.0), max(min(first, second), 1.0)
    return [
        area,
        perimeter,
        4 * np.pi * area / max(1.0, perimeter) ** 2,
        cv2.contourArea(outline) / hull,
        longer / shorter,
        area / (longer * shorter),
        2 * float(np.sqrt(area / np.pi)),
    ]


def channels(crop: UInt8Image) -> list[NDArray[np.float64]]:
    """Give the 19 channels of RGB, CMYK, HSV, XYZ, L*a*b* and L*u*v*, each in 0 to 1 where it has bounds."""
    rgb = crop.astype(np.float32) / 255
    key = 1 - rgb.max(axis=2, keepdims=True)
    cmy = (1 - rgb - key) / np.maximum(1 - key, 1e-6)
    others = [
        cv2.cvtColor(rgb, code) * scale
        for code, scale in (
            (cv2.COLOR_RGB2HSV, np.array((1 / 360, 1, 1), np.float32)),
            (cv2.COLOR_RGB2XYZ, np.float32(1)),
            (cv2.COLOR_RGB2LAB, np.float32(1 / 100)),
            (cv2.COLOR_RGB2LUV, np.float32(1 / 100)),
        )
    ]
    return [
        plane.astype(np.float64) for plane in np.moveaxis(np.concatenate([rgb, cmy, key, *others], 2), 2, 0)
    ]


def histogram_statistics(channel: NDArray[np.float64], inside: NDArray[np.bool_]) -> list[float]:
    """Mean, spread, skewness, kurtosis, energy and entropy of a channel inside a mask."""
    values = channel[inside]
    if len(values) < 2:
        return [0.0] * 6
    mean, spread = float(values.mean()), float(values.std())
    normed = (values - mean) / max(spread, 1e-6)
    shares = np.bincount(_levels(values), minlength=LEVELS) / len(values)
    return [mean, spread, float((normed**3).mean()), float((normed**4).mean()), *_energy_entropy(shares)]


def texture(channel: NDArray[np.float64], inside: NDArray[np.bool_]) -> list[float]:
    """Contrast, homogeneity, correlation, energy and entropy of neighbours inside a mask (Haralick)."""
    counts = np.zeros((LEVELS, LEVELS))
    if inside.any():
        level = np.zeros(channel.shape, np.int64)
        level[inside] = _levels(channel[inside])
        for down, right in STEPS:
            here, there = _shifted(level, down, right)
            both = np.logical_and(*_shifted(inside, down, right))
            pairs = np.bincount(here[both] * LEVELS + there[both], minlength=LEVELS**2)
            counts += pairs.reshape(LEVELS, LEVELS)
    counts += counts.T
    shares = counts / max(1.0, counts.sum())
    first, second = np.indices(shares.shape)
    mean = float((first * shares).sum())
    variance = float(((first - mean) ** 2 * shares).sum())
    return [
        float(((first - second) ** 2 * shares).sum()),
        float((shares / (1 + (first - second) ** 2)).sum()),
        float(((first - mean) * (second - mean) * shares).sum()) / max(variance, 1e-6),
        *_energy_entropy(shares),
    ]


def _levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bring values to grey levels between their own 1st and 99th percentile."""
    low, high = np.percentile(values, (1, 99))
    scaled = (values - low) / max(float(high - low), 1e-6) * LEVELS
    return np.asarray(np.clip(scaled, 0, LEVELS - 1), np.int64)


def _energy_entropy(shares: NDArray[np.float64]) -> list[float]:
    some = shares[shares > 0]
    return [float((some**2).sum()), float(-(some * np.log2(some)).sum())]


def _shifted(image: NDArray[Any], down: int, right: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pair each pixel with the one that lies a step away; both (rows, columns) of what is inside."""
    height, width = image.shape
    columns = slice(max(0, -right), width - max(0, right))
    moved = slice(max(0, right), width + min(0, right))
    return image[: height - down, columns], image[down:, moved]
