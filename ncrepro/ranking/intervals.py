"""How different a correlation could have been, with other models in the pool."""

from collections.abc import Callable

import numpy as np

from ..metrics._arrays import check_whole
from ._inputs import is_constant, pool
from .correlation import KERNELS


def bootstrap_interval(
    statistic: Callable, scores, accuracies, n: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
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
        Another statistic, a level outside (0, 1), n below 1, and all that the statistic itself refuses.
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
    if statistic not in KERNELS:
        raise ValueError(
            f"statistic {getattr(statistic, '__name__', statistic)!r} is not known here; use one of "
            f"ranking.{', ranking.'.join(f.__name__ for f in KERNELS)}"
        )
    check_whole("n", n, 1)
    check_whole("seed", seed, 0)
    s, a = pool(scores, accuracies, several_targets=True)  # (targets, models)
    rng = np.random.default_rng(seed)
    draws = rng.integers(s.shape[-1], size=(n, s.shape[-1]))  # (n, models)
    while (again := is_constant(s[:, draws]) | is_constant(a[:, draws])).any():  # (targets, n)
        redo = again.any(axis=0)
        draws[redo] = rng.integers(s.shape[-1], size=(redo.sum(), s.shape[-1]))
    kernel = KERNELS[statistic]
    return np.mean([kernel(s_t[draws], a_t[draws]) for s_t, a_t in zip(s, a, strict=False)], axis=0)
