"""The Raspberry Pi camera, through picamera2."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Self

import cv2
import numpy as np

from edge.camera.deadline import in_time
from edge.camera.failure import DRIVER_ERRORS, driver_failure
from edge.camera.settling import UNSETTLED, Settling
from edge.device.clock import utc_now
from edge.errors import CameraError, RuntimeMissingError
from edge.structures import Frame, UInt8Image

_log = logging.getLogger(__name__)

#: What picamera2 calls "BGR888" lies in memory as R, G, B: it names formats as DRM does, by the bits of a
#: little-endian word, where "RGB888" is B, G, R [1]_.
#:
#: .. [1] Raspberry Pi Ltd, "The Picamera2 Library", appendix A: pixel and image formats.
FORMAT_RGB = "BGR888"

#: How to make RGB of what the camera was configured to in the end. libcamera may change the format asked
#: for: a pipeline without an ISP gives NV12.
_TO_RGB: dict[str, int | None] = {
    "BGR888": None,
    "RGB888": cv2.COLOR_BGR2RGB,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
}

#: One buffer is read by us while the camera fills another; the third is queued, so that it never waits.
_BUFFERS = 3

#: Loading libcamera, its tuning and the sensor's registers: about 1 s on a Pi 4.
OPEN_TIMEOUT_S = 10.0
#: A sensor's first frame comes after its start-up frames, some tenths of a second.
FIRST_FRAME_TIMEOUT_S = 3.0
#: `close` waits for the frame in flight.
CLOSE_TIMEOUT_S = 2.0

#: What is fixed once it has settled.
_AUTOMATIC, _SETTINGS = ("AeEnable", "AwbEnable"), ("ExposureTime", "AnalogueGain", "ColourGains")


class PiCameraSource:
    """Frames from the Raspberry Pi camera, with exposure and colour locked once they have settled.

    Parameters
    ----------
    number : of the camera, as ``rpicam-hello --list-cameras`` counts
    width, height : size to ask for in px; None for the sensor's full size
    um_per_px : scale of the frames in µm per px, or None to find it in the fields
    open_camera : makes a ``Picamera2`` from its class and the number; replaced where no real camera is
    module : the picamera2 module; None to import it when the source is opened
    clock : monotonic seconds, by which exposure settles
    """

    def __init__(
        self,
        number: int = 0,
        *,
        width: int | None = None,
        height: int | None = None,
        um_per_px: float | None = None,
        open_camera: Callable[[Any, int], Any] = lambda camera_class, number: camera_class(number),
        module: Any = None,  # noqa: ANN401  # picamera2 ships no types
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._number = number
        self._size = None if width is None or height is None else (width, height)
        self._um_per_px = um_per_px
        self._open_camera = open_camera
        self._module = module
        self._clock = clock
        self._settling: Settling | None = None
        self._camera: Any = None
        self._format = FORMAT_RGB
        self._frame_size = (0, 0)
        self._can_flush = False

    @property
    def name(self) -> str:
        """``picamera:NUMBER``."""
        return f"picamera:{self._number}"

    def __enter__(self) -> Self:
        """Open, configure and start the camera; lock exposure and white balance.

        Raises
        ------
        RuntimeMissingError
            picamera2 is not installed, or not seen from this virtual environment.
        CameraError
            There is no camera of this number, it is in use, hangs, or does not have the size.
        """
        module = self._module if self._module is not None else import_picamera2()
        try:
            self._camera = in_time(lambda: self._started(module), OPEN_TIMEOUT_S, release=_close_camera)
        except TimeoutError as error:
            raise CameraError(
                f"{self.name}: did not start within {OPEN_TIMEOUT_S:g} s; "
                "check the ribbon cable and restart the Pi",
                "hung",
            ) from error
        except DRIVER_ERRORS as error:
            raise driver_failure(self.name, error) from error
        self._settling = Settling(self._clock)
        try:
            # Dropping frames from before a moment needs the exposure time, which not every pipeline tells.
            self._can_flush = {"ExposureTime", "SensorTimestamp"} <= self._metadata().keys()
            self._settling.wait(
                self.name, lambda: self._has_settled(self._image(FIRST_FRAME_TIMEOUT_S, flush=False))
            )
        except BaseException:
            self._close()
            raise
        _log.info("%s: open, %dx%d px", self.name, *self._frame_size)
        return self

    def __exit__(self, *_raised: object) -> None:
        """Stop and close the camera."""
        self._close()

    def read(self, timeout_s: float) -> Frame | None:
        """Take a frame whose exposure began after the call; see :class:`edge.camera.source.FrameSource`.

        A frame whose exposure has not come to rest says so in its ``warnings``.

        Raises
        ------
        CameraError
            The source is not open, no frame came in time, or it has the wrong size.
        """
        image = self._image(timeout_s, flush=self._can_flush)
        captured_at = utc_now()
        warnings = () if self._has_settled(image) else (UNSETTLED,)
        return Frame(image, self.name, captured_at, self._um_per_px, warnings=warnings)

    def _started(self, module: Any) -> Any:  # noqa: ANN401  # picamera2 ships no types
        """Return the camera, configured and running."""
        found = module.Picamera2.global_camera_info()
        if self._number >= len(found):
            models = (
                ", ".join(f"{i}: {info.get('Model', 'unknown')}" for i, info in enumerate(found)) or "none"
            )
            raise CameraError(
                f"{self.name}: no such camera (found {models}); check the ribbon cable, "
                "then `rpicam-hello --list-cameras`",
                "missing",
            )
        try:
            camera = self._open_camera(module.Picamera2, self._number)
        except DRIVER_ERRORS as error:
            doing = "does not open; another program may use it"
            raise driver_failure(self.name, error, doing, "busy") from error
        try:
            size = self._size if self._size is not None else tuple(camera.sensor_resolution)
            camera.configure(
                camera.create_video_configuration(
                    main={"size": size, "format": FORMAT_RGB},
                    buffer_count=_BUFFERS,
                    queue=False,  # keep no finished frame for a later call: it would show where the stage was
                )
            )
            self._check_configuration(camera.camera_configuration()["main"], size)
            camera.start()
        except CameraError:
            camera.close()
            raise
        except DRIVER_ERRORS as error:
            camera.close()
            doing = f"refuses {size[0]}x{size[1]} px"
            raise driver_failure(self.name, error, doing, "refused") from error
        return camera

    def _check_configuration(self, main: dict[str, Any], wanted: tuple[int, int]) -> None:
        self._format, self._frame_size = main["format"], tuple(main["size"])
        if self._format not in _TO_RGB:
            raise CameraError(
                f"{self.name}: gives pixels as {self._format}, expected one of {', '.join(_TO_RGB)}; "
                "a USB camera is better read as v4l2",
                "wrong_format",
            )
        if self._frame_size != wanted:
            raise CameraError(
                f"{self.name}: asked for {wanted[0]}x{wanted[1]} px, the camera gives "
                f"{self._frame_size[0]}x{self._frame_size[1]}; set camera.width and camera.height to that",
                "wrong_size",
            )

    def _has_settled(self, image: UInt8Image) -> bool:
        """Whether exposure and colour rest; as soon as they do, they are fixed.

        Colours must not change with the field.
        """
        if self._settling is None:
            return True
        metadata = self._metadata()
        known = {key: metadata[key] for key in _SETTINGS if _is_known(metadata.get(key))}
        if not self._settling.sees(
            image, [float(part) for value in known.values() for part in np.ravel(value)]
        ):
            return False
        self._settling = None
        wanted = dict.fromkeys(_AUTOMATIC, False) | known
        # Naming a control that the camera lacks raises.
        controls = {key: value for key, value in wanted.items() if key in self._camera.camera_controls}
        self._translated(lambda: self._camera.set_controls(controls), FIRST_FRAME_TIMEOUT_S)
        unlocked = sorted({*_AUTOMATIC, *_SETTINGS} - controls.keys())
        if unlocked:
            _log.warning("%s: cannot be locked: %s", self.name, ", ".join(unlocked))
        _log.info("%s: locked at %s", self.name, controls)
        return True

    def _image(self, timeout_s: float, *, flush: bool) -> UInt8Image:
        def capture() -> UInt8Image:
            with self._camera.captured_request(wait=timeout_s, flush=flush or None) as request:
                return self._checked_rgb(request.make_array("main"))

        return np.asarray(self._translated(capture, timeout_s))

    def _metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self._translated(
            lambda: self._camera.capture_metadata(wait=FIRST_FRAME_TIMEOUT_S), FIRST_FRAME_TIMEOUT_S
        )
        return found

    def _translated(self, capture: Callable[[], Any], timeout_s: float) -> Any:  # noqa: ANN401  # as above
        """Call the camera, its errors in our words."""
        if self._camera is None:
            raise CameraError(f"{self.name}: the camera is not open; open it again")
        try:
            return capture()
        except TimeoutError as error:
            raise CameraError(
                f"{self.name}: no frame within {timeout_s:g} s; the camera hangs, check the ribbon cable",
                "hung",
            ) from error
        except DRIVER_ERRORS as error:
            raise driver_failure(self.name, error, "gave no frame", "no_frame") from error

    def _checked_rgb(self, pixels: Any) -> UInt8Image:  # noqa: ANN401  # picamera2 ships no types
        conversion = _TO_RGB[self._format]
        rgb = pixels if conversion is None else cv2.cvtColor(pixels, conversion)
        width, height = self._frame_size
        rgb = rgb[:height, :width]  # rows of YUV are padded to the hardware's stride
        if rgb.shape != (height, width, 3):
            raise CameraError(
                f"{self.name}: a frame of shape {pixels.shape} came, expected {width}x{height} px",
                "wrong_size",
            )
        return np.ascontiguousarray(rgb, dtype=np.uint8)

    def _close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            in_time(lambda: _close_camera(camera), CLOSE_TIMEOUT_S)
        except TimeoutError:
            _log.warning("%s: did not close within %g s", self.name, CLOSE_TIMEOUT_S)
        except DRIVER_ERRORS as error:
            _log.warning("%s", driver_failure(self.name, error, "did not close cleanly"))
        else:
            _log.info("%s: closed", self.name)


def import_picamera2() -> Any:  # noqa: ANN401  # picamera2 ships no types
    """Import picamera2, which comes from the system's packages.

    Raises
    ------
    RuntimeMissingError
        It is not installed, or the virtual environment does not see it.
    """
    try:
        return import_module("picamera2")
    except ImportError as error:
        raise RuntimeMissingError(
            f"picamera2 cannot be imported ({error}); `sudo apt install python3-picamera2`, "
            "and make the virtual environment with --system-site-packages"
        ) from error


def _close_camera(camera: Any) -> None:  # noqa: ANN401  # picamera2 ships no types
    if camera is not None:
        # A capture that timed out is still queued, and `close` would wait behind it for ever.
        camera.cancel_all_and_flush()
        camera.close()


def _is_known(value: Any) -> bool:  # noqa: ANN401  # picamera2 ships no types
    """Whether an exposure, a gain or a pair of gains is one: not every pipeline tells them."""
    return value is not None and all(math.isfinite(part) and part > 0 for part in np.ravel(value))
