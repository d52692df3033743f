r"""FaCe, fair collapse (Ding et al., 2023): Eq. 2-6."""

from typing import NamedTuple

import numpy as np

from ._arrays import Array, host, like
from ._gaussians import bhattacharyya, class_gaussians
from .samples import PCA_DIMENSIONS, Samples, samples

RANK_TOLERANCE = 1e-10  # eigenvalues of the between-class covariance below this share of the largest count as zero


class FaCeTerms(NamedTuple):
    """The two terms of FaCe; over a pool they are min-max normalised and added (Eq. 1). Both: higher is better."""

    variance_collapse: float
    class_fairness: float


def face(
    features: Array,
    labels: Array,
    *,
    covariance: str = "diagonal",
    n_components: int | None = PCA_DIMENSIONS,
    temperature: float = 0.05,
    include_self: bool = False,
) -> FaCeTerms:
    r"""The two terms of FaCe: how collapsed the classes are, and how evenly they overlap.

    Variance collapse (Eq. 2-3), from class means :math:`\bar h_k` and the mean of all samples :math:`h_G`:

    .. math::
        C = -\frac1K \operatorname{tr}(\Sigma_W \Sigma_B^\dagger), \quad
        \Sigma_W = \frac1K \sum_k \frac1{n_k} \sum_{y_i = k} (h_i - \bar h_k)(h_i - \bar h_k)^\top, \quad
        \Sigma_B = \frac1K \sum_k (\bar h_k - h_G)(\bar h_k - h_G)^\top

    Class fairness (Eq. 5-6), from the Bhattacharyya coefficients :math:`B_{ij} = \exp(-D_{ij})` between Gaussian
    classes:

    .. math::
        F = -\frac1K \sum_i \sum_{j \ne i} P_{ij} \log P_{ij}, \quad
        P_{ij} = \frac{\exp(B_{ij}/t)}{\sum_{j' \ne i} \exp(B_{ij'}/t)}

    Parameters
    ----------
    features : array of shape (n, d)
        Penultimate-layer activations: NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings; at least two samples of each.
    covariance : {"diagonal", "full", "spherical"}
        Shape of the classes in Eq. 5. The print says full, which is singular whenever a class has no more samples than
        dimensions; variances (of "full": eigenvalues) below 1e-4 are raised to 1e-4.
    n_components : int or None
        PCA dimensions for class fairness, cut to min(n, d); None for no PCA, as printed. Variance collapse takes the
        features as they are.
    temperature : float
        t of Eq. 6.
    include_self : bool
        True sums over j = i as well, as Eq. 6 is printed. Since B_ii = 1 the term then grows as classes overlap, to log
        K; without it the largest value, log(K-1), is that of classes at equal distances.

    Returns
    -------
    FaCeTerms
        ``variance_collapse`` in (-inf, 0], ``class_fairness`` in [0, log(K-1)] ([0, log K] with self); higher is better
        for both.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, a class with
        one sample, class means that all coincide, an unknown covariance, a temperature that is not positive.

    Notes
    -----
    Source: https://arxiv.org/abs/2310.05754, section 3; no code was released. Not fixed in the paper and chosen here:
    the default covariance, PCA, the floor, the sum without self, and the pseudo-inverse, which drops eigenvalues of
    :math:`\Sigma_B` below 1e-10 of the largest. No (d, d) matrix is inverted: with A = (class means - h_G)/√K, (K, d),
    and its right singular vectors w_q and singular values s_q, tr(Σ_W Σ_B†) = Σ_q w_q' Σ_W w_q / s_q².

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> [round(term, 3) for term in face(features, labels)]
    [-1.708, 0.234]
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be positive (the paper's is 0.05)")
    data = samples(features, labels)
    distances = bhattacharyya(*class_gaussians(data, covariance, n_components))
    return FaCeTerms(_variance_collapse(data), _class_fairness(np.exp(-distances), temperature, include_self))


def _variance_collapse(data: Samples) -> float:
    means = data.statistics.centred_class_means  # (K, d)
    n_classes = len(means)
    _, scale, directions = np.linalg.svd(means / np.sqrt(n_classes), full_matrices=False)
    if not scale[0] ** 2 > 1e-12 * np.trace(data.statistics.total_scatter) / data.n_samples:
        raise ValueError(
            "the class means all coincide, so the between-class covariance of Eq. 2 is zero: are the labels shuffled?"
        )
    kept = scale**2 > RANK_TOLERANCE * scale[0] ** 2
    directions = directions[kept].T  # (d, r)
    projected_means, variances = means @ directions, np.zeros(kept.sum())
    shares = (1 if data.weights is None else data.weights) / (n_classes * data.counts[data.codes])  # (n,)
    for part, block in data.blocks():
        z = block @ like(directions, block) - like(projected_means, block)[data.codes[part]]  # (b, r)
        variances += host(like(shares[part], block) @ z**2)
    return 0.0 - float((variances / scale[kept] ** 2).sum() / n_classes)


def _class_fairness(overlap: np.ndarray, temperature: float, include_self: bool) -> float:
    logits = overlap / temperature  # (K, K)
    if not include_self:
        np.fill_diagonal(logits, -np.inf)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = odds / odds.sum(axis=1, keepdims=True)
    return float(-np.log(p, where=p > 0, out=np.zeros_like(p)).ravel() @ p.ravel() / len(p)) + 0.0
