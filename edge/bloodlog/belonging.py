"""Which rows are a sample's, and one hash of all that was said in it."""

from __future__ import annotations

import sqlite3
from typing import cast

from edge.bloodlog.chain import GENESIS, Kind, link_sha256, read_content

#: Links of the rows that belong to a sample, or all of them.
LINKS = """
SELECT number, kind, row_id, sha256 FROM link
WHERE :sample IS NULL
   OR (kind = 'sample' AND row_id = :sample)
   OR (kind = 'sample_event' AND row_id IN (SELECT id FROM sample_event WHERE sample_id = :sample))
   OR (kind = 'field' AND row_id IN (SELECT field_id FROM membership WHERE sample_id = :sample))
   OR (kind = 'review' AND row_id IN (SELECT id FROM review WHERE field_id IN
                                      (SELECT field_id FROM membership WHERE sample_id = :sample)))
   OR (kind = 'settlement' AND row_id IN (SELECT id FROM settlement WHERE field_id IN
                                          (SELECT field_id FROM membership WHERE sample_id = :sample)))
   OR (kind = 'signature' AND row_id IN (SELECT id FROM signature WHERE sample_id = :sample))
   OR (kind = 'removal' AND row_id IN (SELECT id FROM removal WHERE field_id IN
                                       (SELECT field_id FROM membership WHERE sample_id = :sample)))
   OR (kind = 'assignment' AND row_id IN (SELECT later.id FROM assignment AS one, assignment AS later
                                          WHERE one.sample_id = :sample AND later.field_id = one.field_id))
ORDER BY number
"""
#: Rows that say nothing of the count: pictures that go or stay, and signatures themselves.
_NOT_SAID = frozenset({"removal", "signature"})
_OF_PICTURES = frozenset({"kept", "released"})


def content_sha256(connection: sqlite3.Connection, sample_id: int) -> str:
    """Hash all that was counted and said in a sample: fields with their cells, words, settlements, events.

    The rows are chained as the log's are, but by themselves, so that the hash is the same after a repair, and
    whatever happens in other samples. Any row that is added to the sample later makes it another one; that
    its pictures are kept or removed does not.
    """
    sha256 = GENESIS
    for _number, kind, row_id, _link in connection.execute(LINKS, {"sample": sample_id}).fetchall():
        content = None if kind in _NOT_SAID else read_content(connection, cast(Kind, kind), row_id)
        if content is not None and content["row"].get("event") not in _OF_PICTURES:
            sha256 = link_sha256(sha256, content)
    return sha256
