"""What a ranking is asked for: checked tables of models, and scores and accuracies of the same models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def check_table(table: pd.DataFrame, name: str, column: str) -> None:
    if len(table) < 2:
        raise ValueError(f"{name} holds {len(table)} model(s), but a ranking needs a pool of at least 2; add models")
    if not table.index.is_unique:
        raise ValueError(
            f"{name} names models twice: {_listed(table.index[table.index.duplicated()])}; give each model one row"
        )
    if not table.columns.is_unique:
        raise ValueError(f"{name} has two columns called {table.columns[table.columns.duplicated()][0]!r}; keep one")
    values = numbers(table, name)
    bad = ~np.isfinite(values)
    if bad.any():
        where = [f"model {table.index[m]!r}, {column} {table.columns[t]!r}" for m, t in np.argwhere(bad)[:3]]
        raise ValueError(
            f"{name} must be finite, found {values[bad][0]} for {'; '.join(where)}; "
            "compute the value again, or leave the model out"
        )


def numbers(values, name: str) -> np.ndarray:
    """Values as floats, or one sentence about what they are instead."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be numbers, one per model ({error})") from None


def _listed(names) -> list:
    """Different names in their order, also where some are numbers."""
    return sorted(set(names), key=lambda name: (str(type(name)), name))


def pool(scores, accuracies, several_targets=False):
    """Scores and accuracies of the same models: float arrays (models,) or, with several targets, (targets, models)."""
    scores, accuracies = (pd.Series(x) if isinstance(x, Mapping) else x for x in (scores, accuracies))
    if isinstance(scores, (pd.Series, pd.DataFrame)) and isinstance(accuracies, (pd.Series, pd.DataFrame)):
        _check_same_names("models", scores.index, accuracies.index)
        accuracies = accuracies.loc[scores.index]
        if scores.ndim == accuracies.ndim == 2:
            _check_same_names("targets", scores.columns, accuracies.columns)
            accuracies = accuracies[scores.columns]
    arrays = [numbers(scores, "scores"), numbers(accuracies, "accuracies")]
    dimensions = (1, 2) if several_targets else (1,)
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim not in dimensions:
        raise ValueError(
            f"scores have shape {arrays[0].shape} and accuracies {arrays[1].shape}; both must be (models,)"
            f"{' or (models, targets)' if several_targets else ''}"
        )
    if len(arrays[0]) < 2:
        raise ValueError(f"a ranking needs a pool of at least 2 models, found {len(arrays[0])}; add models")
    arrays = [np.atleast_2d(x.T) if several_targets else x for x in arrays]
    for name, values in zip(("scores", "accuracies"), arrays, strict=False):
        if not np.isfinite(values).all():
            which = int(np.argwhere(~np.isfinite(values))[0][-1])
            model = scores.index[which] if isinstance(scores, (pd.Series, pd.DataFrame)) else which
            raise ValueError(
                f"{name} must be finite, found {values[~np.isfinite(values)][0]} for model {model!r}; "
                "compute the value again, or leave the model out"
            )
        if is_constant(values).any():
            raise ValueError(
                f"{name} are constant ({values[is_constant(values)].flat[0]:g} for every model), so no "
                "correlation exists; check how they were computed, or add models that differ"
            )
    return arrays


def _check_same_names(kind, ours, theirs):
    for name, index in (("scores", ours), ("accuracies", theirs)):
        if not index.is_unique:
            raise ValueError(f"{name} name {kind} twice: {_listed(index[index.duplicated()])}; keep one of each")
    if set(ours) != set(theirs):
        raise ValueError(
            f"scores and accuracies name different {kind}: only in scores {_listed(set(ours) - set(theirs))}, only in "
            f"accuracies {_listed(set(theirs) - set(ours))}; give both the same {kind}"
        )


def is_constant(x):
    return x.max(axis=-1) == x.min(axis=-1)
