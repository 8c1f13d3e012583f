"""``blastcount check``: whether this device is fit to count."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import click
import cv2
import numpy as np

from edge.classify import Classifier
from edge.config import Config, load_config
from edge.errors import EdgeError
from edge.modelcard import ModelBundle, default_bundle_path, load_bundle
from edge.printable import printable
from edge.version import software_version

SCHEMA = "blastcount.check/1"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    name : what was checked
    passed : whether it is as it must be
    detail : what was found
    exit_code : what the command ends with if this is the first check that failed; 0 where passed
    """

    name: str
    passed: bool
    detail: str
    exit_code: int


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Model bundle, if not the configured one.",
)
def check(as_json: bool, model: Path | None) -> None:
    """Test model, golden crops, interpreter and configuration.

    Exit code 4 where the golden crops disagree, 3 where configuration or model cannot be used.
    """
    findings = examine(model)
    passed = all(finding.passed for finding in findings)
    if as_json:
        report = {
            "schema": SCHEMA,
            "passed": passed,
            "version": software_version(),
            "checks": [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(report))
    else:
        for finding in findings:
            click.echo(
                f"{'pass' if finding.passed else 'FAIL'}  {finding.name:13} {printable(finding.detail)}"
            )
        click.echo("fit to count" if passed else "not fit to count")
    click.get_current_context().exit(next((f.exit_code for f in findings if not f.passed), 0))


def examine(model: Path | None = None) -> list[Finding]:
    """Run all checks; one that needs what an earlier one could not give is left out.

    Parameters
    ----------
    model : bundle to be checked instead of the configured one
    """
    findings = [_software()]
    config = _attempt(findings, "configuration", load_config, _describe_config)
    path = model or (config.model.path if config else None) or default_bundle_path()
    bundle = _attempt(findings, "model", lambda: load_bundle(path), _describe_bundle)
    if bundle is None:
        return findings
    threads = config.model.threads if config else 1
    classifier = _attempt(findings, "interpreter", lambda: Classifier(bundle, threads), lambda c: c.runtime)
    if classifier is None:
        return findings
    crops, tolerance = len(bundle.golden.crops), bundle.card.golden.max_delta_p
    _attempt(
        findings,
        "golden crops",
        classifier.check_golden,
        lambda worst: f"{crops} agree: largest difference of p {worst:.3f}, at most {tolerance:.3f} allowed",
    )
    return findings


def _attempt(
    findings: list[Finding], name: str, step: Callable[[], _T], describe: Callable[[_T], str]
) -> _T | None:
    """Note whether a step succeeds, and with what; None where it failed."""
    try:
        value = step()
    except EdgeError as error:
        findings.append(Finding(name, False, str(error), error.exit_code))
        return None
    findings.append(Finding(name, True, describe(value), 0))
    return value


def _software() -> Finding:
    detail = (
        f"blastcount {software_version()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"OpenCV {cv2.__version__}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    )
    return Finding("software", True, detail, 0)


def _describe_config(config: Config) -> str:
    scale = config.scale.um_per_px
    measured = "measured on red cells" if scale is None else f"{scale:g} µm/px"
    return f"{config.origin or 'built-in defaults'}, sha256 {config.sha256[:12]}, scale {measured}"


def _describe_bundle(bundle: ModelBundle) -> str:
    return f"{bundle.card.name}, sha256 {bundle.card.sha256[:12]}, {bundle.tflite_path}"
