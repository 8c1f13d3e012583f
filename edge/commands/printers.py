"""The two forms in which ``count`` prints fields: a table for people, JSON Lines for machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge.camera.files import VIDEO_SUFFIXES
from edge.commands.field_json import field_json
from edge.commands.progress import Progress
from edge.commands.table import Table, blast_share
from edge.commands.truth import known_counts, truth_path
from edge.device.printable import printable
from edge.errors import SourceError
from edge.structures import FieldResult, Tally


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

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one field."""
        self._progress.print(field_json(result))

    def end(self, total: Tally, failures: int) -> None:
        """Print nothing: a reader adds up by its own rules."""


class TablePrinter:
    """The table, the share of blasts with its interval, and what counted.

    Parameters
    ----------
    progress : through which lines are printed
    files : every file that will be counted
    footer : the lines that end the output
    """

    def __init__(self, progress: Progress, files: Sequence[Path], footer: Sequence[str]) -> None:
        # The number of frames of a video is not known before its end.
        names = [f"{f}#99999" if f.suffix.lower() in VIDEO_SUFFIXES else str(f) for f in files]
        self._with_truth = any(truth_path(file).exists() for file in files)
        self._table = Table(names, with_truth=self._with_truth)
        self._progress = progress
        self._footer = footer
        self._begun = False

    def field(self, file: Path, result: FieldResult, total_ms: float) -> None:
        """Print one row, below the titles if it is the first."""
        if not self._begun:
            self._begun = True
            self._print(self._table.header())
        truth = None
        try:
            truth = known_counts(file)
        except SourceError as error:
            self._progress.print(f"blastcount: warning: {printable(error)}", err=True)
        self._print([self._table.row(result, total_ms, truth)])

    def end(self, total: Tally, failures: int) -> None:
        """Print the sums and the footer; nothing at all where no field could be read."""
        if not self._begun:
            return
        fields = f"fields: {total.fields} counted, {total.rejected} rejected"
        if failures:
            fields += f"; {failures} could not be read, see above"
        lines = [self._table.total(total), "", blast_share(total), fields, *self._footer]
        if self._with_truth:
            lines.append("Fields with a known truth are rendered: drawn by this program, no patient's smear.")
        self._print(lines)

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._progress.print(line)
