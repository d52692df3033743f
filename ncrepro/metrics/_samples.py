"""Labelled features together with everything that several metrics need of them, each computed when first asked for,
once.
"""

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
    empty,
    like,
    namespace,
    rows,
    slices,
)
from .statistics import ClassStatistics

PCA_DIMENSIONS = 64  # both papers reduce the features to this many
KEPT_BYTES = (
    1 << 29
)  # projected samples up to this size are kept; larger ones are projected again where they are needed


class Samples:
    """Checked features (n, d) and labels, and what the metrics share: statistics, principal components, projections."""

    def __init__(self, features: Array, labels: Array):
        self.features = check_features(features)
        self.classes, self.codes = check_labels(labels, len(self.features))
        self.counts = np.bincount(self.codes)
        self.n_classes = len(self.classes)
        self._pca: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._kept: dict[int, Array] = {}
        self._rows: Array | None = None
        if self.n_classes < 2:
            raise ValueError(
                f"all labels are {self.classes[0].item()!r}; a score compares classes: give samples of at least two"
            )

    @cached_property
    def statistics(self) -> ClassStatistics:
        """The one pass over the features."""
        statistics = ClassStatistics.of(self.features, self.codes)
        _check_spread(statistics)
        return statistics

    def components(self, n_components: int = PCA_DIMENSIONS) -> tuple[np.ndarray, np.ndarray]:
        """Principal components: explained variances (q,), descending, and directions (d, q), with q = min(n_components,
        n, d).
        """
        n, d = self.features.shape
        q = min(n_components, n, d)
        if q not in self._pca:
            variances, directions = self.statistics.reduced.leading(q)
            self._pca[q] = variances.clip(0) / (n - 1), directions
        return self._pca[q]

    def blocks(self, dtype: str | None = None, block_bytes: int = STREAM_BYTES) -> Iterator[tuple[np.ndarray, Array]]:
        """``(codes, features - mean)`` of consecutive blocks of samples, in the precision of the statistics unless
        another is asked for; each block is overwritten by the next.
        """
        dtype = dtype or self.statistics.dtype
        for part, block in centred_blocks(self.features, self.statistics.mean, dtype, block_bytes):
            yield self.codes[part], block

    def by_class(self, n_components: int | None = PCA_DIMENSIONS) -> Iterator[tuple[int, Iterator[Array]]]:
        """For every class ``(k, parts)``: its samples as :meth:`of_class` gives them."""
        return ((k, self.of_class(k, n_components)) for k in range(self.n_classes))

    def of_class(
        self, k: int, n_components: int | None = PCA_DIMENSIONS, block_bytes: int | None = STREAM_BYTES
    ) -> Iterator[Array]:
        """The centred samples of class k in blocks, each overwritten by the next, or all in one block if ``block_bytes``
        is None; projected on the first principal components unless ``n_components`` is None.
        """
        index, dtype = self._members[k], self.statistics.dtype
        directions = None if n_components is None else self.components(n_components)[1]
        keep = directions is not None and len(self.codes) * directions.shape[1] * 8 <= KEPT_BYTES
        row_bytes = 8 * (directions.shape[1] if keep else self.features.shape[1])
        for part in slices(len(index), row_bytes, block_bytes) if block_bytes else [slice(0, len(index))]:
            if keep:
                yield rows(self._projection(n_components), index[part], dtype)
            else:
                block = centred_rows(self.features, index[part], self.statistics.mean, self._buffer(len(index[part])))
                yield block if directions is None else block @ like(directions, block)

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """The positions of the samples of each class."""
        return np.split(np.argsort(self.codes, kind="stable"), np.cumsum(self.counts)[:-1])

    def _buffer(self, n_rows: int) -> Array:
        if self._rows is None or len(self._rows) < n_rows:
            self._rows = empty(n_rows, self.features, self.statistics.dtype)
        return self._rows

    def _projection(self, n_components: int) -> Array:
        if n_components not in self._kept:
            directions = self.components(n_components)[1]
            blocks = [block @ like(directions, block) for _, block in self.blocks()]
            self._kept[n_components] = namespace(blocks[0]).concatenate(blocks)  # (n, q)
        return self._kept[n_components]


def samples(features: "Array | Samples", labels: Array | None) -> Samples:
    """``features`` itself where it is already a :class:`Samples`, so that metrics called one after another share their
    work.
    """
    return features if isinstance(features, Samples) else Samples(features, labels)


def statistics_of(features: "Array | Samples | ClassStatistics", labels: Array | None) -> ClassStatistics:
    """The statistics of the features, or the statistics themselves where these are what was given."""
    if not isinstance(features, ClassStatistics):
        return samples(features, labels).statistics
    _check_spread(features)
    if not features.resolved:
        warnings.warn(
            "float32 products do not resolve these features; gather their statistics with ClassStatistics('float64')",
            stacklevel=3,
        )
    return features


def _check_spread(statistics: ClassStatistics) -> None:
    if statistics.n_classes < 2:
        raise ValueError(
            f"all labels are {statistics.classes[0].item()!r}; a score compares classes: give samples of at least two"
        )
    if not np.trace(statistics.total_scatter) > 1e-12 * np.trace(statistics.gram):
        raise ValueError(
            "all samples have the same features; a score needs features that vary: is this the right layer?"
        )
