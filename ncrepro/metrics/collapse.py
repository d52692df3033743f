r"""Neural collapse itself: NC1-NC4 of Papyan, Han and Donoho (PNAS 2020) and the NC2(A) of FaCe's appendix."""

from typing import NamedTuple

import numpy as np

from ._arrays import Array, check_labels, check_order, dense, host, like, namespace, rows, working_dtype
from .face import _variance_collapse
from .samples import samples, statistics_of
from .statistics import ClassStatistics


class NC2Terms(NamedTuple):
    """How far centred class means are from equal lengths and from equal, maximal angles; 0 is collapse for each."""

    equinorm: float
    equiangularity: float
    maximal_angle: float


def nc1(features: Array, labels: Array) -> float:
    r"""Within-class variability: :math:`\frac1K \operatorname{tr}(\Sigma_W \Sigma_B^\dagger)`, in [0, inf); 0 is
    collapse.

    It is minus FaCe's variance collapse term (see :func:`ncrepro.metrics.face` for the covariances, parameters and
    errors). Source: https://arxiv.org/abs/2008.08186.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(nc1(features, labels), 3)
    1.708
    """
    return -_variance_collapse(samples(features, labels))


def nc2(features: Array | ClassStatistics, labels: Array | None = None) -> NC2Terms:
    r"""Simplex geometry of the centred class means :math:`m_k`, all in [0, inf) and 0 at collapse:

    - ``equinorm``: standard deviation of :math:`\|m_k\|` over its mean;
    - ``equiangularity``: standard deviation of :math:`\cos(m_j, m_k)`, :math:`j \ne k`;
    - ``maximal_angle``: mean of :math:`|\cos(m_j, m_k) + \frac1{K-1}|`.

    Source: https://arxiv.org/abs/2008.08186, figures 2-4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> [round(term, 3) for term in nc2(features, labels)]
    [0.486, 0.86, 0.76]
    """
    means = statistics_of(features, labels).centred_class_means
    lengths = np.linalg.norm(means, axis=1)
    _check_lengths(lengths)
    directions = means / lengths[:, None]
    cosines = (directions @ directions.T)[~np.eye(len(means), dtype=bool)]
    return NC2Terms(
        float(lengths.std() / lengths.mean()), float(cosines.std()), float(abs(cosines + 1 / (len(means) - 1)).mean())
    )


def nc2_a(features: Array | ClassStatistics, labels: Array | None = None) -> float:
    r"""FaCe's NC2(A): distance of the class means' Gram matrix from that of a simplex, in [0, 2]; 0 is collapse.

    .. math::
        \left\| \frac{A A^\top}{\|A A^\top\|_F} - \frac1{\sqrt{K-1}} \left(I_K - \tfrac1K 1 1^\top\right) \right\|_F

    A (K, d) holds the class means minus the mean of all samples: centred, since the argument for putting A in the place
    of the classifier's weights is self-duality (NC3), which is about centred means. Source:
    https://arxiv.org/abs/2310.05754, A.2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(nc2_a(features, labels), 3)
    0.757
    """
    means = statistics_of(features, labels).centred_class_means
    n_classes = len(means)
    gram = means @ means.T
    size = np.linalg.norm(gram)
    _check_lengths(size[None])
    simplex = (np.eye(n_classes) - 1 / n_classes) / np.sqrt(n_classes - 1)
    return float(np.linalg.norm(gram / size - simplex))


def nc3(features: Array | ClassStatistics, weights: Array, labels: Array | None = None) -> float:
    r"""Self-duality of classifier and class means: :math:`\|W/\|W\|_F - M/\|M\|_F\|_F^2`, in [0, 4]; 0 is collapse.

    ``weights`` W (K, d) are those of the linear classifier, in the order of the sorted labels; M (K, d) are the centred
    class means. Source: https://arxiv.org/abs/2008.08186.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> means = ClassStatistics.of(features, labels).centred_class_means  # a classifier that is dual to the features
    >>> round(nc3(features, means, labels), 3)
    0.0
    """
    if isinstance(features, ClassStatistics):
        means = statistics_of(features, labels).centred_class_means
    else:
        data = samples(features, labels)
        means = data.axes_means - data.counts @ data.axes_means / data.n_samples
    weights = dense(weights, "weights")
    if tuple(weights.shape) != means.shape:
        raise ValueError(
            f"weights have shape {tuple(weights.shape)}; they must be (n_classes, n_features) = {means.shape}, a row "
            "per class"
        )
    weights = host(rows(weights, slice(None), working_dtype(weights)))
    if not np.isfinite(weights).all():
        raise ValueError(f"weights contain {weights[~np.isfinite(weights)][0]}; all must be finite")
    sizes = np.array([np.linalg.norm(weights), np.linalg.norm(means)])
    _check_lengths(sizes)
    return float(((weights / sizes[0] - means / sizes[1]) ** 2).sum())


def nc4(features: Array, labels: Array, predictions: Array) -> float:
    r"""Share of samples where the classifier's prediction is not the class with the nearest mean, in [0, 1]; 0 is
    collapse.

    ``predictions`` (n,) are the labels that the classifier gives, of the same kind as ``labels``.
    Source: https://arxiv.org/abs/2008.08186.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(nc4(features, labels, predictions=labels), 3)  # of a classifier that is always right
    0.073
    """
    data = samples(features, labels)
    check_order(features, predictions, "features and predictions")
    predicted, codes = check_labels(predictions, len(data.codes), "predictions")
    if (predicted.dtype.kind == "U") != (data.classes.dtype.kind == "U"):
        raise ValueError(
            f"predictions are of another kind than labels, {predicted[0].item()!r} and {data.classes[0].item()!r}; "
            "give the classes by the same names"
        )
    means = data.statistics.centred_class_means
    nearest = []
    for _, block in data.blocks():
        # (b, K), largest at the nearest mean
        closeness = block @ like(means.T, block) - like((means**2).sum(axis=1) / 2, block)
        nearest.append(host(namespace(block).argmax(closeness, axis=1)).astype(int))
    return float((data.classes[np.concatenate(nearest)] != predicted[codes]).mean())


def _check_lengths(lengths: np.ndarray) -> None:
    if not (lengths > 0).all():
        raise ValueError(
            "a class mean (or the classifier) has length 0 from the common mean, so its angles are undefined: "
            "are classes identical?"
        )
