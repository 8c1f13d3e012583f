"""How much laboratories were seen to differ from what a card expects.

``blastcount evaluate recalibration`` learns it from the laboratories whose cells of both classes are known,
each judged by a network that was trained without it, and docs/recalibration.json has it with what each
laboratory said; a test holds the two together.
"""

from __future__ import annotations

from edge.verification.fitting import Prior

#: Of four sites: both cameras of ALL-IDB, the patients of jhu-aml, and lmu-aml.
PRIOR = Prior(sd_offset=1.39, sd_log_temperature=0.43, correlation=-0.61, cells_for_half=72.0)
