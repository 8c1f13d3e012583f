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
    """Refuse a number that is not in [low, high], NaN among them."""
    suffix = f" {unit}" if unit else ""
    if not low <= value <= high:
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
        """Refuse what ``blastcount render`` can be asked for and cannot place."""
        others = sum(getattr(self, kind) for kind in (*WHITE_KINDS[1:], "smudge"))
        in_range("Population", "blast", self.blast, 0.0, MAX_WHITE_PER_MM2 - others, "per mm²")

    @classmethod
    def only(cls, **per_mm2: float) -> Population:
        """Return a population of the named kinds alone; everything that is not named is absent.

        Examples
        --------
        >>> Population.only(blast=300.0).red_cell
        0.0
        """
        return cls(**({f.name: 0.0 for f in fields(cls)} | per_mm2))


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
        """Refuse stains that nothing has."""
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
            # 30 px is the smallest frame; 8192 px a side already take 2 GB to compose (31 bytes a px).
            in_range("RenderSettings", name, getattr(self, name), 30, 8192, "px")
        in_range("RenderSettings", "um_per_px", self.um_per_px, 0.05, 0.4, "µm/px")
        in_range("RenderSettings", "defocus_um", self.defocus_um, -10.0, 10.0, "µm")

    @property
    def width_um(self) -> float:
        """Width of the field in µm."""
        return self.width * self.um_per_px

    @property
    def height_um(self) -> float:
        """Height of the field in µm."""
        return self.height * self.um_per_px
