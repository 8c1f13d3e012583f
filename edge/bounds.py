"""What the configuration may say of a scale and a share: without NumPy, which the records bring.

A process that only sends the log away reads the configuration, too, and has no room for more.
"""

from __future__ import annotations

from typing import Literal

#: Which cells every share is of: all classified leukocytes; those without the uncertain ones; all and the
#: smudges, as normal cells; all nucleated cells, which are the leukocytes and the erythroblasts.
Denominator = Literal["classified", "without_uncertain", "with_smudges", "nucleated"]

#: Scales that a field may be said to have, in µm per px: as coarse as one that red cells give, which are
#: 7.5 µm across and found from 6 px on (see ``edge.segmentation.diameter``); a 100x objective on a 1.2 µm
#: sensor has 0.012.
FINEST_UM_PER_PX, COARSEST_UM_PER_PX = 0.01, 1.25
