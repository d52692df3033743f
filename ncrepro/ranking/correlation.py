"""How well scores order the models of a pool by their accuracies."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ._inputs import is_constant, pool


def weighted_kendall(scores, accuracies) -> float:
    r"""Weighted Kendall correlation :math:`\tau_w`: agreement of two rankings in which the top counts most.

    Over all pairs of models,

    .. math::
        \langle s, a \rangle = \sum_{i<j} \left( \tfrac{1}{1+r_i} + \tfrac{1}{1+r_j} \right)
        \operatorname{sgn}(s_i - s_j) \operatorname{sgn}(a_i - a_j), \qquad
        \tau = \frac{\langle s, a \rangle}{\sqrt{\langle s, s \rangle \langle a, a \rangle}}

    where r = 0 is the best model. :math:`\tau_w` is the mean of two such values, one ranking the models by score
    (ties by accuracy), the other by accuracy (ties by score).

    Parameters
    ----------
    scores, accuracies : Series or dict (aligned by model name), or array (models,)

    Returns
    -------
    float
        In [-1, 1]; 1 is the same order, -1 the reverse. Only orders matter, not distances.

    Raises
    ------
    ValueError
        Fewer than two models, different models or lengths, a value that is not finite, constant scores or accuracies.

    Notes
    -----
    Vigna, "A weighted correlation index for rankings with ties", WWW 2015; equal to ``scipy.stats.weightedtau`` with
    its defaults, which is what both papers report, but many resamples at a time.
    """
    return float(_weighted_kendall(*pool(scores, accuracies)))


def pearson(scores, accuracies) -> float:
    r"""Pearson correlation :math:`\rho`: how well a straight line gives the accuracies from the scores.

    .. math:: \rho = \frac{\sum_m (s_m - \bar s)(a_m - \bar a)}{\sqrt{\sum_m (s_m - \bar s)^2 \sum_m (a_m - \bar a)^2}}

    Parameters, range [-1, 1] and errors as for `weighted_kendall`. One model far from all others can decide it.
    """
    return float(_pearson(*pool(scores, accuracies)))


def spearman(scores, accuracies) -> float:
    r"""Spearman correlation :math:`\rho_s`: Pearson correlation of the ranks, tied models sharing their mean rank.

    Parameters, range [-1, 1] and errors as for `weighted_kendall`. All ranks count alike.
    """
    return float(_spearman(*pool(scores, accuracies)))


def regret(scores, accuracies) -> float:
    r"""Accuracy given up by fine-tuning the model with the highest score, in points.

    .. math:: \max_m a_m - a_{m^*}, \qquad m^* = \arg\max_m s_m

    If several models share the highest score, :math:`a_{m^*}` is their mean accuracy. Parameters and errors as for
    `weighted_kendall`; the range is [0, best minus worst accuracy], lower is better.
    """
    return float(_regret(*pool(scores, accuracies)))


# Of several rankings --------------------------------------------------------------------------------------------------


def agreement(
    scores: pd.DataFrame,
    accuracies: pd.DataFrame,
    by: Sequence[str] = ("metric",),
    statistics: Sequence[Callable] = (weighted_kendall,),
) -> pd.DataFrame:
    """How well scores rank the models for each target, group by group.

    Parameters
    ----------
    scores : DataFrame (model, target, those of by, score)
        Scores of other targets than those of ``accuracies`` are left out.
    accuracies : DataFrame, models x targets
        Decides which models are ranked.
    by : names of columns
        What tells one ranking from another.
    statistics : functions of (scores, accuracies)

    Returns
    -------
    DataFrame (those of by, target, one column per statistic, under its name)
        NaN where a model has no score, or where all models have the same score or the same accuracy.

    Raises
    ------
    ValueError
        Two scores of one model in one group.
    """
    known = scores[scores["target"].isin(accuracies.columns)]
    if (twice := known.duplicated([*by, "target", "model"])).any():
        model, target = known.loc[twice, ["model", "target"]].iloc[0]
        raise ValueError(
            f"model {model!r} has two scores on {target!r}: keep one, or name the column that tells them apart in by"
        )
    place, score = accuracies.index.get_indexer(known["model"]), known["score"].to_numpy(float)
    group = known.groupby([*by, "target"], sort=False, dropna=False).ngroup().to_numpy()
    first, found = np.unique(group, return_index=True)[1], []
    for rows in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]) if len(known) else ():
        truth = accuracies[known["target"].iat[rows[0]]].to_numpy(float)
        of_models = np.full(len(truth), np.nan)
        of_models[place[rows][place[rows] >= 0]] = score[rows][place[rows] >= 0]
        defined = not np.isnan(of_models).any() and not any(map(is_constant, (of_models, truth)))
        found.append([statistic(of_models, truth) if defined else np.nan for statistic in statistics])
    names = [statistic.__name__ for statistic in statistics]
    keys = known.iloc[first][[*by, "target"]].reset_index(drop=True)
    return keys.join(pd.DataFrame(found, keys.index, names, dtype=float))


def mean_agreement(found: pd.DataFrame, by: Sequence[str] = ("metric",)) -> pd.DataFrame:
    """The weighted Kendall of `agreement`, averaged over the targets that have one: (those of by, weighted_kendall)."""
    return found.groupby(list(by), sort=False, dropna=False)["weighted_kendall"].mean().reset_index()


def mutual_agreement(rankings: pd.DataFrame) -> float:
    """Weighted Kendall between two columns of a table (models x rankings), mean over all pairs; NaN for one column."""
    pairs = [weighted_kendall(rankings[a], rankings[b]) for a, b in combinations(rankings.columns, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


# The statistics themselves, on arrays (..., models) -----------------------------------------------------------------


def _weighted_kendall(s, a):
    concordance = _signs(s) * _signs(a)  # (..., models, models)
    tied_s, tied_a = np.abs(_signs(s)), np.abs(_signs(a))
    taus = []
    for first, second in ((s, a), (a, s)):
        order = np.lexsort((-second, -first), axis=-1)  # best model first
        weight = np.empty(s.shape)
        np.put_along_axis(weight, order, np.broadcast_to(1 / np.arange(1.0, s.shape[-1] + 1), s.shape), axis=-1)
        agree, untied_s, untied_a = (
            np.sum(weight * pairs.sum(axis=-1), axis=-1)  # = sum over i < j of w_i + w_j
            for pairs in (concordance, tied_s, tied_a)
        )
        taus.append(agree / np.sqrt(untied_s * untied_a))
    return (taus[0] + taus[1]) / 2


def _signs(x):
    return np.sign(x[..., :, None] - x[..., None, :])


def _pearson(s, a):
    s, a = _centred(s), _centred(a)
    return (s * a).sum(axis=-1) / np.sqrt((s * s).sum(axis=-1) * (a * a).sum(axis=-1))


def _centred(x):
    """Distances from the mean, scaled by a power of two, which changes no digit: no square is infinite or vanishes."""
    x = np.ldexp(x, -np.frexp(np.abs(x).max(axis=-1, keepdims=True))[1])
    return x - x.mean(axis=-1, keepdims=True)


def _spearman(s, a):
    return _pearson(rankdata(s, axis=-1), rankdata(a, axis=-1))


def _regret(s, a):
    top = s == s.max(axis=-1, keepdims=True)
    return a.max(axis=-1) - (a * top).sum(axis=-1) / top.sum(axis=-1)


KERNELS = {weighted_kendall: _weighted_kendall, pearson: _pearson, spearman: _spearman, regret: _regret}
