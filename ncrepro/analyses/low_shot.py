"""Ranking models from a few labelled images of the target (`31_low_shot`, NCTI Fig. 6 d)."""

from itertools import product

import numpy as np
import pandas as pd

from ..experiment import Experiment
from . import agreement, draws

SIZES = (2, 5, 10, 20, 50, 100, 200, 500)  # images per class, as far as the targets go
DRAWS = 3


def settings(study: Experiment, targets: list[str]) -> list[dict]:
    """What to draw: each of `SIZES` that every class of the targets exceeds, several times, and (0) the whole target once."""
    smallest = min(np.unique(study.features_of(study.pool.models[0].name, t)["labels"], return_counts=True)[1].min() for t in targets)
    few = [{"per_class": n, "replace": False, "draw": draw} for n, draw in product(SIZES, range(DRAWS)) if n < smallest]
    return [*few, {"per_class": 0, "replace": False, "draw": 0}]


def sizes(study: Experiment, targets: list[str], drawn: list[dict]) -> pd.DataFrame:
    """How large each draw is: (target, per_class, n_samples, n_classes)."""
    rows = []
    for target, setting in product(targets, drawn):
        labels = study.features_of(study.pool.models[0].name, target)["labels"]
        rows.append((target, setting["per_class"], len(draws.drawn(labels, **setting)), len(np.unique(labels))))
    return pd.DataFrame(rows, columns=["target", "per_class", "n_samples", "n_classes"]).drop_duplicates()


def rankings(measured: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Weighted Kendall of every metric on every draw: (per_class, draw, metric, target, weighted_kendall)."""
    scores = draws.total_scores(measured, list(accuracies.index), ["per_class", "draw"])
    return agreement(scores, accuracies, ["per_class", "draw", "metric"])


def regimes(measured: pd.DataFrame, sizes: pd.DataFrame, n_features: pd.Series) -> pd.DataFrame:
    """What becomes of NCTI as samples become fewer than dimensions.

    Parameters
    ----------
    measured : DataFrame (model, target, per_class, draw, term, score)
    sizes : DataFrame (target, per_class, n_samples, ...)
    n_features : Series, model -> d

    Returns
    -------
    DataFrame (target, per_class, n_samples, wide, ncc, spread, consistency)
        ``wide``: share of the models with d >= n. Means over draws of: the mean of ncc over the models, its standard
        deviation over them, and the weighted Kendall of NCTI's totals with those on the whole target.
    """
    by = ["target", "per_class", "draw"]
    table = measured[measured["term"] == "ncti_ncc"].groupby(by)["score"].agg(ncc="mean", spread="std")
    totals = draws.total_scores(measured, list(n_features.index), ["per_class", "draw"]).query("metric == 'ncti'")
    whole = totals[totals["per_class"] == 0].pivot(index="model", columns="target", values="score").loc[n_features.index]
    same = agreement(totals, whole, ["per_class", "draw"]).set_index(by)["weighted_kendall"]
    found = table.assign(consistency=same).groupby(["target", "per_class"]).mean().reset_index()
    found = sizes[["target", "per_class", "n_samples"]].merge(found, on=["target", "per_class"])
    found.insert(3, "wide", [(n_features >= n).mean() for n in found["n_samples"]])
    return found
