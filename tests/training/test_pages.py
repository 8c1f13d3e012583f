"""Pages rendered from JSON show what the JSON says, those in ``docs/`` too."""

from __future__ import annotations

import json
from pathlib import Path

from training.report import cardpage, docs


def test_pages_in_docs_are_those_of_their_json(repository: Path) -> None:
    """Where this fails: `make docs` writes them anew."""
    rendered = dict(docs.pages(repository))
    assert repository / "docs" / "card-akbar2024.md" in rendered
    for path, text in rendered.items():
        assert path.read_text("utf-8") == text, path.name


def test_every_part_of_a_card_after_mitchell_is_there(repository: Path) -> None:
    card = json.loads((repository / "edge/classification/models" / "akbar2024.json").read_text("utf-8"))
    page = cardpage.as_markdown(card)
    for part in (
        "Model details", "Intended use", "Factors", "Metrics", "Training data",
        "Evaluation data and quantitative analyses", "Ethical considerations", "Caveats and recommendations",
    ):  # fmt: skip
        assert f"## {part}\n" in page
    held_back = card["evaluation"]["held_back"]["accuracy"]
    assert f"({held_back['k']}/{held_back['n']})" in page
    assert "test crops show a cell that is also in training" in page
    card["evaluation"]["held_back"]["accuracy"]["k"] -= 1
    assert cardpage.as_markdown(card) != page
