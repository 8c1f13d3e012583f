"""The bill of materials: valid by CycloneDX's own schema, and of what is locked and shipped now."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.tools.lock import DEV
from tests.tools.sbom import _ENTRY, MODELS, PACKAGES, PAGE, SBOM, bill, page

#: Words of a licence in a package's metadata, by the licence that the bill names.
WORDS = {
    "Apache-2.0": "apache",
    "BSD-3-Clause": "bsd",
    "MIT": "mit",
    "MIT-CMU": "mit-cmu",
    "MPL-2.0 AND MIT": "mpl-2.0 and mit",
    "PSF-2.0": "psf-2.0",
    "ZPL-2.1": "zpl 2.1",
}


def test_it_is_valid_and_of_this_tree() -> None:
    """Where this fails after a change of locked versions or networks: make sbom."""
    text = SBOM.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    made = bill()
    assert json.loads(text) == made
    assert PAGE.read_text(encoding="utf-8") == page(made)
    networks = {c["name"]: c for c in made["components"] if c["type"] == "machine-learning-model"}
    assert set(networks) == {file.stem for file in MODELS.glob("*.tflite")}
    for network in networks.values():
        model_card = network["modelCard"]
        assert model_card["considerations"]["technicalLimitations"]
        assert model_card["modelParameters"]["datasets"]
        assert model_card["quantitativeAnalysis"]["performanceMetrics"]
    refs = {c["bom-ref"] for c in made["components"]} | {"blastcount"}
    reached, new = set(), {"blastcount"}
    needs = {d["ref"]: d["dependsOn"] for d in made["dependencies"]}
    while new:
        reached |= new
        new = {other for one in new for other in needs.get(one, ())} - reached
    assert reached == refs  # each is there for somebody


@pytest.mark.parametrize("name", PACKAGES)
def test_licences_are_those_that_packages_declare(name: str) -> None:
    found = metadata.metadata(name)
    declared = [found.get("License-Expression") or "", found.get("License") or ""]
    declared += [c for c in found.get_all("Classifier", []) if c.startswith("License")]
    if any(declared):
        assert (
            WORDS[PACKAGES[name][0]] in " ".join(declared).lower() or "redistribution" in declared[1].lower()
        )


def test_no_locked_version_is_passed_over_for_its_marker() -> None:
    locked = DEV.read_text(encoding="utf-8")
    read = [(name, version) for name, version, _ in _ENTRY.findall(locked)]
    assert any(" ; " in line for line in locked.splitlines() if "==" in line)
    assert read == [
        tuple(line.split()[0].split("==")) for line in locked.splitlines() if "==" in line.split(";")[0]
    ]
