"""Labelled features and all that several metrics need of them, computed once, when it is first asked for."""

import warnings
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from ._arrays import (
    STREAM_BYTES,
    Array,
    centred_blocks,
    centred_rows,
    check_features,
    check_labels,
    check_order,
    check_two,
    empty,
    host,
    like,
    namespace,
    rows,
    slices,
    working_dtype,
)
from ._row_space import row_space
from .statistics import TINY, ClassStatistics

PCA_DIMENSIONS = 64  # both papers reduce the features to this many
KEPT_BYTES = 1 << 29  # projected samples up to this size are kept; larger ones are projected again when asked for
ROTATED_BYTES = 1 << 25  # features up to this size are rotated to their principal axes where sums do not resolve them


class Samples:
    """Checked features and labels, and what the metrics share: statistics, principal components, projections.

    Every metric of features takes it in their place, with None in the place of the labels; several then share their
    work. Where there are no more samples than features, ``features`` are coordinates in the samples' own row space.
    This changes no score that is the same under rotation. Two options do look at the axes that the features came in,
    ``n_components=None`` of FaCe's class fairness and of GBC: they ask :meth:`axes_of_class`.

    Parameters
    ----------
    features : array of shape (n, d)
        NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from ncrepro import metrics
    >>> features, labels = load_iris(return_X_y=True)
    >>> data = metrics.Samples(features, labels)
    >>> round(metrics.logme(data, None), 3), round(metrics.sfda(data, None), 3)
    (-0.16, 0.876)

    A resample, without another pass over all features:

    >>> part = data.resampled(np.arange(0, 150, 2))
    >>> part.n_samples, round(metrics.sfda(part, None), 3)
    (75, 0.861)
    """

    def __init__(self, features: Array, labels: Array):
        check_order(features, labels, "features and labels")
        self.given = check_features(features)
        self.classes, self.codes = check_labels(labels, len(self.given))
        self.weights = None  # how often each sample counts, (n,); None: once
        self.n_features = self.given.shape[1]
        self._original, self._positions = self.given, None  # the axes that they came in, for what depends on them
        self._gram: np.ndarray | None = None  # products of centred samples, where these are no more than features
        self._ones = np.ones(self.n_features)  # the vector of ones in the basis of the given features
        self._count()

    def resampled(self, positions: np.ndarray) -> "Samples":
        """The samples at these positions, some of them several times: the same as new samples of
        ``features[positions]``, but weights stand for copies, and the features stay as reduced as they are.
        """
        positions, n = np.asarray(positions), len(self.codes)
        if positions.dtype.kind not in "iu" or positions.ndim != 1 or not len(positions):
            raise ValueError(
                f"positions are of type {positions.dtype} and shape {positions.shape}; they must be integers, one or "
                "more: np.flatnonzero(mask) if they are a mask"
            )
        if positions.min() < 0 or positions.max() >= n:
            outside = positions.min() if positions.min() < 0 else positions.max()
            raise ValueError(f"position {outside} is none of the {n} samples; positions are 0 to {n - 1}")
        weights = np.bincount(positions, minlength=n)
        kept = np.flatnonzero(weights)
        wide = len(self.given) <= self.given.shape[1]
        basis, ones = (self.features, self.ones) if wide else (self.given, self._ones)
        new = object.__new__(Samples)
        new.given = rows(basis, kept, working_dtype(basis))
        present, new.codes = np.unique(self.codes[kept], return_inverse=True)
        new.classes, new.weights = self.classes[present], weights[kept]
        new.n_features, new._ones = self.n_features, ones
        new._original, new._positions = self._original, kept if self._positions is None else self._positions[kept]
        new._gram = self._gram[np.ix_(kept, kept)] if wide and self._gram is not None else None
        new._count()
        return new

    def _count(self) -> None:
        self.counts = np.bincount(self.codes, self.weights).astype(int)  # (K,)
        self.sizes = np.bincount(self.codes)  # different samples of each class, (K,)
        self.n_samples, self.n_classes = int(self.counts.sum()), len(self.classes)
        self._pca: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._kept: dict[int, Array] = {}
        self._buffer: Array | None = None
        check_two(self.classes)

    def hold(self, labels: Array) -> bool:
        """Whether these are the labels in their order; a resample keeps no order, so there only class sizes are
        compared.
        """
        classes, codes = check_labels(labels)
        if not np.array_equal(classes, self.classes):
            return False
        if self.weights is None:
            return np.array_equal(codes, self.codes)
        return np.array_equal(np.bincount(codes), np.bincount(self.codes, self.weights))

    @property
    def features(self) -> Array:
        """The features in the basis in which all scores are computed that do not depend on it."""
        return self._view[0]

    @property
    def statistics(self) -> ClassStatistics:
        """The one pass over the features."""
        return self._view[1]

    @property
    def ones(self) -> np.ndarray:
        """The vector of ones of the original axes, in the basis of ``features``."""
        return self._view[2]

    @cached_property
    def _view(self) -> tuple[Array, ClassStatistics, np.ndarray]:
        n, d = self.given.shape
        if n > d:
            statistics = ClassStatistics.of(self.given, self.codes, self.weights)
            statistics.n_features = self.n_features
            _check_spread(statistics)
            if n * d * 8 > ROTATED_BYTES or statistics.resolved:
                return self.given, statistics, self._ones
        space = row_space(self.given, self.weights, self._ones, self._gram)
        statistics = ClassStatistics.in_row_space(space, self.codes, self.weights, self.n_features)
        _check_spread(statistics)
        self._gram = space.gram
        return space.coordinates + space.centre, statistics, space.ones

    def components(self, n_components: int = PCA_DIMENSIONS) -> tuple[np.ndarray, np.ndarray]:
        """Explained variances (q,), descending, and directions (r, q) of q = min(n_components, n, d) components."""
        q = min(n_components, self.n_samples, self.n_features)
        if q not in self._pca:
            values, vectors = self.statistics.leading(min(q, self.features.shape[1]))
            variances, directions = np.zeros(q), np.zeros((len(vectors), q))  # copies of samples span fewer dimensions
            variances[: len(values)], directions[:, : len(values)] = values.clip(0) / (self.n_samples - 1), vectors
            self._pca[q] = variances, directions
        return self._pca[q]

    def blocks(self, dtype: str | None = None, block_bytes: int = STREAM_BYTES) -> Iterator[tuple[slice, Array]]:
        """``(part, features[part] - mean)`` of blocks, each overwritten by the next, in the statistics' precision."""
        return centred_blocks(self.features, self.statistics.mean, dtype or self.statistics.dtype, block_bytes)

    def projected(self) -> Iterator[tuple[slice, Array]]:
        """:meth:`blocks` in coordinates along the first `PCA_DIMENSIONS` principal components."""
        if not self._keeps(PCA_DIMENSIONS):
            return self._project(PCA_DIMENSIONS)
        z = self._projection(PCA_DIMENSIONS)
        return ((part, z[part]) for part in slices(len(z), 8 * z.shape[1]))

    def weights_of(self, index: slice | np.ndarray) -> np.ndarray | None:
        """How often some samples count; None where each counts once."""
        return None if self.weights is None else self.weights[index]

    def of_class(
        self, k: int, n_components: int | None = PCA_DIMENSIONS, block_bytes: int | None = STREAM_BYTES
    ) -> Iterator[tuple[Array, np.ndarray | None]]:
        """``(samples, weights)`` of class k, centred, in blocks, each overwritten by the next, or all in one block if
        ``block_bytes`` is None; projected on the first principal components unless ``n_components`` is None.
        """
        index, dtype = self._members[k], self.statistics.dtype
        directions = None if n_components is None else self.components(n_components)[1]
        keep = directions is not None and self._keeps(n_components)
        row_bytes = 8 * (directions.shape[1] if keep else self.features.shape[1])
        for part in slices(len(index), row_bytes, block_bytes) if block_bytes else [slice(0, len(index))]:
            weights = self.weights_of(index[part])
            if keep:
                yield rows(self._projection(n_components), index[part], dtype), weights
            else:
                block = centred_rows(self.features, index[part], self.statistics.mean, self._room(len(index[part])))
                yield (block if directions is None else block @ like(directions, block)), weights

    @property
    def as_given(self) -> Array:
        """The different samples in the axes that the features came in, (m, d)."""
        index = slice(None) if self._positions is None else self._positions
        return rows(self._original, index, working_dtype(self._original))

    def axes_of_class(self, k: int) -> Iterator[tuple[Array, np.ndarray | None]]:
        """``(samples, weights)`` of class k in blocks, in float64 and in the axes that the features came in."""
        for part in slices(len(self._members[k]), 8 * self.n_features):
            index = self._members[k][part]
            places = index if self._positions is None else self._positions[index]
            yield rows(self._original, places, "float64"), self.weights_of(index)

    @property
    def axes_means(self) -> np.ndarray:
        """The class means in the axes that the features came in, (K, d)."""
        sums = np.zeros((self.n_classes, self.n_features))
        for k in range(self.n_classes):
            for z, weights in self.axes_of_class(k):
                sums[k] += host(z.sum(0) if weights is None else like(weights, z) @ z)
        return sums / self.counts[:, None]

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """The positions of the samples of each class."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(self.sizes)[:-1])

    def _room(self, n_rows: int) -> Array:
        if self._buffer is None or len(self._buffer) < n_rows:
            self._buffer = empty(n_rows, self.features, self.statistics.dtype)
        return self._buffer

    def _projection(self, n_components: int) -> Array:
        if n_components not in self._kept:
            blocks = [z for _, z in self._project(n_components)]
            self._kept[n_components] = namespace(blocks[0]).concatenate(blocks)  # (n, q)
        return self._kept[n_components]

    def _project(self, n_components: int) -> Iterator[tuple[slice, Array]]:
        directions = self.components(n_components)[1]
        return ((part, block @ like(directions, block)) for part, block in self.blocks())

    def _keeps(self, n_components: int) -> bool:
        return len(self.codes) * len(self.components(n_components)[0]) * 8 <= KEPT_BYTES


def samples(features: "Array | Samples", labels: Array | None) -> Samples:
    """``features`` itself where it is a :class:`Samples`: metrics that are called one after another share its work."""
    if not isinstance(features, Samples):
        return Samples(features, labels)
    if labels is not None and not features.hold(labels):
        raise ValueError(
            "these samples hold labels of their own, which are different: give None in the place of the labels"
        )
    return features


def statistics_of(features: "Array | Samples | ClassStatistics", labels: Array | None) -> ClassStatistics:
    """The statistics of the features, or the statistics themselves where these are what was given."""
    if not isinstance(features, ClassStatistics):
        return samples(features, labels).statistics
    if labels is not None:
        raise ValueError("statistics hold their labels already; give labels with features only")
    _check_spread(features)
    if features.dtype == "float32" and not features.resolved:
        warnings.warn(
            "float32 products do not resolve these features; gather their statistics with ClassStatistics('float64')",
            stacklevel=3,
        )
    return features


def _check_spread(statistics: ClassStatistics) -> None:
    if statistics.n_classes == 0:
        raise ValueError("the statistics hold no samples; update them with features and labels first")
    check_two(statistics.classes)
    if 0 < np.trace(statistics.gram) < TINY["float64"] * statistics.n_samples:
        raise ValueError("features are too small: their fourth powers vanish; multiply all by one constant")
    if not np.trace(statistics.total_scatter) > 1e-12 * np.trace(statistics.gram):
        raise ValueError(
            "all samples have the same features; a score needs features that vary: is this the right layer?"
        )
