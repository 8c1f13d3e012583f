"""The outcome of one check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edge.errors import EdgeError, GateError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    name : what was checked
    passed : whether it is as it must be
    detail : what was found, and where it failed what to do
    exit_code : what the command ends with if this is the first check that failed; 0 where passed
    """

    name: str
    passed: bool
    detail: str
    exit_code: int


def good(name: str, detail: str) -> Finding:
    """Make a finding of something that is as it must be."""
    return Finding(name, True, detail, 0)


def bad(name: str, detail: str) -> Finding:
    """Make a finding of something that is not: the self-test is a gate, and says no."""
    return Finding(name, False, detail, GateError.exit_code)


def attempt(
    findings: list[Finding], name: str, step: Callable[[], _T], describe: Callable[[_T], str]
) -> _T | None:
    """Note whether a step succeeds, and with what; None where it failed."""
    try:
        value = step()
    except EdgeError as error:
        findings.append(Finding(name, False, str(error), error.exit_code))
        return None
    findings.append(good(name, describe(value)))
    return value
