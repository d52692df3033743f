r"""TransRate, a coding rate (Huang et al., ICML 2022)."""

import numpy as np

from ._arrays import GRAM_BYTES, Array, upper_gram, weighted
from ._linalg import log_det_above_one
from .samples import samples

DISTORTION = 1e-4


def transrate(features: Array, labels: Array) -> float:
    r"""TransRate: coding rate of all features minus the mean coding rate within the classes.

    .. math::
        R(Z) - \frac1K \sum_k R(Z_k), \qquad R(Z) = \tfrac12 \log\left|I + \frac1{m\varepsilon} Z^\top Z\right|

    for the m rows of Z, the features centred on their common mean, and :math:`\varepsilon = 10^{-4}`.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.

    Returns
    -------
    float
        In nats, at least 0 for classes of equal size; higher is better. It grows with the scale of the features.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance.

    Notes
    -----
    Source: https://arxiv.org/abs/2106.09362. :math:`|I + Z^\top Z| = |I + ZZ^\top|`, so a class with fewer samples than
    features costs the smaller matrix. Where no class has fewer, the products of all samples are the sum of those of the
    classes: the difference of the two rates may be a small share of either, and the same rounding is then in both.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(transrate(features, labels), 3)
    0.589
    """
    data = samples(features, labels)
    d = data.features.shape[1]
    rates, total = [], 0.0
    for k, count in enumerate(data.counts):
        if data.sizes[k] < d:
            ((z, weights),) = data.of_class(k, None, block_bytes=None)  # (n_k, d)
            gram = upper_gram(weighted(z, weights).T)
        else:
            gram = sum(upper_gram(weighted(z, w)).astype(np.float64) for z, w in data.of_class(k, None, GRAM_BYTES))
            total = total + gram
        rates.append(log_det_above_one(gram, count * DISTORTION) / 2)
    unit = data.n_samples * DISTORTION
    whole = data.statistics.log_det(unit) if data.sizes.min() < d else log_det_above_one(total, unit)
    return float(whole / 2 - np.mean(rates))
