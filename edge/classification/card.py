"""The model bundle: weights, card and golden crops that travel together or not at all.

``NAME.tflite`` is the network, ``NAME.json`` its card (schema ``blastcount.model/1``) and
``NAME.golden.npz`` a few rendered crops with the probabilities that the network gave when it was
made. :func:`load_bundle` checks that the three belong together; that the card's tensors are
those of the network is checked where an interpreter opens it (:mod:`edge.classification.interpreter`).
The fourth file, ``NAME.field.npz``, asks the whole line (:mod:`edge.counting.golden`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, structs
from numpy.typing import NDArray

from edge.device.decoding import decode_json
from edge.device.reading import read_bounded
from edge.errors import ModelError
from edge.structures import InputSpec, ModelIdentity

SCHEMA = "blastcount.model/1"
Labels = tuple[Literal["normal"], Literal["blast"]]
#: Order of the network's two outputs.
LABELS: Labels = ("normal", "blast")
#: The bundle that ``count`` and the daemon use where none is named.
DEFAULT_NAME = "coloured"
#: Suffixes of the three files, in the order in which a path is stripped of them.
TFLITE_SUFFIX, CARD_SUFFIX, GOLDEN_SUFFIX = ".tflite", ".json", ".golden.npz"

TensorDtype = Literal["int8", "uint8", "float32"]
DTYPES: tuple[TensorDtype, ...] = get_args(TensorDtype)
Text = Annotated[str, Meta(min_length=1)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="SHA-256, lower-case hexadecimal")]
#: A network of more does not run on these devices.
_MOST_BYTES = 500_000_000
_ADVICE = "use the three files of one bundle as `blastcount convert` wrote them"


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Shape and quantisation of the network's input or output.

    Attributes
    ----------
    shape : with the batch of 1 that the file was written with, e.g. (1, 128, 128, 3)
    dtype : ``int8``, ``uint8`` or ``float32``
    scale, zero_point : real value = scale * (stored value - zero_point); 0.0 and 0 for float32
    """

    shape: Annotated[tuple[Annotated[int, Meta(gt=0)], ...], Meta(min_length=1)]
    dtype: TensorDtype
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Decision:
    """How a probability becomes a word.

    Attributes
    ----------
    threshold : p_blast from which a cell counts as blast rather than normal
    uncertain_low, uncertain_high : p_blast in [uncertain_low, uncertain_high) is ``uncertain``;
        the band holds the threshold, and is empty where both ends are the threshold
    temperature : divides the logit of the network's probability (Guo et al. 2017 [1]_); above 1 it
        tones down a network that is too sure of itself

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.
    """

    threshold: float = 0.5
    uncertain_low: float = 0.5
    uncertain_high: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an order that would give a cell two words, and a temperature without meaning."""
        if not 0.0 <= self.uncertain_low <= self.threshold <= self.uncertain_high <= 1.0:
            raise ModelError(
                "decision: expected 0 <= uncertain_low <= threshold <= uncertain_high <= 1, "
                f"got {self.uncertain_low}, {self.threshold}, {self.uncertain_high}; correct the card"
            )
        if not 0.05 <= self.temperature <= 20.0:
            raise ModelError(
                f"decision: temperature must be 0.05 to 20, got {self.temperature}; correct the card"
            )


class GoldenSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What the card says of the golden crops.

    Attributes
    ----------
    sha256 : of the ``.golden.npz`` file
    max_delta_p : largest difference of p_blast from the expected one that is accepted
    """

    sha256: Digest
    #: 0.2 would already let a 0.6 pass for a 0.4; what is written is far less (convert/gate/golden.py).
    max_delta_p: Annotated[float, Meta(ge=0.0, le=0.2)]


class CropSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The card's section ``input``: every key of an :class:`InputSpec`, none of them left to its default."""

    size_px: int
    field_of_view_um: float
    white_point: int
    channels: str

    def __post_init__(self) -> None:
        """Refuse values that the crop is not defined for."""
        self.spec()

    def spec(self) -> InputSpec:
        """Give it as the crop takes it."""
        return InputSpec(**structs.asdict(self))


class DecisionSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The card's section ``decision``: every key of a :class:`Decision`, none of them left to its default."""

    threshold: float
    uncertain_low: float
    uncertain_high: float
    temperature: float

    def __post_init__(self) -> None:
        """Refuse what is no decision."""
        self.decision()

    def decision(self) -> Decision:
        """Give it as the classifier takes it."""
        return Decision(**structs.asdict(self))


class TensorSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The card's section ``tensors``."""

    input: TensorSpec
    output: TensorSpec


class FreeSections(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is carried, not interpreted: any JSON may stand in these, and each may be missing."""

    training: Any = UNSET
    evaluation: Any = UNSET
    conversion: Any = UNSET
    parity: Any = UNSET
    limits: Any = UNSET
    intended_use: Any = UNSET

    def sections(self) -> dict[str, object]:
        """Give those that are there, by name."""
        values = {name: getattr(self, name) for name in FREE_SECTIONS}
        return {name: value for name, value in values.items() if value is not UNSET}


#: Names of the sections that are carried, not interpreted.
FREE_SECTIONS = FreeSections.__struct_fields__


class _CardFile(FreeSections, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The card as its file has it."""

    schema: Literal["blastcount.model/1"]
    name: Text
    labels: Labels
    sha256: Digest
    input: CropSection
    tensors: TensorSection
    decision: DecisionSection
    golden: GoldenSpec


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, what it takes and gives, and how it was made and tested.

    Attributes
    ----------
    name : of the bundle; also the stem of its files
    sha256 : of the ``.tflite`` file
    input : what the network's crop is made of
    input_tensor, output_tensor : as the interpreter must report them
    decision : from probability to class
    golden : hash and tolerance of the golden crops
    sections : free JSON under ``FREE_SECTIONS``, for people and reports
    labels : order of the outputs, always ``LABELS``
    recalibration : SHA-256 of the recalibration that ``decision`` is from; None where it is the card's own
    """

    name: str
    sha256: str
    input: InputSpec
    input_tensor: TensorSpec
    output_tensor: TensorSpec
    decision: Decision
    golden: GoldenSpec
    sections: Mapping[str, object] = field(default_factory=dict)
    labels: Labels = LABELS
    recalibration: str | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Name and hashes, as results and log rows carry them."""
        return ModelIdentity(self.name, self.sha256, self.recalibration)

    @property
    def whole_sha256(self) -> str:
        """Hash of everything in the card: another threshold, band or temperature is another card."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Write the card as text that :func:`parse_card` reads back to an equal card."""
        card = {
            "schema": SCHEMA,
            "name": self.name,
            "labels": self.labels,
            "sha256": self.sha256,
            "input": dataclasses.asdict(self.input),
            "tensors": {"input": self.input_tensor, "output": self.output_tensor},
            "decision": self.decision,
            "golden": self.golden,
        }
        # msgspec itself would write what is not a number as null.
        builtins = msgspec.to_builtins(card) | dict(self.sections)
        return json.dumps(builtins, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True, eq=False)
class GoldenCrops:
    """Rendered crops and what the network said of them when it was made.

    Attributes
    ----------
    crops : (n, size_px, size_px, 3) uint8 RGB
    p_blast : (n,) float32, after the card's temperature
    """

    crops: NDArray[np.uint8]
    p_blast: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Pack as a compressed ``.npz``, with the same bytes for the same crops."""
        return packed(crops=self.crops, p_blast=self.p_blast)


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """A model that is known to be complete.

    Attributes
    ----------
    card : the parsed card
    tflite_path : the network, whose hash is the card's
    golden : the golden crops, whose hash is the card's
    """

    card: ModelCard
    tflite_path: Path
    golden: GoldenCrops


def packed(**arrays: NDArray[Any]) -> bytes:
    """Pack arrays as a compressed ``.npz``, with the same bytes for the same arrays."""
    buffer = io.BytesIO()
    # np.savez_compressed stamps the time of day into the archive; a fixed date keeps the hash.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            entry = io.BytesIO()
            np.save(entry, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.getvalue())
    return buffer.getvalue()


def default_bundle_path() -> Path:
    """Path of the ``.tflite`` of the bundle that comes with the package."""
    return Path(__file__).parent / "models" / f"{DEFAULT_NAME}{TFLITE_SUFFIX}"


def bundle_paths(path: str | Path) -> tuple[Path, Path, Path]:
    """Name the three files of a bundle from any one of them or their common stem.

    Parameters
    ----------
    path : ``DIR/NAME``, ``DIR/NAME.tflite``, ``DIR/NAME.json`` or ``DIR/NAME.golden.npz``

    Returns
    -------
    tuple of Path
        Network, card and golden crops.

    Examples
    --------
    >>> [p.name for p in bundle_paths("models/seed.v2.tflite")]
    ['seed.v2.tflite', 'seed.v2.json', 'seed.v2.golden.npz']
    """
    path = Path(path)
    name = path.name
    for suffix in (TFLITE_SUFFIX, CARD_SUFFIX, GOLDEN_SUFFIX):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return (
        path.with_name(name + TFLITE_SUFFIX),
        path.with_name(name + CARD_SUFFIX),
        path.with_name(name + GOLDEN_SUFFIX),
    )


def load_bundle(path: str | Path) -> ModelBundle:
    """Read a bundle and check that its three files belong together.

    Parameters
    ----------
    path : any one of the three files or their common stem

    Returns
    -------
    ModelBundle

    Raises
    ------
    ModelError
        A file is missing or unreadable, the card is malformed, or a hash differs.
    """
    tflite_path, card_path, golden_path = bundle_paths(path)
    card = parse_card(_read(card_path), source=card_path.name)
    _check_hash(tflite_path, _read(tflite_path), card.sha256)
    golden_bytes = _read(golden_path)
    _check_hash(golden_path, golden_bytes, card.golden.sha256)
    return ModelBundle(card, tflite_path, _parse_golden(golden_bytes, golden_path.name, card.input.size_px))


def parse_card(text: str | bytes, *, source: str = "card") -> ModelCard:
    """Read a card; every key is required unless it is a free section, and none may be unknown.

    Parameters
    ----------
    text : JSON
    source : named in messages

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        The text is no JSON object, or a key is missing, unknown, or of the wrong type or value.
    """
    card = decode_json(text, _CardFile, source=source, advice=_ADVICE)
    return ModelCard(
        name=card.name,
        sha256=card.sha256,
        input=card.input.spec(),
        input_tensor=card.tensors.input,
        output_tensor=card.tensors.output,
        decision=card.decision.decision(),
        golden=card.golden,
        sections=card.sections(),
    )


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, _MOST_BYTES)
    except OSError as error:
        raise ModelError(
            f"model file {path} cannot be read ({error.strerror}); a bundle needs "
            f"NAME{TFLITE_SUFFIX}, NAME{CARD_SUFFIX} and NAME{GOLDEN_SUFFIX} side by side"
        ) from error


def _check_hash(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(
            f"{path}: sha256 is {found[:12]}…, the card says {expected[:12]}…: not the file the card was "
            f"written for, or damaged; {_ADVICE}"
        )


def _parse_golden(content: bytes, source: str, size_px: int) -> GoldenCrops:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            crops, p_blast = archive["crops"], archive["p_blast"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source}: no golden crops in it ({error}); {_ADVICE}") from error
    n = len(crops) if crops.ndim else 0
    if crops.dtype != np.uint8 or crops.shape != (n, size_px, size_px, 3) or n == 0:
        raise ModelError(
            f"{source}: crops must be (n, {size_px}, {size_px}, 3) uint8 with n of 1 or more, "
            f"got {crops.shape} {crops.dtype}; {_ADVICE}"
        )
    if p_blast.dtype != np.float32 or p_blast.shape != (n,) or not np.all((p_blast >= 0) & (p_blast <= 1)):
        raise ModelError(
            f"{source}: p_blast must be ({n},) float32 in 0 to 1, "
            f"got {p_blast.shape} {p_blast.dtype}; {_ADVICE}"
        )
    return GoldenCrops(crops, p_blast)
