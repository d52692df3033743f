"""The basis of the samples' own row space: all that a score sees which does not depend on the axes of the features."""

from typing import NamedTuple

import numpy as np

from ._arrays import Array, host, like, namespace, rows, weighted, what_is_not_finite

RESOLVED = 1e-10  # least share of the largest eigenvalue down to which those of a float64 Gram matrix are trusted


class RowSpace(NamedTuple):
    """Samples in the basis of their row space, r = min(n, d)."""

    coordinates: np.ndarray  # (n, r), centred
    centre: np.ndarray  # (r,), the mean
    ones: np.ndarray  # (r,), a vector that was asked for
    variances: np.ndarray  # (r,), of the coordinates times n, descending
    gram: np.ndarray | None  # (n, n), products of the centred samples, for n <= d


def row_space(
    features: Array, weights: np.ndarray | None, ones: np.ndarray, gram: np.ndarray | None = None
) -> RowSpace:
    r"""Samples (n, d) in coordinates along the principal axes of their row space.

    With the centred samples :math:`X = U \Sigma V^\top` the coordinates are :math:`U \Sigma`, and those of any vector v
    are :math:`V^\top v`. For n <= d, U and :math:`\Sigma` come from the (n, n) matrix :math:`X X^\top`; the one
    direction that centring empties, the last, takes what the mean of the samples has outside. Where that matrix does
    not resolve its small eigenvalues, since it squares the condition number, and for n > d, they come from X itself.

    ``weights`` (n,) say how often each sample counts; ``ones`` (d,) is a vector that is wanted in the same coordinates;
    ``gram`` (n, n), where it is at hand, holds the products of the samples about some point among them.
    """
    n, d = features.shape
    counts = np.ones(n) if weights is None else weights
    z = rows(features, slice(None), "float64")
    mean = (like(counts, z) @ z) / counts.sum()  # (d,)
    z = weighted(z - mean, weights)
    if n <= d:
        with np.errstate(over="ignore", invalid="ignore"):
            gram = host(z @ z.T) if gram is None else _centred(gram, counts)
    marks = namespace(z).stack([mean, like(ones, z)]).T  # (d, 2)
    if n <= d:
        if not np.isfinite(gram).all():
            raise ValueError(what_is_not_finite(features))
        values, left = np.linalg.eigh(gram)
        values, left = values[::-1], left[:, ::-1]
    if n > d or (n > 2 and values[-2] < RESOLVED * values[0]):
        left, scale, _ = np.linalg.svd(host(z), full_matrices=False)
    else:
        scale = np.sqrt(values.clip(0))
    noise = max(n, d) * np.finfo(float).eps * (scale[0] + np.sqrt(n) * host(abs(mean)).max() / d)
    scale[scale <= noise] = 0.0
    if n <= d:
        scale[-1] = 0.0
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    marks_here = inverse[:, None] * (left.T @ host(z @ marks))  # (r, 2)
    centre = marks_here[:, 0]
    if scale[-1] == 0:  # an empty direction, along what the mean has outside the space of the differences
        outside = mean - z.T @ like(left @ (inverse * centre), z)
        centre[-1] = np.linalg.norm(host(outside))
    coordinates = left * scale
    if weights is not None:
        coordinates /= np.sqrt(weights)[:, None]
    return RowSpace(coordinates, centre, marks_here[:, 1], scale**2, gram if weights is None else None)


def _centred(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products about the weighted mean, times the roots of the weights, from products about another point."""
    towards = gram @ weights / weights.sum()  # of each sample with the mean
    roots = np.sqrt(weights)
    return (gram - towards - towards[:, None] + towards @ weights / weights.sum()) * roots * roots[:, None]
