"""From the scores of a pool of models to a ranking, and from a ranking to how good it is.

Throughout: `scores` are the values of a metric, one per model, higher meaning more transferable; `accuracies` are the
accuracies of the same models after fine-tuning, in per cent. Both are pandas objects or dicts (then they are aligned
by model name) or plain arrays (then by position).
"""

from .baselines import static_baseline
from .correlation import agreement, mean_agreement, mutual_agreement, pearson, regret, spearman, weighted_kendall
from .intervals import bootstrap, bootstrap_interval
from .normalised import normalise, total, totals, varies

__all__ = [
    "agreement",
    "bootstrap",
    "bootstrap_interval",
    "mean_agreement",
    "mutual_agreement",
    "normalise",
    "pearson",
    "regret",
    "spearman",
    "static_baseline",
    "total",
    "totals",
    "varies",
    "weighted_kendall",
]
