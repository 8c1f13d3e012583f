"""The FHIR bundle against R4 itself, by a validator of somebody else's; fhir.resources begins at R4B."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.results.fhir import fhir_bundle
from tests.edge.results.conftest import NAME, filled_with_types, read_all, sign, typed_log
from tests.edge.results.test_fhir import ERRORS, bundle_of, of_type
from tests.edge.results.test_search import say, searched, summed
from tests.system.conftest import cache_folder

pytestmark = pytest.mark.slow

__all__ = ["filled_with_types", "searched", "typed_log"]

#: Its definitions are those of FHIR R4 (4.0.1).
PACKAGE = "fhir@4.12.0"
PROGRAM = """
const { Fhir } = require("fhir");
const text = require("fs").readFileSync(0, "utf-8");
const found = new Fhir().validate(text, { errorOnUnexpected: true });
const wrong = ({ severity }) => severity === "error" || severity === "fatal";
console.log(JSON.stringify(found.messages.filter(wrong)));
"""


@pytest.fixture(scope="module")
def validator() -> Path:
    """Folder in which npm has installed the validator."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm: apt-get install npm")
    folder = cache_folder() / PACKAGE.replace("@", "-")
    if not (folder / "node_modules" / "fhir").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            pytest.skip(f"{PACKAGE} cannot be downloaded: {done.stderr[-300:]}")
    return folder


def complaints(validator: Path, bundle: dict[str, Any]) -> list[dict[str, str]]:
    done = subprocess.run(
        ["node", "-e", PROGRAM], cwd=validator, input=json.dumps(bundle), capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def test_the_bundle_has_the_structure_of_r4(validator: Path, typed_log: Path) -> None:
    read_all(typed_log, "AK")
    read_all(typed_log, "Sri <W> & co")
    with BloodLog.open(typed_log) as log:
        log.change_sample(NAME, "closed")
    sign(typed_log, "AK", "counted")
    sign(typed_log, "Sri <W> & co", "checked", clock_trusted=False)
    bundle = bundle_of(typed_log, ERRORS)
    assert len(of_type(bundle, "Provenance")) == 2
    assert complaints(validator, bundle) == []
    # It would notice: a key that there is none of, a value of another kind, one that is missing.
    for spoil in (
        lambda one: one.update(status_of_things="final"),
        lambda one: one.update(status=["final"]),
        lambda one: one.pop("code"),
    ):
        spoilt = copy.deepcopy(bundle)
        spoil(of_type(spoilt, "Observation")[0])
        assert complaints(validator, spoilt)


def test_what_a_search_has_found_has_the_structure_of_r4(validator: Path, searched: Path) -> None:
    """Its value is less than a limit, which a quantity says by its comparator; before a word it has none."""
    assert complaints(validator, fhir_bundle(summed(searched))) == []
    say(searched, {1: "normal"})
    bundle = fhir_bundle(summed(searched))
    (found,) = (one for one in of_type(bundle, "Observation") if "comparator" in one.get("valueQuantity", {}))
    assert complaints(validator, bundle) == []
    found["valueQuantity"]["comparator"] = "less than"
    assert complaints(validator, bundle)
