"""The guard says no before the disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import edge.device.disk
from edge.device.disk import PROBE, PROBE_BYTES, DiskGuard, borrowed_room
from edge.errors import DiskFullError


def test_a_disk_with_room_passes_and_one_that_is_nearly_full_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = DiskGuard(tmp_path, reserve_mb=0.001)
    assert guard.check() == pytest.approx(guard.free_mb(), rel=0.1)
    with pytest.raises(DiskFullError, match=r"\d+ MB left, 1e\+12 MB are kept free"):
        DiskGuard(tmp_path, reserve_mb=1e12).check()
    values = list(os.statvfs(tmp_path))
    values[5], values[7] = 10_000, 12  # f_files and f_favail
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))
    with pytest.raises(DiskFullError, match="room for 12 more files"):
        guard.check()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EROFS, "mounted read-only"),
        (errno.ENOSPC, "cannot be written: No space left on device"),
    ],
)
def test_a_disk_that_takes_no_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    guard = DiskGuard(tmp_path, reserve_mb=0.001)
    guard.check()
    assert [file.name for file in tmp_path.iterdir()] == [PROBE]

    def refuse(_path: Path, _flags: int, _mode: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(edge.device.disk.os, "open", refuse)
    with pytest.raises(DiskFullError, match=message):
        guard.check()


def test_room_is_set_aside_where_there_is_room_and_given_back_for_a_while(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, reserve_mb=0.001)
    guard.check()
    guard.check()
    probe = tmp_path / PROBE
    assert probe.stat().st_size == PROBE_BYTES
    assert probe.stat().st_blocks * 512 >= PROBE_BYTES
    with borrowed_room(tmp_path):
        assert probe.stat().st_size == 0
    assert probe.stat().st_size == PROBE_BYTES
    with pytest.raises(DiskFullError):
        DiskGuard(tmp_path / "gone", reserve_mb=0.001).check()
