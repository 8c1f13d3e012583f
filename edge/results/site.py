"""Whether this laboratory has verified the program on its own slides, and whether that holds for a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
from msgspec import structs

from edge.bloodlog import LoggedField
from edge.bloodlog.verifications import VerificationEvent
from edge.calibration.site import SiteBinding, SiteCard, SiteCheck, SiteCode


@dataclass(frozen=True, slots=True)
class SiteStanding:
    """What a laboratory's verification says of one sample.

    Attributes
    ----------
    card : the newest that holds, else the newest; None where the program was never verified here
    changed : why it does not hold: what is another than it was (see :meth:`SiteBinding.changed`), ``code``,
        or ``few`` where too few cells of a kind were read; empty where it holds
    """

    card: SiteCard | None = None
    changed: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the card's figures are this sample's."""
        return self.card is not None and not self.changed


def made_by(logged: LoggedField) -> tuple[SiteBinding, SiteCode] | None:
    """Give the conditions and the code that a field was counted under, without its own scale.

    Returns
    -------
    None for rows of versions that did not note them
    """
    if logged.provenance is None:
        return None
    try:
        binding = msgspec.json.decode(logged.provenance, type=SiteBinding)
        code = msgspec.json.decode(logged.provenance, type=SiteCode)
    except msgspec.DecodeError:
        return None
    camera = {"source_kind": logged.source_kind, "width": logged.result.width, "height": logged.result.height}
    return structs.replace(binding, **camera), code


def median_scale(fields: Iterable[LoggedField]) -> float | None:
    """Give the middle of the scales that were measured; None without any."""
    scales = [scale for logged in fields if (scale := logged.result.scale.reported_um_per_px) is not None]
    return median(scales) if scales else None


def site_standing(events: Sequence[VerificationEvent], fields: Sequence[LoggedField]) -> SiteStanding:
    """Find what holds for the counted fields of a sample.

    Parameters
    ----------
    events : all of the log's
    fields : of the sample

    Raises
    ------
    LogError
        A site card cannot be read.
    """
    if not any(event.event == "closed" for event in events):
        return SiteStanding()
    counted = [logged for logged in fields if logged.result.status == "counted"]
    conditions = {made_by(logged) for logged in counted} or {None}
    scale = median_scale(counted)
    found: list[SiteStanding] = []
    for event in events:
        if event.event == "closed":
            card = SiteCard.from_json(event.record, f"verification {event.verification_id}")
            checks = [
                msgspec.json.decode(one.record, type=SiteCheck)
                for one in events
                if one.event == "checked" and one.verification_id == event.verification_id
            ]
            found.append(SiteStanding(card, _changed(card, checks, conditions, scale)))
    found.sort(key=lambda standing: standing.holds)  # stable: the newest of those that hold is the last
    return found[-1]


def _changed(
    card: SiteCard,
    checks: Sequence[SiteCheck],
    conditions: Iterable[tuple[SiteBinding, SiteCode] | None],
    scale: float | None,
) -> tuple[str, ...]:
    # The last check of a code is what counts of it.
    codes = {check.code: check.holds for check in checks}
    changed: dict[str, None] = {}
    for made in conditions:
        if made is None:
            changed["code"] = None
            continue
        binding, code = made
        now = structs.replace(binding, um_per_px=scale)
        changed |= dict.fromkeys(card.binding.changed(now))
        if code != card.code and not codes.get(code, False):
            changed["code"] = None
    if not card.corrects:
        changed["few"] = None
    return tuple(changed)
