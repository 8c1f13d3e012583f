"""A laboratory's own reading of the network's log odds: an offset, a temperature and a decision.

A card's probability ``p`` of a cell becomes ``expit((logit(p) + offset) / temperature)`` (Platt [1]_), and
the file's threshold and band stand in place of the card's. The network, its golden crops and everything
before them stay what they are. :mod:`edge.verification` fits such a file; without it nothing changes.

References
----------
.. [1] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
   methods", Advances in Large Margin Classifiers, 1999.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edge.classification.card import Decision, Digest, ModelCard, Text
from edge.device.reading import read_bounded
from edge.device.records import read_record, write_record
from edge.errors import ConfigError

#: Warning of a field that was counted although a recalibration lies there that does not fit.
UNUSED = "recalibration_unused"
_ADVICE = "fit it anew with `blastcount recalibrate fit`, or go back with `blastcount recalibrate undo`"
#: Log odds of a byte's last step, 255/256, are 5.5: what is moved further is one word for every cell.
_MOST_OFFSET = 12.0
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Number = Annotated[int, Meta(ge=0, le=10_000_000)]


class Calls(Struct, frozen=True, forbid_unknown_fields=True):
    """What labelled cells of one class were called.

    Attributes
    ----------
    n : cells
    blast : of them called blast; an uncertain cell is not
    """

    n: _Number
    blast: _Number

    def __post_init__(self) -> None:
        """Refuse more calls than cells."""
        if self.blast > self.n:
            raise ValueError(f"{self.blast} of {self.n} cells called blast")


class Nested(Struct, frozen=True, forbid_unknown_fields=True):
    """What cells of samples say that a fit had not seen.

    Attributes
    ----------
    factory_error, error : the mean error of the share over shares of 0 to 0.5, by the card and by fits of one
        half of the samples on the other (in older files over shares of 0 to 1, or of whole samples left out
        in turn); where only one class is there, the share of its cells that were called the other one
    blast, normal : the calls of fits that left whole samples out in turn, by people's class
    """

    factory_error: _Share
    error: _Share
    blast: Calls
    normal: Calls


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The recalibration as its file has it."""

    schema: Literal["blastcount.recalibration/1"]
    made_at: Annotated[datetime, Meta(tz=True)]
    made_by: Text
    model: Text
    model_sha256: Digest
    card_sha256: Digest
    offset: Annotated[float, Meta(ge=-_MOST_OFFSET, le=_MOST_OFFSET)]
    temperature: Annotated[float, Meta(ge=0.2, le=5.0)]
    threshold: _Share
    uncertain_low: _Share
    uncertain_high: _Share
    samples: _Number
    nested: Nested

    def __post_init__(self) -> None:
        """Refuse a band that does not hold the threshold."""
        if not self.uncertain_low <= self.threshold <= self.uncertain_high:
            raise ValueError(
                "expected uncertain_low <= threshold <= uncertain_high, got "
                f"{self.uncertain_low}, {self.threshold}, {self.uncertain_high}"
            )


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A fitted recalibration, of one card.

    Attributes
    ----------
    made_at : aware UTC time
    made_by : sign of whoever fitted it
    model, model_sha256, card_sha256 : name, network and whole card that it was fitted for
    offset : added to the log odds of the card's probability
    temperature : divides the sum
    threshold, uncertain_low, uncertain_high : as in :class:`edge.classification.card.Decision`, of the result
    samples : of the labelled cells
    nested : what cells said that a fit had not seen
    sha256 : of the file that it was read from; None for what was just fitted
    """

    made_at: datetime
    made_by: str
    model: str
    model_sha256: str
    card_sha256: str
    offset: float
    temperature: float
    threshold: float
    uncertain_low: float
    uncertain_high: float
    samples: int
    nested: Nested
    sha256: str | None = None

    @classmethod
    def load(cls, path: Path) -> Recalibration:
        """Read a recalibration's file.

        Raises
        ------
        ConfigError
            It is missing, cannot be read, or holds anything that no recalibration does.
        """
        absent = f"no such recalibration; {_ADVICE}"
        file, sha256 = read_record(path, _File, absent=absent, advice=_ADVICE)
        values = msgspec.structs.asdict(file)
        del values["schema"]
        return cls(**values, sha256=sha256)

    def save(self, path: Path) -> Recalibration:
        """Write the file, whole or not at all, and return it as it will be read back.

        Raises
        ------
        OutputError
            It cannot be written; a file of that name is as it was.
        """
        values = {name: getattr(self, name) for name in _File.__struct_fields__ if name != "schema"}
        write_record(path, _File(schema="blastcount.recalibration/1", **values))
        return Recalibration.load(path)

    @staticmethod
    def kept(path: Path, sha256: str | None = None) -> Path:
        """Say where a recalibration is kept that was undone or replaced, so that its rows can be understood.

        Parameters
        ----------
        path : where it is while it is in force
        sha256 : of its content; None for that of the file at ``path``
        """
        sha256 = hashlib.sha256(read_bounded(path)).hexdigest() if sha256 is None else sha256
        return path.with_name(f"{path.stem}-{sha256[:12]}{path.suffix}")

    @property
    def cells(self) -> int:
        """Labelled cells that it was fitted on."""
        return self.nested.blast.n + self.nested.normal.n

    def applied(self, card: ModelCard) -> ModelCard:
        """Give the card with the decision of this laboratory in place of its own.

        Raises
        ------
        ConfigError
            It was fitted for another card.
        """
        if card.whole_sha256 != self.card_sha256:
            raise ConfigError(
                f"the recalibration was fitted for model {self.model} {self.model_sha256[:12]} with the card "
                f"{self.card_sha256[:12]}, got {card.name} {card.sha256[:12]} with {card.whole_sha256[:12]}; "
                f"{_ADVICE}"
            )
        factory = card.decision
        decision = Recalibrated(
            self.threshold,
            self.uncertain_low,
            self.uncertain_high,
            # (logits / T + offset) / t = (logits + T offset) / (T t), which the classifier does in one step.
            min(max(factory.temperature * self.temperature, 0.05), 20.0),
            factory.temperature * self.offset,
        )
        return replace(card, decision=decision, recalibration=self.sha256)


@dataclass(frozen=True, slots=True)
class Recalibrated(Decision):
    """A decision of a laboratory's own.

    Attributes
    ----------
    offset : added to the network's logit before the temperature divides it
    """

    offset: float = 0.0
