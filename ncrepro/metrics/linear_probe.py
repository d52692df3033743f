"""The baseline for metrics that look at the target's features: a plain linear classifier, cross-validated."""

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._arrays import Array, check_whole, host
from .samples import samples


def linear_probe(features: Array, labels: Array, folds: int = 3) -> float:
    r"""Cross-validated accuracy of a linear classifier on frozen features: per cent, higher is better.

    Ridge regression on labels coded as :math:`\pm 1`, one column per class; a sample belongs to the class with the
    largest answer. With :math:`X` the standardised features of the training folds and a column :math:`t_k` of codes,

    .. math:: w_k = \bigl(X^\top X + \tfrac n{10} I\bigr)^{-1} X^\top (t_k - \bar t_k)

    so the penalty is a tenth of what a feature's squares sum to. There is nothing to choose and no iteration, so it is
    about as cheap as a metric; logistic regression takes three times as long.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch; read into memory whole.
    labels : array of shape (n,)
        Integers or strings; at least two samples of each.
    folds : int
        Parts, each of which is predicted once; cut to the size of the smallest class. Which sample is in which part is
        drawn with a fixed seed, with equal shares of the classes.

    Returns
    -------
    float
        In [0, 100], the mean over folds; higher is better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, a class with
        one sample, features without variance, folds below 2.

    Notes
    -----
    Linear classifiers as probes: Alain and Bengio, 2016, https://arxiv.org/abs/1610.01644; this one follows no release.
    In a resample all copies of a sample are in one fold.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(linear_probe(features, labels), 1)
    82.7
    """
    check_whole("folds", folds, 2)
    data = samples(features, labels)
    _ = data.statistics  # checks the features
    if data.sizes.min() < 2:
        alone = data.classes[data.sizes.argmin()].item()
        raise ValueError(
            f"class {alone!r} has a single sample; a linear probe learns from some and predicts others: give at least "
            "two"
        )
    H, y = host(data.as_given), data.codes
    copies = np.ones(len(y), int) if data.weights is None else data.weights
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=data.n_samples / 10))
    parts = StratifiedKFold(min(folds, int(data.sizes.min())), shuffle=True, random_state=0)
    right = []
    for learned, test in parts.split(H, y):
        learned, test = (np.repeat(index, copies[index]) for index in (learned, test))
        right.append(classifier.fit(H[learned], y[learned]).score(H[test], y[test]))
    return 100 * float(np.mean(right))
