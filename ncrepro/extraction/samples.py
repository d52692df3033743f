"""Samples with one label each: images in memory, texts, images with a text each, time series, and what they share.

Photographs on disk are `folders.Photos`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np


class Labelled:
    """Samples with one label each; the fields in ``per_sample``, the samples first, have an entry for each of them.

    Parameters
    ----------
    name : str
        Name of the data set.
    split : {"train", "test"}
    labels : ndarray of shape (n,), int64
        0 to K - 1, positions in ``classes``.
    classes : tuple of K str
        What the classes are called.

    Raises
    ------
    ValueError
        If a shape, a type, or the range of the labels is another than these, or than those that a subclass names.
    """

    per_sample: ClassVar[tuple[str, ...]]
    noun: ClassVar[str]  # what one sample is called

    name: str
    split: str
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(getattr(self, self.per_sample[0]))
        if self.labels.dtype != np.int64 or self.labels.shape != (n,):
            raise ValueError(
                f"{self._where}: labels are {self.labels.dtype} of shape {self.labels.shape}; allowed is int64 of "
                f"shape ({n},), one per {self.noun}"
            )
        if n and not 0 <= self.labels.min() <= self.labels.max() < self.n_classes:
            raise ValueError(
                f"{self._where}: labels run from {self.labels.min()} to {self.labels.max()}; allowed is 0 to "
                f"{self.n_classes - 1}, positions in the {self.n_classes} classes"
            )

    @property
    def _where(self) -> str:
        return f"data set {self.name!r}, split {self.split!r}"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """Number of classes K, whether or not each of them has a sample here."""
        return len(self.classes)

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> Self:
        """The samples at ``indices`` (positions, a mask or a slice), in that order; the classes stay."""
        places = np.arange(len(self))[indices]
        return replace(self, **{field: _at(getattr(self, field), places) for field in self.per_sample})

    def limited(self, max_per_class: int) -> Self:
        """The first ``max_per_class`` samples of each class (all, where a class has fewer), in their old order."""
        if max_per_class < 1:
            raise ValueError(f"max_per_class is {max_per_class}; allowed is 1 or more")
        first = [np.flatnonzero(self.labels == k)[:max_per_class] for k in range(self.n_classes)]
        return self.take(np.sort(np.concatenate(first)))


def _at(values: np.ndarray | Sequence | None, places: np.ndarray) -> np.ndarray | Sequence | None:
    if values is None or isinstance(values, np.ndarray):
        return values if values is None else values[places]
    return (tuple if isinstance(values, tuple) else list)(values[i] for i in places)


@dataclass(frozen=True, eq=False)
class Images(Labelled):
    """Labelled images of one split of a data set, held in memory.

    Parameters
    ----------
    name, split, labels, classes
        As in `Labelled`.
    images : ndarray of shape (n, 3, height, width), uint8
        Red, green, blue, 0 to 255.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    per_sample, noun = ("images", "labels"), "image"

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"{self._where}: images are {self.images.dtype} of shape {self.images.shape}; allowed is uint8 of "
                "shape (n, 3, height, width)"
            )
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class Texts(Labelled):
    """Labelled texts of one split of a data set.

    Parameters
    ----------
    name, split, labels, classes
        As in `Labelled`.
    texts : tuple of n str
    """

    name: str
    split: str
    texts: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    per_sample, noun = ("texts", "labels"), "text"


@dataclass(frozen=True, eq=False)
class Captioned(Images):
    """Labelled items of one split of a data set, each an image and a text.

    Parameters
    ----------
    name, split, images, labels, classes
        As in `Images`.
    texts : tuple of n str
        The text of each image, in the same order.
    """

    texts: tuple[str, ...]

    per_sample, noun = ("images", "texts", "labels"), "item"

    def __post_init__(self) -> None:
        if len(self.images) != len(self.texts):
            raise ValueError(
                f"{self._where}: {len(self.images)} images and {len(self.texts)} texts; allowed is one text per image"
            )
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class Series(Labelled):
    """Labelled time series of one split of a data set, shorter ones filled up with zeros at their end.

    Parameters
    ----------
    name, split, labels, classes
        As in `Labelled`.
    values : ndarray of shape (n, channels, length), float32
        What was measured, a channel for each quantity.
    lengths : ndarray of shape (n,), int64
        How many points of each series were measured, 1 to ``length``.
    """

    name: str
    split: str
    values: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    per_sample, noun = ("values", "lengths", "labels"), "time series"

    def __post_init__(self) -> None:
        if self.values.dtype != np.float32 or self.values.ndim != 3:
            raise ValueError(
                f"{self._where}: values are {self.values.dtype} of shape {self.values.shape}; allowed is float32 of "
                "shape (n, channels, length)"
            )
        n, _, longest = self.values.shape
        whole = self.lengths.dtype == np.int64 and self.lengths.shape == (n,)
        if not whole or (n and not 1 <= self.lengths.min() <= self.lengths.max() <= longest):
            raise ValueError(f"{self._where}: lengths have to be {n} integers (int64) from 1 to {longest}")
        super().__post_init__()
