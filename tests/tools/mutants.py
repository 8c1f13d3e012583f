"""Wrong values of constants that decide whether a cell counts, and whether a test notices: ``make mutants``.

Each row of ``MUTANTS`` names a file, what stands there, a wrong value, and the tests that must fail with it.
The tree is copied once; each mutant is applied there, its tests run up to the first failure, and it is taken
back. The exit code is 1 where a mutant survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
#: pytest's exit code where tests failed. Any other is no kill: nothing was collected, or it was interrupted.
_FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """A wrong value: in ``file`` ``right`` becomes ``wrong``, and one of ``tests`` fails."""

    file: str
    right: str
    wrong: str
    tests: str


def constants(file: str, tests: str, wrong: dict[str, str]) -> list[Mutant]:
    """Mutants of constants that stand as ``NAME = value`` at the beginning of a line."""
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    found = []
    for name, value in wrong.items():
        line = re.search(rf"^{name} = [^#\n]*", text, re.MULTILINE)
        if line is None:
            raise SystemExit(f"{file} has no constant {name}: the table of mutants is out of date")
        found.append(Mutant(file, line.group().rstrip(), f"{name} = {value}", tests))
    return found


_SEGMENTATION = "tests/edge/segmentation"
MUTANTS = [
    *(
        mutant
        for file, wrong in {
            "light": {
                "MIN_BLANK": "34.0",
                "BURNT_OUT": "249",
                "MAX_BURNT_OUT": "0.9996",
                "GREY_LEVELS": "5",
                "BLANK_RANGE": "21",
                "MAX_NOISE": "14",
            },
            "cover": {
                "MAX_OPAQUE": "0.0073",
                "MAX_COVER": "0.86",
                "BLANK_COVER": "0.00053",
                "LEAST_FIELD_UM": "47.0",
            },
            "focus": {
                "MAX_BLUR_UM": "0.74",
                "EDGELESS_COVER": "0.053",
                "MAX_SECOND_PART_UM": "0.62",
                "MAX_PART_UM": "1.22",
                "MAX_MOVED_UM": "0.52",
            },
            "gate": {"_COARSEST_UM_PER_PX": "0.45"},
            "look": {
                "_STAINED": "0.135",
                "_OPAQUE, _GREY": "0.27, 0.7",
                "_RED_CELLS_OVER_EACH_OTHER, _SURELY_OPAQUE": "2.3, 0.4",
            },
            "reference": {
                "MAX_COLOUR_DRIFT": "0.032",
                "MAX_LIGHT_FACTOR": "1.66",
                "MAX_STAIN_MIX": "0.083",
                "MAX_STAIN_FACTOR": "1.9",
                "_NEARLY_BURNT_OUT": "2",
            },
            "integrity": {
                "_MISSING": "0.053",
                "_TORN_SEGMENTS": "5",
                "_TEAR, _LEAST_TEAR": "4.5, 5.0",
                "_EDGE": "0.04",
            },
        }.items()
        for mutant in constants(f"edge/quality/{file}.py", "tests/edge/quality/test_limits.py", wrong)
    ),
    *constants("edge/quality/reference.py", "tests/edge/quality/test_gate.py", {"REFERENCE_FIELDS": "4"}),
    *(
        mutant
        for wrong in (
            {"_FLAT_SHARE": "0.87", "_COLOURS_A_PIXEL": "0.004"},
            {"_FLAT_SHARE": "0.93", "_COLOURS_A_PIXEL": "0.006"},
        )
        for mutant in constants("edge/camera/label_image.py", "tests/edge/camera/test_label_image.py", wrong)
    ),
    *constants(
        "edge/quality/edges.py",
        "tests/edge/quality/test_edges.py",
        {
            "_SEAM_MARGIN": "0.08",
            "_LEAST_SEAM, _SEAM_RATIO": "5.0, 4.5",
            "_MOST_STRETCHED": "0.4",
            "_LEAST_SIDE_PX": "390",
            "_EDGE_SHARE, _LEAST_EDGE_PX": "0.25, 20",
            "_COARSEST_UM_PER_PX": "0.125",
            "_STEEP, _DRAWN": "1.1, 1.1",
            "_MOST_STEEP, _MOST_DRAWN, _LEAST_STEEP_PX": "0.17, 0.06, 30",
        },
    ),
    *constants(
        "edge/quality/ghost.py",
        "tests/edge/quality/test_ghost.py",
        {"_NEAREST_UM, _FARTHEST_UM": "3.5, 14.0", "_LEAST_ECHO": "12.5"},
    ),
    *constants(
        "edge/quality/ghost.py",
        "tests/edge/quality/test_ghost.py",
        {"_NEAREST_UM, _FARTHEST_UM": "2.5, 12.0"},
    ),
    *(
        mutant
        for wrong in (
            {
                "MAX_PATCHY": "0.056",
                "_SLIDE, _LEAST_TILES": "0.12, 11",
                "_EDGES, _LEAST_EDGE": "0.03, 3.0",
                "MIN_FOLLOWING": "0.19",
            },
            {
                "MAX_PATCHY": "0.05",
                "_SLIDE, _LEAST_TILES": "0.2, 9",
                "_EDGES, _LEAST_EDGE": "0.03, 2.2",
                "MIN_FOLLOWING": "0.25",
            },
        )
        for mutant in constants("edge/quality/overlaid.py", "tests/edge/quality/test_overlaid.py", wrong)
    ),
    *constants("edge/quality/smear.py", "tests/edge/quality/test_smear.py", {"_CROWD": "5"}),
    *constants(
        "edge/quality/fringes.py",
        "tests/edge/quality/test_fringes.py",
        {"_LEAST_WAY_UM": "0.36", "_LEAST_EXPLAINED": "0.23"},
    ),
    *constants(
        "edge/segmentation/bend.py",
        f"{_SEGMENTATION}/test_bend.py",
        {"_MOST_CONTOURS, _LEAST_CELLS": "128, 11", "_LEAST_ERRORS": "4.6"},
    ),
    *constants(
        "edge/quality/integrity.py",
        "tests/edge/quality/test_integrity.py",
        {"_LEAST_SIDE_PX": "386"},
    ),
    *constants(
        "edge/light/sharpness.py",
        "tests/edge/light",
        {
            "_LEAST_STEEP": "2.0",
            "_COLUMNS, _ROWS, _LEAST_PX_OF_PART, _LEAST_OF_TOP": "4, 3, 20, 0.5",
            "_SHADE_UM": "2.0",
        },
    ),
    *constants(
        "edge/quality/smear.py",
        "tests/edge/quality/test_smear.py",
        {
            "_LEAST_VARIETY": "0.024",
            "_MOST_OF_ONE_CHANNEL, _LEAST_OF_ONE_CHANNEL": "0.75, -0.05",
            "_DARKER, _COLOURS, _MOST_OF_COLOURS": "0.85, 6, 0.31",
            "_MOST_OF_FLAT": "0.11",
            "_BLOCK_PX, _LEAST_EDGE_OF_BLOCKS": "8, 3.4",
            "_INVERTED_MEDIAN, _INVERTED_DENSITY": "0.45, 0.28",
            "_BLANK_DENSITY, _BLANK_SHARE": "0.12, 0.24",
            "_MOST_CUT_OFF": "(0.04, 0.03, 0.6)",
            "_MOSTLY_CUT_OFF": "0.32",
            "_MOST_BLACK": "0.0065",
            "_BRIGHTER, _MOST_BRIGHTER": "1.18, 0.003",
            "_MOST_PAINT": "0.36",
            "_FAINT, _GARISH": "0.06, 0.9",
            "_NUCLEUS_DENSITY, _NUCLEUS_PX": "3.7, 30",
            "_LEAST_RED_CELL_DENSITY": "0.11",
            "_LEAST_RED_BLUE": "-0.04",
            "_UNSWAPPED_DEG": "(-50.0, 58.0)",
            "_NUCLEI_DEG": "(-14.0, 145.0)",
            "_ANYTHING_DEG": "(-50.0, 131.0)",
            "_LEAST_APART, _MOST_APART": "0.055, 0.78",
            "_MANY_CELLS, _LEAST_APART_OF_MANY": "8, 0.085",
            "_MOST_OF_BLUE": "0.55",
            "_LEAST_SCALE_CONFIDENCE": "0.12",
            "_MOST_BEND": "0.043",
            "_MOST_GREEN_LESS": "0.13",
            "MAX_BEND": "0.13",
        },
    ),
    *constants(
        "edge/segmentation/verdict.py",
        f"{_SEGMENTATION}/test_verdict.py",
        {
            "_LEAST_CELL_UM2": "44.0",
            "_LEAST_CUT_CELL_UM2": "24.0",
            "_LEAST_NUCLEUS_UM2": "22.0",
            "_LEAST_NUCLEUS_RADIUS_UM": "1.4",
            "_LEAST_DYE": "14.0",
            "_LEAST_CUT_DYE": "8.5",
            "_DYE_SHARE": "0.22",
            "_SCALE_DOUBT": "0.7",
            "_CUT_PART": "0.35",
            "_LEAST_CONDENSED_UM2": "15.0",
            "_CONDENSED_DENSITY": "0.8",
            "_CONDENSED_BLUENESS": "1.4",
            "_LARGER_THAN_PLATELETS_UM2": "50.0",
            "_DISTINCT_UM2, _DISTINCT_CELL_UM2, _DISTINCT_DYE": "28.0, 65.0, 6.5",
            "_DISTINCT_RADIUS_UM, _DISTINCT_ROUNDNESS": "1.5, 0.46",
            "_DISTINCT_SIGMAS": "6.0",
            "_FAINT_RED_CELLS": "0.26",
            "_THREAD": "0.36",
            "_CUT_THREAD": "0.52",
            "_ROUND": "0.75",
            "_LEAST_BLUE_UM2": "30.0",
            "_THICK_UM": "2.2",
            "_LIKE_STAIN": "0.9",
            "_LIKE_AREA": "0.5",
            "_CUT_STAIN": "0.6",
            "_LEAST_PEERS": "3",
            "_FAINT_CELL_UM2": "50.0",
            "_NAKED_SHARE, _NAKED_BLUR, _NAKED_CYTOPLASM": "0.6, 0.14, 0.06",
            "_SMUDGE_DENSITY": "0.65",
            "_SMUDGE_BLUENESS": "0.8",
            "_SMUDGE_RAGGED": "1.8",
            "_SMUDGE_VERY_RAGGED": "2.0",
            "_LEAST_SMUDGE_UM2": "50.0",
            "_LEAST_BLUENESS": "0.35",
        },
    ),
    *constants(
        "edge/segmentation/pooled.py",
        f"{_SEGMENTATION}/test_pooled.py",
        {
            "_ERROR_TIMES_CONFIDENCE": "0.04",
            "_ERROR_LESS": "0.0",
            "_SYSTEMATIC": "0.02",
            "BETWEEN_PERSONS": "0.0",
            "_JUMP": "math.log(1.35)",
            "_CERTAIN": "0.7",
            "_ERRORS_OF_CONTRADICTION": "3.0",
            "_LEAST_FIELDS": "4",
            "_LEAST_PRECISION": "300.0",
            "_LEAST_AGREEMENT": "0.75",
            "_LEAST_FIELDS_MIXED": "10",
            "_LEAST_CERTAIN_MIXED": "3",
        },
    ),
    *constants(
        "edge/counting/folder.py",
        "tests/edge/counting/test_folder.py",
        {"_LEAST_APART": "0.2", "_ERRORS_APART": "10.0"},
    ),
    *constants(
        "edge/segmentation/split.py",
        f"{_SEGMENTATION}/test_split.py",
        {
            "_NECK": "0.97",
            "_LEAST_DEPTH_UM": "1.6",
            "_APART_UM": "5.0",
            "LARGEST_NUCLEUS_UM2": "170.0",
            "_SEAM_WIDTH_UM": "2.6",
            "_SEAM_DEPTH": "0.2",
            "_SEAM_LENGTH_UM": "2.0",
            "_LEAST_OWN_NUCLEUS_UM2": "50.0",
        },
    ),
    *constants(
        "edge/segmentation/join.py",
        f"{_SEGMENTATION}/test_join.py",
        {
            "_SAME_CELL_DISTANCE": "0.7",
            "_EVEN_DISTANCE": "0.87",
            "_EVEN_STAIN_UM2": "46.0",
            "_STAIN_SLOPE": "0.1",
            "_LOBE_GAP_UM": "3.6",
            "_PLATEAU_QUANTILE": "0.4",
        },
    ),
    *constants(
        "edge/segmentation/outline.py",
        f"{_SEGMENTATION}/test_outline.py",
        {
            "_REACH_UM": "3.0",
            "_FAINT": "(0.05, 0.1)",
            "_FAINT_BLUE": "0.03",
            "_RED_EDGE": "0.8",
            "_RED_PILE": "9.9",
            "_AWAY_UM": "2.0",
            "_LEAST_RED_UM2": "8.0",
            "_CELL_EDGE_SHARE": "0.7",
            "_NUCLEUS_EDGE_SHARE": "0.75",
            "_OVAL_FACTOR, _OVAL_MARGIN_UM": "1.6, 2.5",
            "_BLANK_QUANTILE": "0.9",
            "_EVEN_BLANK, _UNEVEN_BLANK": "0.1, 0.1",
        },
    ),
    *constants(
        "edge/segmentation/windows.py",
        f"{_SEGMENTATION}/test_windows.py",
        {
            "_REACH_UM": "6.5",
            "_LEAST_SEED_UM2": "1.5",
            "_LEAST_GROUP_UM2": "8.0",
            "_LEAST_CUT_GROUP_UM2": "5.0",
            "_SEED_THRESHOLD_SHARE": "1.0",
        },
    ),
    *constants(
        "edge/segmentation/nuclei.py",
        f"{_SEGMENTATION}/test_windows.py",
        {"_LEAST_PART_UM2": "4.0", "_LEAST_RADIUS_UM": "1.2"},
    ),
    *constants(
        "edge/segmentation/survey.py",
        f"{_SEGMENTATION}/test_scale.py",
        {
            "_CLUSTER": "9.9",
            "_USUAL_NUCLEUS_UM2": "120.0",
            "_BLUER_THAN_GREY": "0.3",
            "_NUCLEUS_WIDTH_PX": "3.0",
        },
    ),
    *constants(
        "edge/segmentation/axis.py",
        f"{_SEGMENTATION}/test_axis.py",
        {
            "_NUCLEUS_PX": "40",
            "_LEAST_SIGNAL": "11.0",
            "_POOR_SIGNAL, _FACTOR": "14.0, 2.0",
            "_LEAST_SPREAD": "0.02",
        },
    ),
    *constants(
        "edge/segmentation/scale.py",
        f"{_SEGMENTATION}/test_scale.py {_SEGMENTATION}/test_outline.py",
        {
            "RED_CELL_DIAMETER_UM": "8.5",
            "_LEAST_CIRCLES": "0.3",
            "_LARGEST_NUCLEUS_CIRCLE_UM2": "400.0",
            "_USUAL_WHITE_CELL_UM2": "200.0",
        },
    ),
    *constants(
        "edge/segmentation/isolated.py",
        f"{_SEGMENTATION}/test_scale.py",
        {"_LEAST_SOLIDITY": "0.85", "_LEAST_NUCLEUS_SHARE": "0.1"},
    ),
    *constants("edge/registration/cells.py", "tests/edge/registration/test_cells.py", {"_SAME_CELL": "1.2"}),
    *constants(
        "edge/registration/search.py",
        "tests/edge/registration/test_cells.py",
        {"_SURE": "22.0", "_LIKELY, _LIKELY_CORRELATION": "18.0, 0.85"}
        | {"_CONFIRMING, _CONFIRMING_CORRELATION": "6.0, 0.5"},
    ),
    *constants("edge/quality/cover.py", "tests/edge/quality", {"MAX_COVER": "0.99"}),
    *constants("edge/quality/cover.py", "tests/edge/quality/test_smear.py", {"_LEAST_FIELD_PX": "410"}),
    *constants("edge/quality/reference.py", "tests/edge/quality", {"MAX_STAIN_MIX": "0.8"}),
    *constants("edge/results/stopping.py", "tests/edge/results/test_stopping.py", {"LEVEL": "0.2"}),
    Mutant(
        "edge/counting/tally.py",
        "elif classified.cell.touches_border:",
        "elif False:",
        "tests/edge/counting/test_tally.py",
    ),
    Mutant(
        "edge/classification/classifier.py",
        "if not worst <= tolerance:",
        "if worst > 1:",
        "tests/edge/classification/test_classifier.py",
    ),
    Mutant(
        "edge/classification/classifier.py",
        "if decision.uncertain_low <= p_blast < decision.uncertain_high:",
        "if decision.uncertain_low < p_blast <= decision.uncertain_high:",
        "edge/classification/classifier.py",
    ),
    Mutant(
        "convert/gate/crops.py",
        "shared = set(calibration.hashes()) & set(parity.hashes())",
        "shared = set()",
        "tests/convert/test_crops.py",
    ),
    Mutant(
        "training/protocol/plan.py",
        "if cells[i].group in trained:",
        "if False:",
        "tests/training/test_protocol.py",
    ),
]


def passes(tree: Path, tests: str) -> bool:
    """Whether all of the named tests pass in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "-m", "not slow and not real_data", *tests.split()],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, _FAILED):
        raise SystemExit(f"{tests} did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.returncode == 0


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether all tests of a mutant pass with it."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        times = text.count(mutant.right)
        raise SystemExit(f"{mutant.file} has {mutant.right!r} {times} times, expected once")
    path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
    try:
        return passes(tree, mutant.tests)
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Try all mutants, or those whose file or text has a word; 1 where any survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants that have one of these in file or text")
    words = parser.parse_args().words
    chosen = [m for m in MUTANTS if not words or any(word in m.file + m.right for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        unneeded = shutil.ignore_patterns(".git", ".venv*", ".hypothesis", "__pycache__", ".*_cache", "out")
        shutil.copytree(REPOSITORY, tree, ignore=unneeded)
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            if not passes(tree, tests):
                raise SystemExit(f"{tests} fail without any mutant")
        for mutant in chosen:
            alive = survives(mutant, tree)
            survivors += alive
            verdict = "SURVIVES" if alive else "killed  "
            sys.stdout.write(f"{verdict} {mutant.file}: {mutant.right} -> {mutant.wrong}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen)} mutants, {survivors} survive\n")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
