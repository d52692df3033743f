"""Counts, sums and second moments of labelled features, from one pass: all that most of the scores need."""

from functools import cached_property
from typing import Self

import numpy as np

from ._arrays import (
    GRAM_BYTES,
    Array,
    centred_blocks,
    check_features,
    check_labels,
    check_order,
    host,
    like,
    namespace,
    rows,
    sum_by_class,
    upper_gram,
    weighted,
    what_is_not_finite,
    working_dtype,
)
from ._linalg import Tridiagonal, cholesky, lanczos, log_det_above_one, mirror, trace_of_ratio
from ._row_space import RowSpace

RESOLVED = {"float32": 3e-3, "float64": 1e-9}  # least share of a variance that products of a precision are trusted with
MANY_FEATURES, FEW = 1024, 8  # from so many features on, at most one in FEW components is found without the others
TINY = {"float32": 1e-30, "float64": 1e-140}  # mean squares below which products of a precision lose digits
DERIVED = ("gram", "total_scatter", "within_scatter", "reduced", "factor", "deviations")


class NotInRange(ValueError):
    """Features that are not finite, or whose squares are not, or vanish, in the precision at hand."""


def _checked_weights(weights: np.ndarray | None, n_samples: int) -> np.ndarray | None:
    found = None if weights is None else np.asarray(weights)
    if found is not None and not (found.shape == (n_samples,) and found.dtype.kind in "iu" and found.min() >= 1):
        description = found if found.ndim == 0 else f"of type {found.dtype} and shape {found.shape}"
        raise ValueError(
            f"weights are {description}; they must be {n_samples} integers of at least 1, how often each sample counts"
        )
    return found


class ClassStatistics:
    r"""Class counts, class sums and the Gram matrix of features that arrive in batches, on one machine or on several.

    With :math:`z_i = h_i - s` for a provisional mean :math:`s` (of the first block, so that features far from the
    origin lose no digits), the object holds

    ======================  ========================================  ============
    attribute               what                                      shape
    ======================  ========================================  ============
    ``classes``             the distinct labels, sorted               (K,)
    ``class_counts``        :math:`n_k`                               (K,)
    ``sums``                :math:`\sum_{y_i = k} z_i`                (K, d)
    ``gram``                :math:`\sum_i z_i z_i^\top`               (d, d)
    ``cubes``               :math:`\sum_i \|z_i\|^2 z_i`              (d,)
    ``fourths``             :math:`\sum_i \|z_i\|^4`                  scalar
    ======================  ========================================  ============

    all in float64. The last two are what the Ledoit-Wolf shrinkage needs beyond the covariance. The products of a block
    of rows are formed in ``dtype`` and added up in float64.

    Parameters
    ----------
    dtype : {None, "float32", "float64"}
        Precision of the products within a block; None takes that of the features (float16 counts as float32).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> statistics = ClassStatistics.of(features, labels)  # features in memory, or a memory map
    >>> statistics.n_samples, statistics.n_features, statistics.n_classes
    (150, 4, 3)

    Batches as they come, and shards from two machines:

    >>> first = ClassStatistics().update(features[:50], labels[:50]).update(features[50:80], labels[50:80])
    >>> second = ClassStatistics().update(features[80:], labels[80:])
    >>> first.merge(second).class_counts.tolist()
    [50, 50, 50]
    """

    # samples times the roots of their weights, where these are at hand: as they are, and minus their class's mean
    factor: np.ndarray | None = None
    deviations: np.ndarray | None = None

    def __init__(self, dtype: str | None = None):
        if dtype is not None and dtype not in RESOLVED:
            raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(map(repr, RESOLVED))}, or None")
        self.dtype = dtype
        self.classes = np.empty(0, dtype=int)

    @classmethod
    def of(cls, features: Array, labels: Array, weights: np.ndarray | None = None) -> Self:
        """Statistics of one data set.

        float32 features are first tried with float32 products; where the result is so near to singular that these do
        not resolve it, the pass is made again in float64, and if necessary once more about the class means.

        Parameters
        ----------
        features : array of shape (n, d)
            NumPy, memory map or torch; any floating or integer type.
        labels : array of shape (n,)
            Integers or strings.
        weights : array of shape (n,), optional
            How often each sample counts: integers of at least 1.

        Raises
        ------
        ValueError
            For NaN or infinite features, wrong shapes or types, lengths that differ.
        """
        check_order(features, labels, "features and labels")
        features = check_features(features)
        if working_dtype(features) == "float32":
            try:
                statistics = cls("float32").update(features, labels, weights)
            except NotInRange:  # float64 may hold what float32 does not
                statistics = None
            if statistics is not None and statistics.resolved:
                return statistics
        statistics = cls("float64").update(features, labels, weights)
        if not statistics.resolved:
            statistics.refine(features, labels, weights)
        return statistics

    def update(self, features: Array, labels: Array, weights: np.ndarray | None = None) -> Self:
        """Add a batch, of any size and with any labels; returns the object itself. Parameters and errors as in
        :meth:`of`; a batch that is refused changes nothing.
        """
        check_order(features, labels, "features and labels")
        features = check_features(features)
        classes, codes = check_labels(labels, len(features))
        weights = _checked_weights(weights, len(features))
        batch = ClassStatistics(self.dtype or working_dtype(features))
        with np.errstate(all="ignore"):  # what is not finite is reported below, in words
            if len(self.classes):
                self._check_fits(features.shape[1], classes)
                batch.start(self.shift)
            else:
                shift = host(rows(features, slice(0, 1024), "float64").mean(0))
                batch.start(shift.astype(np.float32).astype(float))  # so that float32 features lose nothing by it
            batch.classes, batch.class_counts = classes, np.zeros(len(classes), dtype=int)
            batch.sums = np.zeros((len(classes), batch.n_features))
            for part, block in centred_blocks(features, batch.shift, batch.dtype, GRAM_BYTES):
                weight = None if weights is None else weights[part]
                batch.add(block, codes[part], weight)
                squares = namespace(block).einsum("ij,ij->i", block, block)  # (b,)
                counted = squares if weight is None else squares * like(weight, block)
                batch.cubes += host(counted @ block)
                batch.fourths += float(host(squares).astype(np.float64) @ host(counted).astype(np.float64))
        if not (np.isfinite(batch.fourths) and np.isfinite(batch.cubes).all()):
            raise NotInRange(what_is_not_finite(features))
        if len(self.classes):
            self._absorb(batch)
        else:
            self.__dict__.update(batch.__dict__)
        return self

    def start(self, shift: np.ndarray, n_classes: int = 0, n_features: int | None = None) -> Self:
        """Empty statistics about the point ``shift`` (d,), of classes 0..n_classes-1; :meth:`add` fills all but
        ``cubes`` and ``fourths``. ``n_features`` is the dimension of the space of which these d are a part.
        """
        d = len(shift)
        self.shift, self.n_features = shift, n_features or d
        self.classes, self.class_counts = np.arange(n_classes), np.zeros(n_classes, dtype=int)
        self.sums, self.cubes, self.fourths = np.zeros((n_classes, d)), np.zeros(d), 0.0
        self._products = np.zeros((d, d))
        return self

    def add(self, z: Array, codes: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add one block of samples minus the shift, (b, d), with the positions of their labels in ``classes``."""
        self.class_counts += np.bincount(codes, weights, minlength=self.n_classes).astype(int)
        self.sums += sum_by_class(z, codes, self.n_classes, weights)
        self._products += upper_gram(weighted(z, weights))
        self._forget()

    def refine(self, features: Array, labels: Array, weights: np.ndarray | None = None) -> Self:
        """Take the scatters about the class means from a pass of their own over the same samples, in float64: classes
        far apart then hide no small variance. The next batch undoes it.
        """
        _, codes = check_labels(labels)
        means = self.sums / self.class_counts[:, None]
        about_means = ClassStatistics("float64").start(np.zeros(len(self.shift)), self.n_classes)
        for part, block in centred_blocks(features, self.shift, "float64", GRAM_BYTES):
            block -= like(means, block)[codes[part]]
            about_means.add(block, codes[part], None if weights is None else weights[part])
        return self._with_within(about_means.within_scatter)

    def apart(self, means: np.ndarray) -> Self:
        """Move each class by a vector of its own, (K, d); the scatter within the classes stays as it is."""
        within = self.within_scatter
        self.sums = self.sums + self.class_counts[:, None] * means
        return self._with_within(within)

    def _with_within(self, within: np.ndarray) -> Self:
        self._forget()
        self.within_scatter, self.total_scatter = within, within + self.between_scatter
        return self

    @classmethod
    def in_row_space(cls, space: RowSpace, codes: np.ndarray, weights: np.ndarray | None, n_features: int) -> Self:
        """Statistics along the axes of the samples' row space, a part of a space of ``n_features`` dimensions."""
        self, z = cls("float64").start(space.centre, codes.max() + 1, n_features), space.coordinates
        self.class_counts = np.bincount(codes, weights).astype(int)
        self.sums = sum_by_class(z, codes, self.n_classes, weights)
        squares = (z**2).sum(axis=1)
        counted = squares if weights is None else squares * weights
        self.cubes, self.fourths = counted @ z, float(counted @ squares)
        self.reduced = Tridiagonal.diagonal_of(space.variances)
        self._products = self.total_scatter = np.diag(space.variances)
        self.deviations = weighted(z - (self.sums / self.class_counts[:, None])[codes], weights)
        self.factor = weighted(z + space.centre, weights)
        return self

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """The statistics of both data sets together, as a new object; the order does not matter."""
        if not len(self.classes) or not len(other.classes):
            full = self if len(self.classes) else other
            return full._moved_to(full.shift) if len(full.classes) else ClassStatistics(self.dtype)
        if other.n_features != self.n_features:
            raise ValueError(
                f"statistics of {self.n_features} and of {other.n_features} features cannot be merged; "
                "both must come from one model"
            )
        self._check_fits(other.n_features, other.classes)
        other._check_axes()
        merged = self._moved_to(self.shift)
        merged._absorb(other._moved_to(self.shift))
        return merged

    def _check_axes(self) -> None:
        if self.deviations is not None:
            raise ValueError(
                "the statistics of a Samples object are in axes of its own, and can be neither updated nor merged: "
                "gather them with ClassStatistics().update(features, labels)"
            )

    def _check_fits(self, n_features: int, classes: np.ndarray) -> None:
        self._check_axes()
        if n_features != self.n_features:
            raise ValueError(
                f"this batch has {n_features} features, the ones before it {self.n_features}; "
                "all batches must come from one model"
            )
        if (self.classes.dtype.kind in "US") != (classes.dtype.kind in "US"):
            raise ValueError(
                f"labels {classes[0].item()!r} follow labels {self.classes[0].item()!r}; use all integers or all "
                "strings"
            )

    def _absorb(self, other: "ClassStatistics") -> None:
        """Add statistics about the same point."""
        known = np.union1d(self.classes, other.classes)
        counts, sums = np.zeros(len(known), dtype=int), np.zeros((len(known), len(self.shift)))
        for part in (self, other):
            codes = np.searchsorted(known, part.classes)
            counts[codes] += part.class_counts
            sums[codes] += part.sums
        self.classes, self.class_counts, self.sums = known, counts, sums
        self._products += other._products
        self.cubes += other.cubes
        self.fourths += other.fourths
        self._forget()

    def _forget(self) -> None:
        for name in DERIVED:
            self.__dict__.pop(name, None)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.class_counts.sum())

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def mean(self) -> np.ndarray:
        """The mean of all samples, (d,)."""
        return self.shift + self.sums.sum(axis=0) / self.n_samples

    @property
    def priors(self) -> np.ndarray:
        """The share of each class, (K,)."""
        return self.class_counts / self.n_samples

    @property
    def centred_class_means(self) -> np.ndarray:
        """The class means minus the mean of all samples, (K, d)."""
        return self.sums / self.class_counts[:, None] - self.sums.sum(axis=0) / self.n_samples

    @cached_property
    def gram(self) -> np.ndarray:
        """Sum over samples of z z', (d, d)."""
        return mirror(self._products)

    @cached_property
    def total_scatter(self) -> np.ndarray:
        """Sum over samples of (h - mean)(h - mean)', (d, d)."""
        total = self.sums.sum(axis=0)
        scatter = np.outer(total, total / -self.n_samples)
        return np.add(self.gram, scatter, out=scatter)

    @property
    def between_factor(self) -> np.ndarray:
        """A, (K, d), with A'A the between-class scatter."""
        return np.sqrt(self.class_counts)[:, None] * self.centred_class_means

    @property
    def between_scatter(self) -> np.ndarray:
        """Sum over samples of (class mean - mean)(class mean - mean)', (d, d)."""
        factor = self.between_factor
        return factor.T @ factor

    @cached_property
    def within_scatter(self) -> np.ndarray:
        """Sum over samples of (h - class mean)(h - class mean)', (d, d)."""
        if self.deviations is not None:
            return mirror(upper_gram(self.deviations))
        scaled = self.sums / np.sqrt(self.class_counts)[:, None]
        return mirror(self._products - upper_gram(scaled))

    def within_squares(self, vectors: np.ndarray) -> np.ndarray:
        """The squares v'Wv of the columns v, (d, m), with W the within-class scatter: (m,)."""
        if self.deviations is not None:
            return ((self.deviations @ vectors) ** 2).sum(axis=0)
        return (vectors * (self.within_scatter @ vectors)).sum(axis=0)

    @property
    def resolved(self) -> bool:
        """Whether products of this precision resolve every direction of the within-class scatter: what of a feature's
        variance neither the classes nor the features before it explain is far above the rounding of its square.
        """
        trace = np.trace(self.gram)
        if self.dtype == "float32" and trace < TINY["float32"] * self.n_samples:
            return False
        within = np.empty(self.gram.shape, self.dtype)
        np.divide(self.within_scatter, trace or 1.0, out=within, casting="same_kind")
        return cholesky(within, np.diag(self.gram) / (trace or 1.0))[1] >= RESOLVED[self.dtype]

    @cached_property
    def reduced(self) -> Tridiagonal:
        """The total scatter in tridiagonal form, from which principal components and LogME both start."""
        return Tridiagonal.of(self.total_scatter)

    def leading(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The largest eigenvalues of the total scatter, (count,), descending, and their eigenvectors as columns; in the
        precision of the products, and without all the others, where these would take long and are not there already.
        """
        if "reduced" in self.__dict__ or len(self.shift) < MANY_FEATURES or count > len(self.shift) // FEW:
            return self.reduced.leading(count)
        scatter = self.total_scatter.astype(self.dtype, copy=False)
        return lanczos(scatter, count) or Tridiagonal.of(scatter).leading(count)

    def log_det(self, unit: float) -> float:
        """log|I + S / unit| with S the total scatter: from its eigenvalues where these are at hand."""
        if "reduced" in self.__dict__:
            return float(np.log1p(self.reduced.eigenvalues.clip(0) / unit).sum())
        return log_det_above_one(self.total_scatter, unit)

    def trace_of_ratio(self, factor: np.ndarray, shift: float = 0.0) -> float:
        """tr((S + shift I)† A'A) for A (K, d), its rows in the range of S."""
        if shift and "reduced" in self.__dict__:
            rotated = self.reduced.rotate(factor.T)  # (d, K)
            return float((rotated * self.reduced.solve(shift, rotated)).sum())
        scatter = self.total_scatter.copy()
        scatter.flat[:: len(scatter) + 1] += shift
        return trace_of_ratio(factor, scatter)

    @property
    def raw_gram(self) -> np.ndarray:
        """Sum over samples of h h', uncentred, (d, d)."""
        return self.total_scatter + self.n_samples * np.outer(self.mean, self.mean)

    @property
    def raw_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of ``raw_gram`` that are not zero but for rounding, and their eigenvectors as columns."""
        values, vectors = np.linalg.eigh(self.raw_gram)
        kept = values > values[-1] * len(values) * np.finfo(float).eps
        if self.factor is not None and values[kept][0] < 1e-8 * values[-1]:
            _, roots, vectors = np.linalg.svd(self.factor, full_matrices=False)
            values, vectors = roots[::-1] ** 2, vectors[::-1].T
            kept = np.sqrt(values) > roots[0] * max(self.factor.shape) * np.finfo(float).eps
        return values[kept], vectors[:, kept]

    @property
    def fourth_moment(self) -> float:
        """Sum over samples of ‖h - mean‖⁴."""
        return self._fourths_about(self.mean)

    def _moved_to(self, point: np.ndarray) -> "ClassStatistics":
        """The same statistics with ``point`` in the place of the provisional mean: z becomes z + delta."""
        moved = ClassStatistics(self.dtype).start(point, n_features=self.n_features)
        delta, total, n = self.shift - point, self.sums.sum(axis=0), self.n_samples
        length, trace = delta @ delta, np.trace(self.gram)
        moved.shift, moved.classes, moved.class_counts = point, self.classes, self.class_counts.copy()
        moved.sums = self.sums + self.class_counts[:, None] * delta
        moved._products = self.gram + np.outer(delta, total) + np.outer(total, delta) + n * np.outer(delta, delta)
        moved.cubes = self.cubes + 2 * self.gram @ delta + length * total
        moved.cubes += delta * (trace + 2 * delta @ total + n * length)
        moved.fourths = self._fourths_about(point)
        return moved

    def _fourths_about(self, point: np.ndarray) -> float:
        delta, total = self.shift - point, self.sums.sum(axis=0)
        length, trace = delta @ delta, np.trace(self.gram)
        squared = 4 * delta @ (self.gram @ delta) + self.n_samples * length**2
        return float(
            self.fourths + squared + 4 * delta @ self.cubes + 2 * length * trace + 4 * length * (delta @ total)
        )
