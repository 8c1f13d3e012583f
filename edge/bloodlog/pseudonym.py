"""Ids of samples: codes of the laboratory's own, never a name or a number that leads to a person."""

from __future__ import annotations

import re

#: Letters, digits and the three marks that no file system, spreadsheet or shell takes for anything else.
PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: National numbers have 9 (USA, Canada) to 16 digits (Indonesia's NIK); a laboratory's own are shorter.
_MIN_NATIONAL = 9
_DATE = re.compile(r"(?<!\d)((19|20)\d\d[._-]?(0[1-9]|1[0-2])[._-]?(0[1-9]|[12]\d|3[01])"
                   r"|(0[1-9]|[12]\d|3[01])[._-]?(0[1-9]|1[0-2])[._-]?(19|20)\d\d)(?!\d)")  # fmt: skip


def wrong_id(text: str) -> str | None:
    """Say why a text cannot be a sample's id; None where it can.

    Examples
    --------
    >>> wrong_id("S-0142") is None, wrong_id("../S")
    (True, "expected letters, digits, '.', '_' and '-', at most 32, the first a letter or digit")
    """
    if PATTERN.fullmatch(text):
        return None
    return "expected letters, digits, '.', '_' and '-', at most 32, the first a letter or digit"


def personal_doubt(text: str) -> str | None:
    """Say why an id might lead to a person; None where it looks like a code.

    This catches what is typed in haste; it cannot know every name.

    Examples
    --------
    >>> [personal_doubt(text) for text in ("S-0142", "Siti.Rahma", "3174-0512-9000-0001")]
    [None, 'it looks like a name', 'it looks like a national number']
    >>> personal_doubt("1987-05-12")
    'it holds a date, perhaps of birth'
    """
    if sum(character.isdigit() for character in text) >= _MIN_NATIONAL:
        return "it looks like a national number"
    if _DATE.search(text):
        return "it holds a date, perhaps of birth"
    # A code has a digit somewhere; a name of three letters or more has none.
    if re.search(r"[A-Za-z]{3,}", text) and not any(map(str.isdigit, text)):
        return "it looks like a name"
    return None
