"""Scores on a part of a target: what `31_low_shot` and `34_stability` measure.

All metrics but ETran, PARC, kNN, the linear probe and F-OTCE.
"""

import numpy as np
import pandas as pd

from ... import metrics, ranking
from ...metrics import registry
from ...store.artifacts import Arrays


def scored(arrays: Arrays, settings: list[dict], nleep: bool = True) -> list[dict[str, float]]:
    """`metrics.all_scores`, of the slow ones only NLEEP, of the samples that `sample_indices` picks, alike for
    every model.
    """
    H, y, found = arrays["features"], arrays["labels"], []
    data = metrics.Samples(H, y)
    for setting in settings:
        kept = sample_indices(y, **setting)
        part = data.resampled(kept) if setting["replace"] else metrics.Samples(H[kept], y[kept])  # copies share
        probs = arrays["source_probs"][kept] if "source_probs" in arrays else None
        found.append(metrics.all_scores(part, y[kept], probs, nleep=False))
        if nleep:
            found[-1]["nleep"] = metrics.nleep(part, None)
    return found


def scored_but_nleep(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """`scored` without NLEEP, which takes longer than all the others together."""
    return scored(arrays, settings, nleep=False)


def sample_indices(labels: np.ndarray, per_class: int, replace: bool, draw: int) -> np.ndarray:
    """Indices of samples drawn at random, class by class.

    Parameters
    ----------
    labels : array (n,)
    per_class : int
        Samples of each class, or as many as it has; 0 takes as many as it has.
    replace : bool
        True draws with replacement (a bootstrap sample), at least two different samples of each class.
    draw : int
        Which of many draws.
    """
    rng = np.random.default_rng(draw)
    kept = []
    for members in (np.flatnonzero(labels == k) for k in np.unique(labels)):
        size = min(per_class or len(members), len(members))
        order = rng.permutation(members)
        kept.append(np.r_[order[:2], rng.choice(members, size - 2)] if replace else order[:size])
    return np.concatenate(kept)


def total_scores(measured: pd.DataFrame, models: list[str], by: list[str]) -> pd.DataFrame:
    """One score per metric from the terms that were measured, NCTI and FaCe normalised over ``models``.

    Parameters
    ----------
    measured : DataFrame (model, target, *by, term, score), ``term`` as `metrics.all_scores` names it

    Returns
    -------
    DataFrame (model, target, *by, metric, score)
        NaN where a term is the same for all models.
    """
    measured = measured[measured["model"].isin(models)]
    names = {name: registry.split(name) for name in measured["term"].unique()}
    metric, term = zip(*measured["term"].map(names), strict=True)
    terms = measured.assign(metric=metric, term=term)
    single = terms["term"] == registry.TOTAL
    several = ranking.totals(terms[~single], [*by, "target", "metric"])
    return pd.concat([terms[single].drop(columns="term"), several], ignore_index=True)
