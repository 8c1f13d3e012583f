"""From a Keras model and its card to a bundle on disk, through the gate or not at all."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convert.backend import load_keras, load_tensorflow, predict
from convert.crops import Crops, refuse_overlap
from convert.draft import CardDraft
from convert.gate import LIMITS, Limits, Verdict, judge
from convert.golden import MAX_DELTA_P, choose, rendered_crops
from convert.parity import RuntimeParity, batch_differences, run_parity
from convert.quantize import REFINED, Recipe, quantise
from edge.classify import Classifier, calibrate
from edge.errors import OutputError
from edge.interpreter import Network, RuntimeName, installed_runtimes
from edge.modelcard import GoldenCrops, GoldenSpec, ModelCard, bundle_paths, load_bundle

if TYPE_CHECKING:
    import keras

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of a conversion.

    Attributes
    ----------
    verdict : the gate's; where it did not pass nothing was written
    parities : against Keras, one an interpreter
    size_bytes : of the ``.tflite`` file
    paths : network, card and golden crops; empty where the gate said no
    """

    verdict: Verdict
    parities: tuple[RuntimeParity, ...]
    size_bytes: int
    paths: tuple[Path, ...]


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
    limits: Limits = LIMITS,
    runtimes: tuple[RuntimeName, ...] | None = None,
    tick: Callable[[str], None] = lambda stage: None,
) -> Conversion:
    """Convert, judge, and write a bundle where the gate says yes.

    Parameters
    ----------
    model : Keras model that :func:`convert.graph.check_model` accepted
    draft : what training says of it
    calibration : crops that ranges and corrections are measured on
    parity : held-out crops that the gate judges on
    paths : from :func:`check_output`
    recipe : how to quantise
    limits : of the gate
    runtimes : interpreters to judge in; None for all that are installed
    tick : called with each stage's name when it begins

    Returns
    -------
    Conversion

    Raises
    ------
    DataSetError
        A calibration crop is among the parity crops.
    ModelError
        The model cannot be converted.
    OutputError
        The folder cannot be written.
    """
    refuse_overlap(calibration, parity)
    content = quantise(model, calibration.pixels, recipe, tick)
    names = installed_runtimes() if runtimes is None else runtimes
    with _folder_for(paths[0].parent) as folder:
        files = tuple(folder / path.name for path in paths)
        files[0].write_bytes(content)
        tick("parity")
        networks = [Network(files[0], runtime=name) for name in names]
        keras_outputs = predict(model, parity.pixels)
        parities = tuple(
            run_parity(network, parity.pixels, keras_outputs, draft.decision) for network in networks
        )
        verdict = judge(
            networks,
            parities,
            {network.runtime: batch_differences(network, parity.pixels) for network in networks},
            limits,
        )
        if not verdict.passed:
            return Conversion(verdict, parities, len(content), ())
        tick("golden crops")
        golden = _golden(networks[0], draft)
        files[2].write_bytes(golden.to_bytes())
        card = ModelCard(
            name=paths[0].name.removesuffix(".tflite"),
            sha256=hashlib.sha256(content).hexdigest(),
            input=draft.input,
            input_tensor=networks[0].input,
            output_tensor=networks[0].output,
            decision=draft.decision,
            golden=GoldenSpec(hashlib.sha256(files[2].read_bytes()).hexdigest(), MAX_DELTA_P),
            sections={
                **draft.sections,
                "conversion": _conversion_section(recipe, calibration),
                "parity": _parity_section(parity, parities, verdict),
            },
        )
        files[1].write_text(card.to_json(), encoding="utf-8")
        tick("self-test")
        # What will be shipped is opened as a device opens it, from the files.
        bundle = load_bundle(files[0])
        for name in names:
            Classifier(bundle, runtime=name).check_golden()
        # The card goes last: without it, or with an older one, the other two are refused by their hashes.
        for file, path in sorted(zip(files, paths, strict=True), key=lambda pair: pair[1] == paths[1]):
            file.replace(path)
    return Conversion(verdict, parities, len(content), paths)


def _golden(network: Network, draft: CardDraft) -> GoldenCrops:
    def p_blast(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return calibrate(network.outputs(crops), draft.decision.temperature, network.lsb)

    crops = choose(rendered_crops(draft.input), p_blast)
    return GoldenCrops(crops, p_blast(crops))


def _conversion_section(recipe: Recipe, calibration: Crops) -> dict[str, object]:
    return {
        "recipe": asdict(recipe),
        "calibration": {
            "source": calibration.source,
            "n": len(calibration),
            "sha256": _set_hash(calibration),
        },
        "versions": {
            "tensorflow": str(load_tensorflow().__version__),
            "keras": str(load_keras().__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": platform.machine(),
    }


def _parity_section(
    parity: Crops, parities: tuple[RuntimeParity, ...], verdict: Verdict
) -> dict[str, object]:
    return {
        "crops": {"source": parity.source, "n": len(parity), "sha256": _set_hash(parity)},
        "runtimes": [{**asdict(one), "agreement": one.agreement} for one in parities],
        "findings": verdict.to_json(),
    }


def _set_hash(crops: Crops) -> str:
    """Hash of a set of crops whatever their order."""
    return hashlib.sha256("".join(sorted(crops.hashes())).encode()).hexdigest()


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
