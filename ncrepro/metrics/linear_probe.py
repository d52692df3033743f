"""What a metric has to beat that looks at the target's features: a plain linear classifier, cross-validated."""

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def linear_probe(features: np.ndarray, labels: np.ndarray, folds: int = 3) -> float:
    r"""Cross-validated accuracy of a linear classifier on frozen features: per cent, higher is better.

    Ridge regression on labels coded as :math:`\pm 1`, one column per class; an image belongs to the class with the
    largest answer. Features are standardised on the training folds; the penalty is a tenth of what a feature's squares
    sum to then. There is nothing to choose and nothing iterates: about as cheap as a metric, where logistic regression
    takes three times as long.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
        Every class needs ``folds`` samples.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(linear_probe(features, labels), 1)
    82.7
    """
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=len(labels) / 10))
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    return 100 * float(cross_val_score(classifier, features, labels, cv=split).mean())
