"""The baseline for a ranking: one that never looks at the target."""

import pandas as pd

from ._inputs import check_table


def static_baseline(accuracies: pd.DataFrame) -> pd.DataFrame:
    r"""Scores that never look at the target: each model's mean accuracy on the *other* targets.

    .. math:: s_{m,t} = \frac{1}{T-1} \sum_{t' \ne t} a_{m,t'}

    A metric is useful only where it ranks better than this baseline, which knows the models that are good anywhere, and
    nothing about the target. The baseline is for comparison, not a method to use instead: it needs models that were
    fine-tuned on other targets before.

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
    check_table(accuracies, "accuracies", "target")
    if accuracies.shape[1] < 2:
        raise ValueError(
            f"the static baseline needs at least 2 targets, found {list(accuracies.columns)}; add a target"
        )
    return accuracies.rsub(accuracies.sum(axis=1), axis=0) / (accuracies.shape[1] - 1)
