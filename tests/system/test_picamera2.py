"""The Pi camera source on the real picamera2, with libcamera's virtual camera, in a Debian trixie tree."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: The version of Raspberry Pi's own packages at the time of writing.
PICAMERA2 = "picamera2==0.3.38"
#: Its libcamera has the virtual pipeline; picamera2's own dependencies are built with the rest.
PACKAGES = ("python3-libcamera", "libcamera-ipa", "python3-prctl", "gcc", "python3-dev", "libcap-dev")
CAMERA = """%YAML 1.1
---
"Virtual0":
  supported_formats:
  - {width: 1280, height: 960, frame_rates: [10, 30]}
  frames: {path: "/root/test/frames"}
  location: "CameraLocationFront"
  model: "virtual-scope"
"""
#: picamera2 imports pykms for its preview windows; without a screen it is never called.
PYKMS = "def __getattr__(name):\n    return type(name, (), {'__getattr__': lambda self, name: None})()\n"
RUN = """
set -eu
cd /root/test
gcc -shared -fPIC -o shim.so dma_shim.c -ldl
PYTHONPATH=/root/test LD_PRELOAD=/root/test/shim.so /opt/blastcount/bin/python virtual_camera.py
"""
INSTALL = f"""
set -eu
python3 -m venv --system-site-packages /opt/blastcount
/opt/blastcount/bin/pip install -q --no-compile /root/test/source {PICAMERA2}
"""


@pytest.fixture(scope="module")
def seen(
    repository: Path,
    debian: Callable[..., Path],
    source_tree: Callable[[Path], Path],
    chroot: Callable[[Path, str], subprocess.CompletedProcess[str]],
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """What virtual_camera.py saw inside."""
    root = debian(tmp_path_factory.mktemp("picamera2") / "root", *PACKAGES, suite="trixie")
    test = root / "root/test"
    (test / "frames").mkdir(parents=True)
    source_tree(test / "source")
    for name in ("dma_shim.c", "virtual_camera.py"):
        (test / name).write_bytes((Path(__file__).parent / name).read_bytes())
    (test / "pykms.py").write_text(PYKMS)
    red_over_blue = np.zeros((960, 1280, 3), np.uint8)
    red_over_blue[:480], red_over_blue[480:] = (20, 20, 200), (200, 30, 10)  # B, G, R
    for number in range(3):
        assert cv2.imwrite(str(test / f"frames/{number:03}.jpg"), red_over_blue)
    virtual = root / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    virtual.parent.mkdir(parents=True, exist_ok=True)
    virtual.write_text(CAMERA)
    with mounted(root):
        installed = chroot(root, INSTALL)
        if installed.returncode != 0:
            pytest.skip(f"{PICAMERA2} cannot be installed: {installed.stderr[-500:]}")
        done = chroot(root, RUN)
        assert done.returncode == 0, done.stderr[-3000:]
        yield json.loads(done.stdout.splitlines()[-1])


def test_frames_come_and_the_camera_can_be_opened_again(seen: dict[str, Any]) -> None:
    assert len(seen["runs"]) == 3
    for run in seen["runs"]:
        assert run["shapes"] == [[960, 1280, 3]] * 4
        assert run["name"] == "picamera:0"


def test_colours_are_red_green_blue(seen: dict[str, Any]) -> None:
    for run in seen["runs"]:
        np.testing.assert_allclose(run["top"], (200, 20, 20), atol=20)  # JPEG and NV12 in between
        np.testing.assert_allclose(run["bottom"], (10, 30, 200), atol=20)


def test_a_camera_that_hangs_is_noticed_and_closed(seen: dict[str, Any]) -> None:
    # The virtual pipeline stalls in about half of its starts; a lucky run has nothing to show here.
    assert all(hang_s < 8.0 for hang_s in seen["hangs_s"])
    assert all("no frame within" in error for error in seen["errors"])
    assert seen["threads"] == []


def test_what_the_camera_does_not_have_is_named(seen: dict[str, Any]) -> None:
    assert "picamera:7: no such camera (found 0: virtual-scope)" in seen["number"]
    assert "asked for 160x120 px, the camera gives 1280x960" in seen["size"]
