"""What all tests share: where the real images are, and that nothing is left open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, or is looked for, is the machine's affair.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

REPOSITORY = Path(__file__).resolve().parent.parent


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
