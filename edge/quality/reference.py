"""How a sample's first fields looked, and how far later ones may drift from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edge.quality.look import Density, Look, look_at
from edge.structures import Background, Frame

#: Fields that make up the reference: with three, one odd first field does not decide alone.
REFERENCE_FIELDS = 3
#: Change of the blank slide's colour, as log10 of a channel over the mean of the three, that is a drift.
MAX_COLOUR_DRIFT = 0.03
#: Factor in brightness that is one.
MAX_LIGHT_FACTOR = 2.0
#: Change in the mix of the red cells' density over R, G and B that is a drift of the stain.
MAX_STAIN_MIX = 0.12
#: Factor in the red cells' density that is one.
MAX_STAIN_FACTOR = 1.8
#: Share of a field that is not blank slide below which it holds no cell: one white cell of 10 µm covers 0.08
#: % of a field 310 µm wide.
BLANK_COVER = 0.0005


@dataclass(frozen=True, slots=True)
class Reference:
    """How the first fields of a sample looked; :meth:`start` begins one.

    Attributes
    ----------
    looks : of the first fields, at most ``REFERENCE_FIELDS``
    white_point : log10 of the blank slide's R, G and B as calibrated, or None
    """

    looks: tuple[Look, ...]
    white_point: Density | None = None

    @classmethod
    def start(cls, white_point: tuple[float, float, float] | None = None) -> Reference:
        """Begin with a sample that has no field yet.

        Parameters
        ----------
        white_point : R, G and B of the blank slide as calibrated (0 to 255), or None
        """
        if white_point is None:
            return cls(())
        red, green, blue = (math.log10(max(1.0, value)) for value in white_point)
        return cls((), (red, green, blue))

    def after(self, frame: Frame, background: Background) -> Reference:
        """Return the reference with one more counted field in it; the same once it is complete.

        Parameters
        ----------
        frame : a field that was counted
        background : its blank slide
        """
        if len(self.looks) >= REFERENCE_FIELDS:
            return self
        return replace(self, looks=(*self.looks, look_at(frame.image, background)))

    @property
    def blank(self) -> Density | None:
        """Colour of the blank slide that later fields are compared with."""
        if not self.looks:
            return self.white_point
        return _middle([look.blank for look in self.looks])

    @property
    def red_cells(self) -> Density | None:
        """Density of the red cells that later fields are compared with."""
        known = [look.red_cells for look in self.looks if look.red_cells is not None]
        return _middle(known) if known else None


def drift_reasons(look: Look, reference: Reference) -> tuple[str, ...]:
    """Name how a live field differs from the sample's first ones.

    Parameters
    ----------
    look : of the field
    reference : of the sample

    Returns
    -------
    Any of ``underexposed``, ``overexposed``, ``colour_drift``, ``blank`` and ``stain_drift``
    """
    reasons = []
    blank = reference.blank
    if blank is not None:
        change = np.subtract(look.blank, blank)
        brighter = float(change.mean())
        if reference.looks and abs(brighter) > math.log10(MAX_LIGHT_FACTOR):
            reasons.append("overexposed" if brighter > 0 else "underexposed")
        if float(np.abs(change - brighter).max()) > MAX_COLOUR_DRIFT:
            reasons.append("colour_drift")
    if look.cover < BLANK_COVER:
        reasons.append("blank")
    elif look.red_cells is not None and reference.red_cells is not None:
        now, then = np.array(look.red_cells), np.array(reference.red_cells)
        mix = float(np.abs(now / now.sum() - then / then.sum()).max())
        factor = abs(math.log(float(now.sum() / then.sum())))
        if mix > MAX_STAIN_MIX or factor > math.log(MAX_STAIN_FACTOR):
            reasons.append("stain_drift")
    return tuple(reasons)


def _middle(values: list[Density]) -> Density:
    red, green, blue = (float(value) for value in np.median(np.array(values), axis=0))
    return red, green, blue
