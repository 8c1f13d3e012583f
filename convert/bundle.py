"""From a Keras model and its card to a bundle on disk, through the gate or not at all."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from convert.backend import predict
from convert.converter import quantise
from convert.draft import CardDraft
from convert.gate.crops import Crops, check_apart
from convert.gate.device import check_golden_on_device, record_field_on_device, run_on_device
from convert.gate.examine import Examination, examine
from convert.gate.golden import choose, rendered_crops, tolerance
from convert.gate.verdict import Verdict
from convert.recipes import REFINED, Recipe
from edge.classification.card import GoldenCrops, GoldenSpec, ModelCard, bundle_paths
from edge.classification.classifier import calibrate
from edge.classification.interpreter import RuntimeName
from edge.device.hashing import file_sha256
from edge.device.machine import describe_machine, describe_software
from edge.errors import OutputError

if TYPE_CHECKING:
    import keras

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of a conversion.

    Attributes
    ----------
    examined : the file, its figures and the gate's verdict; where it did not pass nothing was written
    paths : network, card and golden crops; empty where the gate said no
    """

    examined: Examination
    paths: tuple[Path, ...]

    @property
    def verdict(self) -> Verdict:
        """The gate's."""
        return self.examined.verdict

    @property
    def size_bytes(self) -> int:
        """Size of the ``.tflite`` file."""
        return len(self.examined.content)


def check_output(out: Path, name: str, *, force: bool) -> tuple[Path, Path, Path]:
    """Name the three files that will be written, before any work is done.

    Parameters
    ----------
    out : folder, which need not exist
    name : of the bundle
    force : files that are there may be replaced

    Returns
    -------
    tuple of Path
        Network, card and golden crops.

    Raises
    ------
    OutputError
        The name is no file name, or a file is there already.
    """
    if not _NAME.fullmatch(name):
        raise OutputError(
            f"name must be 1 to 64 letters, digits, '.', '_' or '-', got {name!r}; give one with --name"
        )
    paths = bundle_paths(out / f"{name}.tflite")
    there = [path.name for path in paths if path.exists()]
    if there and not force:
        raise OutputError(f"{out} already has {', '.join(there)}; give another --name, or --force to replace")
    return paths


def export(
    model: keras.Model,
    draft: CardDraft,
    calibration: Crops,
    parity: Crops,
    paths: tuple[Path, Path, Path],
    *,
    recipe: Recipe = REFINED,
    allow_open: bool = False,
    tick: Callable[[str], None] = lambda stage: None,
) -> Conversion:
    """Convert, judge, and write a bundle where the gate says yes.

    Parameters
    ----------
    model : Keras model that :func:`convert.graph.static.check_model` accepted
    draft : what training says of it
    calibration : crops that ranges and corrections are measured on
    parity : held-out crops that the gate judges on
    paths : from :func:`check_output`
    recipe : how to quantise
    allow_open : questions that ``parity`` leaves open do not refuse; the card says so
    tick : called with each stage's name when it begins

    Returns
    -------
    Conversion

    Raises
    ------
    DataSetError
        The parity crops are not apart from the calibration crops, or not of whole cells.
    ModelError
        The model cannot be converted.
    OutputError
        The folder cannot be written.
    """
    check_apart(calibration, parity)
    content = quantise(model, calibration.pixels, recipe, tick)
    with _folder_for(paths[0].parent) as folder:
        files = tuple(folder / path.name for path in paths)
        files[0].write_bytes(content)
        tick("gate")
        examined = examine(
            files[0],
            recipe,
            calibration,
            parity,
            predict(model, parity.pixels),
            draft.decision,
            allow_open=allow_open,
        )
        if not examined.verdict.passed:
            return Conversion(examined, ())
        tick("golden crops")
        names = [cast(RuntimeName, run.runtime.split()[0]) for run in examined.evidence.runs]
        golden, tolerated = _golden(files[0], names, draft)
        files[2].write_bytes(golden.to_bytes())
        spec = GoldenSpec(file_sha256(files[2]), tolerated)
        card = _card(paths[0].stem, draft, spec, calibration, parity, examined)
        files[1].write_text(card.to_json(), encoding="utf-8")
        tick("self-test")
        # What will be shipped is opened as a device opens it, from the files.
        for name in names:
            check_golden_on_device(files[0], name)
        tick("golden field")
        field = record_field_on_device(files[0])
        # The card goes last: without it, or with an older one, the others are refused by their hashes.
        field.replace(paths[0].with_name(field.name))
        for file, path in sorted(zip(files, paths, strict=True), key=lambda pair: pair[1] == paths[1]):
            file.replace(path)
    return Conversion(examined, (*paths, paths[0].with_name(field.name)))


def _golden(path: Path, runtimes: Sequence[RuntimeName], draft: CardDraft) -> tuple[GoldenCrops, float]:
    """Choose golden crops by what the first interpreter says of them; they, and their tolerance."""

    def p_blast(runtime: RuntimeName, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        run = run_on_device(path, runtime, crops)
        return calibrate(run.outputs, draft.decision.temperature, run.lsb)

    crops = choose(rendered_crops(draft.input), partial(p_blast, runtimes[0]))
    found = [p_blast(runtime, crops) for runtime in runtimes]
    return GoldenCrops(crops, found[0]), tolerance(found)


def _card(
    name: str,
    draft: CardDraft,
    golden: GoldenSpec,
    calibration: Crops,
    parity: Crops,
    examined: Examination,
) -> ModelCard:
    run, recipe = examined.evidence.runs[0], examined.evidence.recipe
    return ModelCard(
        name=name,
        sha256=hashlib.sha256(examined.content).hexdigest(),
        input=draft.input,
        input_tensor=run.input,
        output_tensor=run.output,
        decision=draft.decision,
        golden=golden,
        sections={
            **draft.sections,
            "conversion": _conversion_section(recipe, calibration),
            "parity": _parity_section(parity, examined),
        },
    )


def _conversion_section(recipe: Recipe, calibration: Crops) -> dict[str, object]:
    return {
        "recipe": asdict(recipe),
        "calibration": {
            "source": calibration.source,
            "n": len(calibration),
            "sha256": calibration.set_hash(),
        },
        "versions": describe_software(),
        "machine": describe_machine(),
    }


def _parity_section(parity: Crops, examined: Examination) -> dict[str, object]:
    return {
        "crops": {
            "source": parity.source,
            "n": len(parity),
            "groups": examined.evidence.groups,
            "sha256": parity.set_hash(),
        },
        "runtimes": [{**asdict(one), "agreement": one.agreement} for one in examined.evidence.parities],
        "allow_open": examined.verdict.allow_open,
        "findings": examined.verdict.to_json(),
    }


@contextmanager
def _folder_for(out: Path) -> Iterator[Path]:
    """Give a folder beside the final files, from which they can be moved in one step; gone afterwards."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".convert-", dir=out))
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror}); give another folder with --out"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if made and not any(out.iterdir()):
            out.rmdir()
