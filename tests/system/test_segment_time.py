"""Time and memory of segmentation, one thread, beside scikit-image's equivalent in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation import segment
from edge.structures import Frame, UInt8Image

pytestmark = pytest.mark.slow

RUNS = 50
#: Measured 5 times on the smaller frame, 10 times on the larger one.
LEAST_GAIN = 3.0
_FRAMES_OF_MEMORY = 4.0

#: Peak memory shows only from outside: OpenCV's buffers are not Python's.
_PEAK = """
import ctypes, sys
import cv2, numpy as np
from edge.bench import CROWDED
from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation import segment
from edge.structures import Frame
cv2.setNumThreads(1)
small = render_field(1, RenderSettings(width=400, height=320, um_per_px=0.1)).image
segment(Field(Frame(small, "warm")))
if sys.argv[1] == "crowded":
    image = render_field(5, CROWDED).image
else:
    image = np.tile(small, (7, 7, 1))[:1944, :2592].copy()
def kilobytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
ctypes.CDLL(None).malloc_trim(0)  # what earlier work left behind must not be taken for free
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # from here on the peak starts at what is held now
before = kilobytes("VmRSS")
segment(Field(Frame(image, "large")))
after = kilobytes("VmHWM")
sys.stdout.write(str((after - before) * 1024 / image.nbytes))
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def p5_ms(work: Callable[[], object], runs: int = RUNS) -> float:
    """Fifth percentile of the processor's time: other programs can only add to it."""
    work()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return float(np.percentile(taken, 5)) * 1000.0


def with_scikit_image(image: UInt8Image, step: float) -> int:
    """Otsu's threshold, watershed and region properties: the same job by the usual recipe, same size."""
    from scipy import ndimage
    from skimage import color, feature, filters, measure, morphology, segmentation, transform

    shape = (round(image.shape[0] / step), round(image.shape[1] / step))
    small = transform.resize(image, shape, anti_aliasing=True)
    stain = color.rgb2hed(small)[..., 0]
    mask = morphology.opening(stain > filters.threshold_otsu(stain), morphology.disk(3))
    depth = ndimage.distance_transform_edt(mask)
    peaks = feature.peak_local_max(depth, min_distance=10, labels=measure.label(mask))
    markers = np.zeros(shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return len(measure.regionprops(segmentation.watershed(-depth, markers, mask=mask)))


def test_is_several_times_faster_than_scikit_image() -> None:
    settings = RenderSettings(width=1712, height=1368, um_per_px=0.1 * 2592 / 1712 * 0.75)
    frame = Frame(render_field(3, settings).image, "rendered")
    own = p5_ms(lambda: segment(Field(frame)))
    step = float(segment(Field(frame)).windows.steps().mean())  # the resolution that cells are looked at in
    other = p5_ms(lambda: with_scikit_image(frame.image, step), 5)
    assert other > LEAST_GAIN * own, f"{own:.1f} ms against {other:.1f} ms"


def test_grows_no_faster_than_pixels_and_cells() -> None:
    """Four times the area at the same density has four times the pixels and four times the cells."""
    tile = render_field(5, RenderSettings(width=600, height=480, um_per_px=0.15)).image
    small, large = np.tile(tile, (1, 2, 1)), np.tile(tile, (2, 4, 1))
    one = p5_ms(lambda: segment(Field(Frame(small.copy(), "small", um_per_px=0.15))), 20)
    four = p5_ms(lambda: segment(Field(Frame(large.copy(), "large", um_per_px=0.15))), 20)
    # A fifth on top for caches that the larger image no longer fits.
    assert four < 1.2 * 4 * one


@pytest.mark.parametrize("field", ["large", "crowded"])
def test_needs_at_most_four_frames_of_memory(field: str) -> None:
    run = subprocess.run([sys.executable, "-c", _PEAK, field], capture_output=True, text=True, check=True)
    extra = float(run.stdout)
    assert extra < _FRAMES_OF_MEMORY
