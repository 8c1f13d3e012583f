"""What all tests share: where the real images are, and that nothing is left open."""

from __future__ import annotations

import os
import re
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


class Proof:
    """Fails a run of the whole suite in which a test did not pass that a page names as proof.

    That one exists is not enough: one that is skipped proves nothing.

    Parameters
    ----------
    slow : whether it is the run of the slow tests
    """

    PAGES = ("docs/hazards.md", "docs/requirements.md")

    def __init__(self, *, slow: bool) -> None:
        text = "".join((REPOSITORY / page).read_text(encoding="utf-8") for page in self.PAGES)
        named = set(re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", text))
        #: Those that have not passed yet.
        self.open = {name for name in named if name.startswith("tests/system/") == slow}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.open.discard(report.nodeid.partition("[")[0])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.open and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in sorted(self.open):
            terminalreporter.write_line(
                f"NOT PROVED  {name}: named in {' or '.join(self.PAGES)}; did not pass"
            )


def pytest_configure(config: pytest.Config) -> None:
    """Look at the proofs of a whole run, in the process that has all reports."""
    whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    if whole and config.option.markexpr in ("slow", "not slow") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Proof(slow=config.option.markexpr == "slow"), "proof")


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
