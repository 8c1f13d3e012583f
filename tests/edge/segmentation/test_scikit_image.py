"""Label images, thresholds and splitting beside scikit-image's and SciPy's, which know nothing of ours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, filters, measure, segmentation, util

from edge.segmentation import labels as own
from edge.segmentation.histogram import otsu
from edge.segmentation.labels import Labels
from edge.segmentation.split import split

COUNT = 12


@pytest.fixture(scope="module")
def labels() -> Labels:
    """Overlapping discs, some cut by the border, one label (7) without pixels."""
    random = np.random.default_rng(3)
    image = np.zeros((120, 160), np.int32)
    for label in (i for i in range(1, COUNT + 1) if i != 7):
        centre = (int(random.integers(0, 160)), int(random.integers(0, 120)))
        cv2.circle(image, centre, int(random.integers(4, 20)), (label,), cv2.FILLED)
    return image.astype(np.uint16)


@pytest.fixture(scope="module")
def values(labels: Labels) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, labels.shape).astype(np.uint8)


def test_region_properties(labels: Labels) -> None:
    ours = own.region_properties(labels, COUNT)
    regions = {region.label: region for region in measure.regionprops(labels)}
    assert 3 < len(regions) < COUNT
    for label in range(1, COUNT + 1):
        region = regions.get(label)
        if region is None:
            assert (ours.area[label], ours.x[label], ours.y[label]) == (0, 0, 0)
            assert ours.bbox[label, 2] < ours.bbox[label, 0]
            continue
        assert ours.area[label] == own.areas_by_label(labels, COUNT)[label] == region.area
        assert (ours.y[label], ours.x[label]) == pytest.approx(region.centroid)
        y0, x0, y1, x1 = region.bbox
        assert ours.bbox[label].tolist() == [x0, y0, x1 - 1, y1 - 1]


def test_what_is_measured_by_label(labels: Labels, values: NDArray[np.uint8]) -> None:
    ids = np.unique(labels)
    mask = values > 40
    histograms = own.histograms_by_label(labels, values, mask, COUNT)
    expected = ndimage.histogram(values, 0, 256, 256, np.where(mask, labels, COUNT + 1), ids)
    assert np.array_equal(histograms[ids], np.stack(expected))
    whole = own.histograms_by_label(labels, values, labels >= 0, COUNT)
    for label in ids.tolist():
        quantile = np.quantile(values[labels == label], 0.75, method="inverted_cdf")
        assert own.quantile_by_label(whole, 0.75)[label] == quantile
    maxima = own.maximum_by_label(values.astype(np.float32), labels, COUNT)
    assert maxima[ids].tolist() == ndimage.maximum(values, labels, ids).tolist()
    assert maxima[7] == 0


def test_renumbering(labels: Labels) -> None:
    numbers, count = own.relabel_sequential(np.array([0, 1, 2, 2, 4, 5, 5, 5, 8, 9, 10, 11, 12], np.int32))
    assert numbers.tolist() == [0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9]
    assert count == 9
    ours = own.map_labels(labels, numbers)
    assert np.array_equal(ours, util.map_array(labels, np.arange(COUNT + 1), numbers.astype(np.int64)))
    largest = own.labels_at(labels, labels > 9, COUNT)
    assert np.flatnonzero(largest).tolist() == [i for i in (10, 11, 12) if (labels == i).any()]


@pytest.mark.parametrize("seed", range(5))
def test_threshold_of_otsu(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = np.bincount(
        np.concatenate([random.normal(60, 12, 900), random.normal(160, 25, 400)]).clip(0, 255).astype(int),
        minlength=256,
    )
    assert otsu(counts.astype(np.float64)) == filters.threshold_otsu(hist=(counts, np.arange(256)))


@pytest.mark.parametrize("seed", range(6))
def test_touching_nuclei_are_parted_as_by_a_watershed_of_the_distance_transform(seed: int) -> None:
    """A row of discs of 6 to 9 µm that overlap a little, in a random direction each."""
    random = np.random.default_rng(seed)
    um_per_px = 0.2
    mask, truth, place = np.zeros((300, 300), np.uint8), 5, np.array([40.0, 150.0])
    radius = 20.0
    for number in range(truth):
        cv2.circle(mask, (round(place[0]), round(place[1])), round(radius), (1,), cv2.FILLED)
        if number < truth - 1:
            following, angle = random.uniform(15, 22), random.uniform(-0.7, 0.7)
            place += 0.93 * (radius + following) * np.array([np.cos(angle), np.sin(angle)])
            radius = following
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    peaks = feature.peak_local_max(distance, min_distance=8, labels=mask.astype(np.int32))
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    basins = segmentation.watershed(-distance, seeds, mask=mask > 0)
    parts = split(mask, um_per_px)
    assert parts.max() == basins.max() == truth
    inside = mask > 0
    overlap = np.histogram2d(parts[inside], basins[inside], bins=(np.arange(1, 7), np.arange(1, 7)))[0]
    assert overlap.max(axis=1).sum() > 0.97 * inside.sum()
