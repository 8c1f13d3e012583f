"""Messages of many devices become rows, exactly once: what ``blastcount collect`` does with what has come.

A batch is one transaction, and only after it is the broker told that the messages are kept. What came twice
is known by (device, number), which is the table's key. What does not fit is named in ``incident`` and never
becomes a row; a row that comes early is kept, and the gap before it is named until it is filled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from edge.device.clock import utc_now
from edge.fleet.broker import Received
from edge.fleet.database import Database, RowError
from edge.fleet.messages import encoded
from edge.fleet.moments import moment
from edge.fleet.verifying import (
    ControlRunRow,
    End,
    FieldRow,
    Kind,
    LinkMessage,
    PictureMessage,
    RefusedError,
    RemovalRow,
    SampleRow,
    check_place,
    parse_topic,
    read_link,
    read_picture,
    read_status,
    refused_text,
    sender,
)

#: What of one device is named and kept one by one in a day: 5 MB. What is more is counted.
MOST_NAMED = 1000
#: Pictures of one device that are kept, the newest: 10 MB, and never more than 32.
MOST_PICTURES = 2000

_ADD_INCIDENT = """
INSERT INTO incident (device, kind, number, last_number, what, first_at, last_at, payload_sha256, payload)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (device, kind, payload_sha256)
DO UPDATE SET times = incident.times + 1, last_at = excluded.last_at, closed_at = NULL
"""
#: A device whose log goes on from where it ends here has no backup put back: what was said was another's log.
_CLOSE_RESTORED = (
    "UPDATE incident SET closed_at = %s WHERE device = %s AND kind = 'restored_backup' AND closed_at IS NULL"
)
_ADD_CONTROL = "INSERT INTO control_run VALUES (%s, %s, %s) ON CONFLICT (device, sample_id) DO NOTHING"
_ADD_PICTURE = (
    "INSERT INTO picture VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (device, field_id, cell_id) DO NOTHING"
)
_REMOVE_PICTURES = "DELETE FROM picture WHERE device = %s AND field_id = %s"
_KEEP_NEWEST = """
DELETE FROM picture WHERE device = %s AND (field_id, cell_id) <= (
    SELECT field_id, cell_id FROM picture WHERE device = %s
    ORDER BY field_id DESC, cell_id DESC LIMIT 1 OFFSET %s)
"""
_ADD_DEVICE = """
INSERT INTO device (name, first_heard, last_heard, sha256, seal) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (name) DO NOTHING
"""
#: Gaps of a device that have been filled: as many links are there as are asked for.
_CLOSE_GAPS = """
UPDATE incident SET closed_at = %s
WHERE device = %s AND kind = 'gap' AND closed_at IS NULL AND last_number - number + 1 =
    (SELECT count(*) FROM link WHERE link.device = incident.device
     AND link.number BETWEEN incident.number AND incident.last_number)
"""


@dataclass
class _Device:
    """What is known of a device while a batch is taken in."""

    end: End
    repeated: int = 0
    online: bool | None = None
    status: Mapping[str, Any] | None = None
    filled: bool = False
    #: Whether the newest that was heard shows that the log still ends as it does here, or goes on from there.
    goes_on: bool = False


@dataclass
class _Batch:
    """Rows to be written together."""

    now: str
    links: list[tuple[Any, ...]] = field(default_factory=list)
    fields: list[tuple[Any, ...]] = field(default_factory=list)
    samples: list[tuple[Any, ...]] = field(default_factory=list)
    controls: list[tuple[Any, ...]] = field(default_factory=list)
    #: By device, field and cell.
    pictures: dict[tuple[str, int, int], PictureMessage] = field(default_factory=dict)
    #: Device and field.
    removed: list[tuple[str, int]] = field(default_factory=list)
    #: By device.
    incidents: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    devices: dict[str, _Device] = field(default_factory=dict)
    #: Links of this batch, which the database does not know yet.
    fresh: dict[tuple[str, int], LinkMessage] = field(default_factory=dict)


class Collector:
    """Takes messages in.

    Parameters
    ----------
    database : open
    now : gives the time, aware UTC
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now
        #: Ends of chains as the database has them, so that a link that simply comes next asks nothing.
        self._ends: dict[str, End] = {}

    def take(self, messages: Iterable[Received]) -> None:
        """Take in a batch; when this returns, all of it is on the disk or refused by name.

        Raises
        ------
        DatabaseError
            The database cannot be written; what was not has to come again.
        """
        batch = list(messages)
        try:
            self._take_together(batch)
        except RowError as error:
            if len(batch) > 1:  # one of them the database does not take: no device keeps the others' waiting
                for message in batch:
                    self.take((message,))
            else:
                self._take_together(batch, RefusedError("malformed", f"cannot be kept: {error}"))

    def _take_together(self, messages: Iterable[Received], refusal: RefusedError | None = None) -> None:
        """Take in messages in one transaction, or name why they were refused already."""
        batch = _Batch(self._now().isoformat(timespec="milliseconds"))
        try:
            with self._database.transaction():
                for message in messages:
                    if refusal is None:
                        self._take_one(batch, message)
                    else:
                        self._refuse(batch, message, refusal)
                self._write(batch)
        except BaseException:
            self._ends.clear()  # what the batch had moved was not written
            raise
        self._ends.update((name, device.end) for name, device in batch.devices.items())

    def _take_one(self, batch: _Batch, message: Received) -> None:
        try:
            parsed = parse_topic(message.topic)
            if parsed is None:
                raise RefusedError(
                    "malformed", f"came under {message.topic!r:.100}, which is no topic of a device"
                )
            name, what = parsed
            device = self._device(batch, name)
            if what == "link":
                self._link(batch, device, name, read_link(name, message.payload), message.payload)
            elif what == "picture":
                self._picture(batch, name, read_picture(name, message.payload))
            elif what == "status":
                self._status(batch, device, name, message)
            elif what == "online":
                device.online = message.payload == b"online"
        except RefusedError as refusal:
            self._refuse(batch, message, refusal)

    def _refuse(self, batch: _Batch, message: Received, refusal: RefusedError) -> None:
        name = sender(message.topic)
        self._name(batch, name, refusal.kind, refusal.number, refusal.what, message.payload)

    def _device(self, batch: _Batch, name: str) -> _Device:
        if name not in batch.devices:
            end = self._ends.get(name)
            if end is None:
                row = self._database.rows("SELECT highest, sha256, seal FROM device WHERE name = %s", (name,))
                end = End(row[0]["highest"], row[0]["sha256"], row[0]["seal"]) if row else End()
                if not row:
                    first = (name, batch.now, batch.now, end.sha256, end.seal)
                    self._database.execute(_ADD_DEVICE, first)
            batch.devices[name] = _Device(end)
        return batch.devices[name]

    def _link(self, batch: _Batch, device: _Device, name: str, message: LinkMessage, payload: bytes) -> None:
        end = device.end
        if message.number == end.number + 1:  # the usual case asks the database nothing
            before: End | None = end
            check_place(message, before, None)
            device.end = End(message.number, message.sha256, message.seal)
            device.goes_on = True
        elif message.number > end.number:
            before = None
            self._gap(batch, name, end.number + 1, message.number - 1)
            device.end = End(message.number, message.sha256, message.seal)
        else:
            there = self._there(batch, name, message.number)
            if there is not None:
                self._again(batch, device, name, message, there, payload)
                return
            before = self._end_at(batch, name, message.number - 1)
            check_place(message, before, self._there(batch, name, message.number + 1))
            device.filled = True
        if before is not None and message.previous_seal != before.seal:
            self._name(
                batch,
                name,
                "resealed",
                message.number,
                f"link {message.number} follows another form of link {before.number} than is here: that one "
                "was altered on its way, or the device has sent it anew since",
                payload,
            )
        self._add(batch, name, message, payload)

    def _again(
        self,
        batch: _Batch,
        device: _Device,
        name: str,
        message: LinkMessage,
        there: LinkMessage,
        payload: bytes,
    ) -> None:
        """Take a link that is here already: the same one again, or another in its place."""
        if message.sha256 != there.sha256:
            raise RefusedError(
                "fork",
                f"link {message.number} is {message.sha256[:12]}..., here it is {there.sha256[:12]}...: "
                "another log, or one that was put back from a backup",
                message.number,
            )
        device.repeated += 1
        if message.seal != there.seal:
            self._name(
                batch,
                name,
                "resealed",
                message.number,
                "links came again in another form than they have here; the first one stays",
                b"again",
            )

    def _add(self, batch: _Batch, name: str, message: LinkMessage, payload: bytes) -> None:
        row = message.row
        batch.fresh[name, message.number] = message
        batch.links.append(
            (
                *(name, message.number, message.kind, row["id"], message.sha256, message.seal, batch.now),
                payload.decode(),
            )
        )
        if message.kind == "sample":
            sample = msgspec.convert(row, SampleRow)
            batch.samples.append(
                (
                    *(name, sample.id, sample.name, sample.specimen, sample.quota, sample.opened_at),
                    sample.search,
                )
            )
        if message.kind == "removal":
            batch.removed.append((name, msgspec.convert(row, RemovalRow).field_id))
        if message.kind == "control_run":
            run = msgspec.convert(row, ControlRunRow)
            batch.controls.append((name, run.sample_id, run.slide))
        if message.kind == "field" and message.tally is not None:
            made = msgspec.convert(row, FieldRow)
            batch.fields.append(
                (
                    *(name, message.number, made.id, made.captured_at or made.logged_at, made.sample_id),
                    *(made.status, *msgspec.structs.astuple(message.tally), made.reasons, made.warnings),
                    *(made.source_kind, made.model_name, made.model_sha256, made.config_sha256),
                    made.software_version,
                )
            )

    def _picture(self, batch: _Batch, name: str, picture: PictureMessage) -> None:
        place = (name, picture.field_id, picture.cell_id)
        if (fresh := batch.pictures.get(place)) is not None:
            there = fresh.sha256
        else:
            query = "SELECT sha256 FROM picture WHERE device = %s AND field_id = %s AND cell_id = %s"
            there = next((row["sha256"] for row in self._database.rows(query, place)), picture.sha256)
            batch.pictures[place] = picture
        if there != picture.sha256:
            raise RefusedError(
                "fork",
                f"is another picture of cell {picture.cell_id} of field {picture.field_id} than is here",
            )

    def _status(self, batch: _Batch, device: _Device, name: str, message: Received) -> None:
        status, device.status = read_status(name, message.payload)
        number, sha256 = status.head.number, status.head.sha256
        if message.retained:
            return  # it may be older than what has come since
        there = self._end_at(batch, name, number) if 0 < number <= device.end.number else None
        is_other = there is not None and there.sha256 != sha256
        if is_other or (number < device.end.number and self._is_later(batch, device, name, status.at)):
            device.goes_on = False
            self._name(
                batch,
                name,
                "restored_backup",
                number,
                f"its log ends at link {number} ({sha256[:12]}...), here is link {device.end.number}: a "
                "backup was put back, or the log was begun anew; give the device a new name",
                encoded({"number": number, "sha256": sha256}),
            )
        elif there is not None and number == device.end.number:
            device.goes_on = True

    def _is_later(self, batch: _Batch, device: _Device, name: str, at: str) -> bool:
        """Whether a status was made after the last link's row was written: one may come again, and late."""
        last = self._there(batch, name, device.end.number)
        row = {} if last is None else last.row
        written = moment(next((row[key] for key in ("logged_at", "at", "opened_at") if key in row), None))
        said = moment(at)
        return written is not None and said is not None and said > written

    def _gap(self, batch: _Batch, name: str, first: int, last: int) -> None:
        what = (
            f"links {first} to {last} have not come; where they do not come by themselves, on the device: "
            f"blastcount forward --from {first}"
        )
        at, sha256 = batch.now, hashlib.sha256(f"{first}-{last}".encode()).hexdigest()
        gap = (name, "gap", first, last, what, at, at, sha256, None)
        batch.incidents.setdefault(name, []).append(gap)

    @staticmethod
    def _name(batch: _Batch, name: str, kind: Kind, number: int | None, what: str, payload: bytes) -> None:
        sha256, text = refused_text(payload)
        incident = (name, kind, number, None, what, batch.now, batch.now, sha256, text)
        batch.incidents.setdefault(name, []).append(incident)

    def _there(self, batch: _Batch, name: str, number: int) -> LinkMessage | None:
        """Find the message of a link that is here."""
        if (fresh := batch.fresh.get((name, number))) is not None:
            return fresh
        found = self._database.rows(
            "SELECT CAST(body AS TEXT) AS body FROM link WHERE device = %s AND number = %s", (name, number)
        )
        return msgspec.json.decode(found[0]["body"], type=LinkMessage) if found else None

    def _end_at(self, batch: _Batch, name: str, number: int) -> End | None:
        if number == 0:
            return End()
        there = self._there(batch, name, number)
        return None if there is None else End(number, there.sha256, there.seal)

    def _write(self, batch: _Batch) -> None:
        database = self._database
        database.add("link", batch.links)
        database.add("field", batch.fields)
        database.add("sample", batch.samples)
        database.execute_many(_ADD_CONTROL, batch.controls)
        self._write_pictures(batch)
        for name, incidents in batch.incidents.items():
            self._write_incidents(batch, name, incidents)
        for name, device in batch.devices.items():
            end = device.end
            database.execute(
                "UPDATE device SET last_heard = %s, highest = %s, sha256 = %s, seal = %s, "
                "repeated = repeated + %s WHERE name = %s",
                (batch.now, end.number, end.sha256, end.seal, device.repeated, name),
            )
            if device.online is not None:
                database.execute("UPDATE device SET online = %s WHERE name = %s", (int(device.online), name))
            if device.status is not None:
                database.execute(
                    "UPDATE device SET status = %s, status_at = %s WHERE name = %s",
                    (encoded(device.status).decode(), batch.now, name),
                )
            if device.filled:
                database.execute(_CLOSE_GAPS, (batch.now, name))
            if device.goes_on:
                database.execute(_CLOSE_RESTORED, (batch.now, name))

    def _write_pictures(self, batch: _Batch) -> None:
        rows = [(*place, one.sha256, batch.now, one.jpeg) for place, one in batch.pictures.items()]
        self._database.execute_many(_ADD_PICTURE, rows)
        self._database.execute_many(_REMOVE_PICTURES, batch.removed)
        for name in {place[0] for place in batch.pictures}:
            self._database.execute(_KEEP_NEWEST, (name, name, MOST_PICTURES))

    def _write_incidents(self, batch: _Batch, name: str, incidents: list[tuple[Any, ...]]) -> None:
        """Write what is named of a device, so many of a day; the others are counted in one row."""
        day = batch.now[:10]
        query = "SELECT count(*) AS n FROM incident WHERE device = %s AND first_at >= %s"
        (today,) = self._database.rows(query, (name, day))
        room = max(0, MOST_NAMED - int(today["n"]))
        more = incidents[room:]
        if more:
            what = (
                f"more than {MOST_NAMED} things of this device on {day}; the others are counted here and not "
                f"kept, the last one: {more[-1][1]}: {more[-1][4]}"
            )
            sha256 = hashlib.sha256(day.encode()).hexdigest()
            flood = (name, "flood", None, None, what, batch.now, batch.now, sha256, None)
            incidents = [*incidents[:room], *([flood] * len(more))]
        self._database.execute_many(_ADD_INCIDENT, incidents)
