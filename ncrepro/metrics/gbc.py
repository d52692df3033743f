r"""GBC, the Gaussian Bhattacharyya coefficient (Pándy et al., CVPR 2022)."""

import numpy as np

from ._arrays import Array
from ._gaussians import bhattacharyya, class_gaussians
from .samples import PCA_DIMENSIONS, samples


def gbc(
    features: Array,
    labels: Array,
    *,
    covariance: str = "spherical",
    n_components: int | None = PCA_DIMENSIONS,
    released: bool = False,
) -> float:
    r"""Gaussian Bhattacharyya coefficient: how little the classes overlap.

    .. math:: \text{GBC} = -\sum_{i \ne j} \exp(-D_B(i, j))

    with :math:`D_B` the Bhattacharyya distance between Gaussians fitted to the classes after PCA.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings; at least two samples of each.
    covariance : {"spherical", "diagonal", "full"}
        Shape of the classes. Variances (of "full": eigenvalues) below 1e-4 are raised to 1e-4.
    n_components : int or None
        PCA dimensions, cut to min(n, d); None takes the features as they are.
    released : bool
        Reproduce the released spherical log-determinant, which counts one dimension instead of all.

    Returns
    -------
    float
        In [-K(K-1), 0]; higher is better, 0 means no two classes overlap.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, a class with
        one sample, an unknown covariance.

    Notes
    -----
    Source: https://arxiv.org/abs/2111.12780.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(gbc(features, labels), 3)
    -0.33
    """
    means, covariances = class_gaussians(samples(features, labels), covariance, n_components)
    if released and covariance != "spherical":
        raise ValueError(f"released=True goes with covariance='spherical', not {covariance!r}")
    distances = bhattacharyya(means, covariances)
    if released:
        variances = covariances[:, 0]
        log_ratio = np.log((variances + variances[:, None]) / 2 / np.sqrt(variances * variances[:, None]))
        distances -= (means.shape[1] - 1) / 2 * log_ratio
    return float(len(means) - np.exp(-distances).sum())  # the diagonal counts 1 each
