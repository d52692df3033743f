"""Which pre-trained model should I fine-tune? Neural-collapse transferability metrics, their baselines and their
experiments.
"""

from .store import arithmetic, trace

__version__ = "0.1.0"

arithmetic.pin()  # before NumPy, SciPy or torch are loaded
trace.start()  # before any data is read


def __getattr__(name: str):
    """``ncrepro.rank``, imported when it is asked for: it needs torch, the metrics do not."""
    if name == "rank":
        from .rank_your_own.rank import rank

        return rank
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
