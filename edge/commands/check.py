"""``blastcount check``: whether this device is fit to count."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edge.commands.options import json_option, model_option
from edge.device.printable import printable
from edge.selfcheck import examine, verdict
from edge.version import software_version

SCHEMA = "blastcount.check/1"


@click.command("check")
@json_option
@model_option
@click.option(
    "--program",
    is_flag=True,
    help="Configuration, model, golden crops and field alone: whether this version can be put in use.",
)
def check(as_json: bool, model: Path | None, program: bool) -> None:
    """Test model, golden crops and field, camera, disk, clock, rights, supply, calibration and log.

    A camera is looked for where one is configured or the service is installed. Exit code 4 where a check
    says no, 3 where configuration or model cannot be used.
    """
    findings = examine(model, program=program)
    passed = all(finding.passed for finding in findings)
    said = "the program is fit; the device was not looked at" if program and passed else verdict(findings)
    if as_json:
        report = {
            "schema": SCHEMA,
            "passed": passed,
            "verdict": said,
            "version": software_version(),
            "checks": [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(report))
    else:
        for finding in findings:
            click.echo(
                f"{'pass' if finding.passed else 'FAIL'}  {finding.name:13} {printable(finding.detail)}"
            )
        click.echo(said)
    click.get_current_context().exit(next((f.exit_code for f in findings if not f.passed), 0))
