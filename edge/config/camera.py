"""``[camera]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from edge.config.section import Section, within
from edge.errors import ConfigError

SourceKind = Literal["picamera", "v4l2", "replay", "rendered"]


@dataclass(frozen=True, slots=True)
class CameraConfig(Section):
    """``[camera]``: where frames come from, and how often.

    Attributes
    ----------
    source : ``picamera``, ``v4l2``, ``replay`` or ``rendered``
    device : number of the camera; for v4l2 also a device file such as ``/dev/v4l/by-id/...``
    width, height : size asked of the camera in px, both or neither; None for the source's own size
    path : file or folder that ``replay`` plays
    loop : replay begins again at its end
    seed : of the rendered slide, whose fields are scanned one after the other
    interval_s : time from one field to the next, in seconds
    timeout_s : longest wait for one frame, in seconds. A stop is noticed after this at the latest, and
        must be done within 5 s
    """

    NAME: ClassVar[str] = "camera"
    source: SourceKind = "picamera"
    device: str = "0"
    width: int | None = within(None, 160, 16384)
    height: int | None = within(None, 120, 16384)
    path: Path | None = None
    loop: bool = False
    seed: int = within(1, 0, 2**31 - 1)
    interval_s: float = within(2.0, 0.05, 86400.0)
    timeout_s: float = within(3.0, 0.1, 4.0)

    def __post_init__(self) -> None:
        """Check the ranges and the keys that need each other."""
        Section.__post_init__(self)
        if (self.width is None) != (self.height is None):
            raise ConfigError("camera.width and camera.height must be given together, or neither")
        if self.source == "replay" and self.path is None:
            raise ConfigError('camera.path must name a file or folder when camera.source is "replay"')
        if self.source == "picamera" and not self.device.isdecimal():
            raise ConfigError(
                'camera.device must be a camera number when camera.source is "picamera", '
                f"got {self.device!r}; `rpicam-hello --list-cameras` lists them"
            )
