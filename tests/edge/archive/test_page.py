"""What docs/archive.md shows: the cohort's table, its plot and its query are run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb

from edge.archive import plan, work
from edge.archive.store import list_files
from edge.archive.tables import CELLS, FAILURES, FIELDS, Results, kind_of_failure
from edge.config import Config
from edge.counting.tally import clopper_pearson
from tests.system.pages import blocks


def test_the_cohort_of_the_page(repository: Path, archive: Path, config: Config, tmp_path: Path) -> None:
    provenance = work.line(config).provenance
    results = Results(tmp_path / "counted", provenance)
    for batch in plan.plan(list_files(str(archive))[0], least=1, most=100):
        results.write(batch.key(provenance.sha256), work.count_batch(config, provenance, batch))
    page = repository / "docs" / "archive.md"
    (program,) = blocks(page, "python")
    assert len(program.splitlines()) <= 12
    command = [sys.executable, "-c", "import matplotlib; matplotlib.use('agg')\n" + program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "cohort.png").read_bytes().startswith(b"\x89PNG")
    (query,) = blocks(page, "sql")
    asked = duckdb.sql(query.replace("counted/", f"{tmp_path}/counted/")).fetchall()
    assert len(asked) == 3
    printed = sorted(done.stdout.splitlines())
    for line, (folder, blasts, cells) in zip(printed, sorted(asked), strict=True):
        low, high = clopper_pearson(blasts, cells)
        share = f"{blasts / cells:.1%} ({low:.1%} to {high:.1%})" if cells else "0.0% (0.0% to 100.0%)"
        assert line == f"{folder}: {blasts} of {cells} = {share}"


def test_the_page_names_every_column_and_kind(repository: Path) -> None:
    text = (repository / "docs" / "archive.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+\*?)`", text))
    families = tuple(name.rstrip("*") for name in named if name.endswith("*"))
    for schema in (FIELDS, CELLS, FAILURES):
        missing = [name for name in schema.names if name not in named and not name.startswith(families)]
        assert not missing
    assert {"damaged", "video", "library", "unreachable"} <= named
    assert kind_of_failure(ValueError()) in named
