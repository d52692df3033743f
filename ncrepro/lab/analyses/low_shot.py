"""Ranking models from a few labelled images of the target (`31_low_shot`, NCTI Fig. 6 d)."""

from itertools import product

import numpy as np
import pandas as pd

from ... import ranking
from ...ranking import resampling
from ...ranking.resampling import Noise
from ..experiment import Experiment
from . import difference, draws_of, smallest_class, subsamples

SIZES = (2, 5, 10, 20, 50, 100, 200, 500)  # images per class, as far as the targets go
DRAWS = 3


def settings(study: Experiment, targets: list[str]) -> list[dict]:
    """What to draw: several times each of `SIZES` that every class exceeds, and once (0) the whole target."""
    smallest = min(smallest_class(study, target) for target in targets)
    few = [{"per_class": n, "replace": False, "draw": draw} for n, draw in product(SIZES, range(DRAWS)) if n < smallest]
    return [*few, {"per_class": 0, "replace": False, "draw": 0}]


def sizes(study: Experiment, targets: list[str], draw_settings: list[dict]) -> pd.DataFrame:
    """How large each draw is: (target, per_class, n_samples, n_classes)."""
    rows = []
    for target, setting in product(targets, draw_settings):
        labels = study.features_of(study.pool.models[0].name, target)["labels"]
        rows.append(
            (target, setting["per_class"], len(subsamples.sample_indices(labels, **setting)), len(np.unique(labels)))
        )
    return pd.DataFrame(rows, columns=["target", "per_class", "n_samples", "n_classes"]).drop_duplicates()


def rankings(measured: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Weighted Kendall of every metric on every draw: (per_class, draw, metric, target, weighted_kendall)."""
    scores = subsamples.total_scores(measured, list(accuracies.index), ["per_class", "draw"])
    return ranking.agreement(scores, accuracies, ["per_class", "draw", "metric"])


def regimes(measured: pd.DataFrame, sizes: pd.DataFrame, n_features: pd.Series) -> pd.DataFrame:
    """What happens to NCTI when there are fewer samples than dimensions.

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
    totals = subsamples.total_scores(measured, list(n_features.index), ["per_class", "draw"]).query("metric == 'ncti'")
    whole = totals[totals["per_class"] == 0].pivot(index="model", columns="target", values="score")
    whole = whole.loc[n_features.index]
    same = ranking.agreement(totals, whole, ["per_class", "draw"]).set_index(by)["weighted_kendall"]
    found = table.assign(consistency=same).groupby(["target", "per_class"]).mean().reset_index()
    found = sizes[["target", "per_class", "n_samples"]].merge(found, on=["target", "per_class"])
    found.insert(3, "wide", [(n_features >= n).mean() for n in found["n_samples"]])
    return found


def nearest_to_ten(sizes) -> int:
    """The paper's 10 images per class, or what comes closest to it."""
    return min((size for size in sizes if size), key=lambda size: abs(size - 10))


def effects_of_few_images(
    measured: pd.DataFrame, accuracies: pd.DataFrame, sizes: pd.DataFrame, noise: Noise, rivals: list[str]
) -> pd.DataFrame:
    """What a few images per class (`nearest_to_ten`) change, with the error of each change.

    Parameters
    ----------
    measured : DataFrame (model, target, per_class, draw, term, score)
    accuracies : DataFrame, models x targets
    sizes : DataFrame (target, per_class, n_samples, ...)
    rivals : list of the metrics that NCTI is compared with

    Returns
    -------
    DataFrame (what, metric, difference, error)
        ``above``: NCTI minus a rival, few images; ``margin``: NCTI minus its best rival, few images minus all;
        ``lost``: a metric's loss from all images to few; ``same``: how much better NCTI agrees with itself on all
        images from 64 samples on than below.
    """
    scores = subsamples.total_scores(measured, list(accuracies.index), ["per_class", "draw"])
    few = nearest_to_ten(scores["per_class"].unique())
    resamples = draws_of(scores[scores["per_class"].isin([0, few])], accuracies, noise, ["per_class", "metric", "draw"])
    known = [m for m in rivals if m in resamples[few]]
    rows = [{"what": "above", "metric": m, **difference(resamples[few]["ncti"], resamples[few][m])} for m in known]
    best = {size: resamples[size][rivals].T.groupby(level="metric").mean().max().to_frame() for size in (0, few)}
    margins = [resamples[size]["ncti"].mean(axis=1).to_frame() - best[size].to_numpy() for size in (few, 0)]
    rows.append({"what": "margin", "metric": "ncti", **difference(*margins)})
    rows += [
        {"what": "lost", "metric": m, **difference(resamples[0][m], resamples[few][m])}
        for m in scores["metric"].unique()
    ]
    same = _same(scores[scores["metric"] == "ncti"], sizes, list(accuracies.index))
    return pd.DataFrame([*rows, {"what": "same", "metric": "ncti", **same}])


def _same(ncti: pd.DataFrame, sizes: pd.DataFrame, models: list[str]) -> dict[str, float]:
    whole = ncti[ncti["per_class"] == 0].pivot(index="model", columns="target", values="score").loc[models]
    part = ncti[ncti["per_class"] > 0].merge(sizes[["target", "per_class", "n_samples"]], on=["target", "per_class"])
    resamples = {}
    for enough, rows in part.groupby(part["n_samples"] >= 64):
        by_target = rows.groupby("target")
        of_targets = [draws_of(g, whole[[target]], resampling.NONE, ["per_class", "draw"]) for target, g in by_target]
        resamples[enough] = pd.concat(of_targets, axis=1)
    return (
        difference(resamples[True], resamples[False])
        if len(resamples) == 2
        else {"difference": np.nan, "error": np.nan}
    )
