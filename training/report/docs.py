"""Writes the pages of ``docs/`` that are rendered from JSON (``make docs``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edge import bench
from training.report import cardpage
from training.report import evaluation as report
from training.report.page import markdown

ROOT = Path(__file__).resolve().parents[2]


def pages(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Render every page that has a JSON.

    Parameters
    ----------
    root : of the checkout

    Yields
    ------
    path and text: ``docs/card-NAME.md`` of each shipped bundle, ``docs/evaluation-NAME.md`` of each
    ``docs/evaluation-NAME.json``, ``docs/bench.md`` and ``docs/bench-NAME.md``
    """
    docs = root / "docs"
    for card in sorted((root / "edge" / "classification" / "models").glob("*.json")):
        yield docs / f"card-{card.stem}.md", cardpage.as_markdown(json.loads(card.read_text("utf-8")))
    for evaluation in sorted(docs.glob("evaluation-*.json")):
        document = json.loads(evaluation.read_text("utf-8"))
        text = markdown(report.title_of(document), list(report.blocks(document)))
        yield evaluation.with_suffix(".md"), text
    for path in sorted(docs.glob("bench*.json")):
        yield path.with_suffix(".md"), bench.markdown(json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
