"""Labelled photographs on disk, decoded one at a time: those of the profile `paper`, and a reader's own.

`Photos` holds where images are and what they show; `tree` and `cub` find them where torchvision has no class for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from PIL import Image

from ..store import file_digests
from . import decode
from .samples import Labelled

THUMBNAIL = 64  # pixels
SYSTEM = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "@recycle",
    "#recycle",
    "$recycle.bin",
    "~snapshot",
    "lost+found",
    "network trash folder",
    "system volume information",
    "temporary items",
    "thumbs.db",
    "desktop.ini",
}  # what systems leave behind in folders, in any capitals; all else that they leave begins with a dot
SYSTEM_PATTERN = re.compile(r"\.|~\$|RECYCLER$|found\.[0-9]{3}$")  # a recycler may be a class
# What hidden folders of programs begin with, which may hold images but no class.
LITTER = tuple(
    ".@ ._ .apple .cache .ds_store .dvc .git .hg .huggingface .idea .ipynb_checkpoints .picasa .recycle .snapshot "
    ".spotlight .svn .temporaryitems .thumb .trash .venv .vscode .xvpics .zfs".split()
)
ARCHIVE = re.compile(r"(.+?)\.(zip|7z|rar|t[bgx]z2?|tar(\.[a-z0-9]+)?)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Photos(Labelled):
    """Labelled photographs of one split of a data set.

    Parameters
    ----------
    name, split, labels, classes
        As in `Labelled`.
    sources : sequence of n Path, or ndarray of shape (n, height, width, 3), uint8
        Where the images are, or the images themselves where the data set comes as one file.
    samples : str
        Which of the data set's images these are, in words: goes into every result.
    present : ndarray of shape (n, K), bool, optional
        Which classes each image shows, where there can be several; ``labels`` then holds one of them.
    measure : {"accuracy", "mean_per_class", "map"}
        By what the benchmarks judge a classifier of these images.
    flip : bool
        Whether a mirrored image still belongs to its class.
    ignored : tuple of str
        Files among the images that are not read, because their suffix is not that of an image.
    beside : tuple of str
        What lies beside the classes and may be one: archives, and hidden folders that hold images.
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
    ignored: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    per_sample, noun = ("sources", "labels", "present"), "image"
    from_code: ClassVar[bool] = False  # whether a reader's own code gives the images

    def image(self, i: int) -> Image.Image:
        """The i-th image in red, green, blue; a ``ValueError`` names its file if that is missing or damaged."""
        source = self.sources[i]
        if isinstance(source, np.ndarray):
            return Image.fromarray(source)
        try:
            return decode.read(Path(source))
        except FileNotFoundError:
            raise ValueError(f"{source} of {self.name} is missing: {_AGAIN}") from None
        except ValueError as error:
            raise ValueError(f"{source} of {self.name} cannot be read as an image ({error}): {_AGAIN}") from None

    @property
    def images(self) -> Thumbnails:
        """Small versions, for looking at: ``photos.images[indices]`` is uint8 of shape (k, 3, 64, 64)."""
        return Thumbnails(self)

    def limited(self, max_per_class: int) -> Self:
        """At most ``max_per_class`` of each class."""
        return replace(super().limited(max_per_class), samples=f"{self.samples}; at most {max_per_class} per class")


_AGAIN = "take that image, or the whole archive, from its source again; `make data PROFILE=paper` says where"


@dataclass(frozen=True)
class Thumbnails:
    """The images of `Photos`, squared and small, decoded as they are asked for."""

    photos: Photos

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of an array (n, 3, height, width)."""
        return (len(self.photos), 3, THUMBNAIL, THUMBNAIL)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        small = [self.photos.image(i).resize((THUMBNAIL, THUMBNAIL)) for i in indices]
        return np.stack([np.asarray(image) for image in small]).transpose(0, 3, 1, 2)  # (k, 3, 64, 64)


def tree(folder: Path, name: str, split: str) -> Photos:
    """Images in one folder per class, ``folder/split/CLASS/*``; classes and images in alphabetical order.

    Links are followed. What a system hides or leaves behind is neither a class nor an image, at any depth.

    Raises
    ------
    ValueError
        If there is no such folder, a class has no images, or a link beside the classes leads to nothing.
    """
    place = folder / split
    names = classes(place) if place.is_dir() else []
    if len(names) < 2:
        raise ValueError(
            f"{place} holds {len(names)} folders; allowed are two or more, one per class: put images there"
        )
    found, ignored = [], [file for file in sorted(place.iterdir()) if is_image(file) and not file.is_dir()]
    for k in names:
        files = sorted(
            Path(inside, file) for inside, files in file_digests.walk(str(place / k), is_hidden) for file in files
        )
        found.append([file for file in files if is_image(file)])
        ignored += [file for file in files if not is_image(file)]
        if not found[-1]:
            raise ValueError(
                f"{place / k} holds no images ({', '.join(decode.FORMATS)}): put some there or remove the folder"
            )
    labels = np.repeat(np.arange(len(names)), [len(files) for files in found])
    files = [file for of_class in found for file in of_class]
    return Photos(
        name,
        split,
        files,
        labels,
        tuple(names),
        f"all images in {split}/",
        ignored=tuple(map(str, ignored)),
        beside=tuple(path.name for path in sorted(place.iterdir()) if _may_be_a_class(path, names)),
    )


def _may_be_a_class(path: Path, names: list[str]) -> bool:
    """Whether it is an archive that is not unpacked beside itself, or a hidden folder that holds a reader's images."""
    if path.is_dir():
        hidden = path.name.startswith(".") and not path.name.casefold().startswith(LITTER)
        return hidden and any(is_image(file) for file in path.rglob("*"))
    archive = ARCHIVE.fullmatch(path.name)
    return bool(archive) and not is_hidden(path.name) and archive[1] not in names


def is_hidden(name: str) -> bool:
    """Whether the system, not the reader, made a file or folder of this name."""
    return name.casefold() in SYSTEM or bool(SYSTEM_PATTERN.match(name))


def is_image(file: Path) -> bool:
    """Whether a file is called like an image."""
    return file.suffix.lower() in decode.SUFFIXES and not is_hidden(file.name)


def classes(folder: Path) -> list[str]:
    """The `subfolders`, unless a link leads to nothing: it may be a class as well.

    Raises
    ------
    ValueError
        If there is such a link, which it names.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists() and not is_hidden(path.name) and not is_image(path):
            raise ValueError(
                f"{path} is a link to {os.readlink(path)}, where there is nothing: mount or mend that if it is a "
                "class, else remove the link"
            )
    return subfolders(folder)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted, but for hidden ones and links back to where they lie."""
    above = {folder.resolve(), *folder.resolve().parents}
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name) and p.resolve() not in above)


def cub(folder: Path, name: str, split: str) -> Photos:
    """Caltech-UCSD Birds 200-2011 as it is unpacked: lists of numbered lines, images in one folder per class."""
    listed = {part: dict(line.split(maxsplit=1) for line in (folder / f"{part}.txt").read_text().splitlines())
              for part in ("images", "image_class_labels", "train_test_split", "classes")}  # fmt: skip
    chosen = [i for i, is_train in listed["train_test_split"].items() if (is_train == "1") == (split == "train")]
    files = [folder / "images" / listed["images"][i] for i in chosen]
    labels = np.array([int(listed["image_class_labels"][i]) for i in chosen]) - 1
    classes = tuple(title.split(".", 1)[1].replace("_", " ") for title in listed["classes"].values())
    return Photos(name, split, files, labels, classes, f"the official {split} split")
