"""Counts every real image with two states of the code, line against line: ``make compare BASE=REVISION``.

A move of code must leave whatever ``count --json`` says as it was, to the last digit; keys that it gained
since then are named. A deliberate change shows here which fields it touched. The lines of the
committed BASE are kept in the user's cache by commit, those of the working tree are made anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}
#: Masks are no fields; damage in them would only add noise.
NOT_FIELDS = {"masks", "xyc", "other_xyc", "labels"}
#: Files a call: start-up is a tenth of it, and two workers end at nearly the same time.
CHUNK = 150
#: Fields that are named; the rest are a number.
SHOWN = 20


def images(data: Path, every: int) -> list[Path]:
    """Every n-th field of each source, in one order."""
    found = sorted(
        path
        for path in data.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not NOT_FIELDS & set(path.relative_to(data).parts)
        and not ("wbc-seg" in path.parts and path.suffix == ".png")  # masks beside the pictures
    )
    return found[::every]


def count_once(code: Path, paths: list[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``count --json`` by the code in a folder, in one process on one thread."""
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "count", "--json", "--threads", "1", *options, *map(str, paths)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def count(code: Path, paths: list[Path], data: Path) -> list[str]:
    """Lines of ``count --json`` by the code in a folder, in the order of the paths."""
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]

    def one(chunk: list[Path]) -> list[str]:
        done = count_once(code, chunk)
        if done.returncode not in (0, 1):
            raise SystemExit(f"count ended with {done.returncode} in {code}: {done.stderr[-2000:]}")
        return [line.replace(str(data), "DATA") for line in done.stdout.splitlines()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(one, chunks) for line in lines]


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Folder with the code of a commit, as long as it is needed."""
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def counted_by_revision(revision: str, paths: list[Path], data: Path) -> list[str]:
    """Lines by a commit, from the cache where they are there."""
    git = ["git", "-C", str(REPOSITORY)]
    commit = subprocess.run(
        [*git, "rev-parse", f"{revision}^{{commit}}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    names = hashlib.sha256("\n".join(map(str, paths)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "blastcount" / "counts"
    kept = cache / f"{commit}-{names}.jsonl"
    if not kept.is_file():
        with worktree(commit) as tree:
            lines = count(tree, paths, data)
        cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        part.replace(kept)
    return kept.read_text(encoding="utf-8").splitlines()


def differences(before: object, after: object, key: str = "line") -> list[str]:
    """What is no more as it was; what a line says beyond what it said before is none."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [text for name in before for text in differences(before[name], after.get(name), name)]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [text for pair in zip(before, after, strict=True) for text in differences(*pair, key)]
    return [] if before == after else [f"{key} {before} -> {after}"]


def main() -> int:
    """Compare and say what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--every", type=int, default=1, help="only every n-th field")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    paths = images(data, arguments.every)
    if not paths:
        raise SystemExit(f"no images under {data}: name the folder of the real images with --data")
    before = counted_by_revision(arguments.base, paths, data)
    after = count(REPOSITORY, paths, data)
    old, new = ({(row := json.loads(line))["source"]: row for line in lines} for lines in (before, after))
    added = {key for source, row in new.items() for key in row.keys() - old.get(source, row).keys()}
    changes = {
        source: sorted(differences(old.get(source), new.get(source)))
        for source in {**old, **new}
        if differences(old.get(source), new.get(source))
    }
    out = sys.stdout.write
    for source in list(changes)[:SHOWN]:
        out(f"differs: {source}: {'; '.join(changes[source][:4])[:400]}\n")
    out(f"{len(paths)} images, {len(old)} lines before, {len(new)} after, {len(changes)} differ")
    out(f"; new keys, not compared: {', '.join(sorted(added))}\n" if added else "\n")
    return int(bool(changes))


if __name__ == "__main__":
    sys.exit(main())
