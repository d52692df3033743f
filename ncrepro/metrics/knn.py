"""The accuracy of the k nearest neighbours, each sample left out in turn."""

import numpy as np

from ._arrays import Array, check_whole, host, rows
from ._subsample import subsample
from .samples import samples

NEIGHBOURS = 5
MOST_QUERIES = 3000  # the standard error of an accuracy over so many is below one point
BLOCK_ROWS = 4096


def knn(
    features: Array, labels: Array, *, k: int = NEIGHBOURS, max_queries: int = MOST_QUERIES, seed: int = 0
) -> float:
    r"""Accuracy of the nearest neighbours: per cent of the samples whose k nearest others vote for their label.

    .. math::
        \text{kNN} = \frac{100}{n} \sum_i \Bigl[\,y_i = \arg\max_c \sum_{j \in N_k(i)} [y_j = c]\,\Bigr]

    with :math:`N_k(i)` the k samples nearest to sample i by Euclidean distance, i itself left out. Of classes with
    equally many votes the one with the nearest sample wins. If more than one sample is at the k-th smallest distance,
    it is not specified which of them votes.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.
    k : int
        Neighbours that vote; all others where there are fewer.
    max_queries : int
        With more samples than this, only this many are classified, from each class its share, by all the others.
    seed : int
        Seed of the random choice of these samples.

    Returns
    -------
    float
        In [0, 100]; higher is better.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes, features
        without variance, k below 1.

    Notes
    -----
    Source: a baseline of PARC's paper (Bolya et al., NeurIPS 2021, https://arxiv.org/abs/2111.06977), there with one
    neighbour. Distances are exact, in the features as they are: nothing is scaled or projected. In a resample the
    copies of a sample are left out with it, and each copy of another one has a vote. The distances are computed on the
    CPU, in blocks.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> round(knn(features, labels), 1)
    96.7
    """
    check_whole("k", k, 1)
    data = samples(features, labels)
    mean, dtype = data.statistics.mean, data.statistics.dtype
    sample = subsample(data.codes, max_queries, seed, "max_queries")
    queries = host(rows(data.features, sample, dtype)) - mean.astype(dtype)  # (q, d)
    distances, nearest = np.full((len(sample), 1), np.inf), np.zeros((len(sample), 1), int)  # the best so far
    for part, block in data.blocks(block_bytes=BLOCK_ROWS * data.features.shape[1] * np.dtype(dtype).itemsize):
        z = host(block)  # (b, d)
        apart = (z**2).sum(axis=1) - 2 * (queries @ z.T)  # squared distances but for those of the queries, (q, b)
        own = np.flatnonzero((sample >= part.start) & (sample < part.stop))
        apart[own, sample[own] - part.start] = np.inf
        distances = np.concatenate([distances, apart], axis=1)
        nearest = np.concatenate([nearest, np.broadcast_to(np.arange(part.start, part.stop), apart.shape)], axis=1)
        if distances.shape[1] > k:
            kept = np.argpartition(distances, k - 1, axis=1)[:, :k]
            distances, nearest = (np.take_along_axis(of, kept, axis=1) for of in (distances, nearest))
    order = np.argsort(distances, axis=1, kind="stable")
    distances, nearest = (np.take_along_axis(of, order, axis=1) for of in (distances, nearest))
    copies = np.ones(len(data.codes), int) if data.weights is None else data.weights
    votes = np.where(np.isfinite(distances), copies[nearest], 0)
    votes = np.minimum(votes, k - np.minimum(np.cumsum(votes, axis=1) - votes, k))  # no more than k in all
    voted = data.codes[nearest]
    totals = np.stack([(votes * (voted == label[:, None])).sum(axis=1) for label in voted.T], axis=1)  # (q, k)
    winner = voted[np.arange(len(sample)), totals.argmax(axis=1)]
    return float(100 * np.average(winner == data.codes[sample], weights=copies[sample]))
