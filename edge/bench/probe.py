"""What a fresh process does so that its parent can measure it: ``python -m edge.bench.probe``.

Nothing is imported before it is needed: what is imported is part of what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def memory_mb(key: str, status: Path = Path("/proc/self/status")) -> float:
    """Read a figure of this process's memory.

    Not ``getrusage``: across fork and exec the kernel carries the parent's peak over into the child's
    ``ru_maxrss``, so that a small process started by a large one looks as large. ``VmHWM`` belongs to the
    program that runs now.

    Parameters
    ----------
    key : ``VmHWM`` for the peak of the resident memory, ``VmRSS`` for what is resident now
    status : the kernel's file

    Returns
    -------
    10^6 bytes
    """
    for line in status.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"{status} has no {key}; a Linux kernel is needed to measure memory")


def classifier(model: str) -> dict[str, float]:
    """Load a model and classify its golden crops, without OpenCV or any image."""
    from edge.classification.card import load_bundle
    from edge.classification.classifier import Classifier

    loaded = Classifier(load_bundle(Path(model)), threads=1)
    loaded.check_golden()
    return {"peak_mb": memory_mb("VmHWM")}


def path(model: str, log: str, rounds: str, *files: str) -> dict[str, float]:
    """Count the files ``rounds`` times, from reading to logging."""
    from edge.bench.path import WholePath
    from edge.bloodlog import BloodLog
    from edge.classification.card import load_bundle
    from edge.classification.classifier import Classifier

    loaded = Classifier(load_bundle(Path(model)), threads=1)
    loaded.check_golden()
    with BloodLog.open(log) as opened:
        line = WholePath([Path(file) for file in files], loaded, opened, threads=1)
        line.run()
        first_mb = memory_mb("VmRSS")
        for _ in range(int(rounds) - 1):
            line.run()
        return {
            "peak_mb": memory_mb("VmHWM"),
            "after_first_round_mb": first_mb,
            "after_last_round_mb": memory_mb("VmRSS"),
        }


_TASKS: dict[str, Callable[..., dict[str, float]]] = {
    "classifier": classifier,
    "path": path,
}


def main(arguments: Sequence[str]) -> None:
    """Do one task and write its figures to stdout as JSON."""
    figures = _TASKS[arguments[0]](*arguments[1:])
    import json

    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
