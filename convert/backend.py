"""The door to TensorFlow: loaded on demand, and quiet."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
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
    path : ``.keras`` file

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
    if not path.is_file():
        raise ModelError(f"model file {path} is missing; give the model.keras that `blastcount train` wrote")
    try:
        return load_keras().saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = (str(error) or type(error).__name__).strip().partition("\n")[0][:160]
        raise ModelError(f"{path}: not a Keras 3 model ({reason}); save it as .keras") from error


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
