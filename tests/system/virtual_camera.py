"""Runs inside a Debian tree: the Pi camera source on the real picamera2 and libcamera's virtual camera.

Prints one JSON object: what was seen. See test_picamera2.py for how the tree is made.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any

from edge.camera.picamera import PiCameraSource, import_picamera2
from edge.errors import CameraError

WIDTH, HEIGHT = 1280, 960


def open_virtual(camera_class: Any, number: int) -> Any:
    """Open a camera that has no sensor modes to list, with memory that needs no Raspberry Pi."""
    from picamera2.allocators import LibcameraAllocator

    class VirtualPicamera2(camera_class):
        def _get_raw_modes(self) -> list[dict[str, Any]]:
            return [{"format": "NV12", "size": (WIDTH, HEIGHT)}]

    camera = VirtualPicamera2(number, allocator=False)
    camera.allocator = LibcameraAllocator(camera.camera)
    return camera


def read_runs(runs: int) -> dict[str, list[Any]]:
    """Open the camera and read four frames, so many times; note what else happened."""
    seen: dict[str, list[Any]] = {"runs": [], "hangs_s": [], "errors": []}
    source = PiCameraSource(0, width=WIDTH, height=HEIGHT, um_per_px=0.1, open_camera=open_virtual)
    # libcamera's virtual pipeline stalls in about half of its starts: practice in hanging cameras.
    deadline = time.monotonic() + 120
    while len(seen["runs"]) < runs and time.monotonic() < deadline:
        started = time.monotonic()
        try:
            with source:
                frames = [source.read(2.0) for _ in range(4)]
        except CameraError as error:
            seen["hangs_s"].append(time.monotonic() - started)
            seen["errors"].append(str(error))
            continue
        images = [frame.image for frame in frames if frame is not None]
        top, bottom = (images[-1][row, WIDTH // 2].tolist() for row in (HEIGHT // 4, HEIGHT * 3 // 4))
        shapes = [image.shape for image in images]
        seen["runs"].append({"shapes": shapes, "top": top, "bottom": bottom, "name": source.name})
    return seen


def refusal(source: PiCameraSource) -> str:
    """Try to open a source that should refuse; return its words."""
    try:
        with source:
            return "opened"
    except CameraError as error:
        return str(error)


def main() -> None:
    """See the module's docstring."""
    logging.basicConfig(level=logging.INFO)
    import_picamera2()
    seen: dict[str, Any] = dict(read_runs(3))
    seen["number"] = refusal(PiCameraSource(7, open_camera=open_virtual))
    seen["size"] = refusal(PiCameraSource(0, width=160, height=120, open_camera=open_virtual))
    seen["threads"] = [thread.name for thread in threading.enumerate() if thread.name == "camera-call"]
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
