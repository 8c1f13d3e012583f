"""The process that the workers of this machine are forked from; it loads what they need beside the command.

This module loads without the extra, and before anything of it.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import forkserver

#: What takes a worker a second and a half to load, once for all of them.
_LOADED = ("distributed.nanny", "edge.archive.work")
#: Threads of NumPy's library: a core is a worker's, and what has threads had better not be forked.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def start_early() -> None:
    """Start it now, beside what this process is about to load; it ends with this process."""
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    forkserver.set_forkserver_preload(list(_LOADED))
    # Ctrl-C is the command's to deal with: it and the workers would each print where they were.
    of_command = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, of_command)
