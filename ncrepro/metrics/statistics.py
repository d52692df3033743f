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
    host,
    namespace,
    rows,
    slices,
    sum_by_class,
    upper_gram,
    working_dtype,
)
from ._linalg import Tridiagonal, cholesky, mirror

RESOLVED = 3e-3  # least share of unexplained variance down to which float32 products are trusted
DERIVED = ("gram", "total_scatter", "within_scatter", "reduced")


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
    >>> statistics = ClassStatistics.of(features, labels)                     # features in memory, or a memory map
    >>> statistics = ClassStatistics().update(*batch_1).update(*batch_2)      # batches as they come
    >>> statistics = shard_1.merge(shard_2)                                   # from two machines
    """

    def __init__(self, dtype: str | None = None):
        self.dtype = dtype
        self.classes = np.empty(0, dtype=int)

    @classmethod
    def of(cls, features: Array, labels: Array) -> Self:
        """Statistics of one data set.

        float32 features are first tried with float32 products; where the result is so near to singular that these do
        not resolve it, the pass is made again in float64.

        Parameters
        ----------
        features : array of shape (n, d)
            NumPy, memory map or torch; any floating or integer type.
        labels : array of shape (n,)
            Integers or strings.

        Raises
        ------
        ValueError
            For NaN or infinite features, wrong shapes or types, lengths that differ.
        """
        statistics = cls().update(features, labels)
        return statistics if statistics.resolved else cls("float64").update(features, labels)

    def update(self, features: Array, labels: Array) -> Self:
        """Add a batch, of any size and with any labels; returns the object itself. Parameters and errors as in
        :meth:`of`.
        """
        features = check_features(features)
        classes, codes = check_labels(labels, len(features))
        self.dtype = self.dtype or working_dtype(features)
        with np.errstate(all="ignore"):  # what is not finite is reported below, in words
            if not len(self.classes):
                self.start(host(rows(features, slice(0, 1024), "float64").mean(0)))
            if features.shape[1] != self.n_features:
                raise ValueError(
                    f"this batch has {features.shape[1]} features, the ones before it {self.n_features}; "
                    "all batches must come from one model"
                )
            codes = self._grow(classes)[codes]
            for part, block in centred_blocks(features, self.shift, self.dtype, GRAM_BYTES):
                self.add(block, codes[part])
                squares = namespace(block).einsum("ij,ij->i", block, block)  # (b,)
                self.cubes += host(squares @ block)
                self.fourths += float((host(squares).astype(np.float64) ** 2).sum())
        if not np.isfinite(self.fourths):
            raise ValueError(_what_is_not_finite(features))
        return self

    def start(self, shift: np.ndarray, n_classes: int = 0) -> Self:
        """Empty statistics about the point ``shift`` (d,), of classes 0..n_classes-1; :meth:`add` fills all but
        ``cubes`` and ``fourths``.
        """
        d = len(shift)
        self.shift = shift.astype(np.float32).astype(
            np.float64
        )  # so that float32 features lose nothing when it is subtracted
        self.classes, self.class_counts = np.arange(n_classes), np.zeros(n_classes, dtype=int)
        self.sums, self._products, self.cubes, self.fourths = (
            np.zeros((n_classes, d)),
            np.zeros((d, d)),
            np.zeros(d),
            0.0,
        )
        return self

    def add(self, z: Array, codes: np.ndarray) -> None:
        """Add one block of samples minus the shift, (b, d), with the positions of their labels in ``classes``."""
        self.class_counts += np.bincount(codes, minlength=self.n_classes)
        self.sums += sum_by_class(z, codes, self.n_classes)
        self._products += upper_gram(z)
        for name in DERIVED:
            self.__dict__.pop(name, None)

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """The statistics of both data sets together, as a new object; the order does not matter."""
        if other.n_features != self.n_features:
            raise ValueError(
                f"statistics of {self.n_features} and of {other.n_features} features cannot be merged; "
                "both must come from one model"
            )
        merged = self._moved_to(self.shift)
        moved = other._moved_to(self.shift)
        codes = merged._grow(other.classes)
        merged.class_counts[codes] += moved.class_counts
        merged.sums[codes] += moved.sums
        merged._products += moved._products
        merged.cubes += moved.cubes
        merged.fourths += moved.fourths
        return merged

    @property
    def n_samples(self) -> int:
        return int(self.class_counts.sum())

    @property
    def n_features(self) -> int:
        return len(self.shift)

    @property
    def n_classes(self) -> int:
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
    def between_scatter(self) -> np.ndarray:
        """Sum over samples of (class mean - mean)(class mean - mean)', (d, d)."""
        weighted = np.sqrt(self.class_counts)[:, None] * self.centred_class_means
        return weighted.T @ weighted

    @cached_property
    def within_scatter(self) -> np.ndarray:
        """Sum over samples of (h - class mean)(h - class mean)', (d, d)."""
        scaled = self.sums / np.sqrt(self.class_counts)[:, None]
        return mirror(self._products - upper_gram(scaled))

    @property
    def resolved(self) -> bool:
        """Whether products of this precision resolve every direction of the within-class scatter."""
        if self.dtype == "float64":
            return True
        within = np.empty(self.gram.shape, np.float32)  # whose rounding is far below what is asked
        np.divide(self.within_scatter, np.trace(self.gram) or 1.0, out=within, casting="same_kind")
        return cholesky(within)[1] >= RESOLVED

    @cached_property
    def reduced(self) -> Tridiagonal:
        """The total scatter in tridiagonal form, from which principal components and LogME both start."""
        return Tridiagonal.of(self.total_scatter)

    @property
    def raw_gram(self) -> np.ndarray:
        """Sum over samples of h h', uncentred, (d, d)."""
        return self.total_scatter + self.n_samples * np.outer(self.mean, self.mean)

    @property
    def fourth_moment(self) -> float:
        """Sum over samples of ‖h - mean‖⁴."""
        return self._fourths_about(self.mean)

    def _grow(self, classes: np.ndarray) -> np.ndarray:
        """Make room for classes not seen before; the positions of ``classes`` among all."""
        if len(self.classes) and (self.classes.dtype.kind in "US") != (classes.dtype.kind in "US"):
            raise ValueError(
                f"labels {classes[0].item()!r} follow labels {self.classes[0].item()!r}; use all integers or all strings"
            )
        known = np.union1d(self.classes, classes) if len(self.classes) else classes
        old = np.searchsorted(known, self.classes)
        counts, sums = np.zeros(len(known), dtype=int), np.zeros((len(known), self.n_features))
        counts[old], sums[old] = self.class_counts, self.sums
        self.classes, self.class_counts, self.sums = known, counts, sums
        return np.searchsorted(known, classes)

    def _moved_to(self, point: np.ndarray) -> "ClassStatistics":
        """The same statistics with ``point`` in the place of the provisional mean: z becomes z + delta."""
        moved = ClassStatistics(self.dtype)
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


def _what_is_not_finite(features: Array) -> str:
    for part in slices(len(features), 8 * features.shape[1]):
        block = host(rows(features, part, "float64"))
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            row, column = bad[0]
            return (
                f"features contain {block[row, column]} (first in row {part.start + row}, column {column}); all must "
                "be finite: drop those samples, or look for a layer that overflows"
            )
    return "features are too large: their squares are not finite; divide all by one constant, or pass them as float64"
