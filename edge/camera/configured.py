"""The configured source of frames, made but not yet opened."""

from __future__ import annotations

from dataclasses import replace

from edge.camera.picamera import PiCameraSource
from edge.camera.replay import ReplaySource
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.config import Config
from edge.rendered import RenderedSource, RenderSettings


def is_live(config: Config) -> bool:
    """Whether frames come from a camera, whose picture goes on by itself and is never the same twice."""
    return config.camera.source in ("picamera", "v4l2")


def make_source(config: Config) -> FrameSource:
    """Make the configured source; nothing is opened yet.

    Raises
    ------
    ConfigError
        The rendered smear cannot have the configured scale or size.
    """
    camera, um_per_px = config.camera, config.scale.um_per_px
    if camera.source == "picamera":
        return PiCameraSource(
            int(camera.device), width=camera.width, height=camera.height, um_per_px=um_per_px
        )
    if camera.source == "v4l2":
        return V4L2Source(
            camera.device,
            width=camera.width,
            height=camera.height,
            pixel_format=camera.pixel_format,
            um_per_px=um_per_px,
        )
    if camera.source == "replay":
        assert camera.path is not None  # CameraConfig has checked that
        return ReplaySource(camera.path, loop=camera.loop, um_per_px=um_per_px)
    settings = RenderSettings()
    if camera.width is not None and camera.height is not None:
        settings = replace(settings, width=camera.width, height=camera.height)
    if um_per_px is not None:
        settings = replace(settings, um_per_px=um_per_px, report_scale=True)
    return RenderedSource(camera.seed, settings)
