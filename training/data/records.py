"""What is known of a field and of a cell, whatever laboratory it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.structures import Cell, PooledScale
from training.data.overlaps import ScenePlace

#: Laboratories in the order in which reports list them, and the name of each one's folder.
LABS = (
    "all-idb", "all-taleqani", "jhu-aml", "lmu-aml", "bccd", "wbc-chula", "pbc", "raabin", "lisc", "wbc-seg1",
    "wbc-seg2", "own",
)  # fmt: skip
#: Cells that people looked at on devices of ours, in the form ``blastcount.dataset/1``.
OWN = "own"
#: Cells that circulate in healthy blood. The rest (``ig``: immature granulocytes, ``erythroblast``,
#: ``myelocyte``) are normal, too, but precursors, and reported apart.
MATURE_TYPES = frozenset(
    {
        "neutrophil", "neutrophil_band", "eosinophil", "basophil", "lymphocyte", "lymphocyte_variant",
        "monocyte",
    }
)  # fmt: skip

Origin = Literal["xyc", "other_xyc", "idb2", "box", "centre", "review", "unmarked"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person, or the data set's layout, says is at a place of a field.

    Attributes
    ----------
    origin : which list says so
    label : 1 blast, 0 normal, None neither (a platelet)
    cell_type : class that the data set gives the cell, in its own words; None where it gives none
    point : (x, y) in px, or None
    box : (x, y, width, height) in px, or None; a mark has a point or a box
    name : of the ALL-IDB2 crop that the mark is, or None
    """

    origin: Origin
    label: int | None
    cell_type: str | None = None
    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SourceField:
    """An image file and all that its data set says of it; no pixel has been read.

    Attributes
    ----------
    lab : of ``LABS``
    name : unique in the laboratory
    path : of the image
    camera : EXIF model, else the laboratory's name, whose images all come from one camera
    session : fields of one sitting (ALL-IDB: gaps in EXIF time), of one patient (jhu-aml), of one slide
        (wbc-chula, own) or of one run of numbers (all-taleqani); elsewhere the field itself
    weak_label : 1 a patient's field, 0 a field of somebody without leukaemia, None not known
    marks : cells marked in it
    known_um_per_px : scale that the device used; None where the segmentation is to find it
    """

    lab: str
    name: str
    path: Path
    camera: str
    session: str
    weak_label: int | None
    marks: tuple[Mark, ...] = ()
    known_um_per_px: float | None = None

    @property
    def key(self) -> str:
        """Name that is unique over all laboratories."""
        return f"{self.lab}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRecord(SourceField):
    """A field as the protocol uses it.

    Attributes
    ----------
    sha256 : of the image file
    group : what must never be on two sides of a split: fields that overlap, duplicates, near duplicates, and
        in all-taleqani the block of numbers, in jhu-aml the patient
    place : where it lies in the scene of overlapping fields
    duplicate_of : key of an earlier field with the same pixels, else None
    pooled : scale that the pictures of its folder have in common, as ``count`` pools it; None where they have
        no word, or where the scale is known
    um_per_px : scale that the product's segmentation found
    unmatched_marks : marks of white cells or platelets (``other_xyc`` does not tell them apart) at which the
        segmentation found no cell
    blasts, unmatched_blasts : marked blasts, cut ones among them, and those at which no cell was found
    """

    sha256: str
    group: str
    place: ScenePlace
    duplicate_of: str | None
    pooled: PooledScale | None
    um_per_px: float
    unmatched_marks: int
    blasts: int
    unmatched_blasts: int

    def in_scene(self, x: float, y: float) -> tuple[float, float]:
        """Place of a pixel in the scene, px."""
        return x + self.place.dx, y + self.place.dy


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A cell that the product's own segmentation found, with what is known of it.

    Attributes
    ----------
    field : key of its field
    cell : as segmented; smudges and cells at the border are among the records
    lab, camera, session, group, weak_label : of the field
    label : 1 blast, 0 normal, None not known
    cell_type : class that the data set gives the cell, in its own words; None where it gives none
    origin : which mark it was matched to; ``unmarked`` where none is there
    same_as : key of the same cell of the same smear in an earlier field, else None
    """

    field: str
    cell: Cell
    lab: str
    camera: str
    session: str
    group: str
    weak_label: int | None
    label: int | None
    cell_type: str | None
    origin: Origin
    same_as: str | None = None

    @property
    def key(self) -> str:
        """Name that is unique over all laboratories."""
        return f"{self.field}#{self.cell.id}"

    @property
    def identity(self) -> str:
        """What all records of one cell of the smear have in common."""
        return self.same_as or self.key

    @property
    def usable(self) -> bool:
        """Whether the device would classify and tally it: a whole white cell, not counted before."""
        return self.whole and self.same_as is None

    @property
    def whole(self) -> bool:
        """Whether it is a white cell that the image's edge does not cut."""
        return self.cell.kind == "wbc" and not self.cell.touches_border
