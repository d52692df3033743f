r"""LogME, the logarithm of maximum evidence (You et al., ICML 2021)."""

import numpy as np

from ._arrays import Array
from ._linalg import Tridiagonal
from ._samples import statistics_of
from .statistics import ClassStatistics

EPSILON = np.finfo(float).eps
TOLERANCE = 1e-2  # relative change of alpha / beta at which a class has converged, as released


def logme(features: Array | ClassStatistics, labels: Array | None = None, *, iterations: int = 11) -> float:
    r"""Logarithm of maximum evidence per sample, averaged over the classes.

    Each class's indicator :math:`y \in \{0, 1\}^n` is regressed on the features :math:`F` with prior precision
    :math:`\alpha` and noise precision :math:`\beta`, both chosen to maximise the evidence

    .. math::
        \mathcal L = \tfrac n2 \log\tfrac\beta{2\pi} + \tfrac d2 \log\alpha - \tfrac12 \log|A|
        - \tfrac\beta2 \|Fm - y\|^2 - \tfrac\alpha2 \|m\|^2, \quad
        A = \alpha I + \beta F^\top F, \quad m = \beta A^{-1} F^\top y

    by the fixed-point iteration :math:`\gamma = \sum_i \frac{\beta\sigma_i}{\alpha + \beta\sigma_i}`, :math:`\alpha =
    \gamma/\|m\|^2`, :math:`\beta = (n - \gamma)/\|Fm - y\|^2`, where :math:`\sigma` are all d eigenvalues of
    :math:`F^\top F`, the zero ones too.

    Parameters
    ----------
    features : array of shape (n, d), or ClassStatistics
        NumPy, memory map or torch; or the statistics of them, and then no labels.
    labels : array of shape (n,)
        Integers or strings.
    iterations : int
        Steps of the fixed-point iteration at most. The release makes 11; for n < d that is not always convergence, and
        more steps then find a slightly higher evidence.

    Returns
    -------
    float
        :math:`\mathcal L / n`, any real number; higher is better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance.

    Notes
    -----
    Source: https://arxiv.org/abs/2102.11005. The widely copied fixed-point release is wrong for n < d, where it counts
    d prior dimensions but only n eigenvalues; this is right there. All classes are iterated at once, and only
    :math:`F^\top F` and :math:`F^\top y` are needed: m = (FᵀF + tI)⁻¹Fᵀy with t = α/β, and ‖Fm - y‖² = ‖y⊥‖² + t²
    mᵀ(FᵀF)†m with y⊥ the part of y that no linear map of the features reaches.
    """
    statistics = statistics_of(features, labels)
    n, d = statistics.n_samples, statistics.n_features
    counts = statistics.class_counts.astype(float)  # ‖y‖² of each class, (K,)
    scatter, mean, class_sums = _reduced(
        statistics
    )  # of S, √n mean and F'y, with F'F = S + mean mean'; class sums (r, K)
    sigma = scatter.eigenvalues.clip(0)[:, None]  # eigenvalues of S, (r, 1)
    largest = sigma.max() + mean @ mean
    smallest, largest = largest * d * EPSILON, largest / EPSILON  # bounds on t

    def solve(shifts: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(F'F + tI)⁻¹ right, for each class its own t; and what Sherman and Morrison's formula gives it from: (S +
        tI)⁻¹ mean, and |F'F + tI| / |S + tI|.
        """
        both = [scatter.solve(t, np.column_stack([y, mean])) for t, y in zip(shifts, right.T)]
        first, correction = np.stack(both).T  # (r, K) each
        growth = 1 + mean @ correction
        return first - correction * (mean @ first / growth), correction, growth

    tiny = np.full(len(counts), smallest)
    outside = counts - (class_sums * solve(tiny, class_sums)[0]).sum(
        axis=0
    )  # of y, what no linear map of the features reaches
    outside[outside < 1e-10 * counts] = 0.0
    ratio = np.ones(len(counts)).clip(smallest, largest)  # t = α/β of each class, (K,)
    for _ in range(iterations):
        m, correction, growth = solve(ratio, class_sums)
        length = (m**2).sum(axis=0)
        residual = outside + ratio**2 * (m * solve(tiny, m)[0]).sum(axis=0)  # ‖Fm - y‖²
        gamma = (sigma / (sigma + ratio)).sum(axis=0) + ratio * (correction**2).sum(axis=0) / growth
        alpha, beta = gamma / length, (n - gamma).clip(EPSILON) / residual.clip(EPSILON**2)
        previous, ratio = ratio, (alpha / beta).clip(smallest, largest)
        moving = abs(ratio - previous) >= TOLERANCE * previous
        if not moving.any():
            break
        ratio = np.where(moving, ratio, previous)  # a class that has converged stays where it is
    growth = solve((alpha / beta).clip(smallest, largest), class_sums)[2]
    log_det = np.log(alpha + beta * sigma).sum(axis=0) + np.log(growth) + (d - len(sigma)) * np.log(alpha)  # of A
    evidence = n * np.log(beta / (2 * np.pi)) + d * np.log(alpha) - log_det - beta * residual - alpha * length
    return float(evidence.mean() / (2 * n))


def _reduced(statistics: ClassStatistics) -> tuple[Tridiagonal, np.ndarray, np.ndarray]:
    """A basis in which F'F is easy: ``(S, √n mean, F'y)`` with F'F = S + mean mean'.

    Where the centred scatter is well conditioned it is S, in the tridiagonal form that principal components use too;
    else S is F'F itself in its eigenvectors without those of zero eigenvalues, and the mean is 0.
    """
    scale = np.sqrt(statistics.n_samples)
    class_sums = (statistics.sums + statistics.class_counts[:, None] * statistics.shift).T  # (d, K)
    values = statistics.reduced.eigenvalues
    if values[0] > 1e-8 * values[-1]:
        rotated = statistics.reduced.rotate(np.column_stack([class_sums, scale * statistics.mean]))
        return statistics.reduced, rotated[:, -1], rotated[:, :-1]
    values, vectors = np.linalg.eigh(statistics.raw_gram)
    kept = values > values[-1] * len(values) * EPSILON
    return Tridiagonal.diagonal_of(values[kept]), np.zeros(kept.sum()), vectors[:, kept].T @ class_sums
