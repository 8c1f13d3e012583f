"""What happens to a camera: its plug is pulled, its driver does not come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.errors import CameraError


def unplugged() -> CameraError:
    return CameraError("script: gave no frame; was it unplugged?", "unplugged")


@contextmanager
def hanging() -> Iterator[Callable[[], None]]:
    """A call into a driver that does not come back until the block ends."""
    released = threading.Event()

    def hang() -> None:
        released.wait(300.0)

    try:
        yield hang
    finally:
        released.set()
