"""What the notebooks on small pools share: how good a ranking by luck is, and a paper's claims beside what is found."""

from itertools import permutations
from math import factorial

import numpy as np
import pandas as pd

from .. import ranking
from ..ranking.verdicts import Verdict
from . import FACE_METHODS
from .plots import label

SHOWN = [*FACE_METHODS, "face_printed", "ncti"]


def by_chance(n_models: int, level: float = 0.95, draws: int = 2000) -> float:
    """The weighted Kendall below which a share ``level`` of all rankings of ``n_models`` models stay.

    All rankings count where there are no more than ``draws``, else so many random ones (seeded).
    """
    accuracies, rng = np.arange(n_models, dtype=float), np.random.default_rng(0)
    if factorial(n_models) <= draws:
        rankings = permutations(accuracies)
    else:
        rankings = (rng.permutation(accuracies) for _ in range(draws))
    return float(np.quantile([ranking.weighted_kendall(np.array(scores), accuracies) for scores in rankings], level))


def told(correlations: pd.DataFrame, metric: str) -> str:
    """A metric's name, weighted Kendall and interval, for a sentence; ``correlations`` has one ground truth."""
    row = correlations.set_index("metric").loc[metric]
    return f"{label(metric)} **{row.weighted_kendall:.2f}** ({row.low:.2f} to {row.high:.2f})"


def claims_table(rows: list[tuple[str, str, Verdict]]) -> str:
    """Claims, what is found here, and whether they hold, as a table in Markdown."""
    lines = [f"| {claim} | {found} | {verdict} |" for claim, found, verdict in rows]
    return "\n".join(["| the paper's claim | found here | holds? |", "|---|---|---|", *lines])
