"""What produced a count: everything that could change a number of it, in two records that go into its row."""

from __future__ import annotations

import hashlib
import platform

import cv2
import msgspec
import numpy as np
from msgspec import Struct

from edge.calibration.correction import Correction
from edge.classification.card import ModelCard
from edge.config import Config
from edge.counting.pipeline import TypeClassifier
from edge.quality import Reference
from edge.structures import PooledScale
from edge.version import code_sha256, software_version


class Provenance(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What produced a count, besides the frame itself.

    Attributes
    ----------
    config_sha256 : of the configuration's values in force
    calibration_sha256 : of the content of the calibration file, wherever it lies; None where none is used
    card_sha256 : of the whole card: threshold, uncertain band, temperature and crop are in it
    model_name, model_sha256 : of the network's weights
    code_sha256 : of the installed sources; this is what tells two trees of one version apart
    software_version : of the package, for people
    runtime : the interpreter and its version, as ``ai_edge_litert 2.3.0``
    python, numpy, opencv : their versions
    architecture : of the processor, whose instructions round differently
    type_model_name, type_model_sha256, type_card_sha256 : network and card that named the cells' types; not
        written where there is none
    microscope, stain : what the laboratory calls them; not written where it has not said
    recalibration_sha256 : of the file by which the laboratory has recalibrated the model; not written where
        there is none
    """

    config_sha256: str
    calibration_sha256: str | None
    card_sha256: str
    model_name: str
    model_sha256: str
    code_sha256: str
    software_version: str
    runtime: str
    python: str
    numpy: str
    opencv: str
    architecture: str
    type_model_name: str | None = None
    type_model_sha256: str | None = None
    type_card_sha256: str | None = None
    microscope: str | None = None
    stain: str | None = None
    recalibration_sha256: str | None = None

    @classmethod
    def of(
        cls,
        config: Config,
        card: ModelCard,
        runtime: str,
        correction: Correction,
        types: TypeClassifier | None = None,
    ) -> Provenance:
        """Note what counts in this process.

        Parameters
        ----------
        config : in force
        card : of the loaded model
        runtime : what :attr:`edge.classification.classifier.Classifier.runtime` says
        correction : what frames are corrected by
        types : what names the cells' types, if anything does
        """
        return cls(
            config_sha256=config.sha256,
            calibration_sha256=correction.sha256,
            card_sha256=card.whole_sha256,
            model_name=card.name,
            model_sha256=card.sha256,
            code_sha256=code_sha256(),
            software_version=software_version(),
            runtime=runtime,
            python=f"{platform.python_implementation()} {platform.python_version()}",
            numpy=np.__version__,
            opencv=cv2.__version__,
            architecture=platform.machine(),
            type_model_name=None if types is None else types.identity.name,
            type_model_sha256=None if types is None else types.identity.sha256,
            type_card_sha256=None if types is None else types.card_sha256,
            microscope=config.site.microscope,
            stain=config.site.stain,
            recalibration_sha256=card.recalibration,
        )

    def to_json(self) -> str:
        """Write the one form that is stored and hashed: keys in alphabetical order, no spaces."""
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Read :meth:`to_json` back."""
        return msgspec.json.decode(text, type=cls)

    @property
    def sha256(self) -> str:
        """Hash of :meth:`to_json`: two counts with the same one were produced by the same thing."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """What a field took from other fields: those of its sample before it, or those of its folder.

    Attributes
    ----------
    reference : how the sample's first fields looked, which the gate compared it with; None without a sample
    pooled : what the others' red cells said of the scale; None where they had no word
    """

    reference: Reference | None
    pooled: PooledScale | None = None

    def to_json(self) -> str:
        """Write the form that is stored."""
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> Context:
        """Read :meth:`to_json` back."""
        return msgspec.json.decode(text, type=cls)
