"""The door to Keras: loaded on demand, quiet, and repeatable."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from edge.errors import RuntimeMissingError


def load_keras() -> ModuleType:
    """Import Keras over TensorFlow, without the C++ library's greetings on stderr.

    Returns
    -------
    module
        ``keras``.

    Raises
    ------
    RuntimeMissingError
        TensorFlow is not installed.
    """
    # Read by the C++ library when it is loaded, so they must come first; what a person set stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        importlib.import_module("tensorflow")
        return importlib.import_module("keras")
    except ImportError as error:
        raise RuntimeMissingError(
            f"training needs TensorFlow, which cannot be imported ({error}); "
            "install it with: pip install 'blastcount[train]'"
        ) from error


def make_repeatable(seed: int) -> None:
    """Seed Python, numpy and TensorFlow, and allow only operations whose sums have a fixed order.

    The same seed then gives the same weights on the same machine and TensorFlow version; another
    processor may order its sums differently.

    Parameters
    ----------
    seed : 0 to 2**32 - 1
    """
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    importlib.import_module("tensorflow").config.experimental.enable_op_determinism()
