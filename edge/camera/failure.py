"""What drivers and libraries raise, in our words."""

from __future__ import annotations

import errno
import re

import cv2

from edge.errors import CameraError

#: cv::Error::StsNoMem.
_OPENCV_NO_MEMORY = -4
#: What libcamera, the kernel and OpenCV say where a number is missing.
_NO_MEMORY = re.compile(
    r"cannot allocate|failed to allocate|out of memory|insufficient memory", re.IGNORECASE
)
#: What camera libraries raise of themselves: ValueError and OverflowError over sizes that are no numbers.
DRIVER_ERRORS = (cv2.error, MemoryError, RuntimeError, OSError, ValueError, OverflowError)


def driver_failure(
    name: str, error: Exception, doing: str = "its driver or a library failed", reason: str = "failed"
) -> CameraError:
    """Make a camera's failure of what was raised; memory that does not suffice has advice of its own.

    Parameters
    ----------
    name : of the camera
    error : what was raised
    doing : what the camera did not do
    reason : the failure's name
    """
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    said = " ".join(f"{type(cause).__name__}: {cause}".split()).removesuffix(":")
    lacks_memory = (
        isinstance(cause, MemoryError)
        or getattr(cause, "errno", None) == errno.ENOMEM
        or getattr(cause, "code", None) == _OPENCV_NO_MEMORY
        or _NO_MEMORY.search(said) is not None
    )
    if lacks_memory:
        failure = CameraError(
            f"{name}: too little memory for frames of this size ({said}); set camera.width and camera.height "
            "to less. A Raspberry Pi camera takes it from the CMA, see `grep Cma /proc/meminfo`: more is "
            "given by dtoverlay=vc4-kms-v3d,cma-512 in /boot/firmware/config.txt",
            "no_memory",
        )
    else:
        failure = CameraError(f"{name}: {doing}: {said}", reason)
    failure.__cause__ = error
    return failure
