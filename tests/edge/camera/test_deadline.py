"""Calls that hang are left alone, and give back what they took should they ever return."""

from __future__ import annotations

import threading

import pytest

from edge.camera.deadline import in_time


def test_results_and_errors_come_through_and_a_result_in_time_is_not_released() -> None:
    late: list[object] = []
    assert in_time(lambda: "frame", 60.0, release=late.append) == "frame"
    assert late == []
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 60.0)
    with pytest.raises(TimeoutError, match="the call's own"):
        in_time(lambda: (_ for _ in ()).throw(TimeoutError("the call's own")), 60.0)


@pytest.mark.parametrize("fails", [False, True])
def test_a_late_call_releases_what_it_holds(fails: bool) -> None:
    go_on, released = threading.Event(), threading.Event()
    late: list[object] = []

    def hang() -> str:
        go_on.wait(60.0)
        if fails:
            raise OSError
        return "device"

    def release(value: object) -> None:
        late.append(value)
        released.set()

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        in_time(hang, 0.05, release=release)
    assert late == []
    go_on.set()
    assert released.wait(60.0)
    assert late == [None if fails else "device"]
