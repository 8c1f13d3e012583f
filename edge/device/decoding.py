"""JSON read as declared: keys, types and bounds stand in a msgspec struct, and what breaks them is named."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from edge.errors import EdgeError, ModelError

_T = TypeVar("_T")


def decode_json(
    text: str | bytes, kind: type[_T], *, source: str, advice: str, error: type[EdgeError] = ModelError
) -> _T:
    """Read a JSON document into its struct.

    Parameters
    ----------
    text : JSON; NaN and Infinity are none
    kind : the struct, which forbids unknown keys where none may be there
    source, advice : where it comes from and what to do, for the message
    error : what is raised

    Raises
    ------
    EdgeError
        It is no JSON, or not as declared; the message has the path of the key, as ``$.decision.threshold``.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as reason:
        raise error(f"{source}: {reason}; {advice}") from reason
