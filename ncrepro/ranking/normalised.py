"""From the terms of a metric to one number per model, over a pool: min-max, then a sum (NCTI Eq. 11-12, FaCe Eq. 1)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..metrics import registry
from ._inputs import check_table, numbers

ROUNDING = 1e-12  # a term that varies by less, relative to its size, varies by rounding only


def total(terms_by_model, weights: Mapping[str, float] | None = None) -> pd.Series:
    r"""Total score of each model: every term min-max normalised over the pool, then a weighted sum.

    .. math:: S_m = \sum_t w_t \, \frac{s_{m,t} - \min_{m'} s_{m',t}}{\max_{m'} s_{m',t} - \min_{m'} s_{m',t}}

    Parameters
    ----------
    terms_by_model : DataFrame (models x terms), or dict model -> NamedTuple or dict of terms
        For instance ``{"resnet34": metrics.ncti(features, labels), ...}``.
    weights : dict term -> weight, optional
        Replaces the default weight of the terms it names. The default is the sign of the term in
        `metrics.registry`: -1 for ``log_vc`` (lower is better) and +1 for every other term. A term of weight 0 is left
        out.

    Returns
    -------
    Series
        One total per model, higher is better. NCTI lies in [-1, 2], FaCe in [0, 2]. A total compares the models of
        this pool only: adding or removing a model can change a minimum or a maximum, and then the totals of other
        models.

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
    if not isinstance(terms_by_model, pd.DataFrame):
        rows = [terms._asdict() if hasattr(terms, "_asdict") else terms for terms in terms_by_model.values()]
        terms_by_model = pd.DataFrame(rows, index=list(terms_by_model), dtype=float)
    check_table(terms_by_model, "terms_by_model", "term")
    table = terms_by_model.astype(float)
    unknown = [term for term in weights or {} if term not in table.columns]
    if unknown:
        raise ValueError(f"weights name {unknown}, but the terms are {list(table.columns)}; use these names")
    if not all(np.isfinite(numbers([*(weights or {}).values()], "weights"))):
        raise ValueError(f"weights are {dict(weights)}; all must be finite")
    weight = {term: registry.sign(term) for term in table.columns} | dict(weights or {})
    used = [term for term in table.columns if weight[term] != 0]
    if not used:
        raise ValueError("every term has weight 0, so nothing is left to add up; give one term another weight")
    for term in used:
        if not varies(table[term]):
            raise ValueError(
                f"term {term!r} is constant over the pool ({table[term].iloc[0]:g} for all {len(table)} "
                f"models), so its min-max is undefined; leave it out with weights={{{term!r}: 0}}"
            )
    parts = _scaled(table[used].to_numpy(), np.array([weight[term] for term in used], float))
    return pd.DataFrame(parts, table.index, used)


def totals(
    terms: pd.DataFrame, by: Sequence[str] = ("target", "metric"), weights: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """One score per model from a table of terms: the `total` over the models of each group.

    Parameters
    ----------
    terms : DataFrame (model, those of by, term, score)
        A group whose only term is ``total`` is a metric that is a single number, which is its own total. In other
        groups the rows of that term are left out.
    by : names of columns
        What belongs together: models are compared within a group.
    weights : dict term -> weight, optional
        As for `total`.

    Returns
    -------
    DataFrame (model, those of by, score)
        Models in the order in which a group names them. NaN where a term that counts is the same for all models of the
        group, so that its min-max is undefined.
    """
    tables = []
    for keys, group in terms.groupby(list(by), sort=False, dropna=False):
        parts = group[group["term"] != registry.TOTAL]
        if parts.empty:
            models, score = group["model"], group["score"].to_numpy()
        else:
            models, score = _added_up(parts, weights)
        group_of = dict(zip(by, keys, strict=True))
        tables.append(pd.DataFrame({"model": models.to_numpy(), **group_of, "score": score}))
    return pd.concat(tables, ignore_index=True)


def _added_up(parts: pd.DataFrame, weights: Mapping[str, float] | None) -> tuple[pd.Index, np.ndarray]:
    """`total` of a table with one row per model and term, NaN where it is undefined.

    Ablations ask for thousands of small tables, so this goes without pandas; what `total` would refuse is left to it.
    """
    row, names = pd.factorize(parts["model"])
    column, used = pd.factorize(parts["term"], sort=True)
    table = np.full((len(names), len(used)), np.nan)
    table[row, column] = parts["score"]
    weight = np.array([(weights or {}).get(term, registry.sign(term)) for term in used], float)
    refused = len(names) < 2 or not weight.any() or set(weights or ()) - set(used)
    if refused or len(parts) != table.size or not np.isfinite(table).all():
        by_model = parts.pivot(index="model", columns="term", values="score")
        return names, total(by_model.loc[names], weights).to_numpy()
    table, weight = table[:, weight != 0], weight[weight != 0]
    if not varies(table).all():
        return names, np.full(len(names), np.nan)
    return names, _scaled(table, weight).sum(axis=1)


def _scaled(table: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Terms, models x terms, min-max normalised over the models, times their weights."""
    low, high = table.min(axis=0), table.max(axis=0)
    return (table - low) / (high - low) * weight


def varies(values: pd.DataFrame | pd.Series | np.ndarray):
    """Whether values differ by more than rounding over the models: one answer, or one per column."""
    return np.max(values, axis=0) - np.min(values, axis=0) > ROUNDING * np.max(np.abs(values), axis=0)
