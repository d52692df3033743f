r"""NCTI, the neural collapse transferability index (Wang et al., ICCV 2023): Eq. 5-13."""

from typing import NamedTuple

import numpy as np

from ._arrays import Array, as_float64, host, like, namespace, weighted
from ._discriminant import Discriminant, plain, shrunk
from .samples import Samples, samples
from .statistics import ClassStatistics

SHRINKAGE_EIGENVALUES = 32  # d* of Eq. 13
SHRINKAGE_FLOOR = 1e-10


class NCTITerms(NamedTuple):
    """The three terms of NCTI; over a pool they are min-max normalised and summed: seli + ncc - log_vc (Eq. 11-12)."""

    seli: float
    ncc: float
    log_vc: float


def ncti(features: Array, labels: Array, variant: str = "released") -> NCTITerms:
    r"""The three terms of NCTI: how far features are from neural collapse.

    Features go through PCA to 64 dimensions and linear discriminant analysis with priors :math:`\pi_k = n_k/n`, which
    gives projected samples :math:`\tilde H` (n, K-1) and posteriors :math:`P` (n, K). With :math:`\|\cdot\|_*` the
    nuclear norm,

    .. math::
        \text{seli} = \|\tilde H - \text{mean}\|_*, \qquad
        \text{ncc} = \frac1n \sum_i P_{i,y_i}, \qquad
        \text{log\_vc} = \log \sum_k \|P_k\|_*

    (Eq. 6, 10 and 5). The discriminant's covariance is :math:`(1-\alpha)\Sigma_W + \alpha
    \frac{\operatorname{tr}\Sigma_W}{d} I` with :math:`\alpha = \max(\exp(-\sum_{i \le 32} \lambda_i), 10^{-10})`,
    :math:`\lambda` the PCA's variances (Eq. 13 as released); at the floor there is no shrinkage at all. :math:`\alpha`
    depends on the scale of the features, and so do the terms: multiplying features by 0.1 can turn shrinkage on, and
    then all three terms change. In one pool, some models may have shrinkage and others not.

    Parameters
    ----------
    features : array of shape (n, d)
        Penultimate-layer activations: NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.
    variant : {"released", "printed"}
        ``"released"`` is what made the published numbers. ``"printed"`` follows the printed equations letter by letter:
        ``seli`` is the nuclear norm of the raw features (Eq. 6); the logits are :math:`+\frac12 (h-\mu_k)^\top \Sigma'
        (h-\mu_k) + \log \pi_k` (Eq. 8: plus, and the covariance itself); :math:`\Sigma' = (1-\alpha)\Sigma_W + \alpha
        I` with :math:`\alpha = \exp(+\sum\lambda)` (Eq. 13; the exponent is capped at 600 so that it stays finite); no
        logarithm in Eq. 5, so the field ``log_vc`` holds :math:`\sum_k \|P_k\|_*` itself. The paper does not say in
        which space Eq. 8 is computed; here it is the 64-dimensional PCA, as in the release.

    Returns
    -------
    NCTITerms
        ``seli`` in [0, inf), higher is better; ``ncc`` in [0, 1], higher is better; ``log_vc`` in [0, log n], lower is
        better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance, an unknown variant.

    Notes
    -----
    Source: Wang et al., "How Far Pre-trained Models Are from Neural Collapse on the Target Dataset Informs their
    Transferability", ICCV 2023, section 3 (openaccess.thecvf.com), and the authors' released code. PCA here is exact
    where the release uses a randomised solver, and takes min(64, n, d) dimensions. No singular value decomposition of
    an (n, d) matrix is needed: a nuclear norm is the sum of the roots of the eigenvalues of a small Gram matrix.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> [round(term, 2) for term in ncti(features, labels)]
    [83.07, 0.97, 3.13]
    """
    if variant not in ("released", "printed"):
        raise ValueError(
            f"variant is {variant!r}; allowed are 'released' (the published numbers) and 'printed' (the equations)"
        )
    data = samples(features, labels)
    variances, _ = data.components()
    projected = _projected_statistics(data)
    if variant == "printed":
        energy = variances[:SHRINKAGE_EIGENVALUES].sum()
        seli = _nuclear_norm(data.statistics.raw_gram)
        ncc, norms = _posterior_terms(data, _printed_posterior(projected, np.exp(min(energy, 600.0))))
        return NCTITerms(seli, ncc, norms)
    alpha = shrinkage(variances)
    lda = plain(projected) if alpha == SHRINKAGE_FLOOR else shrunk(projected, alpha, directions=True)
    seli = _nuclear_norm(lda.directions.T @ projected.total_scatter @ lda.directions)
    ncc, norms = _posterior_terms(data, lda.posterior)
    return NCTITerms(seli, ncc, float(np.log(norms)))


def shrinkage(variances: np.ndarray) -> float:
    r""":math:`\alpha = \max(\exp(-\sum_{i \le 32} \lambda_i), 10^{-10})`, Eq. 13 as released.

    The :math:`\lambda_i` are the ``variances`` of the principal components, the largest first.
    """
    return max(np.exp(-variances[:SHRINKAGE_EIGENVALUES].sum()), SHRINKAGE_FLOOR)


def _projected_statistics(data: Samples) -> ClassStatistics:
    """Along the principal components, with products about the class means: classes far apart hide no variance then."""
    means = data.statistics.centred_class_means @ data.components()[1]  # (K, q)
    statistics = ClassStatistics("float64").start(np.zeros(means.shape[1]), data.n_classes)
    for part, z in data.projected():
        z = as_float64(z)
        statistics.add(z - like(means, z)[data.codes[part]], data.codes[part], data.weights_of(part))
    return statistics.apart(means)


def _posterior_terms(data: Samples, posterior) -> tuple[float, float]:
    """``(ncc, sum of nuclear norms)`` of the posteriors, class by class."""
    ncc = norms = 0.0
    for k in range(data.n_classes):
        gram, rows = 0.0, []
        for z, weights in data.of_class(k):
            p = weighted(posterior(as_float64(z)), weights)  # (b, K), rows times the roots of the weights
            ncc += float(host(p[:, k]) @ (np.ones(len(p)) if weights is None else np.sqrt(weights)))
            if data.sizes[k] < data.n_classes:  # few samples: their own Gram matrix is the smaller one
                rows.append(p)
            else:
                gram = gram + host(p.T @ p)
        if rows:
            p = namespace(rows[0]).concatenate(rows)  # (n_k, K)
            gram = host(p @ p.T)
        norms += _nuclear_norm(gram)
    return ncc / data.n_samples, norms


def _nuclear_norm(gram: np.ndarray) -> float:
    """‖X‖_* from X'X or XX': the sum of the roots of its eigenvalues."""
    return float(np.sqrt(np.linalg.eigvalsh(gram).clip(0)).sum())


def _printed_posterior(statistics: ClassStatistics, alpha: float):
    """Softmax of Eq. 8 as printed, of centred samples; (h-m)'S(h-m) is expanded without its part that has no class."""
    covariance = (1 - alpha) * statistics.within_scatter / statistics.n_samples + alpha * np.eye(statistics.n_features)
    means = statistics.centred_class_means
    slopes = -covariance @ means.T  # (q, K)
    offsets = np.log(statistics.priors) - 0.5 * (means.T * slopes).sum(axis=0)
    return Discriminant(slopes, offsets, None).posterior
