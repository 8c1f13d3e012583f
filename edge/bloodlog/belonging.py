"""Which rows are a sample's, and one hash of all that was said in it."""

from __future__ import annotations

import sqlite3
from typing import cast

from edge.bloodlog.chain import GENESIS, Kind, link_sha256, read_content

#: Links of all rows, and those of the rows that belong to a sample, looked up one by one: a log of years has
#: far more of others. CROSS JOIN keeps SQLite to that order.
_ALL = "SELECT number, kind, row_id, sha256 FROM link ORDER BY number"
_OF_SAMPLE = """
WITH own (kind, row_id) AS (
SELECT 'sample', :sample
UNION SELECT 'sample_event', id FROM sample_event WHERE sample_id = :sample
UNION SELECT 'field', field_id FROM membership WHERE sample_id = :sample
UNION SELECT 'review', id FROM review WHERE field_id IN
          (SELECT field_id FROM membership WHERE sample_id = :sample)
UNION SELECT 'settlement', id FROM settlement WHERE field_id IN
          (SELECT field_id FROM membership WHERE sample_id = :sample)
UNION SELECT 'signature', id FROM signature WHERE sample_id = :sample
UNION SELECT 'removal', id FROM removal WHERE field_id IN
          (SELECT field_id FROM membership WHERE sample_id = :sample)
UNION SELECT 'assignment', later.id FROM assignment AS one, assignment AS later
      WHERE one.sample_id = :sample AND later.field_id = one.field_id
)
SELECT number, kind, row_id, sha256 FROM own CROSS JOIN link USING (kind, row_id) ORDER BY number
"""
#: Rows that say nothing of the count: pictures that go or stay, and signatures themselves.
_NOT_SAID = frozenset({"removal", "signature"})
_OF_PICTURES = frozenset({"kept", "released"})


def links(connection: sqlite3.Connection, sample_id: int | None) -> sqlite3.Cursor:
    """Give number, kind, row and hash of the links of the rows that belong to a sample, or of all rows."""
    return connection.execute(_ALL if sample_id is None else _OF_SAMPLE, {"sample": sample_id})


def content_sha256(connection: sqlite3.Connection, sample_id: int) -> str:
    """Hash all that was counted and said in a sample: fields with their cells, words, settlements, events.

    The rows are chained as the log's are, but by themselves, so that the hash is the same after a repair, and
    whatever happens in other samples. Any row that is added to the sample later makes it another one; that
    its pictures are kept or removed does not.
    """
    sha256 = GENESIS
    for _number, kind, row_id, _link in links(connection, sample_id).fetchall():
        content = None if kind in _NOT_SAID else read_content(connection, cast(Kind, kind), row_id)
        if content is not None and content["row"].get("event") not in _OF_PICTURES:
            sha256 = link_sha256(sha256, content)
    return sha256
