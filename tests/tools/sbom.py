"""What is in the program: ``python -m tests.tools.sbom`` writes edge/sbom.cdx.json and docs/third-party.md.

A software bill of materials in the form of CycloneDX 1.6 [1]_: the locked versions of all that a device
installs, with their hashes, licences and who needs them, and each network with its data, figures and limits.

References
----------
.. [1] ECMA-424, "CycloneDX Bill of materials specification", 2024; https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools.lock import DEVICE, ROOT

SBOM, PAGE = ROOT / "edge" / "sbom.cdx.json", ROOT / "docs" / "third-party.md"
MODELS = ROOT / "edge" / "classification" / "models"

#: SPDX licence of each package as its own metadata or licence file has it, and why it is there.
PACKAGES = {
    "ai-edge-litert": ("Apache-2.0", "runs the networks: the maintained TFLite interpreter"),
    "backports-strenum": ("MIT", "needed by ai-edge-litert"),
    "blinker": ("MIT", "needed by flask"),
    "charset-normalizer": ("MIT", "needed by reportlab"),
    "click": ("BSD-3-Clause", "the command line"),
    "flask": ("BSD-3-Clause", "the review page; with Jinja2, Werkzeug and WTForms below 7 MB"),
    "flask-wtf": ("BSD-3-Clause", "tokens in the review page's forms, against forged requests"),
    "flatbuffers": ("Apache-2.0", "needed by ai-edge-litert"),
    "itsdangerous": ("BSD-3-Clause", "needed by flask: signs its cookies"),
    "jinja2": ("BSD-3-Clause", "needed by flask: templates of page and sheet"),
    "markupsafe": ("BSD-3-Clause", "needed by jinja2, which escapes what comes from outside with it"),
    "ml-dtypes": ("Apache-2.0", "needed by ai-edge-litert"),
    "msgspec": ("BSD-3-Clause", "configuration, cards and messages: typed and bounded where they are read"),
    "numpy": ("BSD-3-Clause", "arrays"),
    "opencv-python-headless": (
        "Apache-2.0",
        "image processing, cameras and video; its wheel has FFmpeg (LGPL-2.1-or-later) beside it",
    ),
    "pillow": ("MIT-CMU", "reads a picture's size before it is decoded, and refuses what was cut off"),
    "platformdirs": ("MIT", "where a user's state lies"),
    "protobuf": ("BSD-3-Clause", "needed by ai-edge-litert"),
    "reportlab": ("BSD-3-Clause", "the sheet as PDF, with a font"),
    "sdnotify": ("MIT", "tells systemd that the service is ready and alive"),
    "segno": ("BSD-3-Clause", "QR codes by which a phone finds the page"),
    "simplejpeg": ("MIT", "JPEG by libjpeg-turbo, for which damage is an error"),
    "tifffile": ("BSD-3-Clause", "TIFF as microscopes write it, and OME-TIFF"),
    "tqdm": ("MPL-2.0 AND MIT", "needed by ai-edge-litert"),
    "typing-extensions": ("PSF-2.0", "needed by ai-edge-litert"),
    "waitress": ("ZPL-2.1", "serves the review page"),
    "werkzeug": ("BSD-3-Clause", "needed by flask"),
    "wtforms": ("BSD-3-Clause", "needed by flask-wtf"),
}
_PAGE = """# Software of others

What a device installs besides this program and Python itself, in the locked versions. Made of
`edge/sbom.cdx.json`, a bill of materials in the form of CycloneDX that lies in the package, too, with hashes,
and with the data, figures and limits of the networks. `make sbom` writes both, after `make lock` or with
another network.

| package | version | licence | why |
|---|---|---|---|
{}
"""
#: A locked version, its marker where it has one, and its hashes.
_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; [^\\\n]+)? \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)


def bill() -> dict[str, Any]:
    """Make the bill of what the working tree locks and ships; the same for the same tree."""
    entries = {name: (version, hashes) for name, version, hashes in _ENTRY.findall(DEVICE.read_text())}
    refs = {name: f"pkg:pypi/{name}@{version}" for name, (version, _) in entries.items()}
    networks = [_network(card) for card in sorted(MODELS.glob("*.json"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    content: dict[str, Any] = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "blastcount",
                "name": "blastcount",
                "description": f"{project['description']}. For research use only; not for diagnosis.",
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": [
            *(
                _library(name, version, refs[name], re.findall(r"[0-9a-f]{64}", hashes))
                for name, (version, hashes) in entries.items()
            ),
            *networks,
        ],
        "dependencies": [
            {
                "ref": "blastcount",
                "dependsOn": [*sorted(refs[n] for n in own), *(n["bom-ref"] for n in networks)],
            },
            *(
                {"ref": refs[n], "dependsOn": sorted({refs[m] for m in _needs(n) & refs.keys()})}
                for n in refs
            ),
        ],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return head | content


def _library(name: str, version: str, ref: str, hashes: list[str]) -> dict[str, Any]:
    licence, reason = PACKAGES[name]
    expression = " AND " in licence
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        "description": reason,
        "licenses": [{"expression": licence} if expression else {"license": {"id": licence}}],
        "purl": ref,
        # One of these is the file that a device has, according to its machine and Python.
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{version}/",
                "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
            }
        ],
    }


def _needs(name: str) -> set[str]:
    needed = map(Requirement, metadata.requires(name) or [])
    linux = {"extra": "", "platform_system": "Linux", "sys_platform": "linux"}
    return {canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate(linux)}


def _network(file: Path) -> dict[str, Any]:
    card = json.loads(file.read_text(encoding="utf-8"))
    training = card["training"]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"network:{card['name']}",
        "name": card["name"],
        "version": card["sha256"][:12],
        "description": card["intended_use"],
        "hashes": [{"alg": "SHA-256", "content": card["sha256"]}],
        "licenses": [{"license": {"id": "MIT"}}],
        "modelCard": {
            "modelParameters": {
                "task": f"classification of white blood cells: {', '.join(card['labels'])}",
                "architectureFamily": "convolutional neural network",
                "modelArchitecture": training["recipe"],
                "datasets": [
                    {"type": "dataset", "name": name, "contents": {"properties": [
                        {"name": "cells", "value": str(cells)}]}}
                    for name, cells in _data(training)
                ],
                "inputs": [{"format": "x".join(map(str, card["tensors"]["input"]["shape"]))}],
                "outputs": [{"format": "x".join(map(str, card["tensors"]["output"]["shape"]))}],
            },
            "quantitativeAnalysis": {"performanceMetrics": list(_figures(card))},
            "considerations": {
                "useCases": [card["intended_use"]],
                "technicalLimitations": card["limits"],
            },
        },
    }  # fmt: skip


def _data(training: dict[str, Any]) -> Iterator[tuple[str, int]]:
    data = training["data"]
    for key in ("by_laboratory_and_label", "by_folder_and_class"):
        yield from data.get(key, {}).items()


def _figures(card: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for test in card["evaluation"].get("protocol", {}).get("tests", ()):
        for name, figure in test.get("figures", {}).items():
            if figure.get("value") is not None and figure.get("ci95"):
                low, high = figure["ci95"]
                yield {
                    "type": name,
                    "value": f"{figure['value']:.4f}",
                    "slice": test["test"],
                    "confidenceInterval": {"lowerBound": f"{low:.4f}", "upperBound": f"{high:.4f}"},
                }


def page(made: dict[str, Any]) -> str:
    """Write the list of third-party software for people."""
    rows = [
        f"| {c['name']} | {c['version']} | {PACKAGES[c['name']][0]} | {c['description']} |"
        for c in made["components"]
        if c["type"] == "library"
    ]
    return _PAGE.format("\n".join(rows))


def main() -> None:
    """Write both files."""
    made = bill()
    SBOM.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
