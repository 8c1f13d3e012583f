"""Calls into camera drivers that may never return, given a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Call(threading.Thread, Generic[_T]):
    """One call in a thread of its own, which knows whether anybody still waits for it."""

    def __init__(self, function: Callable[[], _T], release: Callable[[_T | None], object]) -> None:
        # A daemon thread: one that hangs in a driver for ever must not keep the process from ending.
        super().__init__(name="camera-call", daemon=True)
        self._function = function
        self._release = release
        self._lock = threading.Lock()
        self._abandoned = False
        self.finished = threading.Event()
        self.value: _T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call; give back what it took if its caller has gone."""
        try:
            self.value = self._function()
        except BaseException as error:  # noqa: BLE001  # handed on to the caller, whatever it is
            self.error = error
        with self._lock:
            self.finished.set()
            abandoned = self._abandoned
        if abandoned:
            self._release(self.value)

    def abandon(self) -> bool:
        """Stop waiting; False where the call has finished just now after all."""
        with self._lock:
            self._abandoned = not self.finished.is_set()
        return self._abandoned


def in_time(
    function: Callable[[], _T],
    timeout_s: float,
    *,
    release: Callable[[_T | None], object] = lambda value: None,
) -> _T:
    """Call a function, and stop waiting for it after a while.

    Nothing in Python can end a call that hangs in a driver. It is left alone in its thread, and should it
    return after all, what it holds is released there.

    Parameters
    ----------
    function : what to call, without arguments
    timeout_s : how long to wait, in seconds
    release : called with the late value (None where the call failed late), in the late thread

    Returns
    -------
    what the function returned

    Raises
    ------
    TimeoutError
        The call took longer. Whatever the call itself raises is raised here.

    Examples
    --------
    >>> in_time(lambda: 6 * 7, timeout_s=5.0)
    42
    """
    call = _Call(function, release)
    call.start()
    if not call.finished.wait(timeout_s) and call.abandon():
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    call.join()
    if call.error is not None:
        raise call.error
    return call.value  # type: ignore[return-value]  # None only where _T allows it: the call returned
