"""Exports hold every row; from the JSON Lines alone the chain can be computed again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.export import export_csv, export_jsonl
from edge.errors import LogError
from edge.structures import ModelIdentity
from tests.edge.bloodlog.fields import PROVENANCE, make_cell, make_result


def jsonl(log: BloodLog, name: str | None = None) -> list[dict[str, object]]:
    file = io.StringIO()
    rows = export_jsonl(log, file, None if name is None else log.sample(name))
    records = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(records) == rows
    return records


def table(log: BloodLog, name: str | None = None) -> list[dict[str, str]]:
    file = io.StringIO()
    lines = export_csv(log, file, None if name is None else log.sample(name))
    records = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(records) == lines
    return records


def test_the_chain_follows_from_the_lines_alone(full: Path) -> None:
    with BloodLog.open(full) as log:
        records = jsonl(log)
        head = log.head()
    previous = "0" * 64
    for number, record in enumerate(records, start=1):
        content = {key: record[key] for key in ("kind", "row", "cells") if key in record}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        previous = hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
        assert (record["link"], record["sha256"]) == (number, previous)
    assert (head.number, head.sha256) == (len(records), previous)


def test_a_sample_alone(full: Path) -> None:
    with BloodLog.open(full) as log:
        kinds = [record["kind"] for record in jsonl(log, "S-1")]
        assert sorted(kinds) == ["field"] * 3 + ["review"] * 3 + ["sample"] + ["sample_event"] * 2
        assert {line["sample"] for line in table(log, "S-2")} == {"S-2"}


def test_a_line_a_cell(full: Path) -> None:
    with BloodLog.open(full) as log:
        log.append(make_result("=cmd|'/c calc'!A0"), **PROVENANCE)
        empty = replace(make_result(), cells=(), status="rejected", reasons=("blank", "out_of_focus"))
        log.append(empty, **PROVENANCE)
        lines = table(log)
        fields = list(log.fields())
    assert len(lines) == sum(max(1, len(logged.result.cells)) for logged in fields)
    first, cell = lines[0], fields[0].result.cells[0]
    assert (first["field"], first["cell"], first["sample"], first["class"]) == ("1", "1", "", "blast")
    assert (float(first["x"]), float(first["p_blast"]), first["touches_border"]) == (
        cell.cell.x,
        cell.p_blast,
        "0",
    )
    assert lines[-2]["source"] == "'=cmd|'/c calc'!A0"
    assert (lines[-1]["status"], lines[-1]["reasons"], lines[-1]["cell"]) == (
        "rejected",
        "blank out_of_focus",
        "",
    )


def test_types_have_columns_where_a_network_named_them(full: Path) -> None:
    with BloodLog.open(full) as log:
        before = list(table(log)[0])
        cell = replace(make_cell(1), type="monocyte", p_type=0.5)
        typed = replace(make_result(), cells=(cell,), type_model=ModelIdentity("types", "b" * 64))
        log.append(typed, **PROVENANCE)
        *_, last = table(log)
        assert list(last) == [*before, "type", "p_type", "type_model_name", "type_model_sha256"]
        assert list(last.values())[-4:] == ["monocyte", "0.5", "types", "b" * 64]
        assert list(table(log, "S-1")[0]) == before


def test_a_spreadsheet_reads_every_text_as_it_was(full: Path) -> None:
    """A CR inside a text stands in quotes, lines end alike, and what is not ASCII is said to be UTF-8."""

    def content(log: BloodLog, *, for_spreadsheet: bool) -> str:
        file = io.StringIO(newline="")
        export_csv(log, file, for_spreadsheet=for_spreadsheet)
        return file.getvalue()

    with BloodLog.open(full) as log:
        log.append(make_result('a\rb,"c".jpg'), **PROVENANCE)
        assert content(log, for_spreadsheet=True) == content(log, for_spreadsheet=False)
        last = list(csv.DictReader(io.StringIO(content(log, for_spreadsheet=True), newline="")))[-1]
        assert last["source"] == 'a\rb,"c".jpg'
        assert '"a\rb,""c"".jpg"' in content(log, for_spreadsheet=True)
        assert "\r\n" not in content(log, for_spreadsheet=True)
        log.append(make_result("Färbung 細胞.jpg"), **PROVENANCE)
        assert content(log, for_spreadsheet=True) == "\ufeff" + content(log, for_spreadsheet=False)


def test_an_unknown_sample_is_named(full: Path) -> None:
    with BloodLog.open(full) as log, pytest.raises(LogError, match="there is no sample S-9"):
        jsonl(log, "S-9")
