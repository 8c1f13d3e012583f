"""From dyes on a slide to bytes: absorbance, lamp, blur and sensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.rendered.settings import Lamp, RenderSettings, Sensor

Plane = NDArray[np.float32]

#: Colour temperature for which the camera's white balance is set: daylight-filtered halogen or a white LED.
WHITE_BALANCE_K = 5500.0
_WAVELENGTH_UM = 0.55
_IMMERSION_INDEX = 1.515
#: Centres of a usual Bayer sensor's red, green and blue band, µm.
_CHANNELS_UM = (0.600, 0.540, 0.455)
_SECOND_RADIATION_CONSTANT_UM_K = 14_387.77
#: Cameras write values with this exponent; a ratio of light becomes ratio^(1/2.2) in the file.
_GAMMA = 2.2


def lamp_gains(colour_temperature_k: float) -> tuple[float, float, float]:
    """Factors on R, G and B for a lamp seen by a camera balanced for ``WHITE_BALANCE_K``.

    Planck's law at the three channels' wavelengths, relative to the balance and to green, in
    gamma-encoded values.

    Examples
    --------
    >>> lamp_gains(5500.0)
    (1.0, 1.0, 1.0)
    >>> red, green, blue = lamp_gains(4000.0)
    >>> red > green > blue
    True
    """

    def radiance(wavelength_um: float, temperature_k: float) -> float:
        # The factor wavelength^-5 falls out of the ratio.
        return 1 / math.expm1(_SECOND_RADIATION_CONSTANT_UM_K / (wavelength_um * temperature_k))

    ratios = [radiance(w, colour_temperature_k) / radiance(w, WHITE_BALANCE_K) for w in _CHANNELS_UM]
    red, green, blue = ((ratio / ratios[1]) ** (1 / _GAMMA) for ratio in ratios)
    return red, green, blue


def blur_sigma_um(numerical_aperture: float, defocus_um: float) -> float:
    """Return the standard deviation of the point spread in µm.

    In focus 0.21 wavelength / NA [1]_. Out of focus the cone of light with sin(a) = NA / n is a disc of
    radius defocus * tan(a), whose standard deviation along an axis is half its radius; variances add.

    References
    ----------
    .. [1] B. Zhang, J. Zerubia, J.-C. Olivo-Marin, "Gaussian approximations of fluorescence microscope
       point-spread function models", Applied Optics 46, 2007.

    Examples
    --------
    >>> round(blur_sigma_um(1.25, 0.0), 3)
    0.092
    >>> round(blur_sigma_um(1.25, 2.0), 2)
    1.46
    """
    in_focus = 0.21 * _WAVELENGTH_UM / numerical_aperture
    disc = abs(defocus_um) * math.tan(math.asin(numerical_aperture / _IMMERSION_INDEX))
    return math.hypot(in_focus, disc / 2)


def _illumination(lamp: Lamp, width: int, height: int) -> Plane:
    """Light on each pixel relative to the centre's, (height, width) float32."""
    half = math.hypot(width, height) / 2
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    angle = math.radians(lamp.tilt_deg)
    # x and y run to about ±1 at the ends of the diagonal, so that half the tilt is added at either side.
    along_x = 1 + 0.5 * lamp.tilt * math.cos(angle) * x - lamp.vignetting * x * x
    along_y = 0.5 * lamp.tilt * math.sin(angle) * y - lamp.vignetting * y * y
    light = along_x[None, :] + along_y[:, None]
    return np.asarray(np.maximum(light, 0.0), dtype=np.float32)


def expose(
    density: NDArray[np.float32], settings: RenderSettings, defocus_um: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Photograph a slide: lamp × 10^-density (Beer–Lambert [1]_), blurred, with noise, in bytes.

    Parameters
    ----------
    density : (3, H, W) float32 optical density in R, G and B; it is overwritten
    settings : lamp, sensor, scale and aperture
    defocus_um : distance from best focus
    rng : source of the noise

    Returns
    -------
    (H, W, 3) uint8 RGB

    References
    ----------
    .. [1] A. Beer, "Bestimmung der Absorption des rothen Lichts in farbigen Flüssigkeiten",
       Ann. Phys. 162, 1852.
    """
    _, height, width = density.shape
    lamp, sensor = settings.lamp, settings.sensor
    light = _illumination(lamp, width, height)
    sigma_px = blur_sigma_um(settings.numerical_aperture, defocus_um) / settings.um_per_px
    gains = lamp_gains(lamp.colour_temperature_k)
    image = np.empty((height, width, 3), np.uint8)
    noise = np.empty((height, width), np.float32)
    for channel in range(3):
        plane = density[channel]
        plane *= np.float32(-math.log(10))
        np.exp(plane, out=plane)
        cv2.GaussianBlur(plane, (0, 0), sigma_px, dst=plane, borderType=cv2.BORDER_REFLECT_101)
        plane *= light
        plane *= np.float32(lamp.brightness * gains[channel])
        rng.standard_normal(dtype=np.float32, out=noise)
        image[..., channel] = _digitised(plane, noise, sensor)
    return image


def _digitised(signal: Plane, noise: Plane, sensor: Sensor) -> NDArray[np.uint8]:
    """Add shot and read noise to a signal (1 = full well), amplify and round. Both planes are overwritten.

    Shot noise has the variance of the number of electrons. (It is applied to gamma-encoded values, like the
    absorbances; it is a model of visible noise, not of one camera.)
    """
    deviation = np.sqrt(
        signal * np.float32(1 / sensor.full_well_e)
        + np.float32((sensor.read_noise_e / sensor.full_well_e) ** 2)
    )
    noise *= deviation
    signal += noise
    signal *= np.float32(255 * sensor.gain)
    np.rint(signal, out=signal)
    np.clip(signal, 0, 255, out=signal)
    return signal.astype(np.uint8)
