"""Labelled photographs on disk, decoded one at a time: what every data set of the paper's scale is.

`Photos` holds where the images are and what they show; `tree` and `cub` find them where torchvision has no class for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp")
THUMBNAIL = 64  # pixels


@dataclass(frozen=True, eq=False)
class Photos:
    """Labelled photographs of one split of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.
    split : {"train", "test"}
    sources : sequence of n Path, or ndarray of shape (n, height, width, 3), uint8
        Where the images are, or the images themselves where the data set comes as one file.
    labels : ndarray of shape (n,), int64
        0 to K - 1, positions in ``classes``.
    classes : tuple of K str
        What the classes are called.
    samples : str
        Which of the data set's images these are, in words: goes into every result.
    present : ndarray of shape (n, K), bool, optional
        Which classes each image shows, where there can be several; ``labels`` then holds one of them.
    measure : {"accuracy", "mean_per_class", "map"}
        By what the benchmarks judge a classifier of these images.
    flip : bool
        Whether a mirrored image still belongs to its class.

    Raises
    ------
    ValueError
        If the shapes, the types or the range of the labels are others than these, or a file is missing.
    """

    name: str
    split: str
    sources: Sequence[Path] | np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    samples: str
    present: np.ndarray | None = None
    measure: str = "accuracy"
    flip: bool = True

    def __post_init__(self) -> None:
        where = f"data set {self.name!r}, split {self.split!r}"
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.sources),):
            raise ValueError(f"{where}: labels are {self.labels.dtype} of shape {self.labels.shape}; "
                             f"allowed is int64 of shape ({len(self.sources)},), one per image")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.n_classes:
            raise ValueError(f"{where}: labels run from {self.labels.min()} to {self.labels.max()}; "
                             f"allowed is 0 to {self.n_classes - 1}, positions in the {self.n_classes} classes")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        """Number of classes K, whether or not each of them has an image here."""
        return len(self.classes)

    def image(self, i: int) -> Image.Image:
        """The i-th image in red, green, blue; a ``ValueError`` names its file if that is missing or damaged."""
        source = self.sources[i]
        if isinstance(source, np.ndarray):
            return Image.fromarray(source)
        try:
            with Image.open(source) as opened:
                return opened.convert("RGB")
        except FileNotFoundError:
            raise ValueError(f"{source} of {self.name} is missing: {_AGAIN}") from None
        except (UnidentifiedImageError, OSError, SyntaxError) as error:  # Pillow calls a broken PNG a SyntaxError
            raise ValueError(f"{source} of {self.name} cannot be read as an image ({error}): {_AGAIN}") from None

    @property
    def images(self) -> Thumbnails:
        """Small versions, for looking at: ``photos.images[indices]`` is uint8 of shape (k, 3, 64, 64)."""
        return Thumbnails(self)

    def take(self, indices: Sequence[int] | np.ndarray) -> Photos:
        """The images at ``indices``, in that order; the classes stay."""
        indices = np.asarray(indices, dtype=np.int64)
        whole = isinstance(self.sources, np.ndarray)
        return replace(
            self,
            sources=self.sources[indices] if whole else [self.sources[i] for i in indices],
            labels=self.labels[indices],
            present=None if self.present is None else self.present[indices],
        )

    def limited(self, max_per_class: int) -> Photos:
        """The first ``max_per_class`` images of each class (all, where a class has fewer), in their old order."""
        first = [np.flatnonzero(self.labels == k)[:max_per_class] for k in range(self.n_classes)]
        return replace(self.take(np.sort(np.concatenate(first))), samples=f"{self.samples}; at most {max_per_class} per class")


_AGAIN = "take that image, or the whole archive, from its source again; `make data PROFILE=paper` says where"


@dataclass(frozen=True)
class Thumbnails:
    """The images of `Photos`, squared and small, decoded as they are asked for."""

    photos: Photos

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.photos), 3, THUMBNAIL, THUMBNAIL)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        small = [self.photos.image(i).resize((THUMBNAIL, THUMBNAIL)) for i in indices]
        return np.stack([np.asarray(image) for image in small]).transpose(0, 3, 1, 2)  # (k, 3, 64, 64)


def tree(folder: Path, name: str, split: str) -> Photos:
    """Images in one folder per class, ``folder/split/CLASS/*``; classes and images in alphabetical order.

    Raises
    ------
    ValueError
        If there is no such folder, or a class has no images.
    """
    place = folder / split
    classes = sorted(entry.name for entry in place.iterdir() if entry.is_dir()) if place.is_dir() else []
    if len(classes) < 2:
        raise ValueError(f"{place} holds {len(classes)} folders; allowed are two or more, one per class: put images there")
    found = [sorted(file for file in (place / k).rglob("*") if file.suffix.lower() in SUFFIXES) for k in classes]
    for k, files in zip(classes, found, strict=True):
        if not files:
            raise ValueError(f"{place / k} holds no images ({', '.join(SUFFIXES)}): put some there or remove the folder")
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in found])
    files = [file for of_class in found for file in of_class]
    return Photos(name, split, files, labels, tuple(classes), f"all images in {split}/")


def cub(folder: Path, name: str, split: str) -> Photos:
    """Caltech-UCSD Birds 200-2011 as it is unpacked: lists of numbered lines, images in one folder per class."""
    listed = {part: dict(line.split(maxsplit=1) for line in (folder / f"{part}.txt").read_text().splitlines())
              for part in ("images", "image_class_labels", "train_test_split", "classes")}  # fmt: skip
    chosen = [i for i, is_train in listed["train_test_split"].items() if (is_train == "1") == (split == "train")]
    files = [folder / "images" / listed["images"][i] for i in chosen]
    labels = np.array([int(listed["image_class_labels"][i]) for i in chosen]) - 1
    classes = tuple(title.split(".", 1)[1].replace("_", " ") for title in listed["classes"].values())
    return Photos(name, split, files, labels, classes, f"the official {split} split")
