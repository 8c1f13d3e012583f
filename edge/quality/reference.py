"""How a sample's first fields looked, and how far later ones may drift from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edge.light.field import Field
from edge.quality.cover import BLANK_COVER
from edge.quality.light import BURNT_OUT
from edge.quality.look import Density, Look, look_at

#: Fields that make up the reference: with three, one odd first field does not decide alone.
REFERENCE_FIELDS = 3
#: Change of the blank slide's colour, as log10 of a channel over the mean of the three, that is a drift: 7 %.
#: Within nine sessions of two cameras, the second of which balances its white by itself, it stays below
#: 0.022.
MAX_COLOUR_DRIFT = 0.03
#: Factor in brightness that is one; within those sessions it stays below 1.15.
MAX_LIGHT_FACTOR = 1.6
#: Levels below ``BURNT_OUT`` from which the blank slide's mean is burnt out.
_NEARLY_BURNT_OUT = 5
#: Change of a channel's share in the commonest density that is a drift of the stain; there it stays below
#: 0.063.
MAX_STAIN_MIX = 0.08
#: Factor in that density that is one; there it stays below 1.83.
MAX_STAIN_FACTOR = 1.87


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

    def after(self, field: Field) -> Reference:
        """Return the reference with one more counted field in it; the same once it is complete.

        Parameters
        ----------
        field : that was counted
        """
        if len(self.looks) >= REFERENCE_FIELDS:
            return self
        return replace(self, looks=(*self.looks, look_at(field)))

    @property
    def blank(self) -> Density | None:
        """Colour of the blank slide that later fields are compared with."""
        if not self.looks:
            return self.white_point
        return _middle([look.blank for look in self.looks])

    @property
    def common(self) -> Density | None:
        """Commonest density that later fields are compared with."""
        known = [look.common for look in self.looks if look.common is not None]
        return _middle(known) if known else None


def drift_judgement(look: Look, reference: Reference) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name how a live field differs from the sample's first ones.

    While there are fewer than ``REFERENCE_FIELDS`` of these nobody knows which is the odd one: the field is
    counted with a doubt, and takes part in the reference.

    Parameters
    ----------
    look : of the field
    reference : of the sample

    Returns
    -------
    reasons to refuse it, any of ``underexposed``, ``overexposed``, ``colour_drift``, ``blank`` and
    ``stain_drift``; and warnings, ``first_fields_differ`` or none
    """
    certain, drifts = [], []
    blank = reference.blank
    if blank is not None:
        change = np.subtract(look.blank, blank)
        brighter = float(change.mean())
        if min(look.blank) >= math.log10(BURNT_OUT - _NEARLY_BURNT_OUT) > min(blank):
            certain.append("overexposed")
        elif reference.looks and abs(brighter) > math.log10(MAX_LIGHT_FACTOR):
            drifts.append("overexposed" if brighter > 0 else "underexposed")
        if float(np.abs(change - brighter).max()) > MAX_COLOUR_DRIFT:
            drifts.append("colour_drift")
    if look.cover < BLANK_COVER:
        certain.append("blank")
    elif look.common is not None and reference.common is not None:
        now, then = np.array(look.common), np.array(reference.common)
        mix = float(np.abs(now / now.sum() - then / then.sum()).max())
        factor = abs(math.log(float(now.sum() / then.sum())))
        if mix > MAX_STAIN_MIX or factor > math.log(MAX_STAIN_FACTOR):
            drifts.append("stain_drift")
    if drifts and 0 < len(reference.looks) < REFERENCE_FIELDS:
        return tuple(certain), ("first_fields_differ",)
    return (*certain, *drifts), ()


def _middle(values: list[Density]) -> Density:
    red, green, blue = (float(value) for value in np.median(np.array(values), axis=0))
    return red, green, blue
