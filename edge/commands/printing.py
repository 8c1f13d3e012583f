"""How a count is printed: JSON Lines for machines, a table for people, and what stderr says beside them."""

from __future__ import annotations

import csv
import io
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, get_args

from msgspec import Struct, field

from edge.bloodlog.export import harmless
from edge.bloodlog.rows import as_text
from edge.camera.folders import VIDEO_SUFFIXES, has_truth, truth_path
from edge.commands.progress import Progress
from edge.counting.differential import differential
from edge.counting.tally import tally
from edge.device.decoding import decode_json
from edge.device.printable import number_of, printable
from edge.device.reading import read_bounded
from edge.errors import SourceError
from edge.i18n import catalogue
from edge.quality import WARNINGS
from edge.results.texts import (
    differential_note,
    differential_title,
    kind_text,
    reason_text,
    warned_text,
    warning_text,
)
from edge.structures import CellType, ClassifiedCell, Denominator, FieldResult, ModelIdentity, Tally

SCHEMA = "blastcount.field/1"

#: Longest file name that is shown whole; longer ones keep their end, which tells fields apart.
_MAX_NAME = 44
#: Columns of the table and their widths.
_WIDTHS = {"wbc": 5, "blasts": 7, "normal": 7, "uncertain": 10, "border": 7, "smudge": 7, "µm/px": 7, "ms": 6}
_TRUTH_WIDTH = 9
_TRUTH_TITLE = "rendered, known truth"
_GAP = "  "
#: Repeated pictures that are named; a folder copied twice would name hundreds.
_MAX_REPEATS_NAMED = 3
#: Files that are named where a count ended before them.
_MAX_FILES_NAMED = 50


class Printer(Protocol):
    """Prints fields as they come, and what follows the last one."""

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one field of a file, counted in this wall time."""
        ...

    def end(self, total: Tally, failures: int) -> None:
        """Print what follows; ``failures`` files could not be read."""
        ...


class JsonPrinter:
    """One JSON object a line; nothing follows."""

    def __init__(self, progress: Progress, denominator: Denominator) -> None:
        self._progress = progress
        self._denominator: Denominator = denominator

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one field."""
        self._progress.print(field_json(result, self._denominator))

    def end(self, total: Tally, failures: int) -> None:
        """Print nothing: a reader adds up by its own rules."""


def field_json(result: FieldResult, denominator: Denominator = "classified") -> str:
    """Write a field as one line of ASCII JSON, without its line end; schema ``blastcount.field/1``.

    ``wbc`` and ``blasts`` are of all cells found, those cut by the border among them; ``tally`` leaves these
    out, and its share is of the cells that the configuration names as the denominator.
    Control characters of file names come out as JSON escapes, undecodable bytes as the log has them, so that
    a line is always a line and valid in every encoding.
    """
    um_per_px, interval = result.scale.reported_um_per_px, result.scale.interval
    record = {
        "schema": SCHEMA,
        "source": as_text(result.source),
        "width": result.width,
        "height": result.height,
        "um_per_px": None if um_per_px is None else round(um_per_px, 5),
        "um_per_px_interval": None if interval is None else [round(limit, 5) for limit in interval],
        "scale_source": result.scale.source,
        "scale_confidence": round(result.scale.confidence, 3),
        "status": result.status,
        "reasons": list(result.reasons),
        "warnings": list(result.warnings),
        "wbc": result.wbc,
        "blasts": result.blasts,
        "tally": _tally_json(tally([result], denominator)),
        "cells": [_cell_json(classified, result.type_model) for classified in result.cells],
        "frame_sha256": result.frame_sha256,
        "model": result.model.to_json(),
    }
    if result.type_model is not None:
        record["type_model"] = result.type_model.to_json()
    return json.dumps(record, allow_nan=False)


def _tally_json(counted: Tally) -> dict[str, object]:
    share = counted.blast_fraction
    record: dict[str, object] = {
        "blasts": counted.blasts,
        "normal": counted.normal,
        "uncertain": counted.uncertain,
        "border": counted.border,
        "smudge": counted.smudges,
        "seen_before": counted.seen_before,
        "share": None if share is None else round(share, 4),
        "interval": [round(counted.ci_low, 4), round(counted.ci_high, 4)],
        "denominator": counted.denominator,
    }
    if counted.types is not None:
        record["types"] = _named(counted)
    return record


def _cell_json(classified: ClassifiedCell, type_model: ModelIdentity | None) -> dict[str, object]:
    cell, seen, p_type = classified.cell, classified.seen_before, classified.p_type
    record: dict[str, object] = {
        "id": cell.id,
        "x": round(cell.x, 1),
        "y": round(cell.y, 1),
        "bbox": list(cell.bbox),
        "area_px": cell.area_px,
        "nucleus_area_px": cell.nucleus_area_px,
        "kind": cell.kind,
        "class": classified.label,
        "p_blast": None if classified.p_blast is None else round(classified.p_blast, 4),
        "touches_border": cell.touches_border,
    }
    if type_model is not None:
        record |= {"type": classified.type, "p_type": None if p_type is None else round(p_type, 4)}
    if seen is not None:
        record["seen_before"] = {"field": seen.field_id, "cell": seen.cell_id}
    return record


def _named(counted: Tally) -> dict[CellType, int]:
    """Give the number of cells of each type."""
    return dict(counted.types or {}) | {"erythroblast": counted.erythroblasts}


class CsvPrinter:
    """One line a field for a spreadsheet, below a line of titles; nothing follows.

    The columns are those of the table and the keys of ``--json`` under the same names; where types are named,
    a column a type follows. A share is given as it is: whoever shows it rounds it.

    Parameters
    ----------
    progress : through which lines are printed
    denominator : which cells the share is of
    """

    _TITLES = (
        "source", "status", "reasons", "warnings", "wbc", "blasts", "normal", "uncertain", "border", "smudge",
        "share", "low", "high", "denominator", "um_per_px", "scale_source", "model_name", "model_sha256",
    )  # fmt: skip

    def __init__(self, progress: Progress, denominator: Denominator) -> None:
        self._progress = progress
        self._denominator: Denominator = denominator
        self._kinds: tuple[CellType, ...] = ()
        self._begun = False

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one field, below the titles if it is the first."""
        if not self._begun:
            self._begun = True
            self._kinds = () if result.type_model is None else get_args(CellType)
            self._print((*self._TITLES, *self._kinds))
        counted = tally([result], self._denominator)
        is_counted = result.status == "counted"
        self._print(
            (
                printable(result.source),
                result.status,
                " ".join(result.reasons),
                " ".join(result.warnings),
                *(_sums(counted).values() if is_counted else [""] * len(_sums(counted))),
                *((counted.blast_fraction, counted.ci_low, counted.ci_high) if is_counted else ("", "", "")),
                counted.denominator,
                result.scale.reported_um_per_px,
                result.scale.source,
                result.model.name,
                result.model.sha256,
                *(_named(counted).get(kind, 0) if is_counted else "" for kind in self._kinds),
            )
        )

    def end(self, total: Tally, failures: int) -> None:
        """Print nothing: a reader adds up by its own rules."""

    def _print(self, values: Sequence[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(map(harmless, values))
        self._progress.print(line.getvalue())


class TablePrinter:
    """The table, the share of blasts with its interval, and what counted.

    Rows have a fixed width, so that each is printed as soon as its field is counted.

    Parameters
    ----------
    progress : through which lines are printed
    files : every file that will be counted; the widest name sets the width of the first column
    footer : the lines that end the output
    """

    def __init__(self, progress: Progress, files: Sequence[Path], footer: Sequence[str]) -> None:
        # The number of frames of a video is not known before its end.
        names = [f"{f}#99999" if f.suffix.lower() in VIDEO_SUFFIXES else str(f) for f in files]
        widest = max((_width(printable(name)) for name in names), default=0)
        self._name_width = min(max(widest, len("total")), _MAX_NAME)
        self._with_truth = any(has_truth(file) for file in files)
        self._truth = KnownCounts(0, 0)
        self._warned: Counter[str] = Counter()
        self._warned_fields = 0
        self._rejected: Counter[str] = Counter()
        self._progress = progress
        self._footer = footer
        self._begun = False
        self._type_model: ModelIdentity | None = None

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one row, below the titles if it is the first."""
        self._type_model = result.type_model
        if not self._begun:
            self._begun = True
            self._print(self._header())
        truth = None
        try:
            truth = known_counts(file)
        except SourceError as error:
            self._progress.print(f"blastcount: warning: {printable(error)}", err=True)
        self._print([self._row(result, total_ms, truth)])

    def end(self, total: Tally, failures: int) -> None:
        """Print the sums and the footer; nothing at all where no field could be read."""
        if not self._begun:
            return
        fields = f"fields: {total.fields} counted, {total.rejected} rejected"
        if failures:
            fields += f"; {failures} could not be read, see above"
        types = self._type_model
        seen = f"counted in earlier fields, in no column here: {number_of(total.seen_before, 'cell')}"
        lines = [
            self._line("total", _sums(total), self._truth),
            "",
            blast_share(total),
            *differential_lines(total),
            fields,
            *([seen] if total.seen_before else []),
            *self._refusals(),
            *self._doubts(total),
            *([] if types is None else [f"types named by {types.name} {types.sha256[:12]}"]),
            *self._footer,
        ]
        if self._with_truth:
            lines.append("Fields with a known truth are rendered: drawn by this program, no patient's smear.")
        self._print(lines)

    def _refusals(self) -> list[str]:
        """Sum the reasons up, a line each, with what a person can do about it."""
        return [
            f"  {number} {reason_text(catalogue(), name)}: {catalogue()(f'advice.{name}')}"
            for name, number in self._rejected.most_common()
        ]

    def _doubts(self, total: Tally) -> list[str]:
        """Sum the warnings up, and say what a person can do about each."""
        text = warned_text(catalogue(), self._warned, self._warned_fields, total.fields)
        if text is None:
            return []
        return [text, *(f"  {warning_text(catalogue(), name)}: {WARNINGS[name]}" for name in self._warned)]

    def _header(self) -> list[str]:
        titles = self._line("field", {c: c for c in _WIDTHS}, None)
        if not self._with_truth:
            return [titles]
        above = _TRUTH_TITLE.rjust(_width(titles) + len(_GAP) + 2 * _TRUTH_WIDTH)
        return [above, titles + _GAP + "wbc".rjust(_TRUTH_WIDTH) + "blasts".rjust(_TRUTH_WIDTH)]

    def _row(self, result: FieldResult, total_ms: float, truth: KnownCounts | None) -> str:
        name = _shortened(printable(result.source))
        if result.status == "rejected":
            self._rejected.update(result.reasons)
            reasons = ", ".join(reason_text(catalogue(), reason) for reason in result.reasons)
            return f"{self._left(name)}{_GAP}rejected: {reasons}"
        um_per_px = result.scale.reported_um_per_px
        values = _sums(tally([result])) | {
            "µm/px": "–" if um_per_px is None else f"{um_per_px:.3f}",
            "ms": f"{total_ms:.0f}",
        }
        if truth is not None:
            self._truth = KnownCounts(self._truth.wbc + truth.wbc, self._truth.blasts + truth.blasts)
        row = self._line(name, values, truth)
        if result.warnings:
            self._warned.update(result.warnings)
            self._warned_fields += 1
            row += f"{_GAP}warning: {', '.join(warning_text(catalogue(), name) for name in result.warnings)}"
        return row

    def _line(self, name: str, values: dict[str, str], truth: KnownCounts | None) -> str:
        line = self._left(name) + "".join(values.get(c, "").rjust(width) for c, width in _WIDTHS.items())
        if not self._with_truth or truth is None:
            return line
        return line + _GAP + str(truth.wbc).rjust(_TRUTH_WIDTH) + str(truth.blasts).rjust(_TRUTH_WIDTH)

    def _left(self, text: str) -> str:
        return text + " " * (self._name_width - _width(text))

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._progress.print(line.rstrip())


def _sums(counted: Tally) -> dict[str, str]:
    """Give the columns of a row, or of the total: wbc are all white cells found, cut ones included."""
    return {
        "wbc": str(counted.classified + counted.border),
        "blasts": str(counted.blasts),
        "normal": str(counted.normal),
        "uncertain": str(counted.uncertain),
        "border": str(counted.border),
        "smudge": str(counted.smudges),
    }


def blast_share(total: Tally) -> str:
    """Say the share of blasts in words, never without its n and interval."""
    cells = catalogue()(f"counted_cells.{total.denominator}")
    if total.blast_fraction is None and total.wbc:
        return f"called blast: {total.blasts} of {total.wbc} {cells}; in a search only people's words count"
    if total.blast_fraction is None:
        return f"blasts: no {cells}, so there is no share to report (n = 0)"
    return (
        f"blasts: {total.blasts} of {total.wbc} {cells} = {100 * total.blast_fraction:.1f} % "
        f"(exact 95 % interval {100 * total.ci_low:.1f} to {100 * total.ci_high:.1f} %, n = {total.wbc})"
    )


def differential_lines(total: Tally) -> list[str]:
    """Lay the differential out; nothing where no types were named."""
    counted = differential(total)
    if counted is None:
        return []
    _ = catalogue()
    names = [kind_text(_, share.kind) for share in counted.shares]
    widest = max(map(len, names))
    rows = [
        f"  {name:{widest}}  {share.k:5}  {100 * share.share:5.1f} %  "
        f"({100 * share.low:.1f} to {100 * share.high:.1f} %)"
        for name, share in zip(names, counted.shares, strict=True)
    ]
    beside = []
    if counted.erythroblasts and counted.denominator != "nucleated":
        beside = [f"  {_('differential.erythroblasts', k=counted.erythroblasts)}"]
    title = _("differential.of", whose=differential_title(_, counted), n=counted.n)
    return [f"{title}:", *rows, f"  {differential_note(_, counted)}", *beside]


def _width(text: str) -> int:
    """Columns that a terminal uses: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _shortened(name: str) -> str:
    if _width(name) <= _MAX_NAME:
        return name
    while _width(name) > _MAX_NAME - 1:
        name = name[1:]
    return "…" + name


class KnownCounts(Struct, frozen=True):
    """What a rendered field holds, as its truth says beside much else.

    Attributes
    ----------
    wbc : white cells, those cut by the border included, smudges not
    blasts : whole blasts
    """

    wbc: int
    blasts: int = field(name="blasts_whole")


class _Truth(Struct):
    counts: KnownCounts


def known_counts(image: Path) -> KnownCounts | None:
    """Read what a rendered field holds; None where no truth lies beside the image.

    Raises
    ------
    SourceError
        The file is there but is no truth of a rendered field.
    """
    if not has_truth(image):
        return None
    path = truth_path(image)
    advice = "it is no truth of a rendered field: remove it or render it again"
    try:
        text = read_bounded(path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; {advice}") from error
    return decode_json(text, _Truth, source=str(path), advice=advice, error=SourceError).counts


class Notices(logging.Handler):
    """Says at once, on stderr, which file cannot be counted and why, and of what the package warns meanwhile.

    Parameters
    ----------
    progress : through which lines are printed

    Attributes
    ----------
    failures : number of files that could not be counted
    is_ended : the count ended before its last file
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self.failures = 0
        self.is_ended = False

    def failure(self, error: Exception | str) -> None:
        """Report one file."""
        self.failures += 1
        self._progress.print(f"blastcount: error: {printable(error)}", err=True)

    def ended(self, error: Exception, files: Sequence[Path]) -> None:
        """Report why the count ends, and the files that it did not come to, or of a video not to its end."""
        self.is_ended = True
        self._progress.print(f"blastcount: error: {printable(error)}", err=True)
        for file in files[:_MAX_FILES_NAMED]:
            self._progress.print(f"blastcount: not counted: {printable(file)}", err=True)
        if len(files) > _MAX_FILES_NAMED:
            self._progress.print(
                f"blastcount: not counted: {len(files) - _MAX_FILES_NAMED} more, which follow", err=True
            )

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning of the package."""
        self._progress.print(f"blastcount: warning: {printable(record.getMessage())}", err=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Print what the package warns of in this block."""
        logger = logging.getLogger("edge")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)


class Repeats:
    """Notices fields whose pixels are those of an earlier one under another name: their cells count twice."""

    def __init__(self) -> None:
        self._source_by_hash: dict[str, str] = {}
        self._named: list[str] = []
        self._number = 0

    def add(self, result: FieldResult) -> None:
        """Compare one field with those before."""
        first = self._source_by_hash.setdefault(result.frame_sha256, result.source)
        if first == result.source:
            return
        self._number += 1
        if len(self._named) < _MAX_REPEATS_NAMED:
            self._named.append(f"{printable(result.source)} is {printable(first)}")

    def warning(self) -> str | None:
        """Sum up, or give None where no field came twice."""
        if not self._number:
            return None
        more = ", ..." if self._number > len(self._named) else ""
        return (
            "warning: fields that repeat the picture of another one, so that its cells count "
            f"twice: {self._number} ({'; '.join(self._named)}{more})"
        )
