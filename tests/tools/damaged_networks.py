"""How many damaged networks a bundle's golden crops and golden field let pass.

``python tests/tools/damaged_networks.py [BUNDLE]`` damages every stored tensor of a bundle's network in many
ways (a bit of a weight, a channel silenced, turned or halved). Hashes would notice all of them; here they are
not compared. Each damaged file is asked what it says of the golden crops, of the crops of the golden field,
and of probe cells, which are drawn with another seed; with ``--crops FILE.npz`` they are the ``test_crops``
of a training. What changes a probe cell's class and is not noticed is what counts. It takes two minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from convert.flatbuffer.schema import pack, type_names, unpack
from convert.gate.golden import rendered_crops
from edge.classification.card import ModelBundle, default_bundle_path, load_bundle
from edge.classification.classifier import calibrate
from edge.classification.interpreter import Network
from edge.counting.golden import MAX_DELTA_P, load_golden_field
from edge.errors import ModelError

#: Damages of each kind a tensor; single bits are many and mostly harmless, so there are more of them.
BITS, CHANNELS = 16, 6
#: Golden crops have seed 0.
_PROBE_SEED = 100
_DTYPES = {"INT8": np.int8, "INT32": np.int32, "FLOAT32": np.float32, "FLOAT16": np.float16}


def damages(content: bytes, seed: int = 0) -> Iterator[bytes]:
    """Damage every stored tensor of a network, one at a time."""
    rng, types = np.random.default_rng(seed), type_names()
    graph = unpack(content).subgraphs[0]
    for index, tensor in enumerate(graph.tensors):
        dtype = _DTYPES.get(types[tensor.type])
        data = unpack(content).buffers[tensor.buffer].data
        scaled = tensor.quantization is not None and tensor.quantization.scale is not None
        if dtype is None or data is None or len(data) == 0 or (dtype is np.int32 and not scaled):
            continue  # computed, or a shape or an axis: an interpreter refuses others
        stored = np.asarray(data, np.uint8)
        for _ in range(BITS):
            changed = stored.copy()
            changed[rng.integers(len(changed))] ^= 1 << rng.integers(
                4, 8
            )  # what lies below is hardly a damage
            yield _with(content, index, changed)
        values = stored.view(dtype).reshape(tensor.shape)
        if values.ndim == 0 or values.shape[0] < 2:
            continue
        for channel in rng.permutation(values.shape[0])[:CHANNELS]:
            for factor in (0.0, -1.0, 0.5):
                changed = values.copy()
                with np.errstate(over="ignore"):
                    changed[channel] = (changed[channel].astype(np.float64) * factor).astype(dtype)
                yield _with(content, index, changed.view(np.uint8).ravel())


def _with(content: bytes, tensor: int, data: NDArray[np.uint8]) -> bytes:
    model = unpack(content)
    model.buffers[model.subgraphs[0].tensors[tensor].buffer].data = data
    return pack(model, len(content))


def p_blast(
    content: bytes, bundle: ModelBundle, crops: NDArray[np.uint8], folder: Path
) -> NDArray[np.float32]:
    """Probabilities of a file in the first installed interpreter; no numbers where that refuses it."""
    path = folder / "damaged.tflite"
    path.write_bytes(content)
    try:
        network = Network(path)
        return calibrate(network.outputs(crops), bundle.card.decision.temperature, network.lsb)
    except ModelError:
        return np.full(len(crops), np.nan, np.float32)


def main() -> None:
    """Damage, ask, and print what is missed at several tolerances."""
    parser = argparse.ArgumentParser(description="Count the damaged networks that golden crops miss.")
    parser.add_argument("bundle", nargs="?", type=Path, default=default_bundle_path())
    parser.add_argument("--crops", type=Path)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    if arguments.crops:
        with np.load(arguments.crops) as archive:
            probes = archive["test_crops"]
    else:
        probes = rendered_crops(bundle.card.input, _PROBE_SEED)
    golden, field, threshold = bundle.golden, load_golden_field(bundle), bundle.card.decision.threshold
    crops = np.concatenate([golden.crops, field.crops, probes])
    parts = np.cumsum([len(golden.crops), len(field.crops)])
    content = bundle.tflite_path.read_bytes()
    off_crops, off_field, flips = list[float](), list[float](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        honest = p_blast(content, bundle, probes, Path(folder))
        for damage in damages(content):
            found = np.split(p_blast(damage, bundle, crops, Path(folder)), parts)
            off_crops.append(float(np.abs(found[0] - golden.p_blast).max()))
            off_field.append(float(np.abs(found[1] - field.p_blast).max()))
            flips.append(int(((found[2] >= threshold) != (honest >= threshold)).sum()))
    changed = np.array(flips)
    click.echo(
        f"{len(changed)} damaged networks, of which {(changed > 0).sum()} change the class of a probe cell"
    )
    for tolerance in (0.05, 0.03, 0.02, 0.01):
        for name, passed in (
            (f"{len(golden.crops)} golden crops", np.array(off_crops) <= tolerance),
            ("and golden field", (np.array(off_crops) <= tolerance) & (np.array(off_field) <= MAX_DELTA_P)),
        ):
            missed = changed[passed & (changed > 0)]
            click.echo(
                f"tolerance {tolerance}, {name}: {len(missed)} of these pass, and change up to "
                f"{missed.max(initial=0)} of {len(probes)} probe cells"
            )


if __name__ == "__main__":
    main()
