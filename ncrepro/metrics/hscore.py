r"""H-score (Bao et al., ICIP 2019) and its regularised form (Ibrahim et al., 2021)."""

import warnings

import numpy as np

from ._arrays import Array
from .samples import statistics_of
from .statistics import ClassStatistics


def h_score(features: Array | ClassStatistics, labels: Array | None = None) -> float:
    r"""H-score: the share of the feature covariance that the classes explain, direction by direction.

    .. math::
        \mathcal H = \operatorname{tr}(\operatorname{cov}(f)^\dagger \operatorname{cov}(\operatorname E[f \mid y]))

    Parameters
    ----------
    features : array of shape (n, d), or ClassStatistics
        NumPy, memory map or torch; or the statistics of them, and then no labels.
    labels : array of shape (n,)
        Integers or strings.

    Returns
    -------
    float
        In [0, min(K-1, d)]; higher is better. It does not change under any invertible linear map of the features.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance.

    Warns
    -----
    UserWarning
        When d >= n: samples in general position then give K-1 whatever the features are.

    Notes
    -----
    Source: https://arxiv.org/abs/2212.10082 (H-score). Everything after the one pass is in float64: float32 gives
    values far beyond K-1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(h_score(features, labels), 3)
    1.192
    """
    statistics = statistics_of(features, labels)
    warn_if_wide(statistics, "h_score", "use regularized_h_score, more samples, or fewer features (PCA)")
    return statistics.trace_of_ratio(statistics.between_factor)


def regularized_h_score(features: Array | ClassStatistics, labels: Array | None = None) -> float:
    r"""H-score with the covariance of Ledoit and Wolf.

    .. math::
        \mathcal H_\delta = (1-\delta)
        \operatorname{tr}(\Sigma_\delta^{-1} \operatorname{cov}(\operatorname E[f \mid y])), \quad
        \Sigma_\delta = (1-\delta)\Sigma + \delta \frac{\operatorname{tr}\Sigma}{d} I

    with the shrinkage :math:`\delta` that minimises the expected squared error of the covariance.

    Parameters, errors as :func:`h_score`; no warning, since it stays informative for d >= n.

    Returns
    -------
    float
        In [0, K-1]; higher is better.

    Notes
    -----
    Source: https://arxiv.org/abs/2110.06893. The Ledoit-Wolf shrinkage needs fourth moments, which
    :class:`ClassStatistics` holds, so it too comes from the one pass.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(regularized_h_score(features, labels), 3)
    1.178
    """
    statistics = statistics_of(features, labels)
    n, d = statistics.n_samples, statistics.n_features
    delta = _ledoit_wolf(statistics)
    if delta >= 1:
        return 0.0
    # (1 - δ) Σ_δ⁻¹ = n (S + t I)⁻¹ with S the scatter and t a shift
    shift = (delta / (1 - delta) + np.finfo(float).eps) * np.trace(statistics.total_scatter) / d
    return n / (n - 1) * statistics.trace_of_ratio(statistics.between_factor, shift)


def warn_if_wide(statistics: ClassStatistics, metric: str, remedy: str) -> None:
    """Say once that a score cannot tell models apart when there are no more samples than features."""
    if statistics.n_features >= statistics.n_samples:
        warnings.warn(
            f"{metric} of no more samples than features is at its maximum for any features: {remedy}", stacklevel=2
        )


def _ledoit_wolf(statistics: ClassStatistics) -> float:
    """The shrinkage intensity of Ledoit and Wolf (2004), from second and fourth moments."""
    n, d = statistics.n_samples, statistics.n_features
    scatter = statistics.total_scatter
    squares = np.vdot(scatter, scatter) / n**2
    spread = squares - (np.trace(scatter) / n) ** 2 / d  # ‖Σ - (tr Σ / d) I‖²
    error = (statistics.fourth_moment / n - squares) / n
    return float(min(max(error, 0.0), spread) / spread) if spread > 0 else 0.0
