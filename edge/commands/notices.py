"""What ``count`` has to say beside its results: on stderr, one line each."""

from __future__ import annotations

from edge.commands.progress import Progress
from edge.device.printable import printable
from edge.structures import FieldResult

#: Repeated pictures that are named; a folder copied twice would name hundreds.
_MAX_NAMED = 3


class Failures:
    """Says at once which file cannot be counted and why, and counts them.

    Parameters
    ----------
    progress : through which lines are printed
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.number = 0

    def add(self, error: Exception) -> None:
        """Report one file."""
        self.number += 1
        self._progress.print(f"blastcount: error: {printable(error)}", err=True)


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
        if len(self._named) < _MAX_NAMED:
            self._named.append(f"{printable(result.source)} is {printable(first)}")

    def warning(self) -> str | None:
        """Sum up, or give None where no field came twice."""
        if not self._number:
            return None
        more = ", ..." if self._number > len(self._named) else ""
        return (
            "blastcount: warning: fields that repeat the picture of another one, so that its cells count "
            f"twice: {self._number} ({'; '.join(self._named)}{more})"
        )
