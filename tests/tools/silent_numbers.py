"""Counts what should not be counted with two states of the code: ``make silent BASE=REVISION``.

Good fields are altered (:mod:`tests.tools.altered_fields`), pictures that are no smear are drawn, files are
damaged (:mod:`tests.tools.damaged_files`), and ``count --json`` is asked, by the commit BASE and by this
state. A wrong number in silence is a picture that is counted without a warning although

- it was made of a good field, and its white cells differ from the number that the same code counts in the
  good field by more than the greater of 1 and 10 %, or its blasts by more than the greater of 1 and 10 % of
  the white cells;
- it is no smear and has a white cell;
- it was given a scale that is 1.4 to 3 times too large or too small, with the same difference; or
- it is a damaged file, and a number of it differs from that of the whole file, or it should be no picture.

Beside it stand the good pictures that are refused or warned of, by source. The result is
``docs/silent.json``, whose tables ``make docs`` writes into ``docs/quality.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from edge.camera.files import read_image
from edge.light.field import Field
from edge.segmentation import segment
from edge.structures import Frame
from tests.tools.altered_fields import ALTERATIONS, NO_SMEARS, altered, as_png, no_smear
from tests.tools.compare_counts import REPOSITORY, count_once, worktree
from tests.tools.damaged_files import cases, video_cases

#: Whole fields by source, and pictures of single cells.
FIELDS = {
    "all-idb1": "all-idb1/im/*.jpg",
    "bccd": "bccd/images/*.jpg",
    "wbc-chula": "wbc-chula/images/*.jpg",
    "all-taleqani": "all-taleqani/*/*.jpg",
    "raabin": "raabin/images/*.jpg",
    "lisc": "lisc/*.png",
}
CELLS = (
    "pbc/*/*.jpg",
    "pbc-half/*/*.jpg",
    "jhu-aml/*/*.jpg",
    "lmu-aml/*/*.jpg",
    "all-idb2/img/*",
    "wbc-seg/set*/*.bmp",
)
CHUNK = 40
#: Kinds that joined later draw by themselves, so that the cases of the others stay what they were.
JOINED = (
    {
        "half or quarter swapped",
        "recoloured as an immunostain",
        "sharpened or equalised",
        "pixels not square",
        "marks in a stain's colour",
    },
    {
        "out of focus to one side",
        "oil or a bubble over a part",
        "moved during the exposure",
        "two fields on one picture",
        "colour beside brightness",
        "bent by the lens",
        "half-transparent",
    },
    {
        "noise of little light",
        "sensor's mosaic misread",
        "coarse colour",
        "under a heat map",
        "photographed off a screen",
        "behind a reticle",
        "reflection",
    },
)
#: Factors of a scale that is given wrong: another objective, a camera's binning, a wrong adapter.
WRONG_SCALES = (1 / 3, 1 / 2, 1 / 1.4, 1.4, 2, 3)
#: What ``--um-per-px`` takes in every state of the code that is compared; today it takes coarser ones, too.
LEAST_SCALE, MOST_SCALE = 0.01, 0.4
#: Change of a number that is none: the greater of a cell and a tenth.
_CELL, _SHARE = 1, 0.1


@dataclass(frozen=True)
class Trial:
    """A picture that is counted, and the one that it was made of; None where it should have no cell."""

    kind: str
    path: Path
    good: Path | None
    exact: bool = False
    um_per_px: float | None = None


Lines = dict[str, list[dict[str, Any]]]


def counted(code: Path, calls: Iterable[list[Path]], given: Mapping[Path, float] | None = None) -> Lines:
    """Lines of ``count --json`` by the code in a folder, by file; those with a given scale one by one."""
    calls, given = list(calls), given or {}
    chunks = [[path for path in call if path not in given] for call in calls] + [[path] for path in given]

    def one(chunk: list[Path]) -> list[str]:
        scale = given.get(chunk[0])
        done = count_once(code, chunk, *([] if scale is None else ["--um-per-px", f"{scale:.4f}"]))
        if "Traceback" in done.stderr:
            sys.stderr.write(done.stderr[-2000:])
        return done.stdout.splitlines()

    found: Lines = {str(path): [] for call in calls for path in call}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(one, filter(None, chunks)):
            for row in map(json.loads, lines):
                source = row["source"]
                found[source if source in found else source.rpartition("#")[0]].append(row)
    return found


def is_wrong(trial: Trial, lines: Lines) -> bool:
    """Whether a trial gave a wrong number in silence."""
    rows = [row for row in lines[str(trial.path)] if row["status"] == "counted" and not row.get("warnings")]
    if trial.good is None:
        return bool(rows) if trial.exact else any(row["wbc"] > 0 for row in rows)
    if trial.exact:
        good = {row["source"].removeprefix(str(trial.good)): row for row in lines[str(trial.good)]}
        got = ((row["source"].removeprefix(str(trial.path)), row) for row in rows)
        return any(name not in good or _numbers(row) != _numbers(good[name]) for name, row in got)
    before = [row for row in lines[str(trial.good)] if row["status"] == "counted"]
    if not before or not rows:
        return False
    cells = before[0]["wbc"]
    return any(is_changed(rows[0][name], before[0][name], cells) for name in ("wbc", "blasts"))


def is_changed(number: int, before: int, cells: int) -> bool:
    """Whether a number of a field with so many white cells is another than before."""
    return abs(number - before) > max(_CELL, _SHARE * cells)


def _numbers(row: dict[str, Any]) -> tuple[int, int]:
    return row["wbc"], row["blasts"]


def trials(data: Path, folder: Path, fields: int, others: int, seed: int) -> Iterator[Trial]:
    """Write the pictures and files of all kinds."""
    rng = np.random.default_rng(seed)
    joined = [np.random.default_rng([seed, number]) for number in range(1, len(JOINED) + 1)]
    for source, pattern in FIELDS.items():
        for number, good in enumerate(spread(sorted(data.glob(pattern)), fields)):
            image = read_image(good).image
            whole = folder / f"{source}-{number}-good{good.suffix}"
            shutil.copyfile(good, whole)
            for kind in ALTERATIONS:
                path = folder / f"{source}-{number}-{list(ALTERATIONS).index(kind)}.png"
                drawn = next((own for own, kinds in zip(joined, JOINED, strict=True) if kind in kinds), rng)
                path.write_bytes(as_png(altered(image, kind, int(drawn.integers(2**31)))))
                yield Trial(kind, path, whole)
            right = segment(Field(Frame(image, source))).scale.um_per_px
            factor = float(joined[0].choice(WRONG_SCALES))
            # What cannot be given would be cut off, and then hardly be wrong: that far the other way, then.
            scale = right * factor if LEAST_SCALE <= right * factor <= MOST_SCALE else right / factor
            path = folder / f"{source}-{number}-scale.png"
            path.write_bytes(as_png(image))
            yield Trial("scale given wrong", path, whole, um_per_px=scale)
    for kind in NO_SMEARS:
        for number in range(others):
            path = folder / f"other-{list(NO_SMEARS).index(kind)}-{number}.png"
            path.write_bytes(as_png(no_smear(kind, int(rng.integers(2**31)))))
            yield Trial(f"no smear: {kind}", path, None)
    for what, drawn in (("picture", cases(seed, 5 * others)), ("video", video_cases(seed, others))):
        for number, case in enumerate(drawn):
            suffix = Path(case.name).suffix
            path, whole = (folder / f"{what}-{number}-{name}{suffix}" for name in ("damaged", "whole"))
            path.write_bytes(case.data)
            if case.good is not None:
                whole.write_bytes(case.good)
            yield Trial(f"damaged {what} file", path, None if case.good is None else whole, exact=True)


def calls_of(tried: Iterable[Trial]) -> list[list[Path]]:
    """Files by what they were made of: a scale is pooled over a call, and is then the same for both sides."""
    paths = {path for trial in tried for path in (trial.path, trial.good) if path is not None}
    return [list(files) for _, files in groupby(sorted(paths), lambda path: path.name.rpartition("-")[0])]


def spread(paths: list[Path], most: int) -> list[Path]:
    """At most so many of the files, evenly spread."""
    return (
        [paths[i] for i in sorted(set(np.linspace(0, len(paths) - 1, most).astype(int).tolist()))]
        if paths
        else []
    )


def good_side(data: Path, most: int, code: Path) -> list[dict[str, Any]]:
    """Good pictures by source: how many, how many are refused, and how many warned of."""
    chosen = {source: spread(sorted(data.glob(pattern)), most) for source, pattern in FIELDS.items()}
    chosen["single cells"] = [
        path for pattern in CELLS for path in spread(sorted(data.glob(pattern)), most // 2)
    ]
    rows = []
    for source, paths in chosen.items():
        calls = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
        lines = [line for found in counted(code, calls).values() for line in found]
        names = sorted({name for line in lines for name in (*line["reasons"], *line["warnings"])})
        refused = sum(line["status"] != "counted" for line in lines)
        warned = sum(bool(line["warnings"]) for line in lines)
        rows.append({"source": source, "n": len(lines), "refused": refused, "warned": warned, "names": names})
    return rows


def main() -> int:
    """Try all kinds and write the document; 1 where this state gives a wrong number in silence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--fields", type=int, default=6, help="good fields of each source that are altered")
    parser.add_argument("--others", type=int, default=25, help="pictures of each kind that is no smear")
    parser.add_argument("--good", type=int, default=200, help="good pictures of each source at most")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "silent.json")
    options = parser.parse_args()
    data = options.data.resolve()
    with tempfile.TemporaryDirectory() as folder, worktree(options.base) as old:
        tried = list(trials(data, Path(folder), options.fields, options.others, options.seed))
        calls = calls_of(tried)
        table: dict[str, dict[str, Any]] = defaultdict(lambda: {"n": 0, "before": 0, "after": 0})
        for name, code in (("before", old), ("after", REPOSITORY)):
            lines = counted(code, calls, {t.path: t.um_per_px for t in tried if t.um_per_px is not None})
            for trial in tried:
                wrong = is_wrong(trial, lines)
                table[trial.kind][name] += wrong
                table[trial.kind]["n"] += name == "after"
                if wrong and name == "after":
                    sys.stdout.write(f"in silence: {trial.kind}: {trial.path.name} of {trial.good}\n")
    document = {
        "schema": "blastcount.silent/1",
        "base": options.base,
        "seed": options.seed,
        "kinds": [{"kind": kind, **row} for kind, row in table.items()],
        "good": good_side(data, options.good, REPOSITORY),
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(any(row["after"] for row in table.values()))


if __name__ == "__main__":
    sys.exit(main())
