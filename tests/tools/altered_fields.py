"""Good fields with another colour or light or something drawn over them, and pictures that are no smear.

Each kind has seeded cases without end. A case of :func:`altered` must be counted as the field that it was
made of, counted with a warning, or refused; one of :func:`no_smear` must be refused or warned of, or hold no
cell.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from edge.light.field import Field
from edge.segmentation import first_look
from edge.structures import Frame, UInt8Image

Alter = Callable[[UInt8Image, np.random.Generator], UInt8Image]
Draw = Callable[[np.random.Generator], UInt8Image]

_LETTERS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_COMPLEX,
)
#: Strong colours first, as programs letter pictures; then black, white and the greys between.
_INKS = (
    (0, 0, 255), (255, 0, 0), (0, 255, 0), (255, 0, 255), (0, 255, 255), (255, 255, 0), (128, 0, 128),
    (0, 0, 128), (90, 40, 160), (200, 60, 120), (0, 0, 0), (255, 255, 255), (64, 64, 64), (128, 128, 128),
)  # fmt: skip


def _bytes(values: NDArray[Any]) -> UInt8Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _pick(rng: np.random.Generator, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _permuted(*orders: tuple[int, int, int]) -> Alter:
    return lambda image, rng: np.ascontiguousarray(image[..., list(_pick(rng, *orders))])


def _hue(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Turn the hue by 40 to 320 degrees, as a wrong colour matrix or a filter does."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(20, 161))) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _inverted(image: UInt8Image, _rng: np.random.Generator) -> UInt8Image:
    return np.asarray(255 - image, np.uint8)


def _tinted_grey(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A grey picture shown through a colour: sepia, a duotone, a heat map."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kind = int(rng.integers(3))
    if kind == 0:
        return _bytes(grey[..., None] * rng.uniform(0.6, 1.0, 3))
    if kind == 1:
        dark, light = rng.uniform(0, 120, 3), rng.uniform(180, 255, 3)
        return _bytes(dark + (light - dark) * grey[..., None] / 255)
    maps = (cv2.COLORMAP_JET, cv2.COLORMAP_BONE, cv2.COLORMAP_PINK, cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.applyColorMap(grey, _pick(rng, *maps))[..., ::-1].copy(), np.uint8)


def _lamp(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A lamp or a white balance far from neutral, one or two channels dimmed to 35 to 80 %."""
    gains = np.ones(3)
    gains[rng.permutation(3)[: int(rng.integers(1, 3))]] = rng.uniform(0.35, 0.8)
    return _bytes(image * gains)


def _one_channel_clipped(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """One channel turned up until its blank slide and part of the cells are burnt out."""
    gains = np.ones(3)
    channel = int(rng.integers(3))
    gains[channel] = rng.uniform(1.05, 1.5) * 255 / max(1.0, float(np.percentile(image[..., channel], 90)))
    return _bytes(image * gains)


def _radial(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Colour that changes from 15 % less in the centre to 15 % more in the corner, or the other way round."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = rng.uniform(0.35, 0.65, 2)
    away = np.hypot((columns / width - x) * 2, (rows / height - y) * 2)
    power = float(_pick(rng, 2.0, 3.0, 4.0))
    change = 0.15 * np.array(_pick(rng, (1, 0, -1), (-1, 0, 1), (1, -1, 1), (-1, 1, -1)), np.float32)
    shading = 1 + change * (2 * (away[..., None] / away.max()) ** power - 1)
    return _bytes(image * shading)


def _burnt_out(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """More exposure: the blank slide at 1.05 to 1.8 times of what the camera can tell."""
    blank = float(np.percentile(image, 90))
    return _bytes(image * (rng.uniform(1.05, 1.8) * 255 / blank))


def _washed_out(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A video camera: burnt out, little contrast and colour, coarse and shifted chroma, noise."""
    blank = np.percentile(image, 90, axis=(0, 1))
    light = (image / blank) ** rng.uniform(0.5, 1.0) * rng.uniform(1.0, 1.25) * 255
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * rng.uniform(0.5, 1.0)
    light = _bytes(light + rng.normal(0, 2, light.shape))
    chroma = cv2.cvtColor(light, cv2.COLOR_RGB2YCrCb)
    step = int(_pick(rng, 2, 4))
    small = cv2.resize(chroma, None, fx=1 / step, fy=_pick(rng, 1.0, 0.5), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, chroma.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    chroma[..., 1:] = np.roll(coarse[..., 1:], int(rng.integers(-3, 4)), axis=1)
    return np.asarray(cv2.cvtColor(chroma, cv2.COLOR_YCrCb2RGB), np.uint8)


def _faded(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Little contrast: mixed with a flat colour, or with a strong gamma."""
    if rng.random() < 0.5:
        veil = rng.uniform(120, 255) * rng.uniform(0.9, 1.0, 3)
        share = rng.uniform(0.3, 0.75)
        return _bytes(image * (1 - share) + veil * share)
    return _bytes(255 * (image / 255.0) ** rng.uniform(0.3, 0.6))


def _saturation(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Colour nearly gone, or twice to three times as strong."""
    grey = image.astype(np.float32).mean(axis=2, keepdims=True)
    return _bytes(grey + (image - grey) * _pick(rng, 0.15, 0.3, 0.5, 2.0, 3.0))


def _crushed(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Contrast stretched until dark things are black and the slide is white."""
    low, high = np.percentile(image, rng.uniform(2, 15)), np.percentile(image, rng.uniform(60, 90))
    return _bytes((image.astype(np.float32) - low) * (255 / max(1.0, high - low)))


def _compressed(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """As a JPEG of some quality, or as it is."""
    if rng.random() < 0.4:
        return image
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(50, 96))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)


def _lettered(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A date, a name or a magnification burnt in, of any colour and size, at any edge."""
    out = image.copy()
    height, width = out.shape[:2]
    for _ in range(int(rng.integers(1, 3))):
        text = _pick(
            rng, "2026-11-28 18:31:07", "100x OIL", "Sample 0042", "20 um", "Leica ICC50 W", "ALL-IDB"
        )
        font, ink = _pick(rng, *_LETTERS), _pick(rng, *_INKS)
        size = rng.uniform(0.02, 0.07) * height / 22
        thickness = max(1, round(size * rng.uniform(0.8, 2.5)))
        (w, h), _ = cv2.getTextSize(text, font, size, thickness)
        x = int(rng.integers(2, max(3, width - w - 2)))
        y = _pick(rng, h + 4, height - 6, int(rng.integers(h + 2, height - 2)))
        line = _pick(rng, cv2.LINE_8, cv2.LINE_AA)
        if rng.random() < 0.25:
            cv2.rectangle(out, (x - 4, y - h - 4), (x + w + 4, y + 6), _pick(rng, *_INKS), -1)
        cv2.putText(out, text, (x, y), font, size, ink, thickness, line)
    return _compressed(out, rng)


def _barred(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A scale bar, an arrow, a frame, a circle or a grid drawn over it."""
    out = image.copy()
    height, width = out.shape[:2]
    ink, thick = _pick(rng, *_INKS), max(1, int(rng.uniform(0.003, 0.02) * height))
    kind = int(rng.integers(6))
    x, y = int(rng.uniform(0.1, 0.6) * width), int(rng.uniform(0.1, 0.9) * height)
    length = int(rng.uniform(0.1, 0.3) * width)
    if kind == 0:
        cv2.rectangle(out, (x, y), (x + length, y + 2 * thick), ink, -1)
        if rng.random() < 0.6:
            size = 0.04 * height / 22
            cv2.putText(out, "10 um", (x, y - thick), cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)
    elif kind == 1:
        cv2.arrowedLine(out, (x, y), (x + length, y - length // 3), ink, thick, cv2.LINE_AA)
    elif kind == 2:
        cv2.rectangle(out, (0, 0), (width - 1, height - 1), ink, 2 * thick)
    elif kind == 3:
        cv2.circle(out, (x, y), length // 2, ink, thick, cv2.LINE_AA)
    elif kind == 4:
        cv2.line(out, (width // 2, 0), (width // 2, height), ink, thick)
        cv2.line(out, (0, height // 2), (width, height // 2), ink, thick)
    else:
        for _ in range(int(rng.integers(1, 5))):
            at = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(out, at, max(4, thick * 2), ink, -1, cv2.LINE_AA)
    return _compressed(out, rng)


def _partly_swapped(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Red and blue swapped in a half or a quarter, as where two pictures are joined or a buffer is reused."""
    out = image.copy()
    height, width = out.shape[:2]
    rows, columns = _pick(rng, (slice(0, height // 2), slice(None)), (slice(height // 2, None), slice(None)),
                          (slice(None), slice(0, width // 2)), (slice(None), slice(width // 2, None)),
                          (slice(0, height // 2), slice(0, width // 2)),
                          (slice(height // 2, None), slice(width // 2, None)))  # fmt: skip
    out[rows, columns] = image[rows, columns, ::-1]
    return out


def _immunostained(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """What is dense in brown and what is thin in blue: DAB over haematoxylin."""
    brown, blue = np.array([0.27, 0.57, 0.78]), np.array([0.65, 0.70, 0.29])
    density = -np.log((image.astype(np.float32) + 1) / 256).mean(axis=2)
    limit = rng.uniform(0.35, 0.65)
    dense = np.clip(density - limit, 0, 2)[..., None]
    thin = np.clip(density, 0, limit)[..., None]
    return _bytes(256 * np.exp(-(rng.uniform(0.8, 1.6) * thin * blue + rng.uniform(1.5, 3) * dense * brown)))


def _sharpened(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A viewer's idea of a better picture: sharpened, or equalised in parts or as a whole."""
    kind = int(rng.integers(3))
    if kind == 0:
        sigma, amount = rng.uniform(1.5, 5.0), rng.uniform(1.0, 3.0)
        blurred = cv2.GaussianBlur(image, (0, 0), sigma)
        return np.asarray(cv2.addWeighted(image, 1 + amount, blurred, -amount, 0), np.uint8)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    if kind == 1:
        tiles = int(_pick(rng, 4, 8, 16))
        lab[..., 0] = cv2.createCLAHE(rng.uniform(2, 6), (tiles, tiles)).apply(lab[..., 0])
    else:
        lab[..., 0] = cv2.equalizeHist(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _not_square(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Pixels 1.3 to 1.6 times as wide as high or the other way round, as of video or a resized picture."""
    height, width = image.shape[:2]
    factor = rng.uniform(1.3, 1.6) ** _pick(rng, 1, -1)
    size = (
        (round(width * factor), height)
        if factor < 1 or rng.random() < 0.5
        else (width, round(height / factor))
    )
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


#: Inks as pale as stain, or of a stain's colour.
_STAIN_LIKE = (
    (90, 30, 130), (130, 80, 170), (150, 110, 180), (110, 60, 150), (60, 90, 200), (215, 150, 190),
    (220, 160, 190), (170, 170, 170), (190, 190, 200), (60, 20, 110), (140, 60, 150), (200, 180, 220),
)  # fmt: skip


def _pale_marks(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Discs, boxes, a pen's line, lettering or a strip in a stain's colour: opaque or not, grained or not."""
    height, width = image.shape[:2]
    ink = _pick(rng, *_STAIN_LIKE)
    drawn, kind = image.copy(), int(rng.integers(5))
    line = max(1, round(rng.uniform(0.003, 0.012) * height))
    if kind == 0:
        for _ in range(int(rng.integers(3, 9))):
            at = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(drawn, at, max(4, int(rng.uniform(0.02, 0.06) * height)), ink, -1, cv2.LINE_AA)
    elif kind == 1:
        for _ in range(int(rng.integers(2, 8))):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            side = int(rng.uniform(0.08, 0.2) * height)
            cv2.rectangle(drawn, (x, y), (x + side, y + side), ink, line)
            cv2.putText(
                drawn, "M3", (x, y - 3), cv2.FONT_HERSHEY_SIMPLEX, height / 900, ink, line, cv2.LINE_AA
            )
    elif kind == 2:
        t = np.linspace(0, 1, 60)
        at = np.stack([width * (0.1 + 0.8 * t), height * (0.5 + 0.25 * np.sin(8 * t))], 1).astype(np.int32)
        cv2.polylines(drawn, [at], False, ink, 3 * line, cv2.LINE_AA)
    elif kind == 3:
        size = rng.uniform(0.04, 0.12) * height / 22
        at = (int(0.05 * width), int(rng.uniform(0.15, 0.9) * height))
        thick = max(1, round(2 * size))
        cv2.putText(drawn, "2024-03-12 AML 4", at, _pick(rng, *_LETTERS), size, ink, thick, cv2.LINE_AA)
    else:
        strip = np.full((height // 9, width, 3), ink, np.uint8)
        cv2.putText(strip, "100x/1.25 oil  12.03.2024", (10, height // 13), cv2.FONT_HERSHEY_SIMPLEX,
                    height / 1100, (255, 255, 255), max(1, height // 500), cv2.LINE_AA)  # fmt: skip
        drawn = np.vstack([drawn, strip])
        image = np.vstack([image, np.full_like(strip, 255)])
    opacity = _pick(rng, 1.0, 1.0, 0.8, 0.6)
    grain = rng.normal(0, _pick(rng, 0, 0, 2, 4), drawn.shape) * (drawn != image).any(axis=2, keepdims=True)
    return _compressed(_bytes(opacity * drawn + (1 - opacity) * image + grain), rng)


def _um_per_px(image: UInt8Image) -> float:
    """Scale of a good field: faults of the lens and of the stage are so many µm wide."""
    return first_look(Field(Frame(image, "good"))).survey.scale.um_per_px


def _blurred(image: UInt8Image, sigma_px: float) -> NDArray[np.float32]:
    light = image.astype(np.float32)
    return light if sigma_px < 0.1 else np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_px), np.float32)


def _tilted(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A slide that is not level: sharp on one side, 1.2 to 3 µm of blur on the other."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = columns / width * np.cos(angle) + rows / height * np.sin(angle)
    along = (along - along.min()) / (along.max() - along.min())
    start, steps = rng.uniform(0.1, 0.5), 6
    blur = np.clip((along - start) / (1 - start), 0, 1) * steps
    largest = rng.uniform(1.2, 3.0) / _um_per_px(image)
    out = np.zeros(image.shape, np.float32)
    for step in range(steps + 1):
        weight = np.clip(1 - np.abs(blur - step), 0, 1)[..., None]
        out += weight * _blurred(image, largest * step / steps)
    return _bytes(out)


def _oily(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Immersion oil, or a bubble in it, over a part: blurred, paler, and with a rim or none."""
    height, width = image.shape[:2]
    size = max(height, width)
    centre = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 1) * height))
    axes = (int(rng.uniform(0.25, 0.5) * size), int(rng.uniform(0.2, 0.4) * size))
    shape = np.zeros((height, width), np.float32)
    cv2.ellipse(shape, centre, axes, float(rng.uniform(0, 180)), 0, 360, (1.0,), -1)
    covered = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.005, 0.03) * size)[..., None]
    out = _blurred(image, rng.uniform(1.0, 3.0) / _um_per_px(image))
    blank = np.percentile(image, 90, axis=(0, 1))
    out = (blank + rng.uniform(0.5, 1.0) * (out - blank)) * rng.uniform(0.85, 1.05)
    out = covered * out + (1 - covered) * image
    if rng.random() < 0.3:
        rim = np.zeros((height, width), np.float32)
        cv2.ellipse(rim, centre, axes, 0, 0, 360, (1.0,), max(2, round(0.004 * size)))
        out *= 1 - rng.uniform(0.2, 0.5) * cv2.GaussianBlur(rim, (0, 0), 0.004 * size)[..., None]
    return _bytes(out)


def _moved(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """The stage moved by 1.5 to 4 µm while the field was exposed."""
    length = rng.uniform(1.5, 4.0) / _um_per_px(image)
    angle, steps = rng.uniform(0, np.pi), max(2, round(2 * length))
    size = image.shape[1::-1]
    out = np.zeros(image.shape, np.float32)
    for way in np.linspace(-length / 2, length / 2, steps):
        onto = np.array([[1, 0, way * np.cos(angle)], [0, 1, way * np.sin(angle)]])
        out += cv2.warpAffine(
            image, onto, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
    return _bytes(out / steps)


def _doubly_exposed(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Two fields on one picture: the field, and another place or the same after a move of the stage."""
    if rng.random() < 0.5:
        other = image[:: _pick(rng, 1, -1), ::-1]
    else:
        way = rng.uniform(3, 12) / _um_per_px(image)
        angle = rng.uniform(0, 2 * np.pi)
        onto = np.array([[1, 0, way * np.cos(angle)], [0, 1, way * np.sin(angle)]])
        other = cv2.warpAffine(image, onto, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    share = rng.uniform(0.3, 0.5)
    return _bytes((1 - share) * image.astype(np.float32) + share * other.astype(np.float32))


def _chroma_shifted(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Colour 1 to 3 µm beside brightness as of a video, or a lens that enlarges red less than blue."""
    height, width = image.shape[:2]
    way, angle = rng.uniform(1.0, 3.0) / _um_per_px(image), rng.uniform(0, 2 * np.pi)
    x, y = way * np.cos(angle), way * np.sin(angle)

    def moved(plane: NDArray[Any], onto: NDArray[np.float64]) -> NDArray[Any]:
        return cv2.warpAffine(plane, onto, (width, height), borderMode=cv2.BORDER_REFLECT)

    kind = int(rng.integers(3))
    if kind == 0:
        chroma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
        chroma[..., 1:] = moved(chroma[..., 1:], np.array([[1, 0, x], [0, 1, y]]))
        return np.asarray(cv2.cvtColor(chroma, cv2.COLOR_YCrCb2RGB), np.uint8)
    out = image.copy()
    for channel, sign in ((0, 1), (2, -1)):
        if kind == 1:
            onto = np.array([[1, 0, sign * x / 2], [0, 1, sign * y / 2]])
        else:
            larger = 1 + sign * way / max(height, width)
            onto = np.array([[larger, 0, (1 - larger) * width / 2], [0, larger, (1 - larger) * height / 2]])
        out[..., channel] = moved(np.ascontiguousarray(image[..., channel]), onto)
    return out


def _distorted(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A phone's lens before the eyepiece: barrel or pincushion, up to a fifth at the corner."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns - np.float32(width / 2), rows - np.float32(height / 2)
    away = (x * x + y * y) * np.float32(4 / (width * width + height * height))
    bent = 1 + np.float32(rng.uniform(0.1, 0.2) * _pick(rng, -1, 1)) * away
    onto = x * bent + np.float32(width / 2), y * bent + np.float32(height / 2)
    return np.asarray(cv2.remap(image, *onto, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)


def _see_through(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """An alpha channel that is not opaque, in the file or laid on a colour by a program."""
    height, width = image.shape[:2]
    alpha = np.full((height, width), int(rng.uniform(0.3, 0.85) * 255), np.uint8)
    if rng.random() < 0.4:
        alpha[:, : int(rng.uniform(0.3, 0.7) * width)] = 255
    if rng.random() < 0.5:
        return np.dstack([image, alpha])
    under = np.full(3, _pick(rng, 0.0, 64.0, 192.0, 230.0, 255.0))
    return _bytes(under + (image - under) * (alpha[..., None] / 255.0))


def _dark(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Little light and much gain: a phone by night, or a short exposure that a program made bright."""
    if rng.random() < 0.5:
        return _bytes(image + rng.normal(0, rng.uniform(10, 45), image.shape))
    light = rng.poisson(image * rng.uniform(0.03, 0.3)).astype(np.float32)
    light *= 220 / max(1.0, float(np.percentile(light, 90)))
    return _bytes(light + rng.normal(0, rng.uniform(2, 10), light.shape))


def _mosaic(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A sensor's colour mosaic that is read as grey, or from the wrong corner."""
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = image[::2, ::2, 0], image[1::2, 1::2, 2]
    orders = (cv2.COLOR_BayerGB2RGB, cv2.COLOR_BayerGR2RGB, cv2.COLOR_BayerRG2RGB, cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.cvtColor(mosaic, _pick(rng, *orders)), np.uint8)


def _coarse_colour(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """Colour in blocks of 8 to 24 px, as a coarse video keeps it."""
    chroma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    step = 1 / int(_pick(rng, 8, 16, 24))
    small = cv2.resize(chroma[..., 1:], None, fx=step, fy=step, interpolation=cv2.INTER_AREA)
    way = _pick(rng, cv2.INTER_NEAREST, cv2.INTER_LINEAR)
    chroma[..., 1:] = cv2.resize(small, image.shape[1::-1], interpolation=way)
    return np.asarray(cv2.cvtColor(chroma, cv2.COLOR_YCrCb2RGB), np.uint8)


def _under_a_map(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A heat map of a network laid over the field."""
    height, width = image.shape[:2]
    small = cv2.GaussianBlur(rng.normal(size=(60, 80)).astype(np.float32), (0, 0), 5)
    heat = cv2.resize((small - small.min()) / (small.max() - small.min()), (width, height))
    maps = (cv2.COLORMAP_JET, cv2.COLORMAP_HOT, cv2.COLORMAP_VIRIDIS)
    colours = cv2.applyColorMap(_bytes(255 * heat), _pick(rng, *maps))[..., ::-1]
    share = rng.uniform(0.15, 0.5)
    return _bytes((1 - share) * image.astype(np.float32) + share * colours)


def _off_a_screen(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A screen that was photographed: its grid of pixels, not quite level."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    turn, step = rng.uniform(-0.1, 0.1), 2 * np.pi / rng.uniform(2.1, 9)
    across, down = np.cos(step * (columns + turn * rows)), np.cos(step * (rows - turn * columns))
    strength = np.float32(rng.uniform(0.05, 0.3) / 2)
    grid = 1 - strength * (across[..., None] * np.array([1, 0.8, 0.6], np.float32) + 0.7 * down[..., None])
    return _bytes(image * grid * np.float32(rng.uniform(0.85, 1.0)))


def _behind_a_reticle(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """An eyepiece's cross hair, pointer or ruler, a little out of focus."""
    height, width = image.shape[:2]
    thick, kind = max(1, int(rng.uniform(0.002, 0.006) * height)), int(rng.integers(3))
    drawn = np.zeros((height, width), np.uint8)
    if kind == 0:
        cv2.line(drawn, (0, height // 2), (width, height // 2), (255,), thick)
        cv2.line(drawn, (width // 2, 0), (width // 2, height), (255,), thick)
    elif kind == 1:
        end = (width, int(rng.uniform(0, 1) * height))
        cv2.line(drawn, (width // 2, height // 2), end, (255,), 3 * thick)
    else:
        for x in range(0, width, max(8, width // 40)):
            cv2.line(drawn, (x, height // 2 - 3 * thick), (x, height // 2 + 3 * thick), (255,), thick)
    share = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), thick * rng.uniform(0.5, 2))[..., None]
    return _bytes(image * (1 - share) + int(rng.integers(60)) * share)


def _reflecting(image: UInt8Image, rng: np.random.Generator) -> UInt8Image:
    """A reflection: spots of light, or coloured light from one side."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    if rng.random() < 0.5:
        along = columns[..., None] / width if rng.random() < 0.5 else 1 - columns[..., None] / width
        colour = np.array(_pick(rng, (1, 0, 0), (0, 0, 1), (0, 1, 0), (0, 0.5, 1), (1, 0.5, 0)), np.float32)
        return _bytes(image * (1 - along * np.float32(rng.uniform(0.1, 0.5)) * colour))
    light = image.astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        away = np.hypot(rows - rng.uniform(0, 1) * height, columns - rng.uniform(0, 1) * width)
        spot = np.clip(1 - away / (rng.uniform(0.05, 0.3) * width), 0, 1) ** _pick(rng, 0.3, 1.0, 2.0)
        colour = np.array(_pick(rng, (1, 1, 1), (1, 0.9, 0.6), (0.6, 1, 0.7)), np.float32)
        light += np.float32(rng.uniform(30, 160)) * spot[..., None] * colour
    return _bytes(light)


#: By the kind's name: how a good field is altered.
ALTERATIONS: dict[str, Alter] = {
    "red and blue swapped": _permuted((2, 1, 0)),
    "other channels swapped": _permuted((1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)),
    "hue turned": _hue,
    "inverted": _inverted,
    "grey, tinted": _tinted_grey,
    "lamp far from neutral": _lamp,
    "one channel saturated": _one_channel_clipped,
    "radial shading of colour": _radial,
    "burnt-out slide": _burnt_out,
    "washed-out video": _washed_out,
    "faded": _faded,
    "colour too weak or too strong": _saturation,
    "contrast crushed": _crushed,
    "lettering": _lettered,
    "bar, arrow, frame or marks": _barred,
    "half or quarter swapped": _partly_swapped,
    "recoloured as an immunostain": _immunostained,
    "sharpened or equalised": _sharpened,
    "pixels not square": _not_square,
    "marks in a stain's colour": _pale_marks,
    "out of focus to one side": _tilted,
    "oil or a bubble over a part": _oily,
    "moved during the exposure": _moved,
    "two fields on one picture": _doubly_exposed,
    "colour beside brightness": _chroma_shifted,
    "bent by the lens": _distorted,
    "half-transparent": _see_through,
    "noise of little light": _dark,
    "sensor's mosaic misread": _mosaic,
    "coarse colour": _coarse_colour,
    "under a heat map": _under_a_map,
    "photographed off a screen": _off_a_screen,
    "behind a reticle": _behind_a_reticle,
    "reflection": _reflecting,
}


def altered(image: UInt8Image, kind: str, seed: int) -> UInt8Image:
    """Alter a good field in a way that the seed decides.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    kind : of ``ALTERATIONS``
    seed : of the case
    """
    rng = np.random.default_rng([seed, list(ALTERATIONS).index(kind)])
    return np.ascontiguousarray(ALTERATIONS[kind](image, rng))


_PHOTOGRAPHS = (
    "astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field", "immunohistochemistry", "logo",
    "colorwheel", "brick", "grass", "gravel", "camera", "coins", "page", "text", "moon", "cell", "clock",
    "horse", "microaneurysms",
)  # fmt: skip


def _photograph(rng: np.random.Generator) -> UInt8Image:
    """A picture that comes with scikit-image: faces, cups, tissue, stars, text; cut, scaled, tinted."""
    picture = np.asarray(getattr(data, _pick(rng, *_PHOTOGRAPHS))())
    if picture.dtype != np.uint8:
        picture = _bytes(picture.astype(np.float32) * (255 if picture.max() <= 1 else 1))
    if picture.ndim == 2:
        picture = _bytes(picture[..., None] * rng.uniform(0.6, 1.0, 3))
    picture = np.ascontiguousarray(picture[..., :3])
    height, width = picture.shape[:2]
    if rng.random() < 0.6 and min(height, width) > 300:
        h, w = (int(rng.uniform(0.4, 1.0) * side) for side in (height, width))
        y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        picture = picture[y : y + h, x : x + w]
    factor = rng.uniform(0.5, 1.5)
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _rendered_figure(figure: Figure) -> UInt8Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _figure(rng: np.random.Generator) -> UInt8Image:
    """A plot: points, bars, lines, a histogram, a heat map."""
    figure = Figure(figsize=tuple(rng.uniform(3, 8, 2)), dpi=float(_pick(rng, 80, 100, 150)))
    axes = figure.add_subplot()
    kind, n = int(rng.integers(5)), int(rng.integers(20, 400))
    x, y = rng.normal(size=(2, n))
    if kind == 0:
        for colour in ("purple", "tab:blue", "crimson", "navy", "orchid")[: int(rng.integers(1, 6))]:
            axes.scatter(rng.normal(size=n), rng.normal(size=n), s=float(rng.uniform(5, 400)), c=colour)
    elif kind == 1:
        axes.bar(range(8), rng.uniform(0, 1, 8), color=_pick(rng, "purple", "C0", "hotpink"))
    elif kind == 2:
        axes.plot(np.sort(x), y, color=_pick(rng, "purple", "C0", "C3"), marker=_pick(rng, "o", "s", None))
    elif kind == 3:
        axes.hexbin(x, y, gridsize=int(rng.integers(8, 25)), cmap=_pick(rng, "magma_r", "Purples", "BuPu"))
    else:
        axes.pie(rng.uniform(0.1, 1, 5))
    axes.set_title("cells per field")
    return _rendered_figure(figure)


def _texture(rng: np.random.Generator) -> UInt8Image:
    """Noise of a length of its own in colours of its own."""
    height, width = int(rng.integers(200, 900)), int(rng.integers(200, 900))
    sigma = float(np.exp(rng.uniform(0, np.log(30))))
    field = cv2.GaussianBlur(rng.normal(size=(height, width, 3)).astype(np.float32), (0, 0), sigma)
    field /= field.std()
    if rng.random() < 0.5:
        field = field[..., :1] @ rng.normal(size=(1, 3)).astype(np.float32)
    return _bytes(rng.uniform(80, 220, 3) + rng.uniform(10, 70) * field)


def _shapes(rng: np.random.Generator) -> UInt8Image:
    """Discs, boxes and lines in a few flat colours, as of a game, a sign or an installer's bitmap."""
    height, width = int(rng.integers(150, 800)), int(rng.integers(150, 800))
    image = np.full((height, width, 3), rng.uniform(150, 255, 3), np.uint8)
    if rng.random() < 0.5:
        ramp = np.linspace(rng.uniform(0.3, 0.9), 1.0, height)[:, None, None]
        image = _bytes(image * ramp)
    palette = rng.integers(0, 256, (int(rng.integers(1, 5)), 3))
    for _ in range(int(rng.integers(1, 40))):
        colour = tuple(int(value) for value in palette[int(rng.integers(len(palette)))])
        x, y, size = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(5, 90))
        kind = int(rng.integers(3))
        if kind == 0:
            cv2.circle(image, (x, y), size // 2, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, (x, y), (x + size, y + int(rng.integers(5, 90))), colour, -1)
        else:
            cv2.line(image, (x, y), (int(rng.integers(width)), int(rng.integers(height))), colour, 3)
    return image


def _tissue(rng: np.random.Generator) -> UInt8Image:
    """Tissue in haematoxylin and eosin: nuclei close together in pink that leaves hardly any blank slide."""
    height, width = int(rng.integers(300, 900)), int(rng.integers(300, 900))
    eosin, haematoxylin = np.array([0.07, 0.99, 0.11]), np.array([0.65, 0.70, 0.29])
    waves = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), rng.uniform(3, 15))
    pink = np.clip(0.25 + 0.15 * waves / waves.std(), 0.0, None)
    nuclei = np.zeros((height, width), np.float32)
    for _ in range(int(height * width / rng.uniform(800, 4000))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(5, 14)), int(rng.integers(4, 10)))
        depth = float(rng.uniform(0.3, 0.9))
        cv2.ellipse(nuclei, centre, axes, float(rng.uniform(0, 180)), 0, 360, (depth,), -1)
    nuclei = np.asarray(cv2.GaussianBlur(nuclei, (0, 0), 1.2), np.float32)
    density = pink[..., None] * eosin + nuclei[..., None] * haematoxylin
    return _bytes(240 * 10**-density + rng.normal(0, 2, density.shape))


def _page(rng: np.random.Generator) -> UInt8Image:
    """A window of a program or a page: text in colours, boxes, icons."""
    height, width = int(rng.integers(300, 900)), int(rng.integers(400, 1100))
    image = np.full((height, width, 3), _pick(rng, 255, 245, 230), np.uint8)
    if rng.random() < 0.6:
        image[: int(rng.integers(20, 90))] = _pick(rng, (0, 60, 140), (90, 40, 160), (40, 40, 40))
    y = 20
    while y < height:
        ink = _pick(rng, (0, 0, 0), (0, 0, 180), (120, 0, 120), (60, 60, 60))
        size = rng.uniform(0.35, 1.2)
        cv2.putText(image, "blastcount count field_0042.jpg"[: int(rng.integers(5, 32))], (12, y),
                    _pick(rng, *_LETTERS), size, ink, 1 + int(size > 0.8), cv2.LINE_AA)  # fmt: skip
        if rng.random() < 0.3:
            cv2.circle(image, (int(rng.integers(width)), y), int(rng.integers(5, 20)), ink, -1, cv2.LINE_AA)
        y += int(30 * size) + int(rng.integers(4, 40))
    return image


#: By the kind's name: what is no smear.
NO_SMEARS: dict[str, Draw] = {
    "photograph": _photograph,
    "figure": _figure,
    "texture": _texture,
    "drawn shapes": _shapes,
    "tissue": _tissue,
    "page of text": _page,
}


def no_smear(kind: str, seed: int) -> UInt8Image:
    """Draw a picture that is no smear, as the seed decides.

    Parameters
    ----------
    kind : of ``NO_SMEARS``
    seed : of the case
    """
    return np.ascontiguousarray(NO_SMEARS[kind](np.random.default_rng([seed, list(NO_SMEARS).index(kind)])))


def as_png(image: UInt8Image) -> bytes:
    """Return a picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
