"""What the configuration and the installed models say of a sample's figures."""

from __future__ import annotations

from collections.abc import Callable

from edge.bloodlog import BloodLog, Sample
from edge.classification.card import default_bundle_path, load_bundle
from edge.config import Config
from edge.errors import ModelError
from edge.results.corrected import KnownErrors
from edge.results.summary import SampleSummary, summarise
from edge.structures import ModelIdentity


def known_errors(config: Config) -> Callable[[ModelIdentity], KnownErrors | None]:
    """Give the known errors of a model that is installed here; those of another one are not known.

    They are read from the card whose SHA-256 is the model's, never from one of the same name.
    """

    def of(model: ModelIdentity) -> KnownErrors | None:
        for path in dict.fromkeys((config.model.path or default_bundle_path(), default_bundle_path())):
            try:
                card = load_bundle(path).card
            except ModelError:  # a report of an old sample does not need today's model to be usable
                continue
            evaluation = card.sections.get("evaluation")
            if card.sha256 == model.sha256 and isinstance(evaluation, dict):
                return KnownErrors.of_evaluation(evaluation)
        return None

    return of


def summarise_as_configured(log: BloodLog, sample: Sample, config: Config) -> SampleSummary:
    """Count a sample up by the configured custom, corrected where the model's errors are known here."""
    return summarise(log, sample, known_errors(config), config.sample.denominator)
