"""LEEP (Nguyen et al., ICML 2020), NCE (Tran et al., ICCV 2019), NLEEP (Li et al., CVPR 2021): by source classes."""

import math
import warnings

import numpy as np

from ._arrays import (
    Array,
    check_features,
    check_labels,
    check_order,
    check_two,
    check_whole,
    host,
    namespace,
    rows,
    slices,
    sum_by_class,
)
from .samples import samples

MODERATE = 2.0**-10, 2.0**30  # variances for which the 1e-6 that scikit-learn adds is neither large nor lost


def leep(source_probs: Array, labels: Array) -> float:
    r"""Logarithm of the expected empirical prediction.

    .. math::
        \text{LEEP} = \frac1n \sum_i \log \sum_z \hat P(y_i \mid z)\, \theta(x_i)_z, \qquad
        \hat P(y, z) = \frac1n \sum_{i: y_i = y} \theta(x_i)_z

    Parameters
    ----------
    source_probs : array of shape (n, K_s)
        The model's probabilities of its own source classes: each row is non-negative and sums to 1.
    labels : array of shape (n,)
        Target labels, integers or strings.

    Returns
    -------
    float
        In (-inf, 0]; higher is better. A source class that no sample reaches has no effect.

    Raises
    ------
    ValueError
        For rows that are not probabilities, wrong shapes or types, lengths that differ, fewer than two classes.

    Notes
    -----
    Source: https://arxiv.org/abs/2002.12462.

    Examples
    --------
    >>> source_probs = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]  # of two source classes
    >>> round(leep(source_probs, ["cat", "cat", "dog", "dog"]), 3)
    -0.343
    """
    check_order(source_probs, labels, "source_probs and labels")
    source_probs = check_features(source_probs, "source_probs")
    classes, codes = check_labels(labels, len(source_probs))
    check_two(classes)
    n, parts = len(codes), list(slices(len(codes), 8 * source_probs.shape[1]))
    joint = 0.0
    for part in parts:
        theta = rows(source_probs, part, "float64")
        _check_probabilities(theta, part.start)
        joint = joint + sum_by_class(theta, codes[part], len(classes)) / n  # (K, K_s)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)  # P(y | z)
    total = 0.0
    for part in parts:
        theta = host(rows(source_probs, part, "float64"))
        total += np.log(np.einsum("iz,iz->i", theta, conditional[codes[part]])).sum()
    return float(total / n)


def nce(source_labels: Array, labels: Array) -> float:
    r"""Negative conditional entropy of the target labels given the source labels.

    .. math:: \text{NCE} = -H(Y \mid Z) = \sum_{y,z} \hat P(y, z) \log \frac{\hat P(y, z)}{\hat P(z)}

    Parameters
    ----------
    source_labels : array of shape (n,)
        The source class that the model predicts for each sample, arg max of its probabilities.
    labels : array of shape (n,)
        Target labels; both may be integers or strings.

    Returns
    -------
    float
        In nats, in [-log K, 0]; higher is better, 0 means that the source class determines the target label.

    Raises
    ------
    ValueError
        For wrong shapes or types, lengths that differ, fewer than two target classes.

    Notes
    -----
    Source: https://arxiv.org/abs/1908.08142.

    Examples
    --------
    >>> round(nce([0, 0, 1, 1, 1, 1], ["cat", "cat", "dog", "dog", "dog", "cat"]), 3)
    -0.375
    """
    check_order(source_labels, labels, "source_labels and labels")
    classes, codes = check_labels(labels)
    n = len(codes)
    sources, source_codes = check_labels(source_labels, n, "source_labels")
    check_two(classes)
    joint = np.zeros((len(classes), len(sources)))
    np.add.at(joint, (codes, source_codes), 1 / n)
    return nce_of(joint)


def nce_of(joint: np.ndarray) -> float:
    """Minus the conditional entropy of the target label given the source label, of P(y, z) (K, K_s)."""
    mass = np.broadcast_to(joint.sum(axis=0), joint.shape)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / mass[seen])).sum())


def nleep(
    features: Array, labels: Array, *, components_per_class: int = 5, energy: float = 0.8, seed: int = 0
) -> float:
    r"""LEEP with the components of a Gaussian mixture in the place of source classes, for models without a classifier.

    PCA keeps ``energy`` of the variance; a mixture of ``components_per_class`` · K Gaussians (at most n) is fitted to
    the projected samples without their labels; its responsibilities are the probabilities that :func:`leep` takes.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.
    components_per_class, energy, seed
        Mixture components per class, share of the variance kept, seed of the mixture's start.

    Returns
    -------
    float
        In (-inf, 0]; higher is better. The same seed gives the same value.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance, components_per_class below 1, energy outside (0, 1].

    Notes
    -----
    Source: https://arxiv.org/abs/2011.11200. The mixture is scikit-learn's, runs on the CPU and may stop before it has
    converged. It adds 1e-6 to every variance, whatever the features' scale; where the largest variance of a principal
    component is not in [2⁻¹⁰, 2³⁰], the features are multiplied by a power of two that brings it into [1, 4).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(nleep(features, labels), 2)
    -0.12
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    check_whole("components_per_class", components_per_class, 1)
    check_whole("seed", seed, 0)
    if not 0 < energy <= 1:
        raise ValueError(f"energy is {energy}; it must be a share of the variance, above 0 and at most 1")
    data = samples(features, labels)
    variances = data.statistics.reduced.eigenvalues[::-1].clip(0)
    directions = data.components(int(np.searchsorted(np.cumsum(variances) / variances.sum(), energy)) + 1)[1]
    projected = np.concatenate([host(block) @ directions for _, block in data.blocks()])  # (n, q)
    projected, codes = (
        array if data.weights is None else np.repeat(array, data.weights, axis=0) for array in (projected, data.codes)
    )
    largest = variances[0] / data.n_samples
    if not MODERATE[0] <= largest <= MODERATE[1]:
        projected = np.ldexp(projected.astype(float), -math.floor(math.log2(largest) / 2))
    mixture = GaussianMixture(min(components_per_class * data.n_classes, len(projected)), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        responsibilities = mixture.fit(projected).predict_proba(projected)
    return leep(responsibilities, codes)


def source_labels(source_probs: Array) -> np.ndarray:
    """The most probable source class of each sample, (n,)."""
    probs = check_features(source_probs, "source_probs")
    for part in slices(len(probs), 8 * probs.shape[1]):
        _check_probabilities(rows(probs, part, "float64"), part.start)
    return host(namespace(probs).argmax(probs, axis=1)).astype(int)


def _check_probabilities(theta: Array, start: int) -> None:
    sums, least = host(theta.sum(1)), float(theta.min())
    wrong = np.flatnonzero(~(abs(sums - 1) < 1e-2))
    if len(wrong) or not least >= 0:
        found = f"row {start + wrong[0]} sums to {sums[wrong[0]]:.4g}" if len(wrong) else f"the smallest is {least:.4g}"
        raise ValueError(
            f"source_probs are not probabilities: {found}; each row must be non-negative and sum to 1: "
            "apply softmax to the logits"
        )
