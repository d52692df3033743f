"""Linear discriminant analysis from class statistics: the two solvers between which NCTI switches, and SFDA's."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ._arrays import Array, like, softmax
from ._linalg import solve
from .statistics import ClassStatistics

RANK_TOLERANCE = 1e-4  # scikit-learn's default


@dataclass(frozen=True)
class Discriminant:
    """Gaussian classes with one covariance: the logits at z = h - mean are ``z @ coefficients + intercepts``."""

    coefficients: np.ndarray  # (d, K)
    intercepts: np.ndarray  # (K,)
    directions: np.ndarray | None  # (d, min(K - 1, rank)), most separating first; None where nobody asks

    def posterior(self, centred: Array) -> Array:
        """P(class | sample) of centred samples (b, d): (b, K)."""
        return softmax(centred @ like(self.coefficients, centred) + like(self.intercepts, centred))


def plain(statistics: ClassStatistics) -> Discriminant:
    """No shrinkage; directions without within-class variance are dropped, as by scikit-learn's "svd" solver."""
    n, n_classes, means = statistics.n_samples, statistics.n_classes, statistics.centred_class_means
    within = _checked_within(statistics)
    scale = np.sqrt(np.diag(within).clip(0) / n)
    scale[scale == 0] = 1.0
    values, vectors = np.linalg.eigh(within / np.outer(scale, scale) / n)
    kept = values > RANK_TOLERANCE**2  # singular values of the samples above the tolerance
    whitening = vectors[:, kept] / scale[:, None] / np.sqrt(values[kept])  # (d, r)
    _, spread, axes = np.linalg.svd(
        np.sqrt(statistics.class_counts)[:, None] * (means @ whitening), full_matrices=False
    )
    directions = whitening @ axes[spread > RANK_TOLERANCE * spread[0]].T  # (d, r')
    projected = means @ directions
    intercepts = np.log(statistics.priors) - 0.5 * (projected**2).sum(axis=1)
    return Discriminant(directions @ projected.T, intercepts, directions[:, : n_classes - 1])


def shrunk(statistics: ClassStatistics, shrinkage: float, directions: bool = False) -> Discriminant:
    """The within-class covariance W replaced by (1 - shrinkage) W + shrinkage (tr W / d) I."""
    means = statistics.centred_class_means
    within = _shrunk_covariance(_checked_within(statistics), statistics, shrinkage)
    axes = None
    if directions:
        between = _shrunk_covariance(statistics.between_scatter, statistics, shrinkage)
        axes = linalg.eigh(between, within)[1][:, ::-1][:, : statistics.n_classes - 1]
    coefficients = solve(within, means.T)  # (d, K); destroys the covariance
    intercepts = np.log(statistics.priors) - 0.5 * (means.T * coefficients).sum(axis=0)
    return Discriminant(coefficients, intercepts, axes)


def _checked_within(statistics: ClassStatistics) -> np.ndarray:
    within = statistics.within_scatter
    if not np.trace(within) > 1e-12 * np.trace(statistics.total_scatter):
        raise ValueError(
            "no feature varies within any class; a discriminant needs some spread: are samples copies of each other?"
        )
    return within


def _shrunk_covariance(scatter: np.ndarray, statistics: ClassStatistics, shrinkage: float) -> np.ndarray:
    covariance = scatter * ((1 - shrinkage) / statistics.n_samples)
    target = np.trace(scatter) / statistics.n_samples / statistics.n_features
    covariance.flat[:: len(covariance) + 1] += shrinkage * target
    return covariance
