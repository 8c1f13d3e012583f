"""The log as an outbox: its links in order, read only, and how far they have been sent."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from edge.bloodlog.chain import GENESIS, Head, is_link, read_content
from edge.bloodlog.chain import head as chain_head
from edge.bloodlog.connection import DAMAGE, connect, snapshot, unusable
from edge.bloodlog.locks import Patience, locked
from edge.bloodlog.picture_files import PictureFiles, pictures_beside
from edge.device.durable import write_whole
from edge.errors import LogBusyError, LogError, OutputError
from edge.fleet.messages import MAX_PICTURE_BYTES, doubtful, encoded, link_message, picture_message

_KEY_BYTES = 32
#: Links that are gone through at once, to find one of them again.
_AT_ONCE = 500
#: ... and what their messages may take together, bytes, so that pictures do not fill the memory.
_BYTES_AT_ONCE = 1_000_000
_LINKS = "SELECT number, kind, row_id, sha256 FROM link WHERE number > ? ORDER BY number LIMIT ?"
_LINK = "SELECT number, sha256 FROM link WHERE number = ?"


class Cursor(Struct, frozen=True, forbid_unknown_fields=True):
    """How far a device's links have been sent and taken.

    Attributes
    ----------
    number, sha256 : of the last link that need not be sent again
    seal : of its message
    """

    number: int = 0
    sha256: str = GENESIS
    seal: str = GENESIS

    @property
    def head(self) -> Head:
        """The link."""
        return Head(self.number, self.sha256)


class Outgoing(Struct, frozen=True):
    """One message, ready to go.

    Attributes
    ----------
    after : the cursor once the broker has taken it; a picture, which goes before its field's link, moves none
    payload : JSON
    what : ``link`` or ``picture``
    """

    after: Cursor
    payload: bytes
    what: str = "link"


class State:
    """The folder in which ``forward`` keeps its cursor and the key of people's pseudonyms.

    Parameters
    ----------
    folder : made where it is not there
    device : name of this device; each has a cursor of its own
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._cursor = folder / f"{device}.cursor.json"
        self._lock = folder / f"{device}.lock"
        key = folder / "pseudonyms.key"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not key.exists():
                write_whole(key, secrets.token_hex(_KEY_BYTES).encode(), durable=True, mode=0o600)
            self.key = bytes.fromhex(key.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{folder}: cannot keep how far the log was sent: {error}; give it to the user who sends"
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the cursor to this process; a lock that a killed one held is free.

        Raises
        ------
        OutputError
            Another process sends for this device.
        """
        with ExitStack() as held:
            try:
                held.enter_context(locked(self._lock, "exclusive", Patience(0.0), "the log is not sent"))
            except LogBusyError as error:
                raise OutputError(
                    f"{self._lock}: another `blastcount forward` sends for this device; stop it first, as "
                    "with `systemctl stop blastcount-forward`"
                ) from error
            yield

    def read(self) -> Cursor:
        """Read the cursor; the start of the log where there is none.

        Raises
        ------
        OutputError
            The file holds something else.
        """
        try:
            return msgspec.json.decode(self._cursor.read_bytes(), type=Cursor)
        except FileNotFoundError:
            return Cursor()
        except (OSError, msgspec.MsgspecError) as error:
            raise OutputError(
                f"{self._cursor}: cannot be read: {error}; remove it, and the log is sent from its start: "
                "what the collector has it knows"
            ) from error

    def write(self, cursor: Cursor) -> None:
        """Put the cursor on the disk.

        Raises
        ------
        OutputError
            It cannot be written; the one before it stays.
        """
        try:
            write_whole(self._cursor, msgspec.json.encode(cursor), durable=True, mode=0o600)
        except OSError as error:
            raise OutputError(f"{self._cursor}: cannot be written: {error.strerror}") from error


class Outbox:
    """Links of a log after a cursor, as messages.

    The log is opened anew for each batch and closed behind it: nothing is held while a broker is waited for,
    and a log that was moved, replaced or repaired is seen.

    Parameters
    ----------
    path : the log
    device : name of this device
    key : of people's pseudonyms
    thumbnails : pictures of cells that are called uncertain go, too
    """

    def __init__(self, path: Path, device: str, key: bytes, *, thumbnails: bool = False) -> None:
        self._path = path
        self._pictures = PictureFiles(pictures_beside(path)) if thumbnails else None
        self._device = device
        self._key = key

    def head(self) -> Head:
        """Read the end of the chain.

        Raises
        ------
        NoLogError
            There is no log.
        LogError
            The log cannot be read.
        """
        with self._reading() as connection:
            return chain_head(connection)

    def after(self, cursor: Cursor, most: int) -> list[Outgoing]:
        """Read the messages of the links behind a cursor, of at most so many; none where there is no link.

        Raises
        ------
        NoLogError
            There is no log.
        LogError
            The log cannot be read, is another one than was sent before, or a row was changed.
        """
        found: list[Outgoing] = []
        with self._reading() as connection:
            self._check_same(connection, cursor)
            rows = connection.execute(_LINKS, (cursor.number, most)).fetchall()
            size = 0
            for number, kind, row_id, sha256 in rows:
                messages = self._messages(connection, cursor, Head(number, sha256), kind, row_id)
                found += messages
                cursor = found[-1].after
                size += sum(len(one.payload) for one in messages)
                if size > _BYTES_AT_ONCE:
                    break
        return found

    def before(self, first: int, sent: Cursor) -> Cursor:
        """Give the cursor from which a link is the next one that is sent.

        Parameters
        ----------
        first : number of the link
        sent : the cursor as it is; nothing behind it may be left out

        Raises
        ------
        LogError
            The link comes later than the next one.
        """
        if first > sent.number + 1:
            raise LogError(f"link {first} is not sent yet, expected one up to {sent.number + 1}")
        cursor = Cursor()
        while cursor.number < first - 1:
            cursor = self.after(cursor, min(_AT_ONCE, first - 1 - cursor.number))[-1].after
        return cursor

    def _messages(
        self, connection: sqlite3.Connection, cursor: Cursor, link: Head, kind: str, row_id: int
    ) -> list[Outgoing]:
        content = read_content(connection, kind, row_id)  # type: ignore[arg-type]  # refuses what is no kind
        follows = link.number == cursor.number + 1
        if content is None or not follows or not is_link(link.sha256, cursor.sha256, content):
            raise LogError(
                f"{self._path}: link {link.number} ({kind} {row_id}) does not fit the chain: a row was "
                "changed, removed or slipped in; it is not sent. See `blastcount log verify`"
            )
        message = link_message(self._device, link, cursor.head, cursor.seal, content, self._key)
        after = Cursor(link.number, link.sha256, message["seal"])
        pictures = self._doubtful(row_id, content["cells"]) if kind == "field" else ()
        return [*(Outgoing(cursor, one, "picture") for one in pictures), Outgoing(after, encoded(message))]

    def _doubtful(self, field_id: int, cells: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
        """Give the messages of a field's pictures; of those that were removed there is none."""
        if self._pictures is None:
            return
        for cell_id, sha256 in doubtful(cells):
            jpeg = self._pictures.read(sha256)
            if jpeg is not None and len(jpeg) <= MAX_PICTURE_BYTES:
                yield encoded(picture_message(self._device, field_id, cell_id, sha256, jpeg))

    def _check_same(self, connection: sqlite3.Connection, cursor: Cursor) -> None:
        if cursor.number == 0:
            return
        row = connection.execute(_LINK, (cursor.number,)).fetchone()
        if row is None or row[1] != cursor.sha256:
            end = chain_head(connection)
            raise LogError(
                f"{self._path}: is not the log that was sent before: expected link {cursor.number} with "
                f"{cursor.sha256[:12]}..., got {'none' if row is None else row[1][:12] + '...'} (the log "
                f"ends at {end.number}). A backup was put back, or the log begun anew: give forward.device "
                "a new name, under which all of it is sent"
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection, undisturbed = connect(self._path, read_only=True)
        with closing(connection):
            try:
                with snapshot(connection):
                    yield connection
            except DAMAGE as error:
                raise unusable(self._path, error) from error
            if undisturbed is not None:
                undisturbed.check()
