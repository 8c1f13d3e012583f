"""The blood log: what every field gave, in one append-only SQLite file that survives a power cut.

Names are looked up where they are used: the chain and the connection can be had without the records, which
bring NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.bloodlog.core import BloodLog
    from edge.bloodlog.reviews import ClassWord, Review, ReviewLabel
    from edge.bloodlog.rows import LoggedField
    from edge.bloodlog.samples import Sample, Specimen

__all__ = ["BloodLog", "ClassWord", "LoggedField", "Review", "ReviewLabel", "Sample", "Specimen"]

_MODULES = {
    "BloodLog": "core",
    "ClassWord": "reviews",
    "LoggedField": "rows",
    "Review": "reviews",
    "ReviewLabel": "reviews",
    "Sample": "samples",
    "Specimen": "samples",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
