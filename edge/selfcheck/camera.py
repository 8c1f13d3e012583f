"""Whether the configured camera gives frames that can be counted."""

from __future__ import annotations

import time
from importlib.util import find_spec

from edge.camera.configured import is_live, make_source
from edge.config import CameraConfig, Config
from edge.daemon.client import ask, find_socket
from edge.errors import ControlError, EdgeError
from edge.light.background import estimate_background
from edge.quality import ADVICE, FrameWatch, assess
from edge.selfcheck.finding import Finding, bad, good
from edge.structures import Frame

NAME = "camera"
#: Frames read one after the other: two show whether the picture stands still.
_FRAMES = 2
#: A daemon whose newest frame is older has lost its camera: it asks every 2 s and waits for 4 s at most.
_STALE_S = 15.0


def check_camera(config: Config) -> Finding:
    """Take two frames from the configured source, or ask the daemon that holds it."""
    running = _from_daemon(config)
    if running is not None:
        return running
    if config.camera == CameraConfig() and find_spec("picamera2") is None:
        return good(
            NAME,
            "not looked at: none is configured and picamera2 is not installed; set camera.source",
        )
    try:
        with make_source(config) as source:
            started = time.monotonic()
            frames = [source.read(config.camera.timeout_s) for _ in range(_FRAMES)]
            took_ms = (time.monotonic() - started) / _FRAMES * 1000.0
    except EdgeError as error:
        return bad(NAME, str(error))
    return _judge([frame for frame in frames if frame is not None], took_ms, live=is_live(config))


def _from_daemon(config: Config) -> Finding | None:
    """Ask a running daemon about the camera that it holds; None where none runs."""
    try:
        status = ask(find_socket(config.log_path), "status", timeout_s=5.0)
    except ControlError as error:
        # Whoever may not ask the daemon may not take its camera either.
        return (
            bad(NAME, f"held by a daemon that cannot be asked: {error}")
            if error.reason == "no_permission"
            else None
        )
    age_s, failure = status["queue_age_s"], status["camera"]["last_failure"]
    held = f"held by the daemon (process {status['pid']})"
    if not status["camera"]["connected"]:
        return bad(NAME, f"{held}, which has lost it: {failure['message'] if failure else 'being opened'}")
    if age_s is not None and age_s > _STALE_S and status["mode"] == "auto":
        return bad(NAME, f"{held}, which has had no frame for {age_s:.0f} s; `systemctl restart blastcount`")
    age = "no frame yet" if age_s is None else f"newest frame {age_s:.1f} s old"
    return good(NAME, f"{status['source']}, {held}, {age}")


def _judge(frames: list[Frame], took_ms: float, *, live: bool) -> Finding:
    if not frames:
        return bad(NAME, "gave no frame; see camera.path")
    newest = frames[-1]
    seen = f"{newest.source}, {newest.width}x{newest.height} px, {took_ms:.0f} ms a frame"
    watch = FrameWatch()
    faults = [watch.reasons(frame.image) for frame in frames][-1] if live else ()
    reasons = (*faults, *assess(newest, estimate_background(newest.image)))
    if reasons:
        return bad(NAME, f"{seen}: " + "; ".join(f"{reason} ({ADVICE[reason]})" for reason in reasons))
    return good(NAME, seen)
