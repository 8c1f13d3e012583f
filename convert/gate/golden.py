"""Golden crops: rendered cells that travel with a model and show that it still says what it said.

They are never real images: those may not leave the data set's owners, and a bundle is copied freely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.classification.crop import Cutter
from edge.classification.stains import red_cell_colour
from edge.light.field import Field
from edge.rendered import Population, RenderSettings, Sensor, Stain, render_field
from edge.segmentation import segment
from edge.structures import Frame, InputSpec, Outline

#: Sixteen show a swapped channel or a shifted zero point as well as a hundred do (see the tests), in 0.3 MB.
#: Nor do more of them, or more of them near the threshold, find more damaged networks; a smaller tolerance
#: does. Of 978 damages to the shipped network (tests/tools/damaged_networks.py) 364 change the class of a
#: probe cell; at 0.05, 0.03, 0.02 and 0.01 these miss 187, 107, 46 and 1 of them, which change up to 3, 2, 1
#: and 1 of 118 probe cells. With other probes 57, 21, 5 and 0 were missed, with 118 golden crops 33, 6, 1, 0.
COUNT = 16
#: Smallest tolerance of a card, for what processors differ by that are not here: five times what
#: tflite-runtime 2.14 and LiteRT differ by with int8 outputs (one step, 0.004), 16 times with a float head.
LEAST_DELTA_P = 0.02
#: Largest one: what the gate allows between file and Keras. The plain recipe needs it: with it the two
#: interpreters are up to 10 steps, 0.039, apart.
MAX_DELTA_P = 0.05
#: Half of the tolerance is for what the interpreters here were seen to differ by.
_MARGIN = 2.0
#: All white cells of the rendered smear, as dense as they fit without touching each other too often.
_POPULATION = Population(
    blast=500.0, lymphocyte=300.0, neutrophil=200.0, monocyte=120.0, eosinophil=60.0, clustered_blasts=0.2
)
#: A noiseless sensor: noise tests nothing here and does not compress.
_SENSOR = Sensor(full_well_e=1e7, read_noise_e=0.0)
#: Stains from pale to deep, and one field out of focus, so that the crops differ in what they excite.
_LOOKS = ((0.7, 0.0), (1.0, 0.0), (1.0, 1.0), (1.4, 0.0))


def rendered_crops(spec: InputSpec, seed: int = 0) -> NDArray[np.uint8]:
    """Cut the whole white cells out of a few rendered fields, and blend pairs of them.

    Parameters
    ----------
    spec : input of the network
    seed : of the fields

    Returns
    -------
    (n, size_px, size_px, 3) uint8 RGB
    """
    cells = np.concatenate([_field_crops(spec, seed, look) for look in range(len(_LOOKS))])
    # A trained network is sure of most cells; half a blast over half a neutrophil makes it hesitate, and
    # there its output moves with every fault.
    order = np.random.default_rng(seed).permutation(len(cells))
    blends = ((cells.astype(np.uint16) + cells[order]) // 2).astype(np.uint8)
    return np.asarray(np.concatenate([cells, blends]), np.uint8)


def tolerance(p_blast: Sequence[NDArray[np.float32]]) -> float:
    """Give the tolerance that a card needs for its golden crops.

    Parameters
    ----------
    p_blast : (n,) float32 of the golden crops in each interpreter that is installed

    Returns
    -------
    float
        Twice what they differ by from the first, within ``LEAST_DELTA_P`` and ``MAX_DELTA_P``.

    Examples
    --------
    >>> same, other = np.float32([0.5, 0.1]), np.float32([0.5, 0.1125])
    >>> tolerance([same]), round(tolerance([same, other]), 4), tolerance([same, same + 1])
    (0.02, 0.025, 0.05)
    """
    worst = max(float(np.abs(p - p_blast[0]).max()) for p in p_blast)
    return min(max(_MARGIN * worst, LEAST_DELTA_P), MAX_DELTA_P)


def choose(
    crops: NDArray[np.uint8], p_blast: Callable[[NDArray[np.uint8]], NDArray[np.float32]], count: int = COUNT
) -> NDArray[np.uint8]:
    """Pick crops whose probabilities are spread as evenly as the crops allow.

    Parameters
    ----------
    crops : (n, s, s, 3) uint8 RGB to pick from
    p_blast : gives (n,) float32 for crops
    count : how many

    Returns
    -------
    (count, s, s, 3) uint8 RGB, or all crops where there are fewer
    """
    p = p_blast(crops).astype(np.float64)
    free = np.ones(len(crops), bool)
    chosen = []
    for target in np.linspace(0, 1, min(count, len(crops))):
        nearest = int(np.argmin(np.where(free, np.abs(p - target), np.inf)))
        free[nearest] = False
        chosen.append(nearest)
    return np.asarray(crops[np.array(chosen)], np.uint8)


def _field_crops(spec: InputSpec, seed: int, look: int) -> NDArray[np.uint8]:
    strength, defocus_um = _LOOKS[look]
    field = render_field(
        seed + look,
        RenderSettings(
            width=720,
            height=560,
            um_per_px=0.2,
            population=_POPULATION,
            stain=Stain(strength=strength),
            sensor=_SENSOR,
            defocus_um=defocus_um,
        ),
    )
    height, width = field.image.shape[:2]
    whole = [cell for cell in field.cells if cell.nucleus_area_px and not cell.touches_border]
    drawn = Field(Frame(field.image, "rendered", um_per_px=field.um_per_px))
    red_cells = red_cell_colour(drawn, segment(drawn).cells) if spec.shows_red_cells else None
    cutter = Cutter(drawn, spec, um_per_px=field.um_per_px, red_cells=red_cells)
    return cutter.cut(
        [(cell.x, cell.y) for cell in whole],
        [Outline(field.cell_labels, field.nucleus_labels, cell.id, (0, 0, width, height)) for cell in whole],
    )
