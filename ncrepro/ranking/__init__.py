"""From the scores of a pool of models to a ranking, and from a ranking to how good it is.

Throughout: `scores` are the values of a metric, one per model, higher meaning more transferable; `accuracies` are the
accuracies of the same models after fine-tuning, in per cent. Both are pandas objects or dicts (then they are aligned
by model name) or plain arrays (then by position).
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

__all__ = ["total", "normalise", "weighted_kendall", "pearson", "spearman", "regret", "static_baseline",
           "bootstrap", "bootstrap_interval"]

LOWER_IS_BETTER = {"log_vc": -1.0}  # NCTI's within-class variability; every other term of NCTI and FaCe counts +1
ROUNDING = 1e-12  # a term that varies by less, relative to its size, varies by rounding only


def total(terms_by_model, weights: Mapping[str, float] | None = None) -> pd.Series:
    r"""Total score of each model: every term min-max normalised over the pool, then a weighted sum.

    .. math:: S_m = \sum_t w_t \, \frac{s_{m,t} - \min_{m'} s_{m',t}}{\max_{m'} s_{m',t} - \min_{m'} s_{m',t}}

    Parameters
    ----------
    terms_by_model : DataFrame (models x terms), or dict model -> NamedTuple or dict of terms
        For instance ``{"resnet34": metrics.ncti(features, labels), ...}``.
    weights : dict term -> weight, optional
        Replaces the default weight of the terms it names. The default is -1 for ``log_vc`` (lower is better) and +1
        for every other term. A term of weight 0 is left out.

    Returns
    -------
    Series
        One total per model, higher is better. NCTI lies in [-1, 2], FaCe in [0, 2]. A total compares the models of
        this pool only: adding or removing a model changes the minima and maxima, and so everybody's total.

    Raises
    ------
    ValueError
        A pool of fewer than two models, a model named twice, a value that is not finite, a term that is constant over
        the pool (min-max is undefined), a weight for a term that is not there, no term left.

    Notes
    -----
    NCTI Eq. 11-12 (Wang et al., ICCV 2023) and FaCe Eq. 1 (Ding et al., 2023).
    """
    return normalise(terms_by_model, weights).sum(axis=1).rename("score")


def normalise(terms_by_model, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The parts of `total`, models x terms: each term min-max normalised over the pool, times its weight.

    A term of weight 1 lies in [0, 1], one of weight -1 in [-1, 0]. Parameters and errors as for `total`.
    """
    table = _terms_table(terms_by_model)
    unknown = sorted(set(weights or {}) - set(table.columns))
    if unknown:
        raise ValueError(f"weights name {unknown}, but the terms are {list(table.columns)}; use these names")
    weight = {term: LOWER_IS_BETTER.get(term, 1.0) for term in table.columns} | dict(weights or {})
    used = [term for term in table.columns if weight[term] != 0]
    if not used:
        raise ValueError("every term has weight 0, so nothing is left to add up; give one term another weight")
    for term in used:
        if np.ptp(table[term]) <= ROUNDING * table[term].abs().max():
            raise ValueError(f"term {term!r} is constant over the pool ({table[term].iloc[0]:g} for all {len(table)} "
                             f"models), so its min-max is undefined; leave it out with weights={{{term!r}: 0}}")
    table = table[used]
    return (table - table.min()) / (table.max() - table.min()) * pd.Series(weight)[used]


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
    return float(_weighted_kendall(*_pool(scores, accuracies)))


def pearson(scores, accuracies) -> float:
    r"""Pearson correlation :math:`\rho`: how well a straight line gives the accuracies from the scores.

    .. math:: \rho = \frac{\sum_m (s_m - \bar s)(a_m - \bar a)}{\sqrt{\sum_m (s_m - \bar s)^2 \sum_m (a_m - \bar a)^2}}

    Parameters, range [-1, 1] and errors as for `weighted_kendall`. One model far from all others can decide it.
    """
    return float(_pearson(*_pool(scores, accuracies)))


def spearman(scores, accuracies) -> float:
    r"""Spearman correlation :math:`\rho_s`: Pearson correlation of the ranks, tied models sharing their mean rank.

    Parameters, range [-1, 1] and errors as for `weighted_kendall`. All ranks count alike.
    """
    return float(_spearman(*_pool(scores, accuracies)))


def regret(scores, accuracies) -> float:
    r"""Accuracy given up by fine-tuning the model with the highest score, in points.

    .. math:: \max_m a_m - a_{m^*}, \qquad m^* = \arg\max_m s_m

    If several models share the highest score, :math:`a_{m^*}` is their mean accuracy. Parameters and errors as for
    `weighted_kendall`; the range is [0, best minus worst accuracy], lower is better.
    """
    return float(_regret(*_pool(scores, accuracies)))


def static_baseline(accuracies: pd.DataFrame) -> pd.DataFrame:
    r"""Scores that never look at the target: each model's mean accuracy on the *other* targets.

    .. math:: s_{m,t} = \frac{1}{T-1} \sum_{t' \ne t} a_{m,t'}

    What a metric adds is what it ranks better than this: the baseline knows which models are good anywhere, and
    nothing about the target. It is a yardstick, not a method to use instead: it needs models that were fine-tuned on
    other targets before.

    Parameters
    ----------
    accuracies : DataFrame (models x targets), per cent

    Returns
    -------
    DataFrame (models x targets)
        To be correlated with `accuracies`, target by target.

    Raises
    ------
    ValueError
        Fewer than two models or two targets, or an accuracy that is missing.
    """
    _check_table(accuracies, "accuracies", "target")
    if accuracies.shape[1] < 2:
        raise ValueError(f"the static baseline needs at least 2 targets, found {list(accuracies.columns)}; "
                         "add a target")
    return accuracies.rsub(accuracies.sum(axis=1), axis=0) / (accuracies.shape[1] - 1)


def bootstrap_interval(statistic: Callable, scores, accuracies, n: int = 2000, seed: int = 0,
                       level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic, resampling the models of the pool.

    It answers: how far could this value move if other models of the same kind had been in the pool? Each model keeps
    its score, so totals stay those of the full pool (they are not normalised again in each resample), and the
    accuracies keep their fine-tuning noise.

    Parameters
    ----------
    statistic : `weighted_kendall`, `pearson`, `spearman` or `regret`
    scores, accuracies : Series, dict or array (models,); or DataFrame or array (models, targets)
        With several targets the models are resampled jointly, the same draw for all targets, and the statistic is
        averaged over targets: the interval is that of the mean.
    n : int
        Number of resamples. Those in which the scores or the accuracies of a target are constant are drawn again.
    seed : int
        The same seed gives the same interval.
    level : float
        Share of the resamples inside the interval, in (0, 1).

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        Another statistic, a level outside (0, 1), and all that the statistic itself refuses.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, but must lie between 0 and 1; the usual choice is 0.95")
    low, high = np.quantile(bootstrap(statistic, scores, accuracies, n, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(statistic: Callable, scores, accuracies, n: int = 2000, seed: int = 0) -> np.ndarray:
    """A statistic in each of ``n`` pools drawn from the models of this one, with replacement: array (n,).

    The same seed draws the same models for any scores of the same pool, so two metrics can be compared draw by draw.
    Parameters and errors as for `bootstrap_interval`, which says what is kept fixed.
    """
    if statistic not in _KERNELS:
        raise ValueError(f"statistic {getattr(statistic, '__name__', statistic)!r} is not known here; use one of "
                         f"ranking.{', ranking.'.join(f.__name__ for f in _KERNELS)}")
    s, a = _pool(scores, accuracies, several_targets=True)  # (targets, models)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(s.shape[-1], size=(n, s.shape[-1]))  # (n, models)
    while (again := _is_constant(s[:, drawn]) | _is_constant(a[:, drawn])).any():  # (targets, n)
        redo = again.any(axis=0)
        drawn[redo] = rng.integers(s.shape[-1], size=(redo.sum(), s.shape[-1]))
    kernel = _KERNELS[statistic]
    return np.mean([kernel(s_t[drawn], a_t[drawn]) for s_t, a_t in zip(s, a)], axis=0)


# ---- the statistics themselves, on arrays (..., models) ------------------------------------------------------------

def _weighted_kendall(s, a):
    concordance = _signs(s) * _signs(a)  # (..., models, models)
    tied_s, tied_a = np.abs(_signs(s)), np.abs(_signs(a))
    taus = []
    for first, second in ((s, a), (a, s)):
        order = np.lexsort((-second, -first), axis=-1)  # best model first
        weight = np.empty(s.shape)
        np.put_along_axis(weight, order, np.broadcast_to(1 / np.arange(1.0, s.shape[-1] + 1), s.shape), axis=-1)
        agree, untied_s, untied_a = (np.sum(weight * pairs.sum(axis=-1), axis=-1)  # = sum over i < j of w_i + w_j
                                     for pairs in (concordance, tied_s, tied_a))
        taus.append(agree / np.sqrt(untied_s * untied_a))
    return (taus[0] + taus[1]) / 2


def _signs(x):
    return np.sign(x[..., :, None] - x[..., None, :])


def _pearson(s, a):
    s, a = _centred(s), _centred(a)
    return (s * a).sum(axis=-1) / np.sqrt((s * s).sum(axis=-1) * (a * a).sum(axis=-1))


def _centred(x):
    """Distances from the mean, scaled by a power of two, which changes no digit: squares of them are never infinite or 0."""
    x = np.ldexp(x, -np.frexp(np.abs(x).max(axis=-1, keepdims=True))[1])
    return x - x.mean(axis=-1, keepdims=True)


def _spearman(s, a):
    return _pearson(rankdata(s, axis=-1), rankdata(a, axis=-1))


def _regret(s, a):
    top = s == s.max(axis=-1, keepdims=True)
    return a.max(axis=-1) - (a * top).sum(axis=-1) / top.sum(axis=-1)


_KERNELS = {weighted_kendall: _weighted_kendall, pearson: _pearson, spearman: _spearman, regret: _regret}


# ---- input ---------------------------------------------------------------------------------------------------------

def _terms_table(terms_by_model) -> pd.DataFrame:
    if not isinstance(terms_by_model, pd.DataFrame):
        rows = [terms._asdict() if hasattr(terms, "_asdict") else terms for terms in terms_by_model.values()]
        terms_by_model = pd.DataFrame(rows, index=list(terms_by_model), dtype=float)
    _check_table(terms_by_model, "terms_by_model", "term")
    return terms_by_model.astype(float)


def _check_table(table: pd.DataFrame, name: str, column: str) -> None:
    if len(table) < 2:
        raise ValueError(f"{name} holds {len(table)} model(s), but a ranking needs a pool of at least 2; add models")
    if not table.index.is_unique:
        raise ValueError(f"{name} names models twice: {sorted(set(table.index[table.index.duplicated()]))}; "
                         "give each model one row")
    bad = ~np.isfinite(table.to_numpy(float))
    if bad.any():
        where = [f"model {table.index[m]!r}, {column} {table.columns[t]!r}" for m, t in np.argwhere(bad)[:3]]
        raise ValueError(f"{name} must be finite, found {table.to_numpy(float)[bad][0]} for {'; '.join(where)}; "
                         "compute the value again, or leave the model out")


def _pool(scores, accuracies, several_targets=False):
    """Scores and accuracies of the same models, as float arrays (models,) or, with several targets, (targets, models).
    """
    scores, accuracies = (pd.Series(x) if isinstance(x, Mapping) else x for x in (scores, accuracies))
    if isinstance(scores, (pd.Series, pd.DataFrame)) and isinstance(accuracies, (pd.Series, pd.DataFrame)):
        _check_same_names("models", scores.index, accuracies.index)
        accuracies = accuracies.loc[scores.index]
        if scores.ndim == accuracies.ndim == 2:
            _check_same_names("targets", scores.columns, accuracies.columns)
            accuracies = accuracies[scores.columns]
    arrays = [np.asarray(x, dtype=float) for x in (scores, accuracies)]
    dimensions = (1, 2) if several_targets else (1,)
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim not in dimensions:
        raise ValueError(f"scores have shape {arrays[0].shape} and accuracies {arrays[1].shape}; both must be (models,)"
                         f"{' or (models, targets)' if several_targets else ''}")
    if len(arrays[0]) < 2:
        raise ValueError(f"a ranking needs a pool of at least 2 models, found {len(arrays[0])}; add models")
    arrays = [np.atleast_2d(x.T) if several_targets else x for x in arrays]
    for name, values in zip(("scores", "accuracies"), arrays):
        if not np.isfinite(values).all():
            which = int(np.argwhere(~np.isfinite(values))[0][-1])
            model = scores.index[which] if isinstance(scores, (pd.Series, pd.DataFrame)) else which
            raise ValueError(f"{name} must be finite, found {values[~np.isfinite(values)][0]} for model {model!r}; "
                             "compute the value again, or leave the model out")
        if _is_constant(values).any():
            raise ValueError(f"{name} are constant ({values[_is_constant(values)].flat[0]:g} for every model), so no "
                             "correlation exists; check how they were computed, or add models that differ")
    return arrays


def _check_same_names(kind, ours, theirs):
    for name, index in (("scores", ours), ("accuracies", theirs)):
        if not index.is_unique:
            raise ValueError(f"{name} name {kind} twice: {sorted(set(index[index.duplicated()]))}; keep one of each")
    if set(ours) != set(theirs):
        raise ValueError(f"scores and accuracies name different {kind}: only in scores "
                         f"{sorted(set(ours) - set(theirs))}, only in accuracies {sorted(set(theirs) - set(ours))}; "
                         f"give both the same {kind}")


def _is_constant(x):
    return x.max(axis=-1) == x.min(axis=-1)
