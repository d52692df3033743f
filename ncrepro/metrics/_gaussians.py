"""Classes as Gaussians, and the Bhattacharyya distances between all pairs of them: what GBC and FaCe share."""

from functools import partial

import numpy as np

from ._arrays import as_float64, check_whole, host, like, slices, weighted
from .samples import Samples

VARIANCE_FLOOR = 1e-4
PAIR_BYTES = 1 << 21  # covariances of pairs of classes at a time: few enough to stay in the cache
COVARIANCES = ("spherical", "diagonal", "full")


def class_gaussians(data: Samples, covariance: str, n_components: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Means (K, q) and floored covariances of the classes: (K, 1) spherical, (K, q) diagonal, (K, q, q) full."""
    if covariance not in COVARIANCES:
        raise ValueError(f"covariance is {covariance!r}; allowed are {', '.join(map(repr, COVARIANCES))}")
    if n_components is not None:
        check_whole("n_components", n_components, 1, ", or None for no PCA")
    if data.counts.min() < 2:
        alone = data.classes[data.counts.argmin()].item()
        raise ValueError(
            f"class {alone!r} has a single sample; a covariance needs at least two: add samples or leave the class out"
        )
    if n_components is None:  # the classes' own axes matter, so these are the features as they came
        means = data.axes_means
        members = data.axes_of_class
    else:
        means = data.statistics.centred_class_means @ data.components(n_components)[1]
        members = partial(data.of_class, n_components=n_components)
    moments = []
    for k, count in enumerate(data.counts):
        moment = 0.0
        for z, weights in members(k):
            z = weighted(as_float64(z) - like(means[k], as_float64(z)), weights)
            moment = moment + host(z.T @ z if covariance == "full" else (z**2).sum(0))
        moments.append(moment / count)
    moments = np.stack(moments)
    if covariance == "spherical":
        moments = moments.mean(axis=1, keepdims=True)
    if covariance != "full":
        return means, moments.clip(VARIANCE_FLOOR)
    values, vectors = np.linalg.eigh(moments)
    return means, (vectors * values.clip(VARIANCE_FLOOR)[:, None, :]) @ vectors.swapaxes(1, 2)


def bhattacharyya(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    r"""Distances (K, K) between all pairs of Gaussians:
    :math:`D_{ij} = \frac18 \delta^\top \Sigma^{-1} \delta + \frac12 \ln \frac{|\Sigma|}{\sqrt{|\Sigma_i||\Sigma_j|}}`
    with :math:`\delta = \mu_i - \mu_j` and :math:`\Sigma = (\Sigma_i + \Sigma_j)/2`.
    """
    n_classes, q = means.shape
    full = covariances.ndim == 3
    log_dets = _log_dets(covariances, q)
    if full:
        smallest = 1 / np.trace(np.linalg.inv(covariances), axis1=1, axis2=2)  # at most the least eigenvalue
        covariances = np.pad(covariances, ((0, 0), (0, 1), (0, 1)))  # (K, q + 1, q + 1), room for a border
    first, second = np.triu_indices(n_classes, 1)
    distances = np.zeros((n_classes, n_classes))
    for part in slices(len(first), 8 * covariances[0].size + 8 * q, PAIR_BYTES):
        i, j = first[part], second[part]
        delta, average = means[i] - means[j], (covariances[i] + covariances[j]) / 2
        if full:
            mahalanobis, log_det = _bordered(average, delta, (smallest[i] + smallest[j]) / 2)
        else:
            mahalanobis, log_det = (delta**2 / average).sum(axis=1), _log_dets(average, q)
        distances[i, j] = distances[j, i] = mahalanobis / 8 + (log_det - (log_dets[i] + log_dets[j]) / 2) / 2
    return distances


def _log_dets(covariances: np.ndarray, q: int) -> np.ndarray:
    """Logarithms of the determinants, (m,)."""
    if covariances.ndim == 3:
        return np.linalg.slogdet(covariances)[1]
    return np.log(covariances).sum(axis=1) * (q / covariances.shape[1])  # one variance stands for q if spherical


def _bordered(covariances: np.ndarray, delta: np.ndarray, smallest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """δ'Σ⁻¹δ and ln|Σ| of every pair, from one Cholesky factor: that of Σ bordered by δ, [[Σ, δ], [δ', c]], whose last
    pivot is c - δ'Σ⁻¹δ; with λ at most the least eigenvalue of Σ, c = 1 + δ'δ/λ is large enough.
    """
    q = delta.shape[1]
    corner = 1 + (delta**2).sum(axis=1) / smallest
    covariances[:, q, :q] = delta  # the factorisation reads the lower half only
    covariances[:, q, q] = corner
    pivots = np.diagonal(np.linalg.cholesky(covariances), axis1=1, axis2=2) ** 2  # (m, q + 1)
    return corner - pivots[:, q], np.log(pivots[:, :q]).sum(axis=1)
