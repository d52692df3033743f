r"""SFDA, self-challenging Fisher discriminant analysis (Shao et al., ECCV 2022)."""

import numpy as np

from ._arrays import GRAM_BYTES, Array, check_whole, host, like, namespace, slices, softmax
from ._discriminant import Discriminant, shrunk
from ._linalg import largest_eigenvalue
from .hscore import warn_if_wide
from .samples import Samples, samples
from .statistics import ClassStatistics

ROUNDING = 1e-6  # share of the trace up to which the length of the row sums counts as zero, in float32 too


def sfda(features: Array, labels: Array, *, power_iterations: int | None = 3) -> float:
    r"""Self-challenging Fisher discriminant analysis: how well a discriminant does after hard samples were made harder.

    1. A discriminant with shrinkage :math:`\max(\exp(-5\lambda_1), 10^{-10})`, :math:`\lambda_1` the largest eigenvalue
       of the within-class covariance, gives posteriors :math:`p_i`.
    2. ConfMix: with the confidence :math:`c_i = \operatorname{softmax}(p_i)_{y_i}` and :math:`o_k` the mean of the
       means of the other classes, :math:`h_i' = c_i h_i + (1 - c_i)\, o_{y_i}`.
    3. A second discriminant with the same shrinkage on :math:`h'`; the score is its mean posterior of the true class.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch; never modified.
    labels : array of shape (n,)
        Integers or strings.
    power_iterations : int or None
        :math:`\lambda_1` is found by this many double power iterations from the row sums, 3 in the release. They stop a
        little below it, by an amount that depends on the axes of the feature space; None finds it exactly, and the
        score then does not change when the space is rotated.

    Returns
    -------
    float
        In [0, 1]; higher is better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance.

    Warns
    -----
    UserWarning
        When d >= n: the discriminant then separates any samples perfectly.

    Notes
    -----
    Source: https://arxiv.org/abs/2207.03036 and the authors' released code.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(sfda(features, labels), 3)
    0.876
    """
    if power_iterations is not None:
        check_whole("power_iterations", power_iterations, 1, ", or None")
    data = samples(features, labels)
    statistics = data.statistics
    warn_if_wide(statistics, "sfda", "use more samples, or fewer features (PCA)")
    largest = _largest(statistics.within_scatter, data.ones, power_iterations) / statistics.n_samples
    shrinkage = max(np.exp(-5 * largest), 1e-10)
    first = shrunk(statistics, shrinkage)
    means = statistics.centred_class_means
    others = (means.sum(axis=0) - means) / (len(means) - 1)  # o, (K, d)
    harder, confidences = _conf_mix(data, first, others, statistics.dtype)
    if harder.dtype == "float32" and not harder.resolved:
        harder, confidences = _conf_mix(data, first, others, "float64")
    second = shrunk(harder, shrinkage)
    slopes, offsets = second.coefficients, second.intercepts - (harder.mean @ second.coefficients)
    total = 0.0
    for part, block in data.blocks(harder.dtype):  # h' @ slopes without forming h'
        c, codes = confidences[part][:, None], data.codes[part]
        logits = (
            c * (block @ like(slopes, block)) + (1 - c) * like(others @ slopes, block)[codes] + like(offsets, block)
        )
        right = host(softmax(logits)[range(len(codes)), codes])
        total += float(right.sum() if data.weights is None else right @ data.weights[part])
    return total / statistics.n_samples


def _conf_mix(data: Samples, first: Discriminant, others: np.ndarray, dtype: str) -> tuple[ClassStatistics, Array]:
    """Statistics of the mixed samples, and the confidences (n,)."""
    harder = ClassStatistics(dtype).start(np.zeros(others.shape[1]), len(others), data.n_features)
    confidences = []
    for rows, block in data.blocks(dtype, GRAM_BYTES):
        codes, others = data.codes[rows], like(others, block)
        for part in slices(len(codes), block.shape[1] * 8):  # c h + (1 - c) o, over h while that is in the cache
            h, o = block[part], others[codes[part]]
            c = softmax(first.posterior(h))[range(len(h)), codes[part]]
            h -= o
            h *= c[:, None]
            h += o
            confidences.append(c)
        harder.add(block, codes, data.weights_of(rows))
    return harder, namespace(confidences[0]).concatenate(confidences)


def _largest(matrix: np.ndarray, ones: np.ndarray, power_iterations: int | None) -> float:
    """The largest eigenvalue; ``ones`` is the vector of ones in the basis of the matrix, which gives the row sums.
    If these are zero except for rounding, as with features that add up to a constant, there is nothing to start from.
    """
    x = matrix @ ones
    if power_iterations is None or np.linalg.norm(x) <= ROUNDING * np.trace(matrix):
        return largest_eigenvalue(matrix)
    for _ in range(2 * power_iterations):
        x = matrix @ (x / np.linalg.norm(x))
    return float(np.linalg.norm(x))
