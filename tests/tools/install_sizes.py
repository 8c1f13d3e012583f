"""What an install takes on the disk: ``python -m tests.tools.install_sizes [EXTRA ...]``.

The base is what ``make install`` puts on a device, in an environment of its own; each extra is installed into
a copy of it. Sizes are those of the files, compiled ones included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.tools.lock import BUILD, DEVICE, ROOT

EXTRAS = ("gpio", "tflite-runtime", "fleet", "collector", "archive", "convert", "train")


def base(folder: Path) -> Path:
    """Make the install of a device, and give its environment."""
    environment = folder / "base"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    _pip(environment, "--require-hashes", "-r", str(BUILD))
    _pip(environment, "--require-hashes", "--no-build-isolation", "-r", str(DEVICE))
    _pip(environment, "--no-deps", "--no-build-isolation", str(ROOT))
    return environment


def with_extra(environment: Path, extra: str) -> Path:
    """Install an extra beside what an environment has, and give the environment of both."""
    both = environment.with_name(extra)
    shutil.copytree(environment, both, symlinks=True)
    _pip(both, "--no-build-isolation", f"{ROOT}[{extra}]")
    return both


def _pip(environment: Path, *arguments: str) -> None:
    command = [
        environment / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*command, *arguments], check=True)


def size_mb(folder: Path) -> float:
    """Add up the files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main(extras: Sequence[str]) -> None:
    """Print the rows of a table, as they come."""
    with tempfile.TemporaryDirectory() as folder:
        device = base(Path(folder))
        alone = size_mb(device)
        sys.stdout.write(f"| base | {alone:.0f} MB |\n")
        for extra in extras or EXTRAS:
            both = with_extra(device, extra)
            sys.stdout.write(f"| `{extra}` | + {size_mb(both) - alone:.0f} MB |\n")
            sys.stdout.flush()
            shutil.rmtree(both)


if __name__ == "__main__":
    main(sys.argv[1:])
