"""Whether the file that is open is still the file that is named.

A log can be deleted, moved, replaced or cut short under a program that has it open, and on Linux the program
notices nothing: it goes on writing into a file that nobody will ever read. So before a row is added, and
again before it is acknowledged, the name is looked up.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge.bloodlog.chain import Head
from edge.errors import LogLostError

#: What SQLite says of pages that do not belong together.
_WRECKED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_LINKS = "SELECT number, sha256 FROM link WHERE number IN (1, ?)"


class FileIdentity:
    """A log's file and journal as they were when it was opened.

    Parameters
    ----------
    path : the log's file, which is open
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        journal = path.resolve()
        self._journal = journal.with_name(f"{journal.name}-wal").absolute()
        self._file = self._path.stat()
        self._journal_file: os.stat_result | None = None
        self._looked_at: tuple[int, int] | None = None
        self._first: str | None = None

    def check(self) -> None:
        """Look the name up.

        Raises
        ------
        LogLostError
            It leads nowhere, to another file, or to one that is shorter than it was.
        """
        found = self._look_up(self._path)
        if found is None or not os.path.samestat(found, self._file):
            raise self._lost("was deleted or moved" if found is None else "was replaced by another file")
        if found.st_size < self._file.st_size:  # rows are only ever added
            raise self._lost("was cut short")
        self._file = found
        journal = self._look_up(self._journal)
        if self._journal_file is None:
            self._journal_file = journal
        elif journal is None or not os.path.samestat(journal, self._journal_file):
            raise self._lost("has lost its journal (-wal)")

    def check_content(self, connection: sqlite3.Connection, known: Head) -> None:
        """Look for links that are known to be in the chain.

        SQLite does not look again at pages that it has in memory, and would not see that somebody has written
        over the file. So where the file has changed since the last look, as it does when rows are moved into
        it from the journal, its memory is given up first.

        Parameters
        ----------
        connection : of the log
        known : the last link that was seen; others may have added to it

        Raises
        ------
        LogLostError
            The file holds another chain, or less of it than before.
        """
        state = (self._file.st_mtime_ns, self._file.st_size)
        try:
            if state != self._looked_at:
                connection.execute("PRAGMA shrink_memory")
            links = dict(connection.execute(_LINKS, (known.number,)).fetchall())
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname not in _WRECKED:
                raise
            raise self._lost(f"was written over or damaged ({error})") from error
        self._first = self._first or links.get(1)
        if (known.number and links.get(known.number) != known.sha256) or links.get(1) != self._first:
            raise self._lost("was written over with another log, or with an older state of this one,")
        self._looked_at = state

    @staticmethod
    def _look_up(path: Path) -> os.stat_result | None:
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _lost(self, what: str) -> LogLostError:
        return LogLostError(
            f"{self._path}: the log {what} while it was open; nothing more is counted into it. "
            "Put the file back, or find out where it is, then restart what counts"
        )
