"""Cells that people have looked at, as a data set that grows by samples and that ``blastcount train`` reads.

A folder of the form ``blastcount.dataset/1``::

    dataset.jsonl         one JSON object a field: see :class:`DatasetField`
    fields/SHA256.jpg     pictures of the fields, named by the SHA-256 of the file

Every cell that was found in a field is listed. A cell without a person's word is *unknown*, and so is one
that two people call differently: neither is ever taken as normal.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.bloodlog import ClassWord, LoggedField, Review, ReviewLabel, Sample
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.reviews import class_of, type_of
from edge.device.decoding import decode_json
from edge.device.durable import write_whole
from edge.errors import DataSetError, OutputError
from edge.results.reading import Reading
from edge.structures import CellRef, CellType

SCHEMA = "blastcount.dataset/1"
INDEX = "dataset.jsonl"
_PICTURES = "fields"
#: Why a field is left out: whether its picture was removed to make room, never kept or lost, the log knows.
NO_PICTURE = "the field's picture is not there (`blastcount log verify` names those that were lost)"

CellLabel = Literal["blast", "normal", "other", "unknown"]
#: What the class of a word makes of a cell. Smudge cells and what is no cell are neither blasts nor normal.
_LABELS: dict[ClassWord, CellLabel] = {
    "blast": "blast",
    "normal": "normal",
    "smudge": "other",
    "not_a_cell": "other",
}

#: What a cell of the data set has from the segmentation, under the same names.
_AS_FOUND = ("id", "x", "y", "bbox", "area_px", "kind", "touches_border")

_Text = Annotated[str, Meta(min_length=1)]
_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Positive = Annotated[int, Meta(ge=1)]
_Length = Annotated[float, Meta(ge=0)]


class CellReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last word of one person on one cell.

    Attributes
    ----------
    reviewer : who said it
    word : what the person called the cell; None where the word was taken back
    at : aware wall time
    """

    reviewer: _Text
    word: ReviewLabel | None
    at: Annotated[datetime, Meta(tz=True)]


class DatasetCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cell as it was segmented, and what people said of it.

    Attributes
    ----------
    id : of the cell in its field
    x, y : centroid, px
    bbox : x, y, width, height of the whole cell, px
    area_px : of the whole cell
    kind : ``wbc``, or ``smudge`` where the program found it burst
    touches_border : cut by the edge of the field; never counted
    seen_before : found in an earlier field of the sample, too; never counted
    program, p_blast : the program's own word and calibrated probability; None for a smudge
    label : what all who have a word on it agree on; ``unknown`` where nobody has one, or they differ
    reviews : last words of people, each person once; one that is a type makes the cell ``normal``, too, but
        an erythroblast ``other``
    type : the type on which all who name one agree, of a ``normal`` cell or an erythroblast; absent without
    program_type, p_type : the program's own type and its probability; absent without a network of types
    """

    id: _Positive
    x: _Length
    y: _Length
    bbox: tuple[int, int, _Positive, _Positive]
    area_px: _Positive
    kind: Literal["wbc", "smudge"]
    touches_border: bool
    seen_before: bool
    program: Literal["blast", "normal", "uncertain"] | None
    p_blast: Annotated[float, Meta(ge=0, le=1)] | None
    label: CellLabel
    reviews: tuple[CellReview, ...] = ()
    type: CellType | msgspec.UnsetType = msgspec.UNSET
    program_type: CellType | msgspec.UnsetType = msgspec.UNSET
    p_type: Annotated[float, Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Refuse a label or a type that nobody gave."""
        if len({review.reviewer for review in self.reviews}) < len(self.reviews):
            raise ValueError(f"cell {self.id} has two words of one reviewer")
        agreed = agreed_label(self.reviews)
        if self.label == "normal" and any(review.word == "erythroblast" for review in self.reviews):
            msgspec.structs.force_setattr(self, "label", agreed)  # as earlier versions have written it
        if self.label != agreed:
            raise ValueError(f"cell {self.id} is labelled {self.label}, but its reviews make it {agreed}")
        if self.type != (kind := agreed_type(self.reviews)):
            raise ValueError(f"cell {self.id} is a {self.type}, but its reviews make it a {kind}")


class DatasetField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field with all its cells.

    Attributes
    ----------
    schema : ``blastcount.dataset/1``
    frame_sha256 : of the pixels that were counted; the field's identity
    picture_sha256 : of the picture's file, which is named by it
    width, height : of the picture, px
    um_per_px : scale, None where none was found
    scale_source : how it was found
    sample, specimen : pseudonymous id of the slide, ``blood`` or ``marrow``
    device : name of the machine that exported it
    provenance : what its row in the log says about its making
    cells : every segmented cell
    warnings : doubts that it was counted with
    """

    schema: Literal["blastcount.dataset/1"]
    frame_sha256: _Sha256
    picture_sha256: _Sha256
    width: _Positive
    height: _Positive
    um_per_px: Annotated[float, Meta(gt=0)] | None
    scale_source: _Text
    sample: _Text
    specimen: Literal["blood", "marrow"]
    device: _Text
    provenance: dict[str, str | int | float | bool | None]
    cells: tuple[DatasetCell, ...]
    warnings: tuple[_Text, ...] = ()

    def __post_init__(self) -> None:
        """Refuse cells that cannot be in this field."""
        if len({cell.id for cell in self.cells}) < len(self.cells):
            raise ValueError("two cells have one id")
        for cell in self.cells:
            left, top, width, height = cell.bbox
            if not (0 <= left <= self.width - width and 0 <= top <= self.height - height):
                raise ValueError(f"cell {cell.id} lies outside the field")

    def picture(self, folder: Path) -> Path:
        """Say where the field's picture lies in a data set."""
        return folder / _PICTURES / f"{self.picture_sha256}.jpg"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that was read.

    Attributes
    ----------
    folder : where it lies
    fields : in the order in which they were added
    """

    folder: Path
    fields: tuple[DatasetField, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes
    ----------
    added, updated : number of fields that are new in the data set, and that were in it already
    cells : number of cells in these fields by label
    left_out : number of cells with a word that were left out, by reason
    """

    added: int
    updated: int
    cells: Mapping[str, int]
    left_out: Mapping[str, int]


def agreed_label(reviews: Iterable[CellReview]) -> CellLabel:
    """Give the label on which all who have a word on a cell agree; ``unknown`` without one.

    What is an erythroblast to all who name a type is no white cell, hence no normal one.
    """
    labels, types = _labels_and_types(reviews)
    if labels != {"normal"} or "erythroblast" not in types:
        return labels.pop() if len(labels) == 1 else "unknown"
    return "other" if types == {"erythroblast"} else "unknown"


def agreed_type(reviews: Iterable[CellReview]) -> CellType | msgspec.UnsetType:
    """Give the type on which all who name one agree, of a cell that has one to all; unset without one."""
    labels, types = _labels_and_types(reviews)
    return types.pop() if len(types) == 1 and labels == {"normal"} else msgspec.UNSET


def _labels_and_types(reviews: Iterable[CellReview]) -> tuple[set[CellLabel], set[CellType]]:
    words = [review.word for review in reviews if review.word is not None]
    return {_LABELS[class_of(word)] for word in words}, {kind for word in words if (kind := type_of(word))}


def read_dataset(folder: Path) -> Dataset:
    """Read a data set; its pictures are looked for, not opened.

    Raises
    ------
    DataSetError
        There is no data set in the folder, a line of its index is malformed or contradicts itself, a field
        is in it twice, or a picture is missing.
    """
    index = folder / INDEX
    try:
        lines = index.read_bytes().splitlines()
    except OSError as error:
        raise DataSetError(
            f"{folder}: not a data set of the form {SCHEMA}: {INDEX}: {error.strerror or error}; "
            "`blastcount sample export SAMPLE --training DIR` makes one"
        ) from error
    fields: dict[str, DatasetField] = {}
    for number, line in enumerate(lines, start=1):
        field = decode_json(
            line,
            DatasetField,
            source=f"{index}, line {number}",
            advice="export the sample again",
            error=DataSetError,
        )
        if field.frame_sha256 in fields:
            raise DataSetError(f"{index}, line {number}: field {field.frame_sha256} is in it twice")
        if not field.picture(folder).is_file():
            raise DataSetError(f"{index}, line {number}: picture {field.picture(folder).name} is missing")
        fields[field.frame_sha256] = field
    return Dataset(folder, tuple(fields.values()))


def export_corrections(
    reading: Reading, sample: Sample, store: ThumbnailStore, folder: Path, device: str
) -> Exported:
    """Add the fields of a sample in which somebody has a word on a cell to a data set.

    Parameters
    ----------
    reading : cells and words of the sample
    sample : whose they are
    store : where the pictures of its fields are
    folder : the data set; made where it does not exist yet
    device : name of this machine

    Raises
    ------
    OutputError
        The folder holds something else, cannot be written, or there is nothing to add.
    DataSetError
        The data set that is there cannot be read.
    """
    words = _last_words(reading)
    new: list[tuple[DatasetField, bytes]] = []
    left_out: Counter[str] = Counter()
    for logged in reading.fields:
        own = words.get(logged.id)
        if own is None:
            continue
        jpeg = None if logged.image_sha256 is None else store.read(logged.image_sha256)
        if jpeg is None:
            left_out[NO_PICTURE] += len(own)
        else:
            new.append((_field(logged, sample, device, own, jpeg), jpeg))
    if not new:
        why = ", ".join(f"{reason}: {number}" for reason, number in left_out.items())
        raise OutputError(
            f"{folder}: nothing to add: no cell of sample {sample.name} has a person's word and a stored "
            "field" + (f" ({why})" if why else "")
        )
    exported = add_fields(folder, new)
    return Exported(exported.added, exported.updated, exported.cells, {**left_out, **exported.left_out})


def add_fields(folder: Path, new: Iterable[tuple[DatasetField, bytes]]) -> Exported:
    """Add fields to a data set, each with its picture; a field that is in it already takes up new words.

    Of two words of one person on a cell the later one holds; words of different people are all kept. The
    index is replaced as a whole after the pictures are there, so that a power cut leaves the old data set or
    the new one. Two exports at once wait for each other.

    Raises
    ------
    OutputError
        The folder holds something else or cannot be written.
    DataSetError
        The data set that is there cannot be read.
    """
    with _locked(folder):
        there = read_dataset(folder).fields if (folder / INDEX).exists() else ()
        fields = {field.frame_sha256: field for field in there}
        labels: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        added = updated = 0
        for field, jpeg in new:
            old = fields.get(field.frame_sha256)
            if old is None:
                added += 1
                picture = field.picture(folder)
                picture.parent.mkdir(exist_ok=True)
                write_whole(picture, jpeg, durable=True)
            elif [(cell.id, cell.bbox) for cell in old.cells] == [
                (cell.id, cell.bbox) for cell in field.cells
            ]:
                updated += 1
                field = _with_words_of(old, field)
            else:
                reason = "the field is in the data set already, with other cells"
                left_out[reason] += sum(bool(cell.reviews) for cell in field.cells)
                continue
            fields[field.frame_sha256] = field
            labels.update(cell.label for cell in field.cells)
        lines = [msgspec.json.encode(field) + b"\n" for field in fields.values()]
        write_whole(folder / INDEX, b"".join(lines), durable=True)
    return Exported(added, updated, dict(labels), dict(left_out))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a data set's folder, which is made if need be, against other exports."""
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The kernel lets go of the lock when its process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Looked at under the lock: before, what another export is writing first may lie here.
            others = {path.name for path in folder.iterdir()} - {INDEX, _PICTURES}
            if others and not (folder / INDEX).exists():
                raise DataSetError(f"{folder}: holds {min(others)} and is no data set; name a new folder")
            yield
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise OutputError(
            f"{folder}: the folder {folder.absolute().parent} does not exist; make it first"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: the data set cannot be written: {error.strerror or error}") from error


def _with_words_of(old: DatasetField, new: DatasetField) -> DatasetField:
    """Take the words of a field's cells together: of one person's the later, of several people's all."""
    cells = []
    for cell, other in zip(old.cells, new.cells, strict=True):
        last: dict[str, CellReview] = {}
        for review in sorted((*cell.reviews, *other.reviews), key=lambda review: review.at):
            last[review.reviewer] = review
        reviews = tuple(last[reviewer] for reviewer in sorted(last))
        agreed = {"label": agreed_label(reviews), "type": agreed_type(reviews)}
        cells.append(msgspec.structs.replace(cell, reviews=reviews, **agreed))
    return msgspec.structs.replace(old, cells=tuple(cells))


def _last_words(reading: Reading) -> dict[int, dict[int, list[CellReview]]]:
    """Give everybody's last word on every cell that somebody had a word on, by field and cell."""
    last: dict[tuple[CellRef, str], Review] = {(said.cell, said.observer): said for said in reading.reviews}
    words: dict[int, dict[int, list[CellReview]]] = {}
    for (ref, observer), said in sorted(last.items(), key=lambda item: item[0][1]):
        of_field = words.setdefault(ref.field_id, {})
        of_field.setdefault(ref.cell_id, []).append(CellReview(observer, said.label, said.at))
    return words


def _field(
    logged: LoggedField, sample: Sample, device: str, words: Mapping[int, list[CellReview]], jpeg: bytes
) -> DatasetField:
    result = logged.result
    cells = []
    for found in result.cells:
        reviews = tuple(words.get(found.cell.id, ()))
        cells.append(
            DatasetCell(
                **{name: getattr(found.cell, name) for name in _AS_FOUND},
                seen_before=found.seen_before is not None,
                program=found.label,
                p_blast=found.p_blast,
                label=agreed_label(reviews),
                reviews=reviews,
                type=agreed_type(reviews),
                program_type=msgspec.UNSET if found.type is None else found.type,
                p_type=msgspec.UNSET if found.p_type is None else found.p_type,
            )
        )
    return DatasetField(
        schema="blastcount.dataset/1",
        frame_sha256=result.frame_sha256,
        picture_sha256=hashlib.sha256(jpeg).hexdigest(),
        width=result.width,
        height=result.height,
        um_per_px=result.scale.um_per_px,
        scale_source=result.scale.source,
        sample=sample.name,
        specimen=sample.specimen,
        device=device,
        provenance=_provenance(logged),
        cells=tuple(cells),
        warnings=result.warnings,
    )


def _provenance(logged: LoggedField) -> dict[str, str | int | float | bool | None]:
    """Say what produced a row; where its frame lay is left out, for a path may tell who the patient is."""
    result, model = logged.result, logged.result.model
    recorded = {
        "config_sha256": logged.config_sha256,
        "software_version": logged.software_version,
        "runtime": logged.runtime,
        "model_name": model.name,
        "model_sha256": model.sha256,
    }
    types = result.type_model
    named = {} if types is None else {"type_model_name": types.name, "type_model_sha256": types.sha256}
    return {
        "row": logged.id,
        "logged_at": logged.logged_at.isoformat(),
        "clock_trusted": logged.clock_trusted,
        "source_kind": logged.source_kind,
        **(recorded if logged.provenance is None else msgspec.json.decode(logged.provenance)),
        **named,
    }
