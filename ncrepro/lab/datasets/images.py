"""Labelled images held in memory: what every data set of the demo is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images of one split of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.
    split : {"train", "test"}
    images : ndarray of shape (n, 3, height, width), uint8
        Red, green, blue, 0 to 255.
    labels : ndarray of shape (n,), int64
        0 to K - 1, positions in ``classes``.
    classes : tuple of K str
        What the classes are called.

    Raises
    ------
    ValueError
        If the shapes, the types or the range of the labels are others than these.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"{where}: images are {self.images.dtype} of shape {self.images.shape}; "
                             "allowed is uint8 of shape (n, 3, height, width)")
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.images),):
            raise ValueError(f"{where}: labels are {self.labels.dtype} of shape {self.labels.shape}; "
                             f"allowed is int64 of shape ({len(self.images)},), one per image")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < self.n_classes:
            raise ValueError(f"{where}: labels run from {self.labels.min()} to {self.labels.max()}; "
                             f"allowed is 0 to {self.n_classes - 1}, positions in the {self.n_classes} classes")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """Number of classes K, whether or not each of them has an image here."""
        return len(self.classes)

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> Images:
        """The images at ``indices`` (positions, a mask or a slice), in that order; the classes stay."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def limited(self, max_per_class: int) -> Images:
        """The first ``max_per_class`` images of each class (all, where a class has fewer), in their old order."""
        if max_per_class < 1:
            raise ValueError(f"max_per_class is {max_per_class}; allowed is 1 or more")
        first = [np.flatnonzero(self.labels == k)[:max_per_class] for k in range(self.n_classes)]
        return self.take(np.sort(np.concatenate(first)))
