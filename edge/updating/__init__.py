"""Signed packages of a newer version, carried to a device without a network: read, verified, copied.

What is in one, who makes it and how it is installed: docs/pi.md and docs/engineer.md.
"""

from edge.updating.package import (
    MANIFEST,
    SIGNATURE,
    FileEntry,
    Manifest,
    Package,
    copy_checked,
    read_package,
)
from edge.updating.signature import Signer, sign
from edge.updating.versions import version_key

__all__ = [
    "MANIFEST",
    "SIGNATURE",
    "FileEntry",
    "Manifest",
    "Package",
    "Signer",
    "copy_checked",
    "read_package",
    "sign",
    "version_key",
]
