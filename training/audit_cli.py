"""``blastcount audit``: what a data folder holds twice, and whether a split leaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge.errors import DataSetError, GateError
from training.data import sources
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.protocol.audit import audit, leaks, read_split
from training.terminal import bar

#: Longest list that is printed in full; the JSON has all.
_MOST = 12
Json = Mapping[str, Any]


@click.command("audit")
@click.option(
    "--data",
    "data_folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that holds the data sets (ALL_IDB1 and ALL_IDB2 in their official layout); only read.",
)
@click.option(
    "--split",
    "split_file",
    type=click.Path(path_type=Path),
    help="split.csv or manifest.json of `blastcount train`, or a CSV with the columns source and side "
    "(train or test); exit code 4 where it leaks.",
)
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    help="Folder for what need not be found twice.  [default: the user's cache]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(data_folder: Path, split_file: Path | None, cache_folder: Path | None, as_json: bool) -> None:
    """Find what makes a test on this data look better than it is.

    Where each ALL-IDB2 crop lies in ALL-IDB1, exact and near copies, fields that overlap, cameras and
    sessions, and how well the camera alone predicts the class.
    """
    rows = None if split_file is None else read_split(split_file)
    collection = read_collection(data_folder, Cache(cache_folder))
    found = audit(collection)
    if rows is not None:
        found["split"] = leaks(collection, rows)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for line in words(found):
            click.echo(line)
    if rows is not None:
        refuse_leaks(found["split"])


def read_collection(data_folder: Path, cache: Cache, labs: Sequence[str] | None = None) -> Collection:
    """Read, segment and match the laboratories of a data folder, with a bar for people.

    Parameters
    ----------
    data_folder, cache : as for :func:`training.data.collection.collect`
    labs : only those of them that are there
    """
    there = [lab for lab in sources.present(data_folder) if labs is None or lab in labs]
    if not there:
        raise DataSetError(
            f"{data_folder}: holds {', '.join(sources.present(data_folder))}, but the recipe learns from "
            f"{', '.join(labs or ())}; give another --recipe or --data"
        )
    click.echo(f"{data_folder}: {', '.join(there)}", err=True)
    with bar("Segmenting", sources.count(data_folder, there)) as tick:
        return collect(data_folder, cache, there, tick)


def refuse_leaks(split: Json) -> None:
    """Say no to a split that leaks.

    Raises
    ------
    GateError
        A cell or a group is on both sides.
    """
    if split["cells"]:
        test, train = split["cells"][0]
        raise GateError(
            f"the split leaks: {len(split['cells'])} of {split['rows']['test']} test rows show a cell that "
            f"is also trained on, first {test} (as {train}); put whole fields, with those that overlap them, "
            "on one side"
        )
    if split["groups"]:
        raise GateError(
            f"the split leaks: {len(split['groups'])} fields (with those that overlap or copy them) are on "
            f"both sides, first {split['groups'][0]}; put each on one side"
        )


def words(found: Json) -> Iterator[str]:
    """Put an audit into lines for people."""
    for lab, about in found["laboratories"].items():
        yield from _laboratory(lab, about)
    if found["all_idb2"] is not None:
        yield from _crops(found["all_idb2"])
    if "split" in found:
        split = found["split"]
        yield f"Split: {split['rows']['train']} rows to train, {split['rows']['test']} to test"
        yield f"  rows that show a cell of the other side: {len(split['cells'])}"
        yield f"  fields with their overlaps and copies on both sides: {len(split['groups'])}"


def brief(found: Json) -> Iterator[str]:
    """Put what a training must not overlook into a line a laboratory, and one for the crops of ALL-IDB2."""
    for lab, about in found["laboratories"].items():
        twice = ", ".join(
            f"{len(about[key])} {what}"
            for key, what in (
                ("exact_copies", "exact copies"),
                ("near_copies", "near copies"),
                ("overlapping", "overlaps"),
            )
        )
        line = f"{lab}: {about['fields']} fields in {about['groups']} groups; {twice}"
        if len(about["cameras"]) > 1:
            line += f"; the camera alone names the class of {share(about['camera_alone']['marked_cells'])}"
        yield line
    crops = found["all_idb2"]
    if crops is not None:
        yield (
            f"ALL_IDB2: {share(crops['located'])} of the crops lie in an ALL_IDB1 field, "
            f"{len(crops['same_cell'])} pairs show one cell"
        )


def _laboratory(lab: str, about: Json) -> Iterator[str]:
    yield f"{lab}: {about['fields']} fields in {about['groups']} groups that must stay together"
    for camera, count in about["cameras"].items():
        yield f"  camera {camera}: " + ", ".join(f"{n} {who}" for who, n in count.items())
    for session in about["sessions"]["listed"] if len(about["cameras"]) > 1 else []:
        yield f"  session {session['session']}: {session['fields']} fields, {session['patients']} of patients"
    if about["sessions"]["listed"] and len(about["cameras"]) == 1:
        yield f"  {about['sessions']['n']} sessions, slides or blocks of numbers"
    yield from _pairs("exact copies", about["exact_copies"])
    yield from _pairs("near copies", about["near_copies"])
    yield from _pairs("overlapping fields", about["overlapping"])
    alone = about["camera_alone"]
    if len(about["cameras"]) > 1:
        yield f"  the camera alone names patient or not in {share(alone['fields'])} of the fields"
        yield f"  the camera alone names the class of {share(alone['marked_cells'])} of the marked cells"


def _crops(crops: Json) -> Iterator[str]:
    yield f"ALL_IDB2: {crops['located']['n']} crops"
    yield f"  found in an ALL_IDB1 field: {share(crops['located'])}"
    yield f"  equal to it in every pixel: {share(crops['pixel_exact'])}"
    yield f"  around a cell that ALL_IDB1 marks, too: {share(crops['also_a_point'])}"
    yield from _pairs("crops of one cell", crops["same_cell"])
    yield f"  the camera alone names the class of {share(crops['camera_alone'])} of the crops"


def _pairs(what: str, pairs: list[list[Any]]) -> Iterator[str]:
    if not pairs:
        return
    shown = ", ".join(
        f"{pair[0].rpartition('/')[2]} = {pair[1].rpartition('/')[2]}" for pair in pairs[:_MOST]
    )
    more = f" and {len(pairs) - _MOST} more (--json lists all)" if len(pairs) > _MOST else ""
    yield f"  {len(pairs)} {what}: {shown}{more}"


def share(figure: Json) -> str:
    """Write a share with its count and interval."""
    if not figure["n"]:
        return "none"
    low, high = figure["ci95"]
    return (
        f"{100 * figure['value']:.1f} % ({figure['k']}/{figure['n']}; "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f})"
    )
