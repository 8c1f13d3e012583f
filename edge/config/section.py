"""What every section of the configuration shares: keys with a default and a range, checked when made."""

from __future__ import annotations

from dataclasses import Field, field, fields
from typing import Any, ClassVar, TypeVar, cast

from edge.errors import ConfigError

_T = TypeVar("_T")


def within(default: _T, low: float, high: float) -> _T:
    """Declare a key with its default and the range that its numbers must lie in."""
    declared: _T = field(default=default, metadata={"low": low, "high": high})
    return declared


class Section:
    """Base of the sections: frozen dataclasses with slots, whose ranges are checked whoever makes them.

    A section of its own file declares ``NAME``, its keys with :func:`within` or a plain default, and is
    listed in :class:`edge.config.Config`. One with a rule of its own has a ``__post_init__`` which calls
    this one first, as ``Section.__post_init__(self)``: ``super()`` does not work in dataclasses with slots.

    Attributes
    ----------
    NAME : the section's name in the file
    """

    __slots__ = ()
    NAME: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        ConfigError
            A number is out of its range.
        """
        keys: tuple[Field[Any], ...] = fields(cast(Any, self))
        for key in keys:
            value, limits = getattr(self, key.name), key.metadata
            # Written so that not-a-number fails too.
            if limits and value is not None and not limits["low"] <= value <= limits["high"]:
                raise ConfigError(
                    f"{self.NAME}.{key.name} must be {limits['low']} to {limits['high']}, got {value}"
                )
