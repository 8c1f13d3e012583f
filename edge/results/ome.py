"""The stored picture of a field as OME-TIFF, which QuPath, napari and OMERO open with its scale."""

from __future__ import annotations

from io import BytesIO
from uuid import uuid5

import tifffile

from edge.bloodlog import LoggedField, Sample
from edge.bloodlog.pictures import ThumbnailStore
from edge.results.geojson import NAMESPACE
from edge.version import software_version

#: Rows of a strip: a viewer that shows a part reads no more than about that.
_STRIP_ROWS = 64


def ome_tiff(logged: LoggedField, sample: Sample, store: ThumbnailStore) -> bytes | None:
    """Give the picture that is kept of a field as the content of an OME-TIFF [1]_.

    The pixels are exactly those of the picture, compressed without loss. Where the frame lay is left out: a
    path may tell who the patient is.

    Returns
    -------
    None where no picture of the field's size is kept: it was removed, or the field was refused

    References
    ----------
    .. [1] I. G. Goldberg et al., "The Open Microscopy Environment (OME) Data Model and XML file", Genome
       Biology 6 (2005) R47; https://docs.openmicroscopy.org/ome-model/latest/
    """
    result = logged.result
    image = None if logged.image_sha256 is None else store.get(logged.image_sha256)
    if image is None or image.shape[:2] != (result.height, result.width):
        return None
    drawn = "Rendered by a program, no real smear. " if logged.source_kind == "rendered" else ""
    metadata: dict[str, object] = {
        "axes": "YXS",
        # Without these tifffile names the file by this machine's network address and the time.
        "UUID": str(uuid5(NAMESPACE, f"{sample.name} {logged.id} {logged.image_sha256}")),
        "Creator": f"blastcount {software_version()}",
        "Name": f"{sample.name}, field {logged.id}",
        "Description": f"{drawn}For research use only; not for diagnosis.",
        "Channel": {"Name": ["Brightfield"]},
    }
    if result.captured_at is not None:
        metadata["AcquisitionDate"] = result.captured_at.isoformat(timespec="seconds")
    um_per_px = result.scale.reported_um_per_px
    if um_per_px is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": um_per_px, f"PhysicalSize{axis}Unit": "µm"}
    file = BytesIO()
    tifffile.imwrite(
        file,
        image,
        ome=True,
        photometric="rgb",
        compression="zlib",
        rowsperstrip=_STRIP_ROWS,
        metadata=metadata,
        software=False,
    )
    return file.getvalue()
