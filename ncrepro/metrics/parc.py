r"""PARC, pairwise annotation representation comparison (Bolya et al., NeurIPS 2021)."""

import numpy as np
from scipy.stats import rankdata

from ._arrays import Array, check_whole, host, rows
from ._subsample import subsample
from .samples import Samples, samples

DIMENSIONS = 32  # of the PCA, in both releases
MOST_SAMPLES = 3000  # 4.5 million pairs: a second, and some 200 MB
EMPTY = 1e-12  # share of the largest variance below which a principal component is rounding


def parc(
    features: Array,
    labels: Array,
    *,
    n_components: int | None = DIMENSIONS,
    max_samples: int = MOST_SAMPLES,
    seed: int = 0,
) -> float:
    r"""Whether samples that are alike to the model have the same label: a rank correlation over all pairs of samples.

    .. math::
        \text{PARC} = \rho_s\bigl(\{D_\theta(i, j)\}_{i<j},\ \{D_Y(i, j)\}_{i<j}\bigr), \qquad
        D(i, j) = 1 - \operatorname{pearson}(v_i, v_j)

    with :math:`\rho_s` Spearman's correlation. For :math:`D_\theta`, :math:`v_i` is the feature vector of sample i
    after PCA, each component scaled to mean 0 and variance 1; for :math:`D_Y` its one-hot label, so that :math:`D_Y`
    only says whether two labels differ.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings; at least one class with two samples.
    n_components : int or None
        PCA dimensions, cut to min(n, d) and to those with variance; None scales the features as they are.
    max_samples : int
        With more samples than this, only this many are compared, from each class its share. The cost grows with their
        square.
    seed : int
        Seed of the random choice of these samples.

    Returns
    -------
    float
        In [-1, 1]; higher is better. The largest value that it can reach is about :math:`\sqrt{3p(1-p)}`, with p the
        share of the pairs that have one label: compare it on one target only. 0 where all pairs are equally far apart,
        as with a single component.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, only classes
        of one sample, features without variance.

    Notes
    -----
    Source: https://arxiv.org/abs/2111.06977 (Sec. 5) and the authors' released code, which is part of the releases of
    SFDA and NCTI too. These multiply by 100 and take 32 dimensions; the release of NCTI means to draw 15,000 samples
    where there are more, but then scores all of them. Pearson's correlation centres each sample over its components, so
    it depends on their signs: as in the released code, the sample farthest out on a component is on its positive
    side. Components without variance, which the released code would scale up, are left out. Distances are compared to
    nine decimals. A resample counts each copy of a sample.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(parc(features, labels), 3)
    0.424
    """
    data = samples(features, labels)
    if data.sizes.max() < 2:
        raise ValueError("every class has a single sample; parc compares pairs of one class with others: give two")
    if n_components is not None:
        check_whole("n_components", n_components, 1, ", or None for the features as they are")
    copies = np.repeat(np.arange(len(data.codes)), 1 if data.weights is None else data.weights)
    kept = copies[subsample(data.codes[copies], max_samples, seed)]
    v = _scaled(data, kept, n_components)  # (m, q)
    v -= v.mean(axis=1, keepdims=True)
    lengths = np.sqrt((v**2).sum(axis=1, keepdims=True))
    v /= np.where(lengths > 0, lengths, 1)
    pairs = np.triu_indices(len(kept), 1)
    alike = np.round(v @ v.T, 9)[pairs]  # Pearson's r of every pair
    same = (data.codes[kept][:, None] == data.codes[kept])[pairs]
    if np.ptp(alike) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(alike), same)[0, 1])


def _scaled(data: Samples, kept: np.ndarray, n_components: int | None) -> np.ndarray:
    """Components of the samples at ``kept`` with variance 1; features, where no components are asked for."""
    if n_components is None:
        z = host(rows(data.as_given, kept, "float64"))
    else:
        mean, directions = data.statistics.mean, data.components(n_components)[1]
        z = (host(rows(data.features, kept, "float64")) - mean) @ directions
    z = z - z.mean(axis=0)
    variances = (z**2).mean(axis=0)
    full = variances > EMPTY * variances.max()
    z = z[:, full] / np.sqrt(variances[full])
    if n_components is not None:
        z *= np.sign(z[np.abs(z).argmax(axis=0), range(z.shape[1])])
    return z
