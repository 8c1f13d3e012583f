"""What a rendered smear is made of: cells, stain, lamp, sensor, focus."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from edge.errors import ConfigError

WhiteKind = Literal["blast", "lymphocyte", "neutrophil", "monocyte", "eosinophil"]
ObjectKind = Literal[
    "blast", "lymphocyte", "neutrophil", "monocyte", "eosinophil", "smudge", "platelet", "red_cell"
]
WHITE_KINDS: tuple[WhiteKind, ...] = ("blast", "lymphocyte", "neutrophil", "monocyte", "eosinophil")
OBJECT_KINDS: tuple[ObjectKind, ...] = (*WHITE_KINDS, "smudge", "platelet", "red_cell")

#: Absorbance in the camera's red, green and blue channel.
RGBAbsorbance = tuple[float, float, float]

#: Largest total of white cells and smudges per mm². The mean one needs some 200 µm² with the gap to
#: its neighbour, and random placing without overlap jams at a cover of about a half:
#: 0.5 / 200 µm² = 2,500 per mm².
MAX_WHITE_PER_MM2 = 2500.0


def in_range(owner: str, name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse a number that is not in [low, high]; NaN and wrong types are refused too."""
    suffix = f" {unit}" if unit else ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{owner}.{name} must be {low:g} to {high:g}{suffix}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Population:
    """How many objects lie on a mm² of the slide, on average, and how they lie together.

    The defaults give a field of 1712×1368 px at 0.1 µm/px (0.0234 mm²) about 175 red cells, 13 white
    cells (6 of them blasts), one or two smudges and ten platelets. Where a field is too crowded for
    another cell it is left out: the truth of a field, not these numbers, says what is in it.

    Attributes
    ----------
    blast, lymphocyte, neutrophil, monocyte, eosinophil, smudge : mean number per mm²
    platelet, red_cell, precipitate : mean number per mm²
    clustered_blasts : share of the blasts that lie in groups whose outlines touch, 0 to 1
    stacked_red_cells : share of the red cells that lie over each other, in pairs or rouleaux, 0 to 1
    """

    blast: float = 260.0
    lymphocyte: float = 110.0
    neutrophil: float = 110.0
    monocyte: float = 40.0
    eosinophil: float = 30.0
    smudge: float = 60.0
    platelet: float = 450.0
    red_cell: float = 7500.0
    precipitate: float = 120.0
    clustered_blasts: float = 0.4
    stacked_red_cells: float = 0.25

    def __post_init__(self) -> None:
        """Refuse negative, absurd or unplaceable numbers."""
        for kind in (*WHITE_KINDS, "smudge"):
            in_range("Population", kind, getattr(self, kind), 0.0, MAX_WHITE_PER_MM2, "per mm²")
        total = sum(getattr(self, kind) for kind in (*WHITE_KINDS, "smudge"))
        if total > MAX_WHITE_PER_MM2:
            raise ConfigError(
                f"Population: {total:g} white cells and smudges per mm² do not fit side by side; "
                f"give at most {MAX_WHITE_PER_MM2:g} together"
            )
        # 15,000 discs of 44 µm² cover 0.66 of the slide: denser than any field that is counted.
        in_range("Population", "red_cell", self.red_cell, 0.0, 15_000.0, "per mm²")
        in_range("Population", "platelet", self.platelet, 0.0, 10_000.0, "per mm²")
        in_range("Population", "precipitate", self.precipitate, 0.0, 10_000.0, "per mm²")
        in_range("Population", "clustered_blasts", self.clustered_blasts, 0.0, 1.0)
        in_range("Population", "stacked_red_cells", self.stacked_red_cells, 0.0, 1.0)

    @classmethod
    def only(cls, **per_mm2: float) -> Population:
        """Return a population of the named kinds alone; everything that is not named is absent.

        Examples
        --------
        >>> Population.only(blast=300.0).red_cell
        0.0
        """
        blank: dict[str, float] = {f.name: 0.0 for f in fields(cls)}
        unknown = sorted(set(per_mm2) - set(blank))
        if unknown:
            raise ConfigError(f"Population has no {', '.join(unknown)}; it has {', '.join(blank)}")
        return cls(**(blank | per_mm2))


@dataclass(frozen=True, slots=True)
class Stain:
    """Romanowsky stain (May-Grünwald-Giemsa, Wright) as decadic absorbance of each dye in R, G, B.

    Absorbances are *effective*: medians of -log10(pixel / blank) in published smear images (gamma
    encoded, as cameras write them), which is the convention of colour deconvolution [1]_.

    Attributes
    ----------
    chromatin : azure B with eosin Y on DNA, the Romanowsky purple [2]_, at a normal nucleus's depth
    azure : azure B on RNA, the blue of basophilic cytoplasm
    eosin : eosin Y on basic protein, the orange-pink of eosinophil granules
    haemoglobin : haemoglobin with eosin at the thickest part of a red cell
    strength : factor on all of them; 1 is a usual stain

    References
    ----------
    .. [1] A. C. Ruifrok, D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23, 2001.
    .. [2] R. W. Horobin, K. J. Walter, "Understanding Romanowsky staining", Histochemistry 86, 1987.
    """

    chromatin: RGBAbsorbance = (0.39, 0.93, 0.17)
    azure: RGBAbsorbance = (0.24, 0.22, 0.045)
    eosin: RGBAbsorbance = (0.06, 0.31, 0.25)
    haemoglobin: RGBAbsorbance = (0.046, 0.128, 0.114)
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is not three absorbances a dye."""
        for name in ("chromatin", "azure", "eosin", "haemoglobin"):
            vector = getattr(self, name)
            if not isinstance(vector, tuple) or len(vector) != 3:
                raise ConfigError(f"Stain.{name} must be three absorbances (R, G, B), got {vector!r}")
            for value in vector:
                in_range("Stain", name, value, 0.0, 3.0)
        in_range("Stain", "strength", self.strength, 0.1, 3.0)


@dataclass(frozen=True, slots=True)
class Lamp:
    """Light of the microscope as the camera sees it through blank slide.

    Attributes
    ----------
    brightness : level of the blank slide at the centre, as a fraction of full scale
    colour_temperature_k : of the lamp, for a camera whose white balance is set to
        ``WHITE_BALANCE_K``; lower is yellower
    vignetting : share of the light that is lost in the corners
    tilt : difference of light from one side to the other, as a share of the centre's
    tilt_deg : direction in which it grows brighter, from the x axis towards the y axis
    """

    brightness: float = 0.76
    colour_temperature_k: float = 5300.0
    vignetting: float = 0.06
    tilt: float = 0.03
    tilt_deg: float = 30.0

    def __post_init__(self) -> None:
        """Refuse lamps that no microscope has."""
        in_range("Lamp", "brightness", self.brightness, 0.02, 2.0, "of full scale")
        in_range("Lamp", "colour_temperature_k", self.colour_temperature_k, 2000.0, 12_000.0, "K")
        in_range("Lamp", "vignetting", self.vignetting, 0.0, 0.9)
        in_range("Lamp", "tilt", self.tilt, 0.0, 0.9)
        in_range("Lamp", "tilt_deg", self.tilt_deg, -360.0, 360.0, "degrees")


@dataclass(frozen=True, slots=True)
class Sensor:
    """Noise of the camera.

    Attributes
    ----------
    full_well_e : electrons at full scale with gain 1; shot noise grows as it falls
    read_noise_e : standard deviation of the read noise in electrons
    gain : factor on signal and noise; what passes full scale is clipped
    """

    full_well_e: float = 9000.0
    read_noise_e: float = 20.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sensors that do not exist."""
        in_range("Sensor", "full_well_e", self.full_well_e, 50.0, 1e7, "electrons")
        in_range("Sensor", "read_noise_e", self.read_noise_e, 0.0, 1000.0, "electrons")
        in_range("Sensor", "gain", self.gain, 0.05, 16.0)


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """All that a rendered field depends on, apart from its seed.

    Attributes
    ----------
    width, height : size of the field in px
    um_per_px : scale in µm per px
    population, stain, lamp, sensor : see there
    numerical_aperture : of the oil-immersion objective
    defocus_um : distance of the slide from the plane of best focus
    report_scale : frames say their ``um_per_px``, as a calibrated camera's do
    """

    width: int = 1712
    height: int = 1368
    um_per_px: float = 0.1
    population: Population = field(default_factory=Population)
    stain: Stain = field(default_factory=Stain)
    lamp: Lamp = field(default_factory=Lamp)
    sensor: Sensor = field(default_factory=Sensor)
    numerical_aperture: float = 1.25
    defocus_um: float = 0.0
    report_scale: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes and optics out of range."""
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"RenderSettings.{name} must be a whole number of px, got {value!r}")
            # 30 px is the smallest frame; 8192 px a side already take 2 GB to compose (31 bytes a px).
            in_range("RenderSettings", name, value, 30, 8192, "px")
        in_range("RenderSettings", "um_per_px", self.um_per_px, 0.05, 0.4, "µm/px")
        in_range("RenderSettings", "numerical_aperture", self.numerical_aperture, 0.2, 1.45)
        in_range("RenderSettings", "defocus_um", self.defocus_um, -10.0, 10.0, "µm")

    @property
    def width_um(self) -> float:
        """Width of the field in µm."""
        return self.width * self.um_per_px

    @property
    def height_um(self) -> float:
        """Height of the field in µm."""
        return self.height * self.um_per_px


def checked_seed(seed: int) -> int:
    """Return the seed, or refuse what ``numpy.random.SeedSequence`` cannot take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(
            f"the seed of a rendered smear must be a whole number from 0 to 2^63 - 1, got {seed!r}"
        )
    return seed
