"""The part of a model card that training knows and the conversion only carries on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge.classification.card import (
    LABELS,
    CropSection,
    Decision,
    DecisionSection,
    FreeSections,
    Labels,
    Text,
)
from edge.device.decoding import decode_json
from edge.errors import ModelError
from edge.structures import InputSpec

_ADVICE = "give the card that `blastcount train` wrote, or none"
#: What the conversion itself writes; a draft's are of an earlier conversion and are dropped.
_OWN = ("conversion", "parity")
INTENDED_USE = (
    "Research use only. Counts cells that look like blasts; not a medical device, not a diagnosis. "
    "A person trained in morphology reads the smear."
)


@dataclass(frozen=True, slots=True)
class CardDraft:
    """What is known of a model before it is converted.

    Attributes
    ----------
    name : of the model, None where the draft does not say
    input : what its crops were made of
    decision : threshold, uncertain band and temperature
    sections : free JSON: training, evaluation, limits, intended use
    """

    name: str | None
    input: InputSpec
    decision: Decision
    sections: Mapping[str, object] = field(default_factory=dict)


class _DraftFile(FreeSections, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A card in which every section may be missing; a section that is there is whole."""

    schema: Literal["blastcount.model/1"] = "blastcount.model/1"
    name: Text | None = None
    labels: Labels = LABELS
    input: CropSection | None = None
    decision: DecisionSection | None = None
    sha256: Any = None
    tensors: Any = None
    golden: Any = None


def read_draft(path: Path | None, size_px: int) -> CardDraft:
    """Read the card that training wrote; every key may be missing, none may be unknown.

    Parameters
    ----------
    path : JSON file, or None for defaults
    size_px : side of the network's input, which the card must agree with

    Returns
    -------
    CardDraft

    Raises
    ------
    ModelError
        The file is missing, malformed, or speaks of another network.
    """
    if path is None:
        return CardDraft(None, InputSpec(size_px=size_px), Decision(), {"intended_use": INTENDED_USE})
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ModelError(f"card {path} cannot be read ({error.strerror}); {_ADVICE}") from error
    draft = decode_json(text, _DraftFile, source=path.name, advice=_ADVICE)
    spec = InputSpec(size_px=size_px) if draft.input is None else draft.input.spec()
    if spec.size_px != size_px:
        raise ModelError(
            f"{path.name}: input.size_px is {spec.size_px}, the network takes {size_px}; "
            "give this network's card"
        )
    carried = {name: value for name, value in draft.sections().items() if name not in _OWN}
    decision = Decision() if draft.decision is None else draft.decision.decision()
    return CardDraft(draft.name, spec, decision, {"intended_use": INTENDED_USE} | carried)
