"""The part of a model card that training knows and the conversion only carries on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.classification.card import FREE_SECTIONS, LABELS, SCHEMA, Decision
from edge.device.strictjson import Section, parse_object
from edge.errors import ConfigError, ModelError
from edge.structures import InputSpec

_ADVICE = "give the card that `blastcount train` wrote, or none"
#: What the conversion itself writes; a draft's are of an earlier conversion and are dropped.
_OWN = ("sha256", "tensors", "golden", "conversion", "parity")
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
    values = parse_object(text, source=path.name, advice=_ADVICE)
    known = ("schema", "name", "labels", "input", "decision", *_OWN, *FREE_SECTIONS)
    top = Section(path.name, "", values, (), known, _ADVICE)
    if values.get("schema", SCHEMA) != SCHEMA:
        raise ModelError(f"{path.name}: expected schema {SCHEMA!r}, got {values['schema']!r}; {_ADVICE}")
    if values.get("labels", list(LABELS)) != list(LABELS):
        raise ModelError(f"{path.name}: labels must be {list(LABELS)}, got {values['labels']!r}; {_ADVICE}")
    spec = InputSpec(size_px=size_px)
    if "input" in values:
        crop = top.section("input", ("size_px", "field_of_view_um", "white_point", "channels"))
        try:
            spec = InputSpec(
                size_px=crop.integer("size_px"),
                field_of_view_um=crop.number("field_of_view_um"),
                white_point=crop.integer("white_point"),
                channels=crop.string("channels"),
            )
        except ConfigError as error:
            raise ModelError(f"{path.name}: {error}; {_ADVICE}") from error
    if spec.size_px != size_px:
        raise ModelError(
            f"{path.name}: input.size_px is {spec.size_px}, the network takes {size_px}; "
            "give this network's card"
        )
    decision = Decision()
    if "decision" in values:
        section = top.section("decision", ("threshold", "uncertain_low", "uncertain_high", "temperature"))
        decision = Decision(**{key: section.number(key) for key in section.values})
    sections = {key: values[key] for key in FREE_SECTIONS if key in values and key not in _OWN}
    return CardDraft(
        name=top.string("name") if "name" in values else None,
        input=spec,
        decision=decision,
        sections={"intended_use": INTENDED_USE} | sections,
    )
