r"""ETran, energy-based transferability estimation, for classification (Gholami et al., ICCV 2023)."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from ._arrays import Array, host, rows, slices
from ._discriminant import Discriminant, shrunk
from ._linalg import largest_eigenvalue
from .hscore import warn_if_wide
from .samples import Samples, samples

LOWEST_THOUSANDTHS = 5  # of the samples, whose energy scores the released code averages


class ETranTerms(NamedTuple):
    """The two terms of ETran for classification; over a pool they are min-max normalised and added."""

    energy: float
    classification: float


def etran(features: Array, labels: Array, *, released: bool = False) -> ETranTerms:
    r"""Whether the target looks familiar to the model, and whether a linear discriminant tells its classes apart.

    .. math::
        S_\text{en} = \frac1n \sum_i \log \sum_{j=1}^d e^{h_{ij}}, \qquad
        S_\text{cls} = \frac1n \sum_i p(y_i \mid h_i)

    The first is minus the free energy of the features: high for samples like those that the model was trained on. The
    second is the mean posterior of the true class under a linear discriminant with empirical priors and shrinkage
    :math:`\max(\exp(-5\lambda_1), 10^{-10})`, :math:`\lambda_1` the largest eigenvalue of the within-class covariance:
    the first discriminant of :func:`sfda`. The third term of the paper is for regression.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch: activations in the axes of the network, which the energy depends on.
    labels : array of shape (n,)
        Integers or strings.
    released : bool
        Compute what the authors' released code does, see below.

    Returns
    -------
    ETranTerms
        ``energy``, any number, in the units of the features, and ``classification`` in [0, 1]; for both higher is
        better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance within any class.

    Warns
    -----
    UserWarning
        When d >= n: a discriminant then separates any samples perfectly.

    Notes
    -----
    Source: https://arxiv.org/abs/2308.02027 and the authors' released code. The code differs from the paper, and
    ``released=True`` does the same: the energy is averaged over the 0.5 % of the samples with the lowest score (here at
    least one; the code averages none below 200 samples); and the discriminant's directions come from a routine for
    symmetric matrices, applied to one that is not, and all d are kept, an orthonormal basis. Whatever they are, they
    cancel out of the logits, which become those of Gaussians with covariance I: :math:`h^\top\mu_k - \frac12\|\mu_k\|^2
    + \log\pi_k`. The code's script adds 0.15 of the normalised energy to 0.85 of the normalised classification score;
    totals here add them equally (`ncrepro.ranking.total` takes weights).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> terms = etran(features, labels)
    >>> round(terms.energy, 3), round(terms.classification, 3)
    (6.108, 0.97)
    """
    data = samples(features, labels)
    statistics = data.statistics
    warn_if_wide(statistics, "etran", "use more samples, or fewer features (PCA)")
    energies = _energies(data)
    if released:
        energies = np.sort(energies)[: max(1, len(energies) * LOWEST_THOUSANDTHS // 1000)]
        means = statistics.centred_class_means
        discriminant = Discriminant(means.T, np.log(statistics.priors) - 0.5 * (means**2).sum(axis=1), None)
    else:
        largest = largest_eigenvalue(statistics.within_scatter) / statistics.n_samples
        discriminant = shrunk(statistics, max(np.exp(-5 * largest), 1e-10))
    total = 0.0
    for part, block in data.blocks():
        codes = data.codes[part]
        right = host(discriminant.posterior(block)[range(len(codes)), codes])
        total += float(right.sum() if data.weights is None else right @ data.weights[part])
    return ETranTerms(float(energies.mean()), total / data.n_samples)


def _energies(data: Samples) -> np.ndarray:
    """The energy score of every sample, copies included, (n,)."""
    given = data.as_given
    parts = slices(len(given), 8 * given.shape[1])
    energies = np.concatenate([logsumexp(host(rows(given, part, "float64")), axis=1) for part in parts])
    return energies if data.weights is None else np.repeat(energies, data.weights)
