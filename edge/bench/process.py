"""Cold start and memory, measured on fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge.errors import GateError

#: Rounds over the fields in the memory probe: what grows shows from the first to the last.
MEMORY_ROUNDS = 5
#: Everything that ``count`` and its interpreter import, timed by the process that does it.
_IMPORTS = """
import time
started = time.perf_counter()
import edge.commands.count, edge.classification.interpreter
edge.classification.interpreter.installed_runtimes()
print(f'{{"imports_ms": {(time.perf_counter() - started) * 1000}}}')
"""


def imports_ms() -> float:
    """Start a process that imports what ``count`` needs; the time of its imports alone, ms."""
    return _figures(["-c", _IMPORTS])["imports_ms"]


def first_count_ms(model: Path, image: Path) -> float:
    """Start ``blastcount count`` on one image; ms from the start of the process to its first result.

    Raises
    ------
    GateError
        It ended without a result.
    """
    command = [sys.executable, "-m", "edge.cli", "count", "--json", "--threads", "1"]
    command += ["--model", str(model), "--", str(image)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # both are pipes
        assert process.stderr is not None
        first = process.stdout.readline()
        elapsed_ms = (time.perf_counter() - started) * 1000.0
        process.stdout.read()
        said = process.stderr.read()
    if process.returncode != 0 or not first:
        raise GateError(f"{' '.join(command)} ended with {process.returncode}: {_last_line(said)}")
    return elapsed_ms


def classifier_memory(model: Path) -> dict[str, float]:
    """Measure a process that holds the classifier alone: ``peak_mb``."""
    return _probe("classifier", str(model))


def path_memory(model: Path, log: Path, files: Sequence[Path]) -> dict[str, float]:
    """Measure a process that counts: ``peak_mb``, ``after_first_round_mb``, ``after_last_round_mb``."""
    return _probe("path", str(model), str(log), str(MEMORY_ROUNDS), *(str(file) for file in files))


def _probe(*arguments: str) -> dict[str, float]:
    return _figures(["-m", "edge.bench.probe", *arguments])


def _figures(arguments: Sequence[str]) -> dict[str, float]:
    """Run Python in a fresh process that prints its figures."""
    answer = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise GateError(
            f"python {' '.join(arguments[:3])} ended with {answer.returncode}: {_last_line(answer.stderr)}"
        )
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


def _last_line(text: str) -> str:
    return (text.strip() or "it said nothing").rpartition("\n")[2]
