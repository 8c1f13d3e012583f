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
from training.data.records import OWN
from training.protocol.audit import audit, leaks, read_split

#: Longest list that is printed in full; the JSON has all.
_MOST = 12
#: What is said of a laboratory whose pictures one camera took.
_OF_ONE_CAMERA = ("exact_copies", "near_copies", "overlapping")
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


def read_collection(
    data_folder: Path, cache: Cache, labs: Sequence[str] | None = None, also: Sequence[Path] = ()
) -> Collection:
    """Read, segment and match the laboratories of a data folder, with a bar for people.

    Parameters
    ----------
    data_folder, cache, also : as for :func:`training.data.collection.collect`
    labs : only those of them that are there
    """
    present = sources.present(data_folder)
    if also and OWN not in present:
        present = (*present, OWN)
    there = [lab for lab in present if labs is None or lab in labs]
    if not there:
        raise DataSetError(
            f"{data_folder}: holds {', '.join(sources.present(data_folder))}, but the recipe learns from "
            f"{', '.join(labs or ())}; give another --recipe or --data"
        )
    click.echo(f"{data_folder}: {', '.join(there)}", err=True)
    return collect(data_folder, cache, there, also)


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
    """Put an audit into lines for people: keys as words, of lists the number and the first entries."""
    for lab, about in found["laboratories"].items():
        yield f"{lab}: {about['fields']} fields in {about['groups']} groups that must stay together"
        # Where one camera took everything, it tells nothing apart.
        one_camera = len(about["cameras"]) == 1
        yield from _lines(
            {key: value for key, value in about.items() if key not in ("fields", "groups")}
            if not one_camera
            else {key: about[key] for key in _OF_ONE_CAMERA}
        )
    if found["all_idb2"] is not None:
        yield f"ALL_IDB2: {found['all_idb2']['located']['n']} crops"
        yield from _lines({key: value for key, value in found["all_idb2"].items() if key != "crops"})
    if "split" in found:
        yield "Split, on both sides:"
        yield from _lines(found["split"])


def _lines(about: Json, indent: str = "  ") -> Iterator[str]:
    for key, value in about.items():
        name = f"{indent}{key.replace('_', ' ')}"
        match value:
            case {"ci95": _}:
                yield f"{name}: {share(value)}"
            case {"listed": listed, "n": n}:
                yield f"{name}: {n}"
                for entry in listed[:_MOST]:
                    yield f"{indent}  " + ", ".join(f"{word} {said}" for word, said in entry.items())
            case dict():
                yield f"{name}:"
                yield from _lines(value, indent + "  ")
            case list() if value:
                shown = ", ".join(
                    " = ".join(map(str, pair[:2])) if isinstance(pair, list) else pair
                    for pair in value[:_MOST]
                )
                more = f" and {len(value) - _MOST} more (--json lists all)" if len(value) > _MOST else ""
                yield f"{name}: {len(value)}: {shown}{more}"
            case list():
                yield f"{name}: none"
            case _:
                yield f"{name}: {value}"


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


def share(figure: Json) -> str:
    """Write a share with its count and interval."""
    if not figure["n"]:
        return "none"
    low, high = figure["ci95"]
    return (
        f"{100 * figure['value']:.1f} % ({figure['k']}/{figure['n']}; "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f})"
    )
