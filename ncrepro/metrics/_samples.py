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
    check_features,
    check_labels,
    like,
    namespace,
    release,
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

    def by_class(
        self, n_components: int | None = PCA_DIMENSIONS, block_bytes: int = STREAM_BYTES
    ) -> Iterator[tuple[int, Iterator[Array]]]:
        """For every class ``(k, parts)``: its centred samples in blocks, projected on the first principal components
        unless None.
        """
        members = np.split(np.argsort(self.codes, kind="stable"), np.cumsum(self.counts)[:-1])
        for k, index in enumerate(members):
            yield k, self._parts(index, n_components, block_bytes)

    def _parts(self, index: np.ndarray, n_components: int | None, block_bytes: int) -> Iterator[Array]:
        dtype, mean = self.statistics.dtype, self.statistics.mean
        directions = None if n_components is None else self.components(n_components)[1]
        keep = directions is not None and len(self.codes) * directions.shape[1] * 8 <= KEPT_BYTES
        row_bytes = 8 * (directions.shape[1] if keep else self.features.shape[1])
        for part in slices(len(index), row_bytes, block_bytes):
            if keep:
                yield rows(self._projection(n_components), index[part], dtype)
            else:
                block = rows(self.features, index[part], dtype)
                block = block - like(mean, block)
                yield block if directions is None else block @ like(directions, block)
                release(self.features)

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
