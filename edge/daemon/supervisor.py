"""What systemd is told: that the service is ready, what it does, that its loop is alive."""

from __future__ import annotations

import os
from typing import Self

import sdnotify


class Supervisor:
    """What systemd is told over its notification socket; without one, nothing is sent [1]_.

    Attributes
    ----------
    is_there : whether there is one: systemd has started this, and a person does not wait for its end
    watchdog_s : seconds after which systemd kills a service that does not report, or None

    References
    ----------
    .. [1] https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """

    def __init__(self) -> None:
        """Connect to the socket that ``NOTIFY_SOCKET`` names."""
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None
        self.is_there = self._notifier is not None
        # systemd also says whom it watches; a variable inherited from another service is not ours.
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = os.environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog_us) / 1e6 if ours and watchdog_us.isdecimal() else None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Say that the service is stopping, and close the socket."""
        self.tell("STOPPING=1")
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1`` in one message."""
        if self._notifier is not None:
            self._notifier.notify("\n".join(assignments))
