"""The blood log: what every field gave, in one append-only SQLite file that survives a power cut."""

from __future__ import annotations

from edge.bloodlog.core import BloodLog
from edge.bloodlog.reviews import ClassWord, Review, ReviewLabel
from edge.bloodlog.rows import LoggedField
from edge.bloodlog.samples import Sample, Specimen

__all__ = ["BloodLog", "ClassWord", "LoggedField", "Review", "ReviewLabel", "Sample", "Specimen"]
