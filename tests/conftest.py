"""What all tests share: where the real images are, and that nothing is left open."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, or is looked for, is the machine's affair.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

REPOSITORY = Path(__file__).resolve().parent.parent


#: What needs TensorFlow, which takes seconds and half a gigabyte to load, and trains networks for many tests.
TENSORFLOW = frozenset(
    f"tests/{name}.py"
    for name in (
        *("convert/test_accumulators", "convert/test_cli", "convert/test_converter", "convert/test_export"),
        *("convert/test_graph", "convert/test_report", "convert/test_rescale"),
        *("training/test_akbar2024", "training/test_cli", "training/test_own", "training/test_published"),
        *("training/test_relative", "training/test_types"),
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs TensorFlow where there is none."""
    if find_spec("tensorflow") is None:
        for item in items:
            if item.nodeid.partition("::")[0] in TENSORFLOW:
                item.add_marker(pytest.mark.skip(reason="TensorFlow is not installed"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out by file, and all of TensorFlow to one process."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "TensorFlow" if file in TENSORFLOW else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("BLASTCOUNT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        pytest.skip(f"no real images at {folder}; name their folder in BLASTCOUNT_DATA to run this")
    return folder
