"""The door to TensorFlow: loaded on demand, and quiet."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, RuntimeMissingError

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)
#: Packages whose classes a saved network may name: Keras's own, and Python's, for plain values.
_KERAS_OWN = ("keras", "builtins")
#: First bytes of an HDF5 file.
_HDF5 = b"\x89HDF\r\n\x1a\n"


def load_tensorflow() -> ModuleType:
    """Import TensorFlow without the C++ library's greetings on stderr.

    Returns
    -------
    module
        ``tensorflow``.

    Raises
    ------
    RuntimeMissingError
        TensorFlow is not installed.
    """
    # Read by the C++ library when it is loaded, so they must come first; what a person set stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise RuntimeMissingError(
            f"conversion needs TensorFlow, which cannot be imported ({error}); "
            "install it with: pip install 'blastcount[convert]'"
        ) from error


def load_keras() -> ModuleType:
    """Import Keras over TensorFlow; raises as :func:`load_tensorflow` does."""
    load_tensorflow()
    return importlib.import_module("keras")


def load_model(path: Path) -> keras.Model:
    """Read a Keras model file.

    Parameters
    ----------
    path : ``.keras`` file, or ``.h5`` of older Keras

    Returns
    -------
    keras.Model

    Raises
    ------
    RuntimeMissingError
        TensorFlow is not installed.
    ModelError
        The file is missing or no Keras model that can be read without running code out of it.
    """
    if why := _no_model(path):
        raise ModelError(f"{path}: {why}")
    try:
        return load_keras().saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = (str(error) or type(error).__name__).strip().partition("\n")[0][:160]
        raise ModelError(f"{path}: not a Keras 3 model ({reason}); save it as .keras") from error


def _no_model(path: Path) -> str | None:
    """Say why a path can be no model of ours, where Keras itself would give another reason or none."""
    give = "give the model.keras that `blastcount train` wrote"
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return (
                "a SavedModel folder, which holds TensorFlow's operations and no Keras layers; "
                "save the model as model.keras where it was trained"
            )
        return f"a folder, expected a file; {give}"
    if not path.is_file():
        return f"the file is missing; {give}"
    with path.open("rb") as file:
        head = file.read(len(_HDF5))
    if not head:
        return f"the file is empty; {give}"
    if head == _HDF5:
        named = path.suffix in (".h5", ".hdf5")
        return None if named else "an HDF5 file, the form of older Keras; name it .h5, or save it as .keras"
    if not zipfile.is_zipfile(path):
        return f"no Keras model, which is a zip file, or cut off; {give}"
    with zipfile.ZipFile(path) as archive:
        try:
            foreign = sorted(set(_foreign_layers(json.loads(archive.read("config.json")))))
        except (KeyError, ValueError, zipfile.BadZipFile):
            return f"a zip file without the description of a Keras network; {give}"
    if foreign:
        return (
            f"has layers whose code is not Keras's own ({', '.join(foreign)}) and is never run from a file; "
            "put Keras's layers in their place and train it again"
        )
    return None


def _foreign_layers(config: object) -> Iterator[str]:
    """Go through a saved network's description for layers that are Python code of its author."""
    if isinstance(config, dict):
        # Names in underscores stand for tensors and for a Lambda's function, which is named beside them.
        name, package = config.get("class_name"), str(config.get("module")).partition(".")[0]
        if name == "Lambda" or (name and not name.startswith("__") and package not in _KERAS_OWN):
            yield str(name)
    if isinstance(config, dict | list):
        for part in config.values() if isinstance(config, dict) else config:
            yield from _foreign_layers(part)


def predict(model: keras.Model, crops: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
    """Run a Keras model on crops.

    ``predict`` would build a function and print; calling the model in batches does neither.

    Parameters
    ----------
    model : takes (n, s, s, 3) RGB in 0 to 255
    crops : (n, s, s, 3) uint8 RGB
    batch : crops at a time; 64 keeps the seed network's activations under 300 MB

    Returns
    -------
    (n, k) float32
    """
    parts = [
        np.asarray(model(crops[i : i + batch].astype(np.float32), training=False), np.float32)
        for i in range(0, len(crops), batch)
    ]
    return np.concatenate(parts)


@contextmanager
def native_silence() -> Iterator[None]:
    """Move what TensorFlow's converter writes to stdout and stderr to the log (DEBUG).

    The converter announces every graph it saves, from Python and from C++ alike, and has no switch for it;
    what goes wrong it also raises.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
        for descriptor in kept:
            os.dup2(caught.fileno(), descriptor)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                yield
        finally:
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                log.debug("%s", line)
