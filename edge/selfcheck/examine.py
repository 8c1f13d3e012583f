"""All checks, in the order in which one needs what another found."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import cv2
import numpy as np

from edge.classification.card import ModelBundle, default_bundle_path, load_bundle
from edge.classification.classifier import Classifier
from edge.config import Config, load_config
from edge.selfcheck.camera import check_camera
from edge.selfcheck.finding import Finding, attempt, good
from edge.selfcheck.machine import check_clock, check_disk, check_rights, check_supply
from edge.selfcheck.records import check_calibration, check_log
from edge.version import software_version


def examine(model: Path | None = None) -> list[Finding]:
    """Run all checks; one that needs what an earlier one could not give is left out.

    Parameters
    ----------
    model : bundle to be checked instead of the configured one
    """
    findings = [_software()]
    config = attempt(findings, "configuration", load_config, _describe_config)
    _examine_model(findings, config, model)
    if config is None:
        return findings
    log, newest = check_log(config.log_path)
    findings += [
        check_calibration(config.calibration_path, required=config.calibration.path is not None),
        check_camera(config),
        check_rights(config.log_path),
        check_disk(config.log_path.parent, config.storage.reserve_mb),
        log,
        check_clock(newest),
        check_supply(),
    ]
    return findings


def _examine_model(findings: list[Finding], config: Config | None, model: Path | None) -> None:
    path = model or (config.model.path if config else None) or default_bundle_path()
    bundle = attempt(findings, "model", lambda: load_bundle(path), _describe_bundle)
    if bundle is None:
        return
    threads = config.model.threads if config else 1
    classifier = attempt(findings, "interpreter", lambda: Classifier(bundle, threads), lambda c: c.runtime)
    if classifier is None:
        return
    crops, tolerance = len(bundle.golden.crops), bundle.card.golden.max_delta_p
    attempt(
        findings,
        "golden crops",
        classifier.check_golden,
        lambda worst: f"{crops} agree: largest difference of p {worst:.3f}, at most {tolerance:.3f} allowed",
    )


def _software() -> Finding:
    detail = (
        f"blastcount {software_version()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"OpenCV {cv2.__version__}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    )
    return good("software", detail)


def _describe_config(config: Config) -> str:
    scale = config.scale.um_per_px
    measured = "measured on red cells" if scale is None else f"{scale:g} µm/px"
    return f"{config.origin or 'built-in defaults'}, sha256 {config.sha256[:12]}, scale {measured}"


def _describe_bundle(bundle: ModelBundle) -> str:
    return f"{bundle.card.name}, sha256 {bundle.card.sha256[:12]}, {bundle.tflite_path}"
