"""Where Python stands between the frame and the interpreter: own times of a profile, by kind of code."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType

_EDGE = Path(__file__).parent.parent
#: Modules whose own time is array arithmetic by operators, which a profile books on the Python line.
_ARRAY_MODULES = ("segment", "illumination", "scale", "quality")
KINDS = {
    "network": "the interpreter's invocation",
    "native": "OpenCV, NumPy, decoding, hashing, SQLite",
    "arrays": "lines of segmentation, scale, background, quality: Python and NumPy operators, not told apart",
    "glue": "Python of every other module of edge",
    "libraries": "Python of libraries and of the standard library",
}


def profile(work: Callable[[], object]) -> dict[str, float]:
    """Run some work under the profiler and share its time out.

    The profiler itself adds to every call of a function, most to small ones: the shares of Python are upper
    bounds.

    Parameters
    ----------
    work : what is run, once

    Returns
    -------
    share of the time by kind of ``KINDS``, 0 to 1; their sum is 1
    """
    profiler = cProfile.Profile()
    profiler.runcall(work)
    own_s = dict.fromkeys(KINDS, 0.0)
    for entry in profiler.getstats():
        own_s[_kind(entry.code)] += entry.inlinetime
    total_s = sum(own_s.values())
    return {kind: own / total_s for kind, own in own_s.items()}


def _kind(code: CodeType | str) -> str:
    if isinstance(code, str):  # a function that is not written in Python
        # The two interpreters' wrappers call it `Invoke`; cProfile shows its type, not its module.
        return "network" if "Invoke" in code else "native"
    file = Path(code.co_filename)
    if not file.is_relative_to(_EDGE):
        return "libraries"
    room = file.relative_to(_EDGE).parts[0]
    return "arrays" if room.startswith(_ARRAY_MODULES) else "glue"
