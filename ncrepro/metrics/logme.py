r"""LogME, the logarithm of maximum evidence (You et al., ICML 2021)."""

import warnings
from collections.abc import Callable

import numpy as np

from ._arrays import Array, check_whole
from ._linalg import Tridiagonal
from .samples import statistics_of
from .statistics import ClassStatistics

EPSILON = np.finfo(float).eps
RELEASED_ITERATIONS, MOST_ITERATIONS = 11, 1000
EXACT = 1e-13  # if the features leave less than this share of the labels unexplained, it is rounding
FLAT = 1e-6  # evidence per sample, so near to its limit for α -> ∞ that more steps are not worth a warning
TOLERANCE = 1e-2  # relative change of alpha / beta at which a class has converged, as released


def logme(features: Array | ClassStatistics, labels: Array | None = None, *, iterations: int | None = None) -> float:
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
    iterations : int or None
        Steps of the fixed-point iteration at most. None makes as many as it takes; but where the features have fewer
        dimensions than columns, only the 11 of the release. For n <= d they can fit any labels: t = α/β may approach 0
        there and never converge, and more steps find a slightly higher evidence.

    Returns
    -------
    float
        :math:`\mathcal L / n`, any real number; higher is better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance, iterations below 1.

    Warns
    -----
    UserWarning
        When a class has not converged: after 1,000 iterations, or after 11 where n > d and some columns follow from
        others or never vary, as units that never fire. Not where the features say nothing of the class: its evidence
        is then that of α → ∞ but for rounding, however long t grows.

    Notes
    -----
    Source: https://arxiv.org/abs/2102.11005. The widely copied fixed-point release is wrong for n < d, where it counts
    d prior dimensions but only n eigenvalues; this is right there. All classes are iterated at once, and only
    :math:`F^\top F` and :math:`F^\top y` are needed: m = (FᵀF + tI)⁻¹Fᵀy with t = α/β, and ‖Fm - y‖² = ‖y⊥‖² + t²
    mᵀ(FᵀF)†m with y⊥ the part of y that no linear map of the features reaches. For class k and m₀ = (FᵀF)†Fᵀy, ‖y⊥‖² =
    m₀ᵀWm₀ + Σ_c n_c (h̄_cᵀm₀ - [c = k])² with W the within-class scatter and h̄_c the class means: a sum of squares, so
    that nearly collapsed features lose no digits. A class of which the features sum to zero, as where no unit fires for
    it, has m = 0; its evidence is then the limit for α → ∞ and β = n/n_k: :math:`\mathcal L = \tfrac n2
    (\log\tfrac n{2\pi n_k} - 1)`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(logme(features, labels), 3)
    -0.16

    The same from statistics of the features, which may come in batches:

    >>> statistics = ClassStatistics().update(features[:75], labels[:75]).update(features[75:], labels[75:])
    >>> round(logme(statistics), 3)
    -0.16
    """
    if iterations is not None:
        check_whole("iterations", iterations, 1, ", or None")
    statistics = statistics_of(features, labels)
    n, d = statistics.n_samples, statistics.n_features
    counts = statistics.class_counts.astype(float)  # ‖y‖² of each class, (K,)
    scatter, mean, class_sums, residual_of = _reduced(statistics)
    sigma = scatter.eigenvalues.clip(0)[:, None]  # eigenvalues of S, (r, 1)
    largest = sigma.max() + mean @ mean
    rank = len(sigma)
    bounds = (largest * d if rank < d else sigma[sigma > 0].min()) * EPSILON, largest / EPSILON  # on t

    # t = α/β of each class, (K,); the release starts at 1, which is far off for features of another order of magnitude
    ratio = np.ones(len(counts)).clip(1e-12 * largest, largest)
    alpha, beta, residual, length = np.ones((4, len(counts)))
    reached = class_sums.any(axis=0)  # a class of which no linear map of the features says anything has α = ∞
    moving = np.flatnonzero(reached)  # a class that has converged stays where it is
    limit = iterations or (RELEASED_ITERATIONS if rank < d else MOST_ITERATIONS)
    different = n if statistics.deviations is None else len(statistics.deviations)  # samples, copies counted once
    fit_any = n <= d or (rank < d and rank >= different)  # labels, so that t may fall without end
    for _ in range(limit):
        if not len(moving):
            break
        t = ratio[moving]
        m, correction, growth = _solve(scatter, mean, t, class_sums[:, moving])
        length[moving] = (m**2).sum(axis=0)
        residual[moving] = residual_of(m, t, moving)  # ‖Fm - y‖²
        gamma = (sigma / (sigma + t)).sum(axis=0) + t * (correction**2).sum(axis=0) / growth
        alpha[moving] = gamma / length[moving]
        beta[moving] = (n - gamma).clip(EPSILON) / residual[moving].clip(EPSILON**2)
        ratio[moving] = (alpha[moving] / beta[moving]).clip(*bounds)
        moving = moving[abs(ratio[moving] - t) >= TOLERANCE * t]
    growth = _solve(scatter, mean, ratio, class_sums)[2]
    log_det = np.log(alpha + beta * sigma).sum(axis=0) + np.log(growth) + (d - len(sigma)) * np.log(alpha)  # of A
    evidence = n * np.log(beta / (2 * np.pi)) + d * np.log(alpha) - log_det - beta * residual - alpha * length
    without = n * np.log(n / (2 * np.pi * counts)) - n  # the limit for α -> ∞: of features that say nothing of a class
    moving = moving[abs(evidence - without)[moving] > 2 * n * FLAT]
    if len(moving) and (limit == MOST_ITERATIONS or (iterations is None and not fit_any)):
        warnings.warn(
            f"logme has not converged after {limit} iterations; its value is not the maximum yet", stacklevel=2
        )
    evidence = np.where(reached, evidence, without)
    return float(evidence.mean() / (2 * n))


def _solve(
    scatter: Tridiagonal, mean: np.ndarray, shifts: np.ndarray | float, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By Sherman and Morrison: (F'F + tI)⁻¹ right, one t or one per class; (S + tI)⁻¹ mean, |F'F + tI| / |S + tI|."""
    if scatter.reflectors is None:
        return _solve_along_axes(scatter.diagonal[:, None], mean[:, None], shifts, right)
    if np.ndim(shifts):
        both = [scatter.solve(t, np.column_stack([y, mean])) for t, y in zip(shifts, right.T, strict=False)]
        first, correction = np.stack(both).T  # (r, K) each
    else:
        both = scatter.solve(shifts, np.column_stack([right, mean]))
        first, correction = both[:, :-1], both[:, -1:]
    growth = 1 + mean @ correction
    return first - correction * (mean @ first / growth), correction, growth


def _solve_along_axes(
    sigma: np.ndarray, mean: np.ndarray, shifts: np.ndarray | float, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same where S is diagonal. If its last entry is 0, that unknown is eliminated by hand: t, which may be tiny or
    0, is then no divisor of it.
    """
    if sigma[-1] > 0:
        first, correction = right / (sigma + shifts), mean / (sigma + shifts)  # (r, K) each, or (r, 1) for one t
        growth = 1 + (mean * correction).sum(axis=0)
        return first - correction * ((mean * first).sum(axis=0) / growth), correction, growth
    first, correction = right[:-1] / (sigma[:-1] + shifts), mean[:-1] / (sigma[:-1] + shifts)
    growth, reached = 1 + (mean[:-1] * correction).sum(axis=0), (mean[:-1] * first).sum(axis=0)
    edge = mean[-1]  # what the mean has outside the space of the differences
    pivot = growth * shifts + edge**2
    last = (growth * right[-1] - edge * reached) / pivot
    m = np.vstack([first - correction * (reached * shifts + edge * right[-1]) / pivot, last])
    with np.errstate(divide="ignore"):  # where t = 0 only m has a meaning
        return m, np.vstack([correction, np.broadcast_to(edge / shifts, growth.shape)]), pivot / shifts


def _reduced(statistics: ClassStatistics) -> tuple[Tridiagonal, np.ndarray, np.ndarray, Callable]:
    """A basis in which F'F is easy: ``(S, √n mean, F'y, residual)`` with F'F = S + mean mean', and ``residual(m, t,
    classes)`` = ‖Fm - y‖² for m = (F'F + tI)⁻¹F'y.

    S is the centred scatter in the form that principal components use too: tridiagonal, or along the axes of the
    samples' row space. Where F'F is nearly singular S is F'F itself, along its eigenvectors without those of zero
    eigenvalues, and the mean is 0.
    """
    counts, scatter = statistics.class_counts, statistics.reduced
    class_sums = (statistics.sums + counts[:, None] * statistics.shift).T  # (d, K)
    mean = np.sqrt(statistics.n_samples) * statistics.mean

    rotated, centre = scatter.rotate(class_sums), scatter.rotate(mean[:, None])[:, 0]
    seen = np.ones(len(mean), dtype=bool)
    if scatter.reflectors is None:  # copies of samples leave axes empty
        seen = (scatter.diagonal > 0) | ((centre != 0) & (np.arange(len(mean)) == len(mean) - 1))
        scatter, centre, rotated = Tridiagonal.diagonal_of(scatter.diagonal[seen]), centre[seen], rotated[seen]
    if _least(scatter, centre) > 1e-8 * scatter.eigenvalues[-1]:
        m = np.zeros(class_sums.shape)
        m[seen] = _solve(scatter, centre, 0.0, rotated)[0]
        m = statistics.reduced.rotate(m, back=True)
    else:
        values, vectors = statistics.raw_axes
        scatter, centre, rotated = Tridiagonal.diagonal_of(values), np.zeros(len(values)), vectors.T @ class_sums
        m = vectors @ _solve(scatter, centre, 0.0, rotated)[0]
    fits = (class_sums / counts).T @ m - np.eye(len(counts))  # of the class means, (K, K)
    outside = statistics.within_squares(m) + counts @ fits**2  # of y, what no linear map reaches
    outside[outside < EXACT * counts] = 0.0

    def residual(m: np.ndarray, t: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return outside[classes] + t**2 * (m * _solve(scatter, centre, 0.0, m)[0]).sum(axis=0)

    return scatter, centre, rotated, residual


def _least(scatter: Tridiagonal, mean: np.ndarray) -> float:
    """About the least eigenvalue of F'F: that of S, or where S lacks one dimension the pivot that the mean brings."""
    values = scatter.eigenvalues
    if values[0] > 0 or scatter.reflectors is not None:
        return values[0]
    inner = scatter.diagonal[:-1]
    return min(inner.min(), mean[-1] ** 2 / (1 + (mean[:-1] ** 2 / inner).sum()))
