"""How many outliers sixty reviews find, with isolation forests that learn from each verdict: ours and an oracle's.

    pip download --no-deps --dest wheels balif==0.4.0

The sets are those of that wheel; it is unpacked, not installed.
"""

from __future__ import annotations

SETS = (
    "annthyroid",
    "cardio",
    "ionosphere",
    "mammography",
    "optdigits",
    "pima",
    "satimage-2",
    "vertebral",
    "wbc",
)
"""Nine of the eighteen sets in the wheel: every second one in alphabetical order, from the first one on. They were
chosen by this rule, and written down, before anything was measured on any of them."""
