"""The versions that devices and developers install, with hashes: ``python -m tests.tools.lock [--upgrade]``.

Each file holds for Python 3.11 to 3.13 on x86-64 and arm64. Versions that are locked already stay, unless
pyproject.toml allows them no longer or --upgrade is given. Hashes are those of PyPI's files; where a file
comes from is left to whoever installs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What builds the package and what is published as source only; what the device needs; what developers need.
BUILD, DEVICE, DEV = (
    ROOT / "systemd" / "locked" / "build.txt",
    ROOT / "systemd" / "locked" / "device.txt",
    ROOT / ".ci" / "locked.txt",
)
#: What numbers come from. On Python 3.11 tflite-runtime, which developers alone install, wants older ones.
_NUMBERS = ("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "simplejpeg", "tifffile")
#: What uv says of every package, because pyproject.toml asks for these machines alone.
_EVERYWHERE = (
    "((platform_machine == 'aarch64' and sys_platform == 'linux') or "
    "(platform_machine == 'x86_64' and sys_platform == 'linux'))",
    "sys_platform == 'linux'",
    "python_full_version < '3.14'",
)
_PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def main() -> None:
    """Write all three files."""
    upgrade = ["--upgrade"] * ("--upgrade" in sys.argv[1:])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    BUILD.parent.mkdir(exist_ok=True)
    _lock(BUILD, ["-", *upgrade], "\n".join(project["build-system"]["requires"]))
    _lock(DEVICE, ["pyproject.toml", *upgrade])
    constraints = ROOT / ".ci" / "constraints.part"
    device = dict(_PINNED.findall(DEVICE.read_text(encoding="utf-8")))
    build = dict(_PINNED.findall(BUILD.read_text(encoding="utf-8")))
    lines = [f"{name}=={version}" for name, version in build.items()]
    lines += [f"{name}=={device[name]} ; python_version >= '3.12'" for name in _NUMBERS]
    constraints.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        _lock(DEV, ["pyproject.toml", "--extra", "dev", "--constraints", str(constraints), *upgrade])
    finally:
        constraints.unlink()


def _lock(file: Path, arguments: Sequence[str], requirements: str | None = None) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", *arguments, "-o", str(file)]
    command += ["--universal", "--python-version=3.11", "--fork-strategy=fewest", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    subprocess.run(command, input=requirements, text=True, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    file.write_text(without_markers(file.read_text(encoding="utf-8")), encoding="utf-8")


def without_markers(locked: str) -> str:
    """Leave out what is so on every machine that the file is for.

    Examples
    --------
    >>> without_markers("a==1 ; python_full_version < '3.14' and sys_platform == 'linux' \\\\")
    'a==1 \\\\'
    >>> without_markers("a==1 ; python_full_version < '3.12' and sys_platform == 'linux' \\\\")
    "a==1 ; python_full_version < '3.12' \\\\"
    """
    for marker in _EVERYWHERE:
        locked = locked.replace(f" and {marker}", "").replace(f"{marker} and ", "")
        locked = locked.replace(f" ; {marker} ", " ")
    return locked


if __name__ == "__main__":
    main()
