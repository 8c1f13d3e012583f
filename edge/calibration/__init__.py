"""What was measured once about a microscope and its camera: even light, white point, size of a pixel.

``record`` is the file, ``blank`` makes a flat field from blank frames, ``micrometer`` and ``red_cells``
measure the scale, and ``correction`` puts a record to use on frames. ``site`` is what was measured of the
program itself on this laboratory's slides. ``correction`` loads OpenCV, and is imported by its own name:
reports and the review page know records, and have no room for that.
"""

from edge.calibration.record import Blank, Calibration, MeasuredScale

__all__ = ["Blank", "Calibration", "MeasuredScale"]
