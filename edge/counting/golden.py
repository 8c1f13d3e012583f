"""The golden field: a small drawn field that goes down the whole line before anything is counted.

Golden crops ask the network alone. What lies before it can go wrong as well, and every count with it: another
OpenCV, planes in another order, a density on another scale, a crop that is cut beside its cell. So a bundle
carries ``NAME.field.npz``: a field as a JPEG file, the blank slide of its uneven lamp, and what the line made
of them when the bundle was made.

``python -m edge.counting.golden BUNDLE...`` records it anew. Do that where a change of segmentation, crop or
network is meant, and look at what the command says has changed.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge.bloodlog.pictures import decode, encode
from edge.calibration import Blank, Calibration
from edge.calibration.correction import Correction
from edge.classification.card import ModelBundle, ModelCard, default_bundle_path, load_bundle, packed
from edge.classification.classifier import Classifier
from edge.classification.recalibration import Recalibration
from edge.config import Config
from edge.counting.pipeline import CellClassifier, Pipeline
from edge.counting.recorder import field_guard
from edge.device.durable import write_whole
from edge.device.reading import read_bounded
from edge.errors import ConfigError, FieldError, GateError, ModelError
from edge.structures import CellClass, Frame

_log = logging.getLogger(__name__)

FIELD_SUFFIX = ".field.npz"
#: Largest differences that are rounding. Between OpenCV 4.10, 4.11 and 5.0, NumPy 1.26 and 2.4,
#: tflite-runtime and LiteRT no centre, area or scale of this field differed, crops by 0.11 on average and
#: p_blast by 0.008; on a 64-bit ARM processor areas of other fields were 0.2 % apart. Without interpolation
#: crops of planes, most of which is blank, differ by no more than 0.49.
MAX_DISTANCE_PX = 1.0
MAX_AREA_CHANGE = 0.01
MAX_SCALE_CHANGE = 0.01
MAX_CROP_CHANGE = 0.4
MAX_DELTA_P = 0.03

#: The field that is drawn: it holds a cell at the border, smudges, and cells of which the shipped networks
#: are sure and unsure.
_SEED = 1
_WIDTH, _HEIGHT, _UM_PER_PX = 640, 480, 0.2
_JPEG_QUALITY = 90
_GRID = (6, 8)
_COLUMNS = 6


@dataclass(frozen=True, slots=True, eq=False)
class GoldenField:
    """A field and what the line made of it.

    Attributes
    ----------
    model_sha256 : of the network that it was recorded with
    jpeg : the field as a file
    blank : (rows, columns, 3) float32 RGB, the blank slide under its lamp
    um_per_px : scale that was measured
    cells : (n, 6) float64: x, y, area, area of the nucleus, in px; 1 for a smudge; 1 for one that is cut
    crops : (m, size, size, 3) uint8, of the white cells in their order
    p_blast : (m,) float32
    """

    model_sha256: str
    jpeg: bytes
    blank: NDArray[np.float32]
    um_per_px: float
    cells: NDArray[np.float64]
    crops: NDArray[np.uint8]
    p_blast: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Pack as ``.npz``, with the same bytes for the same field."""
        return packed(
            model_sha256=np.frombuffer(bytes.fromhex(self.model_sha256), np.uint8),
            jpeg=np.frombuffer(self.jpeg, np.uint8),
            blank=self.blank,
            um_per_px=np.array(self.um_per_px),
            cells=self.cells,
            crops=self.crops,
            p_blast=self.p_blast,
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a golden field is off here at the most.

    Attributes
    ----------
    cells : number of cells
    distance_px : of a centre
    area_change : of an area, as a share
    scale_change : of the scale, as a share
    crop_change : mean difference of a crop's pixels
    delta_p : of a probability
    """

    cells: int
    distance_px: float
    area_change: float
    scale_change: float
    crop_change: float
    delta_p: float

    def problem(self) -> str | None:
        """Name the first thing that is off by more than it may be; None where all agree."""
        for what, found, most in (
            ("centres are off by up to {:.2f} px, at most {:.2f}", self.distance_px, MAX_DISTANCE_PX),
            ("areas are off by up to {:.2%}, at most {:.2%}", self.area_change, MAX_AREA_CHANGE),
            ("the scale is off by {:.2%}, at most {:.2%}", self.scale_change, MAX_SCALE_CHANGE),
            (
                "pixels of a crop are off by {:.2f} on average, at most {:.2f}",
                self.crop_change,
                MAX_CROP_CHANGE,
            ),
            ("p_blast is off by up to {:.3f}, at most {:.3f}", self.delta_p, MAX_DELTA_P),
        ):
            if not found <= most:
                return f"{what.format(found, most)} expected"
        return None

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.cells} cells agree: centres to {self.distance_px:.2f} px, "
            f"areas to {self.area_change:.2%}, crops to {self.crop_change:.2f}, p to {self.delta_p:.3f}"
        )


class _Watched:
    """A classifier whose crops are kept."""

    def __init__(self, classifier: CellClassifier) -> None:
        self._classifier = classifier
        self.crops: list[NDArray[np.uint8]] = []

    @property
    def card(self) -> ModelCard:
        return self._classifier.card

    def p_blast(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.crops.append(crops.copy())
        return self._classifier.p_blast(crops)

    def label(self, p_blast: float) -> CellClass:
        return self._classifier.label(p_blast)


def field_path(bundle: ModelBundle) -> Path:
    """Name the file of a bundle's golden field."""
    return bundle.tflite_path.with_name(bundle.tflite_path.stem + FIELD_SUFFIX)


def load_checked(path: Path, threads: int = 1) -> Classifier:
    """Load a bundle and see that network and line give here what they gave when it was made.

    Raises
    ------
    ModelError
        The bundle is incomplete or damaged.
    RuntimeMissingError
        No interpreter is installed.
    GateError
        Golden crops or golden field disagree.
    """
    bundle = load_bundle(path)
    classifier = Classifier(bundle, threads=threads)
    worst = classifier.check_golden()
    agreement = check_golden_field(classifier, load_golden_field(bundle))
    _log.info(
        "model: %s in %s, golden crops agree to %.3f, of the golden field %s",
        classifier.card.name,
        classifier.runtime,
        worst,
        agreement,
    )
    return classifier


def load_configured(config: Config) -> Classifier:
    """Load the configured model, checked, and read as the laboratory has recalibrated it.

    A recalibration that cannot be read or is for another card is not used, and never in silence: every field
    carries the warning ``recalibration_unused``.

    Parameters
    ----------
    config : which model and recalibration, and how many threads

    Raises
    ------
    ModelError, RuntimeMissingError, GateError
        As :func:`load_checked`.
    """
    classifier = load_checked(config.model.path or default_bundle_path(), config.model.threads)
    path = config.recalibration_path
    if config.model.recalibration is None and not path.exists():
        return classifier
    try:
        recalibration = Recalibration.load(path)
        recalibrated = classifier.recalibrated(recalibration)
    except ConfigError as error:
        _log.warning("recalibration not used, the card's own decision holds: %s", error)
        classifier.recalibration_problem = str(error)
        return classifier
    _log.info("recalibrated on %d cells of this laboratory: %s", recalibration.cells, path)
    return recalibrated


def load_golden_field(bundle: ModelBundle) -> GoldenField:
    """Read the golden field of a bundle.

    Raises
    ------
    ModelError
        It is missing, damaged, or of another network.
    """
    path = field_path(bundle)
    advice = f"reinstall the bundle, or record it with `python -m edge.counting.golden {bundle.tflite_path}`"
    try:
        with np.load(io.BytesIO(read_bounded(path)), allow_pickle=False) as archive:
            golden = GoldenField(
                archive["model_sha256"].tobytes().hex(),
                archive["jpeg"].tobytes(),
                archive["blank"],
                float(archive["um_per_px"]),
                archive["cells"],
                archive["crops"],
                archive["p_blast"],
            )
    except OSError as error:
        raise ModelError(f"{path}: the golden field cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: no golden field in it ({error}); {advice}") from error
    if golden.model_sha256 != bundle.card.sha256:
        raise ModelError(f"{path}: the golden field is of another network; {advice}")
    return golden


def check_golden_field(classifier: CellClassifier, golden: GoldenField) -> Agreement:
    """Send the golden field down the line and compare.

    Raises
    ------
    GateError
        Something differs by more than rounding explains, or a library fails; nothing may be counted here.
    """
    advice = (
        "nothing can be counted with this installation, reinstall the bundle and the package with its OpenCV"
    )
    wrong = None
    try:
        with field_guard(f"the golden field of {classifier.card.name}"):
            here = _counted(classifier, golden.jpeg, golden.blank)
    except FieldError as error:
        raise GateError(f"{error}; {advice}") from error
    if here.cells.shape != golden.cells.shape or here.crops.shape != golden.crops.shape:
        wrong = f"{len(here.cells)} cells were found, {len(golden.cells)} expected"
    elif (here.cells[:, 4:] != golden.cells[:, 4:]).any():
        wrong = "a cell is at the border or ruptured that was not, or the reverse"
    if wrong is None:
        agreement = _compare(here, golden)
        wrong = agreement.problem()
        if wrong is None:
            return agreement
    raise GateError(f"the golden field of {classifier.card.name} disagrees: {wrong}; {advice}")


def record(bundle: ModelBundle) -> GoldenField:
    """Draw the golden field and say what the line makes of it here."""
    from edge.rendered import Lamp, Population, RenderSettings, render_field  # nobody draws who only counts

    lamp = Lamp(vignetting=0.15, tilt=0.1)
    field = RenderSettings(_WIDTH, _HEIGHT, _UM_PER_PX, lamp=lamp)
    empty = RenderSettings(_WIDTH, _HEIGHT, _UM_PER_PX, lamp=lamp, population=Population.only())
    rows, columns = _GRID
    tiles = render_field(_SEED, empty).image.reshape(rows, _HEIGHT // rows, columns, _WIDTH // columns, 3)
    jpeg = encode(render_field(_SEED, field).image, _JPEG_QUALITY, "444")
    return _counted(Classifier(bundle), jpeg, np.asarray(tiles.mean(axis=(1, 3)), np.float32))


def _counted(classifier: CellClassifier, jpeg: bytes, blank: NDArray[np.float32]) -> GoldenField:
    calibration = Calibration(_WIDTH, _HEIGHT, datetime.now(UTC), Blank(blank, 1))
    frame = Correction(calibration).applied(Frame(decode(jpeg), "golden field"))
    watched = _Watched(classifier)
    result = Pipeline(watched).process(frame).result
    cells = [
        (
            c.cell.x,
            c.cell.y,
            c.cell.area_px,
            c.cell.nucleus_area_px,
            c.cell.kind != "wbc",
            c.cell.touches_border,
        )
        for c in result.cells
    ]
    size_px = classifier.card.input.size_px
    return GoldenField(
        classifier.card.sha256,
        jpeg,
        blank,
        result.scale.um_per_px,
        np.array(cells, np.float64).reshape(-1, _COLUMNS),
        np.concatenate([np.empty((0, size_px, size_px, 3), np.uint8), *watched.crops]),
        np.array([c.p_blast for c in result.cells if c.p_blast is not None], np.float32),
    )


def _compare(here: GoldenField, golden: GoldenField) -> Agreement:
    def most(values: NDArray[Any]) -> float:
        return float(values.max(initial=0.0))

    areas, expected = here.cells[:, 2:4], golden.cells[:, 2:4]
    return Agreement(
        cells=len(golden.cells),
        distance_px=most(np.hypot(*(here.cells[:, :2] - golden.cells[:, :2]).T)),
        area_change=most(np.abs(areas - expected) / np.maximum(expected, 1.0)),
        scale_change=abs(here.um_per_px / golden.um_per_px - 1.0),
        crop_change=most(np.abs(here.crops.astype(np.float32) - golden.crops).mean(axis=(1, 2, 3))),
        delta_p=most(np.abs(here.p_blast - golden.p_blast)),
    )


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BUNDLE...")
def main(bundles: Sequence[Path]) -> None:
    """Record the golden field of each BUNDLE anew, and say how far it is from the one that was there."""
    for path in bundles:
        bundle = load_bundle(path)
        try:
            before = str(check_golden_field(Classifier(bundle), load_golden_field(bundle)))
        except (GateError, ModelError) as error:
            before = str(error)
        write_whole(field_path(bundle), record(bundle).to_bytes())
        click.echo(f"{field_path(bundle)}: recorded; before: {before}")


if __name__ == "__main__":
    main()
