"""The frozen records that travel along the line from frame to log.

Shapes, dtypes and ranges are checked once, where a record enters the package
(:meth:`Frame.__post_init__`, :meth:`InputSpec.__post_init__`); behind that border
they are trusted. Colour order is RGB everywhere inside the package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.bounds import COARSEST_UM_PER_PX as COARSEST_UM_PER_PX
from edge.bounds import FINEST_UM_PER_PX as FINEST_UM_PER_PX
from edge.bounds import Denominator as Denominator
from edge.errors import ConfigError, ImageError

UInt8Image = NDArray[np.uint8]
CellKind = Literal["wbc", "smudge"]
CellClass = Literal["blast", "normal", "uncertain"]
#: Kinds of cells that are no blasts. ``other``: none of those that are named here, or not known; look at it.
CellType = Literal[
    "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "immature_granulocyte", "erythroblast",
    "other",
]  # fmt: skip
ScaleSource = Literal["configured", "red_cells", "pooled", "assumed"]
FieldStatus = Literal["counted", "rejected"]

#: What the three planes of a crop are, see :func:`edge.classification.crop.to_input`.
CHANNELS = ("RGB", "density+cell+nucleus", "density+rest+outlines", "nucleus+red_cells+rest")

#: Smallest side of a usable image. A white cell of 12 µm at the coarsest supported
#: scale (0.4 µm/px) is 30 px wide; an image smaller than that holds no whole cell.
MIN_SIDE_PX = 30


@dataclass(frozen=True, slots=True)
class Frame:
    """One image as a source gave it.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB array, both sides at least ``MIN_SIDE_PX``
    source : file path, device name or ``rendered:SEED``, as a person would name it
    captured_at : aware UTC time of capture, or None where the source has none
    um_per_px : configured scale in µm per pixel, or None to find it in the field
    jpeg : a JPEG file that holds exactly these pixels and nothing else, or None
    warnings : doubts that its source has about it, names of :data:`edge.quality.WARNINGS`
    um_per_px_interval : 95 % interval of the configured scale, or None where nobody measured one
    pooled : what other fields of its sample or folder say of the scale, or None where there is nothing
    is_drawn : its source knows that a program has drawn it: no patient's smear
    """

    image: UInt8Image
    source: str
    captured_at: datetime | None = None
    um_per_px: float | None = None
    jpeg: bytes | None = None
    warnings: tuple[str, ...] = ()
    um_per_px_interval: tuple[float, float] | None = None
    pooled: PooledScale | None = None
    is_drawn: bool = False

    def __post_init__(self) -> None:
        """Refuse anything that is not a usable 8-bit RGB image."""
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(
                f"{self.source}: expected an (H, W, 3) uint8 RGB image, "
                f"got shape {image.shape}, dtype {image.dtype}"
            )
        if min(image.shape[:2]) < MIN_SIDE_PX:
            raise ImageError(
                f"{self.source}: {image.shape[1]}x{image.shape[0]} px is smaller than the "
                f"{MIN_SIDE_PX} px that a white cell needs; give the whole field"
            )
        if self.captured_at is not None and self.captured_at.tzinfo is None:
            raise ImageError(f"{self.source}: captured_at must be an aware UTC time")

    @property
    def width(self) -> int:
        """Width in px."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Height in px."""
        return int(self.image.shape[0])

    def sha256(self) -> str:
        """Hash of the pixels and their shape, so that a re-encoded copy of a frame is recognised."""
        digest = hashlib.sha256(f"{self.width}x{self.height}:".encode())
        digest.update(np.ascontiguousarray(self.image).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RedCellScale:
    """What the red cells of one field say of its scale.

    Attributes
    ----------
    um_per_px : µm per px of the input image
    confidence : 0 to 1, see :func:`edge.segmentation.scale.measure_scale`
    bend : how much the lens bends the picture, see :func:`edge.segmentation.bend.measure_bend`; 0 where the
        red cells do not tell. Neither stored nor compared
    """

    um_per_px: float
    confidence: float
    bend: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class PooledScale:
    """What the red cells of many fields say of the scale that these have in common.

    Attributes
    ----------
    um_per_px : µm per px; None where the fields have more than one scale
    spread : relative standard deviation of a single field's scale about it, as far as that is known
    confidence : share of the evidence that agrees with it, 0 to 1
    fields : number of fields whose red cells were measured
    """

    um_per_px: float | None
    spread: float
    confidence: float
    fields: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Physical size of a pixel and where that knowledge comes from.

    Attributes
    ----------
    um_per_px : working scale in µm per px of the input image, always a number
    source : ``configured`` (calibration), ``red_cells`` (measured in this field), ``pooled`` (over the fields
        of its sample or folder) or ``assumed`` (none of these; good enough to search with, never reported)
    confidence : 0 to 1
    interval : 95 % interval of the scale, or None where it is not known
    red_cells : what the field's own red cells say, whether that was taken or not; None where they say nothing
    """

    um_per_px: float
    source: ScaleSource
    confidence: float
    interval: tuple[float, float] | None = None
    red_cells: RedCellScale | None = None

    @property
    def reported_um_per_px(self) -> float | None:
        """The scale that may be shown to a reader: None where it was only assumed."""
        return None if self.source == "assumed" else self.um_per_px


@dataclass(frozen=True, slots=True)
class Background:
    """Colour of the blank slide over the field, as a coarse grid.

    Attributes
    ----------
    grid : (rows, columns, 3) float32 RGB; node (r, c) is the blank colour at the centre of
        that tile when the image is cut into rows x columns equal tiles
    width, height : size in px of the image that the grid covers
    """

    grid: NDArray[np.float32]
    width: int
    height: int

    def at(self, x: float | NDArray[np.float64], y: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Blank colour at pixel (x, y): bilinear between the grid's nodes, flat beyond them.

        Returns
        -------
        (..., 3) float32 RGB for x and y of shape (...), in the units of the image (0 to 255)
        """
        rows, columns = self.grid.shape[:2]
        gx = np.clip((np.asarray(x) + 0.5) / self.width * columns - 0.5, 0.0, columns - 1.0)
        gy = np.clip((np.asarray(y) + 0.5) / self.height * rows - 0.5, 0.0, rows - 1.0)
        x0, y0 = gx.astype(int), gy.astype(int)
        x1, y1 = np.minimum(x0 + 1, columns - 1), np.minimum(y0 + 1, rows - 1)
        fx, fy = ((g - n).astype(np.float32)[..., None] for g, n in ((gx, x0), (gy, y0)))
        top = self.grid[y0, x0] * (1 - fx) + self.grid[y0, x1] * fx
        bottom = self.grid[y1, x0] * (1 - fx) + self.grid[y1, x1] * fx
        return np.asarray(top * (1 - fy) + bottom * fy, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Cell:
    """One white cell (or smudge) as segmentation found it. Positions are px of the input image.

    Attributes
    ----------
    id : 1, 2, ... in reading order; also the value in the label images
    x, y : centroid of the whole cell, in px
    bbox : (x, y, width, height) of the whole cell, in px
    area_px, nucleus_area_px : areas in px of the input image
    kind : ``wbc``, or ``smudge`` for a ruptured cell that is never classified
    touches_border : the cell is cut by the edge of the image
    """

    id: int
    x: float
    y: float
    bbox: tuple[int, int, int, int]
    area_px: int
    nucleus_area_px: int
    kind: CellKind
    touches_border: bool


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Where a cell and its nucleus lie, as the label images of a part of its field say.

    Attributes
    ----------
    cells, nuclei : (h, w) uint16 label images of that part, at whatever resolution
    label : the cell's value in both
    region : (x0, y0, x1, y1) that they cover, px of the field's image; may reach beyond it
    """

    cells: NDArray[np.uint16]
    nuclei: NDArray[np.uint16]
    label: int
    region: tuple[float, float, float, float]


#: Corners of a closed polygon, (x, y) in px of the field's image.
Polygon = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Contours:
    """Where a cell and its nucleus end, in fewer points than their outlines have px.

    Attributes
    ----------
    cell, nucleus : closed polygons, px of the field's image; a nucleus may have several
    """

    cell: tuple[Polygon, ...]
    nucleus: tuple[Polygon, ...]


@dataclass(frozen=True, slots=True)
class CellRef:
    """A cell of another field, by the log's names.

    Attributes
    ----------
    field_id : the field's row in the log
    cell_id : the cell's id within that field
    """

    field_id: int
    cell_id: int


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network's input is made of; travels in the model card.

    Attributes
    ----------
    size_px : side of the square crop in px
    field_of_view_um : side of the square crop in µm
    white_point : value that the blank background is brought to in each channel, 1 to 255
    channels : what the three planes are: ``RGB``; ``density+cell+nucleus``, which holds no colour;
        ``nucleus+red_cells+rest``, colour in the basis of the cell's nucleus and the field's red cells; or
        ``density+rest+outlines``, of that colour what neither nucleus nor red cells have
    """

    size_px: int = 128
    field_of_view_um: float = 24.0
    white_point: int = 235
    channels: str = "RGB"

    def __post_init__(self) -> None:
        """Refuse values outside the range that the crop is defined for."""
        if not 16 <= self.size_px <= 512:
            raise ConfigError(f"InputSpec.size_px must be 16 to 512, got {self.size_px}")
        if not 5.0 <= self.field_of_view_um <= 100.0:
            raise ConfigError(f"InputSpec.field_of_view_um must be 5 to 100, got {self.field_of_view_um}")
        if not 1 <= self.white_point <= 255:
            raise ConfigError(f"InputSpec.white_point must be 1 to 255, got {self.white_point}")
        if self.channels not in CHANNELS:
            expected = " or ".join(repr(name) for name in CHANNELS)
            raise ConfigError(f"InputSpec.channels must be {expected}, got {self.channels!r}")

    @property
    def needs_outline(self) -> bool:
        """Whether a crop cannot be made without knowing where the cell and its nucleus lie."""
        return self.channels != "RGB"

    @property
    def shows_red_cells(self) -> bool:
        """Whether a crop is made with the colour of its field's red cells."""
        return "rest" in self.channels


@dataclass(frozen=True, slots=True)
class ClassifiedCell:
    """A cell with the classifier's word on it.

    Attributes
    ----------
    cell : the segmented cell
    label : ``blast``, ``normal`` or ``uncertain``; None for a smudge
    p_blast : probability in 0 to 1 after the card's temperature; None for a smudge
    seen_before : the same physical cell in an earlier field of the sample, where it was counted: reported
        here, never counted again; None for a cell seen for the first time
    type : which kind of cell it is if it is no blast, ``other`` where the type network abstains; None for a
        smudge, and without a type network. It changes neither ``label`` nor ``p_blast``
    p_type : probability in 0 to 1 of the type that it says, or would have said; None where ``type`` is
    """

    cell: Cell
    label: CellClass | None
    p_blast: float | None
    seen_before: CellRef | None = None
    type: CellType | None = None
    p_type: float | None = None

    @property
    def word(self) -> CellClass | Literal["smudge"]:
        """What the program calls the cell: its label, or ``smudge`` where it has none."""
        return self.label or "smudge"

    @property
    def counts(self) -> bool:
        """Whether the cell is in the tally: whole, white, not seen before."""
        return self.cell.kind == "wbc" and not self.cell.touches_border and self.seen_before is None


@dataclass(frozen=True, slots=True)
class Readings:
    """What a counted field tells of its microscope and its stain, for the charts of quality control.

    Attributes
    ----------
    blank : log10 of the blank slide's R, G and B, levels of 255
    unevenness : largest difference in the blank slide's log10 light over the field, mean of R, G and B
    blur_um : standard deviation of its sharpest edges; None where it has none, or no scale
    red_cells : middle density of what is stained outside the white cells, R, G and B; None where little is
    nuclei : that of the white cells' nuclei; None without any
    """

    blank: tuple[float, float, float]
    unevenness: float
    blur_um: float | None
    red_cells: tuple[float, float, float] | None
    nuclei: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model said so.

    Attributes
    ----------
    name : of the bundle
    sha256 : of its ``.tflite`` file
    recalibration : SHA-256 of the laboratory's own recalibration that its probabilities went through, or None
    """

    name: str
    sha256: str
    recalibration: str | None = None

    def to_json(self) -> dict[str, str]:
        """Give it as JSON; ``recalibration`` stands there only where there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class FieldResult:
    """All that one field gave.

    Attributes
    ----------
    source, width, height, captured_at : of the frame
    frame_sha256 : hash of the frame's pixels
    scale : working scale of the field
    status : ``counted`` or ``rejected``
    reasons : names of the quality rules that rejected it, empty when counted
    cells : every cell found, smudges and border cells among them
    model : identity of the model
    stage_ms : wall time of each stage in milliseconds, by stage name
    stage_um : place of the field's upper left corner on the sample's mosaic, µm; None where it has none
    warnings : names of the doubts that it was counted with, keys of :data:`edge.quality.WARNINGS`; none where
        it was rejected, for there is no number to doubt
    type_model : identity of the network that named the cells' types; None without one
    readings : of its light and stain; None where it was rejected, and in rows of earlier schemas
    """

    source: str
    width: int
    height: int
    captured_at: datetime | None
    frame_sha256: str
    scale: Scale
    status: FieldStatus
    reasons: tuple[str, ...]
    cells: tuple[ClassifiedCell, ...]
    model: ModelIdentity
    stage_ms: dict[str, float] = field(default_factory=dict)
    stage_um: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    type_model: ModelIdentity | None = None
    readings: Readings | None = None

    @property
    def wbc(self) -> int:
        """Number of cells of kind ``wbc``, border cells included, cells seen before left out."""
        return sum(c.cell.kind == "wbc" and c.seen_before is None for c in self.cells)

    @property
    def blasts(self) -> int:
        """Number of cells called ``blast``, border cells included, cells seen before left out."""
        return sum(c.label == "blast" and c.seen_before is None for c in self.cells)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sum over fields, with its uncertainty. See ``edge/counting/tally.py`` for the edge rule.

    Attributes
    ----------
    fields, rejected : number of fields counted and rejected
    blasts, normal, uncertain : whole leukocytes by class
    smudges : smudge cells, never in the denominator
    border : white cells cut by the image's edge, never in the denominator
    blast_fraction : blasts / wbc, None where that is 0 / 0
    ci_low, ci_high : exact 95 % interval of the fraction (0 and 1 where there are no cells)
    denominator : which cells wbc counts
    seen_before : cells of an earlier field of the sample, in no other number
    erythroblasts : whole cells that were called normal, and erythroblasts, which are no leukocytes
    types : the ``normal`` ones by type; those that are missing were given none. None where nobody and no
        network names types
    """

    fields: int
    rejected: int
    blasts: int
    normal: int
    uncertain: int
    smudges: int
    border: int
    blast_fraction: float | None
    ci_low: float
    ci_high: float
    denominator: Denominator = "classified"
    seen_before: int = 0
    erythroblasts: int = 0
    types: Mapping[CellType, int] | None = None

    @property
    def classified(self) -> int:
        """Whole leukocytes that were classified."""
        return self.blasts + self.normal + self.uncertain

    @property
    def wbc(self) -> int:
        """Cells that every share is of: whole classified leukocytes, unless configured otherwise."""
        beside = {
            "classified": 0,
            "without_uncertain": -self.uncertain,
            "with_smudges": self.smudges,
            "nucleated": self.erythroblasts,
        }
        return self.classified + beside[self.denominator]
