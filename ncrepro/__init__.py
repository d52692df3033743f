"""Which pre-trained model should I fine-tune? Neural-collapse transferability metrics, their baselines and their
experiments.
"""

import os
import sys

from .store import pinned_arithmetic, trace

__version__ = "0.1.0"

try:
    pinned_arithmetic.pin()  # before NumPy, SciPy or torch are loaded
except ValueError as error:
    if sys.argv and os.path.basename(sys.argv[0]) in ("-m", "ncrepro"):  # a command says it in one line
        sys.exit(f"error: {error}")
    raise
trace.start()  # before any data is read


def __getattr__(name: str):
    """``ncrepro.rank``, imported when it is asked for: it needs torch, the metrics do not."""
    if name == "rank":
        from .rank_your_own.rank import rank

        return rank
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
