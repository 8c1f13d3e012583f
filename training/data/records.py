"""What is known of a field and of a cell, whatever laboratory it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.structures import Cell, Scale

#: Laboratories in the order in which reports list them, and the name of each one's folder.
LABS = ("all-idb", "all-taleqani", "bccd", "wbc-chula", "pbc", "wbc-seg1", "wbc-seg2")
#: Those whose cells are all of persons without leukaemia: no cell of theirs may be called a blast.
MATURE_LABS = ("bccd", "wbc-chula", "pbc", "wbc-seg1", "wbc-seg2")
#: Cells that circulate in healthy blood. The rest (``ig``: immature granulocytes, ``erythroblast``) are
#: normal, too, but precursors, and reported apart.
MATURE_TYPES = frozenset({"neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"})

Origin = Literal["xyc", "other_xyc", "idb2", "segmentation", "box", "centre", "unmarked"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person, or the data set's layout, says is at a place of a field.

    Attributes
    ----------
    origin : which list says so
    label : 1 blast, 0 normal, None neither (a platelet)
    cell_type : type of a mature cell where it is known
    point : (x, y) in px, or None
    box : (x, y, width, height) in px, or None; a mark has a point or a box
    """

    origin: Origin
    label: int | None
    cell_type: str | None = None
    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class SourceField:
    """An image file and all that its data set says of it; no pixel has been read.

    Attributes
    ----------
    lab : of ``LABS``
    name : unique in the laboratory
    path : of the image
    camera : EXIF model, else the laboratory's name, whose images all come from one camera
    session : fields of one sitting (ALL-IDB: gaps in EXIF time), of one slide (wbc-chula) or of one run
        of numbers (all-taleqani); elsewhere the field itself
    weak_label : 1 a patient's field, 0 a field of somebody without leukaemia
    marks : cells marked in it
    """

    lab: str
    name: str
    path: Path
    camera: str
    session: str
    weak_label: int
    marks: tuple[Mark, ...] = ()

    @property
    def key(self) -> str:
        """Name that is unique over all laboratories."""
        return f"{self.lab}/{self.name}"


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """A field as the protocol uses it.

    Attributes
    ----------
    lab, name, path, camera, session, weak_label : as in :class:`SourceField`
    sha256 : of the image file
    group : what must never be on two sides of a split: fields that overlap, duplicates, near duplicates, and
        in all-taleqani the block of numbers
    scene_dx, scene_dy : a pixel (x, y) is at (x + dx, y + dy) of the group's first field
    duplicate_of : key of an earlier field with the same pixels, else None
    width, height : px
    scale : of the product's segmentation
    unmatched_marks : marks of white cells or platelets (``other_xyc`` does not tell them apart) at which the
        segmentation found no cell
    blasts, unmatched_blasts : marked blasts, cut ones among them, and those at which no cell was found
    """

    lab: str
    name: str
    path: Path
    camera: str
    session: str
    weak_label: int
    sha256: str
    group: str
    scene_dx: int
    scene_dy: int
    duplicate_of: str | None
    width: int
    height: int
    scale: Scale
    unmatched_marks: int
    blasts: int
    unmatched_blasts: int

    @property
    def key(self) -> str:
        """Name that is unique over all laboratories."""
        return f"{self.lab}/{self.name}"


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A cell that the product's own segmentation found, with what is known of it.

    Attributes
    ----------
    field : key of its field
    cell : as segmented; smudges and cells at the border are among the records
    lab, camera, session, group, weak_label : of the field
    label : 1 blast, 0 normal, None not known
    cell_type : type of a mature cell where it is known
    origin : which mark it was matched to; ``unmarked`` where none is there
    seen_before : the same cell of the same smear is in an earlier field
    """

    field: str
    cell: Cell
    lab: str
    camera: str
    session: str
    group: str
    weak_label: int
    label: int | None
    cell_type: str | None
    origin: Origin
    seen_before: bool

    @property
    def key(self) -> str:
        """Name that is unique over all laboratories."""
        return f"{self.field}#{self.cell.id}"

    @property
    def usable(self) -> bool:
        """Whether the device would classify and tally it: a whole white cell, not counted before."""
        return self.cell.kind == "wbc" and not self.cell.touches_border and not self.seen_before
