"""Which of two versions is the newer one, without a package for it: the device has none."""

from __future__ import annotations

import math
import re

_VERSION = re.compile(
    r"(?P<release>[0-9]{1,9}(?:\.[0-9]{1,9})*)"
    r"(?:(?P<stage>a|b|rc)(?P<pre>[0-9]{1,9}))?"
    r"(?:\.post(?P<post>[0-9]{1,9}))?"
    r"(?:\.dev(?P<dev>[0-9]{1,9}))?"
    r"(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?",
    re.ASCII,
)
#: Order of what leads to a release.
_STAGES = {"a": 0, "b": 1, "rc": 2}

Key = tuple[tuple[int, ...], tuple[float, int], int, float]


def version_key(version: str) -> Key:
    """Give what sorts versions as pip does [1]_, of those that this program's builds have.

    What comes behind a ``+``, a commit's name, makes a version neither newer nor older.

    Parameters
    ----------
    version : in its normal form: no ``v``, no epoch, no capital letters

    Raises
    ------
    ValueError
        It is none.

    Examples
    --------
    >>> sorted(["1.0", "1.0.dev3", "0.9.1", "1.0rc1", "1.0.post1"], key=version_key)
    ['0.9.1', '1.0.dev3', '1.0rc1', '1.0', '1.0.post1']
    >>> version_key("1.1.0") == version_key("1.1+g12ab34c")
    True

    References
    ----------
    .. [1] https://packaging.python.org/en/latest/specifications/version-specifiers/
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"a version is written as 1.2.0, 1.2rc1 or 1.2.dev3, got {version[:60]!r}")
    release = [int(number) for number in found["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    post, dev = found["post"], found["dev"]
    if found["stage"] is not None:
        leads: tuple[float, int] = (_STAGES[found["stage"]], int(found["pre"]))
    else:
        # What was made on the way to a release comes before all that have a stage.
        leads = (-math.inf if post is None and dev is not None else math.inf, 0)
    return tuple(release), leads, -1 if post is None else int(post), math.inf if dev is None else int(dev)
