"""Writes the pages of ``docs/`` that are rendered from JSON (``make docs``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge import bench
from edge.device.printable import markdown_table
from training.report import archive, cardpage, control, published, recalibration
from training.report import evaluation as report
from training.report import types as type_report
from training.report.page import Block, body, markdown

#: Between these ``docs/quality.md`` has the tables of ``docs/silent.json``.
_SILENT, _END = "<!-- docs/silent.json -->", "<!-- end -->"
#: ... ``docs/control.md`` those of ``docs/control.json``, and ``docs/recalibration.md`` those of its own.
_CONTROL, _RECALIBRATION = "<!-- docs/control.json -->", "<!-- docs/recalibration.json -->"
#: ... and ``docs/archive.md`` those of ``docs/archive.json``.
_ARCHIVE = "<!-- docs/archive.json -->"
ROOT = Path(__file__).resolve().parents[2]


def pages(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Render every page that has a JSON.

    Parameters
    ----------
    root : of the checkout

    Yields
    ------
    path and text: ``docs/card-NAME.md`` of each shipped bundle, ``docs/evaluation-NAME.md`` of each
    ``docs/evaluation-NAME.json``, ``docs/types.md``, ``docs/published.md`` of ``training/models/published``,
    ``docs/bench.md`` and ``docs/bench-NAME.md``, and ``docs/quality.md`` with the tables of
    ``docs/silent.json`` between its marks, as ``docs/control.md`` has those of ``docs/control.json`` and
    ``docs/recalibration.md`` and ``docs/archive.md`` those of their own
    """
    docs = root / "docs"
    for card in sorted((root / "edge" / "classification" / "models").glob("*.json")):
        yield docs / f"card-{card.stem}.md", cardpage.as_markdown(json.loads(card.read_text("utf-8")))
    found = json.loads((docs / "types.json").read_text("utf-8"))
    yield docs / "types.md", markdown(type_report.TITLE, list(type_report.blocks(found)))
    for evaluation in sorted(docs.glob("evaluation-*.json")):
        document = json.loads(evaluation.read_text("utf-8"))
        text = markdown(report.title_of(document), list(report.blocks(document)))
        yield evaluation.with_suffix(".md"), text
    for path in sorted(docs.glob("bench*.json")):
        yield path.with_suffix(".md"), bench.markdown(json.loads(path.read_text("utf-8")))
    yield docs / "published.md", markdown(published.TITLE, list(_published(root)))
    silent = json.loads((docs / "silent.json").read_text("utf-8"))
    yield _between_marks(docs / "quality.md", _SILENT, _silent_tables(silent))
    drifts = json.loads((docs / "control.json").read_text("utf-8"))
    yield _between_marks(docs / "control.md", _CONTROL, body(control.blocks(drifts)))
    curve = json.loads((docs / "recalibration.json").read_text("utf-8"))
    yield _between_marks(docs / "recalibration.md", _RECALIBRATION, body(recalibration.blocks(curve)))
    costs = json.loads((docs / "archive.json").read_text("utf-8"))
    yield _between_marks(docs / "archive.md", _ARCHIVE, body(archive.blocks(costs)))


def _between_marks(page: Path, mark: str, tables: str) -> tuple[Path, str]:
    """Put tables into a page that is written by hand, between a mark and the end's."""
    before, mark, rest = page.read_text("utf-8").partition(mark)
    _, end, after = rest.partition(_END)
    return page, f"{before}{mark}\n{tables}\n{end}{after}"


def _published(root: Path) -> Iterator[Block]:
    """Lay out the published systems, as far as they were trained."""
    akbar, shipped, card = (
        json.loads((root / name).read_text("utf-8"))
        for name in (
            "docs/evaluation-akbar2024.json",
            "docs/evaluation-coloured.json",
            "edge/classification/models/akbar2024.json",
        )
    )
    folder = root / "training" / "models" / "published"
    trained = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    return published.blocks({"akbar2024": published.of_akbar(card, akbar)} | trained, shipped)


def _silent_tables(document: dict[str, Any]) -> str:
    """Wrong numbers in silence by kind, and good pictures refused or warned of by source."""
    kinds, good = document["kinds"], document["good"]
    total = {name: sum(row[name] for row in kinds) for name in ("n", "before", "after")}
    by_kind = [
        (row["kind"], str(row["n"]), str(row["before"]), str(row["after"] or "none"))
        for row in (*kinds, {"kind": "all", **total})
    ]
    by_source = [
        (row["source"], *(str(row[name]) for name in ("n", "refused", "warned")), ", ".join(row["names"]))
        for row in good
    ]
    return "\n\n".join(
        (
            markdown_table(("kind", "tried", "wrong in silence before", "after"), by_kind, aligned=False),
            markdown_table(("good pictures", "n", "refused", "warned of", "names"), by_source, aligned=False),
        )
    )


if __name__ == "__main__":
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
