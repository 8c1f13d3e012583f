"""Damaged frames of videos are named and never filled in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge.camera import video as video_module
from edge.camera.containers import lost_avi_frame
from edge.camera.files import read_frames
from edge.errors import SourceError
from tests.tools.damaged_files import silent_difference, smear, video_cases


def written(path: Path, code: str, frames: int = 6) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 5, (320, 240))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.roll(smear(1)[:240, :320, ::-1], 20 * number, axis=1))
    writer.release()
    return path


def test_what_is_missing_of_a_frame_is_never_filled_in(tmp_path: Path) -> None:
    """Changed bytes are another matter: where they still mean something no decoder can tell."""
    tried: Counter[str] = Counter()
    wrong = {}
    for case in video_cases(seed=7, n=24):
        if "changed" not in case.kind:
            tried[case.name] += 1
            if said := silent_difference(case, tmp_path):
                wrong[case.kind] = said
    assert not wrong
    assert len(tried) == 6
    assert tried.total() > 12


def chunks(content: bytes) -> list[int]:
    """Where the frames of an AVI stand."""
    starts, at = [], content.index(b"movi") + 4
    while content[at : at + 4] == b"00dc":
        starts.append(at + 8)
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        at += at & 1
    return starts


def test_damaged_frames_of_motion_jpeg_are_named_and_the_others_given(tmp_path: Path) -> None:
    path = written(tmp_path / "v.avi", "MJPG")
    whole = {frame.source: frame.image for frame in read_frames(path)}
    content = bytearray(path.read_bytes())
    starts = chunks(bytes(content))
    assert len(starts) == 6
    for number in (2, 5):  # the lower half is another frame's
        size = int.from_bytes(content[starts[number - 1] - 4 : starts[number - 1]], "little")
        content[starts[number - 1] + size // 2 : starts[number - 1] + size] = bytes(size - size // 2)
    path.write_bytes(content)
    frames = read_frames(path)
    for number in (1, 3, 4, 6):
        frame = next(frames)
        assert frame.source == f"{path}#{number}"
        np.testing.assert_array_equal(frame.image, whole[frame.source])
    with pytest.raises(SourceError, match="not counted: frames 2, 5; copy it again"):
        next(frames)
    assert [frame.source[-2:] for frame in read_frames(path, every=3)] == ["#1", "#4"]


def test_a_cut_last_frame_is_told_though_it_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "v.avi", "MJPG")
    content = bytearray(path.read_bytes())
    content[chunks(bytes(content))[-1] + 4000 :] = b""
    path.write_bytes(content)
    for every in (2, 6):
        frames = read_frames(path, every=every)
        with pytest.raises(SourceError, match="truncated"):
            list(frames)


def test_a_video_whose_frames_build_on_each_other_ends_at_the_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "v.avi", "XVID")
    content = bytearray(path.read_bytes())
    third = chunks(bytes(content))[2]
    content[third + 60 : third + 160] = b"\xff" * 100
    path.write_bytes(content)
    frames = read_frames(path)
    # Damage may begin before it is complained of.
    assert [(frame.source[-2:], frame.warnings) for frame in (next(frames), next(frames))] == [
        ("#1", ()),
        ("#2", ("possibly_damaged",)),
    ]
    with pytest.raises(SourceError, match="frame 3 is damaged, and those behind it build on it"):
        next(frames)
    # In a process that has opened no video, and as the command line starts, OpenCV has not yet taken FFmpeg's
    # messages for itself.
    script = "import sys; from pathlib import Path; from edge.camera.files import read_frames\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "list(read_frames(Path(sys.argv[1])))", str(path)],
        cwd=Path(video_module.__file__).parents[2],
        env=os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "-8"},
        capture_output=True,
        check=False,
    )
    assert b"SourceError" in done.stderr
    assert b"frame 3 is damaged" in done.stderr


def test_zeroed_sectors_are_told_where_no_decoder_complains(tmp_path: Path) -> None:
    path = written(tmp_path / "v.webm", "VP80")
    assert len(list(read_frames(path))) == 6
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1024] = bytes(1024)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is damaged, and those behind it build on it"):
        list(read_frames(path))


def test_bytes_that_are_missing_between_frames_of_an_avi_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "v.avi", "XVID")
    assert len(list(read_frames(path))) == 6
    content = path.read_bytes()
    second, third, fourth = chunks(content)[1:4]
    path.write_bytes(content[: second + 900] + content[third + 900 :])  # two frames are one
    with path.open("rb") as file:
        assert lost_avi_frame(file) == 2
    frames = read_frames(path)
    assert next(frames).source.endswith("#1")
    with pytest.raises(SourceError, match="frame 2 is damaged"):
        next(frames)
    path.write_bytes(content[: third - 8] + content[fourth - 8 :])  # a whole frame less
    with path.open("rb") as file:
        assert lost_avi_frame(file) is None


@pytest.mark.parametrize("padding", [b"\0", b""])
def test_chunks_of_an_avi_may_be_padded_or_not(padding: bytes) -> None:
    chunk = b"00dc" + (3).to_bytes(4, "little") + b"\xb6\x99\x85" + padding
    movi = b"LIST" + (4 + 4 * len(chunk)).to_bytes(4, "little") + b"movi" + 4 * chunk
    riff = b"RIFF" + (4 + len(movi)).to_bytes(4, "little") + b"AVI " + movi
    assert lost_avi_frame(io.BytesIO(riff)) is None
    assert lost_avi_frame(io.BytesIO(riff + bytes(600))) is None  # room that was taken beforehand
    assert lost_avi_frame(io.BytesIO(riff + b"\x8f\x8f" * 300)) is None  # nothing of the video
    assert lost_avi_frame(io.BytesIO(riff + riff.replace(b"AVI ", b"AVIX") + b"\x8f" * 9)) is None
    assert lost_avi_frame(io.BytesIO(riff[: -len(chunk)] + b"\x8f\x8f" + riff[-len(chunk) :])) == 3


def test_what_cannot_tell_damage_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "v1.avi", "FFV1")
    data = path.read_bytes()
    if data[data.index(b"strf") + 4] == 40:  # a bare header: version 1, as OpenCV 4.11 writes
        with pytest.raises(SourceError, match="FFV1 without checksums"):
            next(read_frames(path))
    else:  # version 3, as 4.14 writes
        assert next(read_frames(path)).width == 320
    path = written(tmp_path / "v.avi", "XVID")
    assert next(read_frames(path)).width == 320
    monkeypatch.setattr(video_module, "loaded_library", lambda _name: None)
    with pytest.raises(SourceError, match="does not tell damaged frames of FMP4; convert"):
        next(read_frames(path))
    assert next(read_frames(written(tmp_path / "j.avi", "MJPG"))).width == 320


def test_an_opencv_that_has_moved_the_switch_of_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a device has; the development install's, on Python 3.11, is older."""
    said: list[int] = []
    monkeypatch.delattr(cv2, "setLogLevel", raising=False)
    monkeypatch.setitem(sys.modules, "cv2.utils.logging", SimpleNamespace(setLogLevel=said.append))
    assert len(list(read_frames(written(tmp_path / "v.avi", "MJPG")))) > 0
    assert set(said) == {0}
