"""Ids of samples: codes of the laboratory's own, never a name or a number that leads to a person."""

from __future__ import annotations

import re

#: Letters, digits and the three marks that no file system, spreadsheet or shell takes for anything else.
PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: National numbers have 9 (USA, Canada) to 16 digits (Indonesia's NIK); a laboratory's own are shorter.
_MIN_NATIONAL = 9
_DATE = re.compile(r"(?<!\d)((19|20)\d\d[._-]?(0[1-9]|1[0-2])[._-]?(0[1-9]|[12]\d|3[01])"
                   r"|(0[1-9]|[12]\d|3[01])[._-]?(0[1-9]|1[0-2])[._-]?(19|20)\d\d)(?!\d)")  # fmt: skip
#: A laboratory's codes have a capital or three before their number, and names are longer or not all capitals;
#: a number behind them, as in Budi1, makes no code of them.
_NAME = re.compile(r"[A-Za-z]{4}|(?=[A-Za-z]{3})(?![A-Z]{3})")


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

    An id looks like a name where four letters follow each other, or three that are not all capitals. This
    catches what is typed in haste; it cannot know every name. Only new ids are asked about: what is in a log
    stays readable under the id that it has.

    Examples
    --------
    >>> [personal_doubt(code) for code in ("S-0142", "ABC", "bm7")]
    [None, None, None]
    >>> personal_doubt("Budi1") == personal_doubt("siti") == personal_doubt("Ani-3")
    True
    >>> print(personal_doubt("Budi1"))
    it looks like a name (four letters in a row, or three that are not all capitals)
    >>> personal_doubt("3174-0512-9000-0001")
    'it looks like a national number'
    >>> personal_doubt("1987-05-12")
    'it holds a date, perhaps of birth'
    """
    if sum(character.isdigit() for character in text) >= _MIN_NATIONAL:
        return "it looks like a national number"
    if _DATE.search(text):
        return "it holds a date, perhaps of birth"
    if _NAME.search(text):
        return "it looks like a name (four letters in a row, or three that are not all capitals)"
    return None
