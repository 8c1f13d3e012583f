"""JSON objects read strictly: every key asked for is there, of its type, and no other is."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edge.errors import ModelError


def parse_object(text: str | bytes, *, source: str, advice: str) -> dict[str, object]:
    """Read text that must be one JSON object.

    Parameters
    ----------
    text : JSON; NaN and Infinity, which Python would accept, are no JSON
    source, advice : where it comes from and what to do, for the message

    Raises
    ------
    ModelError
        It is something else.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{source}: not JSON ({error}); {advice}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{source}: expected a JSON object, got {type(value).__name__}; {advice}")
    return value


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


@dataclass(frozen=True, slots=True)
class Section:
    """One JSON object with typed access that names the key in its complaint.

    Attributes
    ----------
    source : the file, for messages
    where : the object's path in it, "" for the outermost
    values : the object
    required, optional : the keys that must and may be there
    advice : what to do, for messages
    """

    source: str
    where: str
    values: dict[str, object]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    advice: str = "correct the file"

    def __post_init__(self) -> None:
        """Refuse missing and unknown keys."""
        missing = [key for key in self.required if key not in self.values]
        unknown = [key for key in self.values if key not in (*self.required, *self.optional)]
        if missing:
            raise ModelError(f"{self.source}: {self.where or 'it'} lacks {', '.join(missing)}; {self.advice}")
        if unknown:
            raise ModelError(
                f"{self.source}: {self.where or 'it'} has unknown {', '.join(unknown)}; {self.advice}"
            )

    def path(self, key: str) -> str:
        """Path of a key, e.g. ``tensors.input.scale``."""
        return f"{self.where}.{key}" if self.where else key

    def wrong(self, key: str, expected: str) -> ModelError:
        """Build the complaint that a key's value is not what was expected."""
        shown = repr(self.values[key])
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ModelError(f"{self.source}: {self.path(key)} must be {expected}, got {shown}; {self.advice}")

    def section(self, key: str, required: tuple[str, ...]) -> Section:
        """Return the object under a key."""
        value = self.values[key]
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Section(self.source, self.path(key), value, required, advice=self.advice)

    def string(self, key: str) -> str:
        """Return the text under a key, which must not be empty."""
        value = self.values[key]
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def integer(self, key: str) -> int:
        """Return the whole number under a key."""
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        """Return the number under a key."""
        value = self.values[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(key, "a number")
        return float(value)

    def digest(self, key: str) -> str:
        """Return the SHA-256 under a key."""
        value = self.string(key)
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise self.wrong(key, "64 lower-case hexadecimal digits")
        return value
