"""The site card: what a laboratory measured of the program on its own slides, and for what that holds.

It stands in the log, in the row that closed the verification, and nowhere else: it is chained as the words
that it was made of are, and who reads a copy of the log reads it, too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from edge.device.decoding import decode_json
from edge.errors import LogError

#: A scale that lies within this of the card's is of the same objective: the next ones are a third away and
#: more, and one field's scale scatters by some 2 %.
_SAME_OBJECTIVE = 0.06
#: Fewest independent cells of either kind from which a site's figures go before the factory's: below, their
#: interval is wider than what laboratories differ by.
LEAST_EFFECTIVE = 20.0
#: CLSI EP12 asks for so many cells of either kind at least.
ADVISED_CELLS = 50

_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Count = Annotated[int, Meta(ge=0)]


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of some cells, estimated from those that were drawn.

    Attributes
    ----------
    share : weighted by what each drawn cell stands for, 0 to 1
    low, high : 95 % interval, for the drawing and for cells clustered in samples
    n : cells that were drawn and read
    effective_n : independent cells that would say as much
    """

    share: _Share
    low: _Share
    high: _Share
    n: _Count
    effective_n: Annotated[float, Meta(ge=0.0)]


class SiteBinding(Struct, frozen=True):
    """For what a verification holds. A row's provenance has the same keys, and others.

    Attributes
    ----------
    model_sha256, card_sha256 : network; its card with threshold, temperature and crop
    calibration_sha256 : calibration of the microscope; None for none
    recalibration_sha256 : recalibration of the model; None for none
    microscope, stain : what the laboratory calls them, ``[site]``; None where it has not said
    source_kind, width, height : camera: where its frames come from, and their size, px
    um_per_px : median scale of the fields; None where none was measured
    """

    model_sha256: str
    card_sha256: str
    calibration_sha256: str | None = None
    recalibration_sha256: str | None = None
    microscope: str | None = None
    stain: str | None = None
    source_kind: str = "file"
    width: int = 0
    height: int = 0
    um_per_px: float | None = None

    def changed(self, now: SiteBinding) -> tuple[str, ...]:
        """Name what is another one by now.

        Returns
        -------
        any of ``model``, ``recalibration``, ``calibration``, ``microscope``, ``stain``, ``camera`` and
        ``objective``

        Examples
        --------
        >>> then = SiteBinding("m", "c", stain="Wright", um_per_px=0.1)
        >>> then.changed(SiteBinding("m", "c", stain="Giemsa", um_per_px=0.14))
        ('stain', 'objective')
        """
        scales = self.um_per_px, now.um_per_px
        same_scale = (
            scales[0] is None
            or scales[1] is None
            or max(scales[0], scales[1]) / min(scales[0], scales[1]) <= 1.0 + _SAME_OBJECTIVE
        )
        same = {
            "model": (self.model_sha256, self.card_sha256) == (now.model_sha256, now.card_sha256),
            "recalibration": self.recalibration_sha256 == now.recalibration_sha256,
            "calibration": self.calibration_sha256 == now.calibration_sha256,
            "microscope": self.microscope == now.microscope,
            "stain": self.stain == now.stain,
            "camera": (self.source_kind, self.width, self.height) == (now.source_kind, now.width, now.height),
            "objective": same_scale,
        }
        return tuple(name for name, is_so in same.items() if not is_so)


class SiteCode(Struct, frozen=True):
    """What computed: the program and the libraries that round. A row's provenance has the same keys.

    Attributes
    ----------
    code_sha256 : of the program's sources
    runtime, numpy, opencv : interpreter and libraries, with their versions
    architecture : of the processor
    """

    code_sha256: str
    runtime: str
    numpy: str
    opencv: str
    architecture: str


class SiteCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new code made of the cells of a closed verification.

    Attributes
    ----------
    code : that was tried
    same, other : cells that it called as before, and otherwise (or did not find)
    missing : cells whose field's picture is no longer there, which cannot be counted again
    """

    code: SiteCode
    same: _Count
    other: _Count
    missing: _Count

    @property
    def holds(self) -> bool:
        """Whether the verification holds for this code: every cell was tried, and was called the same."""
        return self.same > 0 and self.other == 0 and self.missing == 0


class Agreed(Struct, frozen=True, forbid_unknown_fields=True):
    """Cohen's kappa of two on the same cells.

    Attributes
    ----------
    kappa, low, high : with its 95 % interval; None where it is not defined
    agreed, n : cells on which both said the same, of how many
    """

    kappa: float | None
    low: float | None
    high: float | None
    agreed: _Count
    n: _Count


class SiteCard(Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured.

    Attributes
    ----------
    schema : ``blastcount.site/1``
    verification : its number in the log
    measured_at : aware UTC time of the closing
    cells, samples : that were read, and that they are of
    readers : who read
    binding, code : for what it holds
    sensitivity : share of the blasts that the program called so
    specificity : share of all other counted cells that it did not call so
    listed : share of the blasts that the program called so or was uncertain of: what a search shows
    types : as specificity, of the cells that readers called by a type, a smudge or no cell, by that word
    program : program against readers
    between : readers against each other; None where nobody read a second time
    details : tables of the result for people and machines, see :mod:`edge.verification`
    """

    schema: Literal["blastcount.site/1"]
    verification: int
    measured_at: Annotated[datetime, Meta(tz=True)]
    cells: _Count
    samples: _Count
    readers: list[str]
    binding: SiteBinding
    code: SiteCode
    sensitivity: Rate
    specificity: Rate
    listed: Rate
    types: dict[str, Rate]
    program: Agreed
    between: Agreed | None
    details: dict[str, Any]

    @property
    def corrects(self) -> bool:
        """Whether enough independent cells of either kind were read to correct shares by it."""
        return min(self.sensitivity.effective_n, self.specificity.effective_n) >= LEAST_EFFECTIVE

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> SiteCard:
        """Read a card.

        Raises
        ------
        LogError
            It is none.
        """
        return decode_json(text, cls, source=source, advice="verify anew", error=LogError)

    def to_json(self) -> str:
        """Write the form that is stored."""
        return msgspec.json.encode(self, order="sorted").decode()
