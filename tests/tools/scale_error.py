"""How far a good field's own numbers depend on its scale: ``python -m tests.tools.scale_error``.

The scale of each good field is moved by its own standard error, down and up, its cells are cut and classified
again, and the blasts are compared by the measure of :mod:`tests.tools.silent_numbers`: a difference by more
than the greater of 1 and 10 % of the white cells. Where that happens an alteration that moves the scale by as
little cannot be told from a good field.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import cv2

from edge.camera.files import read_image
from edge.config import load_config
from edge.counting.folder import FolderScales
from edge.counting.golden import load_configured
from edge.counting.pipeline import Pipeline
from edge.light.field import Field
from edge.segmentation import segment
from tests.tools.compare_counts import REPOSITORY
from tests.tools.silent_numbers import FIELDS, is_changed, spread

#: 95 % of a normal distribution, in standard deviations to one side.
_Z95 = 1.96


def main() -> int:
    """Say it by source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--fields", type=int, default=50, help="good fields of each source at most")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    line = Pipeline(load_configured(load_config().changed(model={"threads": 1})))
    for source, pattern in FIELDS.items():
        files = spread(sorted(options.data.resolve().glob(pattern)), options.fields)
        scales = FolderScales(files, lambda frame: frame)
        n = changed = 0
        for file in files:
            scales.look(file)
            frame = read_image(file)
            field = Field(replace(frame, pooled=scales.pooled(file, frame)))
            found = segment(field)
            if found.scale.interval is None or not found.cells:
                continue
            low, high = found.scale.interval
            factor = math.exp(math.log(high / low) / 2 / _Z95)
            blasts = []
            for um_per_px in (
                found.scale.um_per_px / factor,
                found.scale.um_per_px,
                found.scale.um_per_px * factor,
            ):
                moved = replace(found, scale=replace(found.scale, um_per_px=um_per_px))
                blasts.append(sum(cell.label == "blast" for cell in line.classify(field, moved)))
            n += 1
            changed += any(is_changed(number, blasts[1], len(found.cells)) for number in blasts)
        sys.stdout.write(f"{source}: {changed} of {n} fields with a cell\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
