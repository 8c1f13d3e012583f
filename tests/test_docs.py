"""What the README and the documentation show is true: commands, links, tables, sample output."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.bloodlog import BloodLog
from edge.bloodlog.export import export_jsonl
from edge.classification.card import load_bundle
from edge.cli import main
from edge.commands.log import log_group
from edge.config import TriggerMode
from edge.counting.tally import clopper_pearson
from edge.daemon.protocol import COMMANDS
from edge.results.corrected import KnownErrors
from edge.results.texts import TYPE_LETTERS
from edge.structures import CellRef
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.system.pages import ENDLESS, KNOWN, NOT_HERE, blocks, commands, is_not_here

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.name for page in PAGES]


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def shown_commands(page: Path) -> list[str]:
    """Every `blastcount ...` line of a page."""
    return [line for line in commands(page) if re.match(r"(\S*/)?blastcount [a-z]", line)]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_shown_is_understood(page: Path) -> None:
    assert len(shown_commands(page)) >= {"engineer.md": 10}.get(page.name, 0)
    for line in shown_commands(page):
        # --help stops the command after its options were parsed, so an unknown option still fails.
        words = [word.rstrip(".") for word in shlex.split(line)[1:]]
        result = CliRunner().invoke(main, [*words, "--help"])
        assert result.exit_code == 0, f"{page.name}: {line}\n{result.output}"


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    assert CliRunner().invoke(main, ["count", "--no-such-option", "--help"]).exit_code == 2


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for target in re.findall(r"^(?:sudo )?make ([a-z-]+)", "\n".join(blocks(page)), re.MULTILINE):
        assert target in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def without_times(text: str) -> list[list[str]]:
    """Words of the table's rows, without the milliseconds, which differ from run to run."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0].endswith(".jpg"):
            del words[8]
        if words:
            rows.append(words)
    return rows


def test_the_readme_shows_what_counting_the_samples_prints_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = next(block for block in blocks(ROOT / "README.md") if "rendered_0001.jpg" in block)
    result = CliRunner().invoke(main, ["count", "edge/samples"])
    assert result.exit_code == 0, result.stderr
    rows = without_times(shown)
    assert len(rows) >= 8
    assert rows == without_times(result.stdout)[: len(rows)]


def table_rows(page: Path) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in page.read_text().splitlines()
        if line.startswith("|")
    ]


def test_segmentation_page_shows_the_recorded_figures() -> None:
    """docs/segmentation.json is the output of the command that the page names."""
    recorded = json.loads((ROOT / "docs" / "segmentation.json").read_text())
    rows = table_rows(ROOT / "docs" / "segmentation.md")
    shown = {(row[0], row[1]): row[2] for row in rows if len(row) >= 4}
    figures = {
        (Path(source["truth"]).name, figure["name"]): f"{figure['value']:.3f}"
        for source in recorded["sources"]
        for figure in source["figures"]
    }
    assert figures
    assert {key: shown.get(key) for key in figures} == figures


def test_segmentation_page_shows_the_recorded_robustness() -> None:
    """docs/robustness.json is the output, with --json, of the command that the page names."""
    recorded = json.loads((ROOT / "docs" / "robustness.json").read_text())
    rows = table_rows(ROOT / "docs" / "segmentation.md")
    shown = {row[0]: row[1:] for row in rows if len(row) == len(recorded["sources"]) + 1}
    names = [Path(source["source"]).name for source in recorded["sources"]]
    assert shown["alteration"] == names
    for i, first in enumerate(recorded["sources"][0]["alterations"]):
        of_source = [source["alterations"][i] for source in recorded["sources"]]
        assert shown[first["name"]] == [
            f"{r['hits']}/{r['hits_before']}/{r['marked']}, {r['within_one']}/{r['fields']}"
            + ("" if r["held"] else " !")
            for r in of_source
        ]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["wbc-chula", "bccd", "wbc-seg/set2"])
def test_recorded_segmentation_figures_are_those_of_this_code(real_data: Path, name: str) -> None:
    from training.evaluation.run import evaluate
    from training.evaluation.truth import read_truth

    recorded = json.loads((ROOT / "docs" / "segmentation.json").read_text())
    source = next(s for s in recorded["sources"] if s["truth"].endswith(name))
    layout, fields = read_truth(real_data / name)
    for figure, old in zip(evaluate(layout, fields, lambda *_: None), source["figures"], strict=True):
        # Another OpenCV rounds differently: one cell in 16 fields is 0.06, of the larger sets far less.
        assert figure.value == pytest.approx(old["value"], abs=max(0.01, 1.01 / figure.n)), old["name"]


def test_method_page_shows_what_the_reference_card_says_of_repeated_splits_and_the_protocol() -> None:
    card = json.loads((ROOT / "edge/classification/models" / "akbar2024.json").read_text())["evaluation"]
    page = (ROOT / "docs" / "method.md").read_text()
    section = page.partition("## The reference network")[2].partition("## Reproduce")[0]
    together = card["repeated_splits"]
    for name in ("accuracy", "sensitivity", "specificity"):
        value, (low, high) = together[name], together[name]["ci95"]
        share = f"{value['k']}/{value['n']} = {100 * value['value']:.1f} %"
        assert f"{share} | {100 * low:.1f} to {100 * high:.1f} %" in section, (name, share)
    low, high = together["error_range"]
    assert f"| {together['error']:.3f} | {low:.3f} to {high:.3f} |" in section
    assert len(together["each"]) == together["splits"] == 5
    tests = {test["test"]: test for test in card["protocol"]["tests"]}
    for name in ("scene", "session"):
        found = tests[name]["figures"]
        shown = ", ".join(f"{found[f]['k']}/{found[f]['n']}" for f in ("sensitivity", "specificity"))
        assert (
            f"| by {name} | sensitivity, specificity, AUC | {shown}, {found['auc']['value']:.3f}" in section
        )
    reached = [goal["name"] for goal in card["protocol"]["goals"] if goal["reached"]]
    assert reached == ["by scene: uncertain"]
    assert f"one goal of {len(card['protocol']['goals'])}" in section


def recorded_all(name: str) -> dict[str, dict[str, object]]:
    """Figures of a page's last source by name, as its command wrote them."""
    recorded = json.loads((ROOT / "docs" / f"{name}.json").read_text())
    source = recorded["sources"][-1 if name == "quality" else 0]
    return {figure["name"]: figure for figure in source["figures"]}


@pytest.mark.parametrize("name", ["registration", "quality"])
def test_a_live_page_shows_the_recorded_figures(name: str) -> None:
    """The pages' tables are the output of the command that they name."""
    figures = recorded_all(name)
    rows = {row[0]: row for row in table_rows(ROOT / "docs" / f"{name}.md") if len(row) == 4}
    assert figures
    for key, figure in figures.items():
        hits, low_high = figure["hits"], figure["ci95"]
        count = f"n = {figure['n']}" if hits is None else f"{hits}/{figure['n']}"
        interval = "" if low_high is None else "{:.4f} to {:.4f}".format(*low_high)  # type: ignore[misc]
        assert rows[key] == [key, f"{figure['value']:.4f}", count, interval]


def test_every_reason_and_every_warning_is_on_the_quality_page() -> None:
    from edge.quality import ADVICE, WARNINGS

    rows = {row[0] for row in table_rows(ROOT / "docs" / "quality.md")}
    assert set(ADVICE) | set(WARNINGS) <= rows


def test_method_page_shows_the_goals_of_the_recorded_evaluation() -> None:
    """docs/evaluation-coloured.json is written by the command that the page names."""
    from training.report.evaluation import goals_table

    recorded = json.loads((ROOT / "docs" / "evaluation-coloured.json").read_text())
    shown = {tuple(row) for row in table_rows(ROOT / "docs" / "method.md")}
    rows = goals_table(recorded).rows
    assert len(rows) >= 20
    for row in rows:
        assert row in shown, row


def test_the_readme_shows_the_recorded_figures() -> None:
    """What it says of finding cells, of the shipped network and of the reference is in a file of figures."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    recorded = json.loads((ROOT / "docs" / "evaluation-coloured.json").read_text())
    tests = {test["test"]: test for test in recorded["tests"]}

    def percent(figure: dict[str, float]) -> str:
        return f"{100 * figure['value']:.1f} %"

    by_patient, left_out = (tests[n]["myeloid"]["jhu-aml"]["figures"] for n in ("session", "lab:jhu-aml"))
    blasts, mature = (by_patient[name] for name in ("sensitivity", "specificity"))
    assert f"{percent(blasts)} of {blasts['n']} blasts and {percent(mature)} of {mature['n']}" in readme
    assert f"(AUC {by_patient['auc']['value']:.3f}, {by_patient['auc']['groups']} patients)" in readme
    shares = " and ".join(percent(left_out[name]) for name in ("sensitivity", "specificity"))
    assert f"{shares} of the same cells (AUC {left_out['auc']['value']:.3f})" in readme
    # A report quotes other ones: of the card, where an uncertain cell is none that was called a blast.
    card = load_bundle(ROOT / "edge" / "classification" / "models" / "coloured.tflite").card
    errors = KnownErrors.of_evaluation(dict(card.sections["evaluation"]))
    assert errors is not None
    quoted = f"{100 * errors.sensitivity:.1f} % of {errors.blasts} blasts"
    assert f"{quoted} and {100 * errors.specificity:.1f} % of {errors.others} other cells" in readme
    goals = {goal["name"]: goal["figure"] for goal in recorded["goals"]}
    called = [goals[name]["value"] for name in goals if name.endswith("left out: mature cells called blast")]
    assert f"{100 * min(called):.0f} to {100 * max(called):.0f} % of mature cells" in readme
    assert f"{percent(goals['pbc left out: basophils called blast'])} of pbc's basophils" in readme
    (lisc,) = (row for row in table_rows(ROOT / "docs" / "method.md") if row[0].startswith("lisc"))
    assert f"{lisc[2].replace('/', ' of ')} white cells of healthy persons" in readme

    cards = ROOT / "edge" / "classification" / "models"
    parity = json.loads((cards / "coloured.json").read_text())["parity"]
    flipped = max(runtime["flipped"] for runtime in parity["runtimes"]) / parity["crops"]["n"]
    assert f"the class of {100 * flipped:.1f} % of {parity['crops']['n']:,} cells" in readme
    assert f"int8 ({(cards / 'coloured.tflite').stat().st_size / 1000:.0f} kB)" in readme
    reference = json.loads((cards / "akbar2024.json").read_text())["evaluation"]
    assert f"{percent(reference['repeated_splits']['accuracy'])} on random splits" in readme
    (by_session,) = (test for test in reference["protocol"]["tests"] if test["test"] == "session")
    assert f"(AUC {by_session['figures']['auc']['value']:.3f})" in readme

    segmentation = json.loads((ROOT / "docs" / "segmentation.json").read_text())
    found = {
        (Path(source["truth"]).name, figure["name"]): figure
        for source in segmentation["sources"]
        for figure in source["figures"]
    }
    marked, boxed = found["all-idb1", "blast_detected_recall"], found["bccd", "wbc_recall"]
    assert f"{marked['hits']} of {marked['n']} marked blasts of ALL-IDB1 ({percent(marked)})" in readme
    assert f"{boxed['hits']} of {boxed['n']} boxed white cells of BCCD ({percent(boxed)})" in readme


def test_the_log_page_names_every_table(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "blood.db") as log, log.reading() as connection:
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
    assert set(re.findall(r"^\| `(\w+)` \|", text_of("log.md"), re.MULTILINE)) == tables


def test_the_log_page_names_every_command() -> None:
    assert {f"blastcount log {name}" for name in log_group.commands} <= set(
        re.findall(r"blastcount log \w+", text_of("log.md"))
    )


def test_the_program_that_checks_an_export_does(tmp_path: Path) -> None:
    program = next(iter(re.findall(r"```python\n(.*?)```", text_of("log.md"), re.DOTALL)))
    path, exported = tmp_path / "blood.db", tmp_path / "log.jsonl"
    with BloodLog.open(path) as log, exported.open("w", encoding="utf-8") as file:
        sample = log.open_sample("S-1", "blood", 200)
        for _ in range(5):
            log.append(make_result(), **PROVENANCE, sample_id=sample.id)
        export_jsonl(log, file)
        head = log.head()

    def check(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=False
        )

    text = exported.read_text(encoding="utf-8")
    assert check(text).stdout == f"head {head}\n"
    assert "AssertionError: line" in check(text.replace('"area_px": 700', '"area_px": 701', 1)).stderr


def test_the_pi_page_explains_every_mode_and_command() -> None:
    for mode in TriggerMode.__args__:  # type: ignore[attr-defined]  # of a Literal
        assert re.search(rf"^\| `{mode}`", text_of("pi.md"), re.MULTILINE), mode
    for command in COMMANDS:
        assert f"`{command}`" in text_of("pi.md"), command


def test_exit_codes_that_leave_the_service_down() -> None:
    unit = (ROOT / "systemd" / "blastcount.service").read_text()
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    down = re.findall(r"^\| (\d) \|.*\| leaves it down \|$", text_of("pi.md"), re.MULTILINE)
    assert down == codes.split()


def test_the_review_page_names_the_keys_of_the_script() -> None:
    script = (ROOT / "edge" / "web" / "static" / "review.js").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([A-Z]) (?:or Enter )?\|", text_of("review.md"), re.MULTILINE)
    assert told == ["B", "N", "S", "X", "C", "U", "F"]
    types = re.findall(r"^\| ((?:[A-Z], )+[A-Z]) \|", text_of("review.md"), re.MULTILINE)
    assert ", ".join(types).split(", ") == list(TYPE_LETTERS.values())
    for key in told:
        assert re.search(rf'\b{key.lower()}: "|=== "{key.lower()}"', script), key


def clinic_commands() -> list[list[str]]:
    lines = re.findall(r"^blastcount (.*)$", text_of("clinic.md"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def look_at_every_cell(path: Path) -> None:
    with BloodLog.open(path) as log:
        (logged,) = log.fields(log.sample("S-0142").id)
        words = {
            CellRef(logged.id, found.cell.id): found.label if found.label in ("blast", "normal") else "normal"
            for found in logged.result.cells
            if found.cell.kind == "wbc" and not found.cell.touches_border
        }
        assert log.add_reviews(words, "AK") > 5


def test_the_clinic_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("BLASTCOUNT_CONFIG", raising=False)
    (tmp_path / "pictures").mkdir()
    shutil.copy(ROOT / "edge" / "samples" / "rendered_0001.jpg", tmp_path / "pictures")
    followed = []
    for words in clinic_commands():
        # The second sample stands for another day, and no service runs here.
        if "M-0007" in words or words[0] == "status":
            continue
        if words[:2] == ["sample", "close"]:
            look_at_every_cell(tmp_path / "state" / "blastcount.db")
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, (words, result.output)
        followed.append(" ".join(words[:2]))
    assert len(followed) >= 11
    assert (tmp_path / "S-0142.pdf").read_bytes().startswith(b"%PDF-")
    assert "709-6" in (tmp_path / "S-0142.json").read_text()
    assert (tmp_path / "our-cells" / "dataset.jsonl").is_file()


def test_the_intervals_on_the_clinic_page_are_right() -> None:
    text = " ".join(text_of("clinic.md").split())
    for k, n in ((40, 200), (4, 20)):
        low, high = (f"{100 * limit:.1f} %" for limit in clopper_pearson(k, n))
        assert f"between {low} and {high}" in text


def test_what_is_not_typed_in_a_machine_stands_in_one_list(repository: Path) -> None:
    """tests/system/test_story.py types the commands of both pages, but those that the list names."""
    typed = [line for name in ("pi.md", "clinic.md") for line in commands(repository / "docs" / name)]
    assert len(typed) > 30
    for start, why in NOT_HERE.items():
        assert any(line.startswith(start) for line in typed), start
        assert why
    assert set(ENDLESS) <= set(typed)
    assert all(any(words in line for line in typed) for words in KNOWN)
    assert len([line for line in typed if is_not_here(line)]) == len(NOT_HERE)
