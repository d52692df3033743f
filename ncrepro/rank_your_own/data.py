"""A reader's own data: a folder of images, a torchvision-style data set, or a table of texts.

`open_target` finds samples and labels and, before any long work, refuses data that cannot be ranked for;
`Target.checked` then reads every image once, so that an unreadable one is named before any network sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image, ImageFile

from ..extraction import decode, folders
from ..extraction.folders import Photos
from ..extraction.samples import Images, Texts
from ..metrics._arrays import check_order, host
from ..store import artifacts, file_digests, fingerprint
from ..store.schema import unknown
from . import tables
from .labels import are_parts, check, encode, is_missing, splits, subset

ON_ERROR = ("raise", "skip")
NAMED = 8  # folders in a message, at most
LISTS = (list, tuple, np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)  # of texts, or of images

_ONE = threading.RLock()  # one for all data sets, as they may share what they read from


@dataclass(frozen=True, eq=False)
class DatasetPhotos(Photos):
    """Photos whose images come from a torchvision-style data set; ``sources`` are positions in ``dataset``.

    ``read`` is what was found there when every item was asked for: a digest of the image, why there is none, and its
    largest number if it has more than 8 bits, or 0.
    """

    dataset: Any = None
    read: Sequence[tuple[str, str, int]] = ()

    from_code: ClassVar[bool] = True

    def image(self, i: int) -> Image.Image:
        """Image number ``i``."""
        with _alone(self.dataset):
            return _as_image(self.dataset[int(self.sources[i])][0])


@dataclass(frozen=True, eq=False)
class Target:
    """What models are ranked for.

    Parameters
    ----------
    kind : {"images", "texts"}
    data : Photos or Texts
        All samples; after `checked`, those that are ranked on.
    choose : callable, optional
        Positions that are left out -> those of the samples to rank on.
    key : str
        A digest of the samples and their labels; "" before `checked`.
    skipped : tuple of str
        What was left out because it could not be read.
    largest : int
        The largest number in images with more than 8 bits; 0 if there are none.
    shared : tuple of str
        Samples that lie in several classes, the same to the last bit; each is called as in the first of them.
    """

    kind: str
    data: Photos | Texts
    choose: Callable[[Iterable[int]], np.ndarray] | None = None
    key: str = ""
    skipped: tuple[str, ...] = ()
    largest: int = 0
    shared: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.data)

    @property
    def counts(self) -> pd.Series:
        """Samples of each class."""
        counts = np.bincount(self.data.labels, minlength=len(self.data.classes))
        return pd.Series(counts, index=list(self.data.classes))

    def checked(self, on_error: str, folder: Path | None, progress: Callable[[Iterable, str, int], Iterable]) -> Target:
        """The same with the chosen samples, each read once: what cannot be read raises, or the next in the same order
        takes its place. Then the key is known.

        Parameters
        ----------
        on_error : {"raise", "skip"}
        folder : Path or None
            Where it is kept which images can be decoded, so that a second look only compares their bytes.
        progress : callable
            (work, title, its length) -> work, while a bar shows how far it is.

        Raises
        ------
        ValueError
            If an image cannot be read (the first is named), or a class is left without samples.
        """
        data, read, broken = self.data, {}, {}
        chosen = self.choose(())
        while new := [i for i in chosen if i not in read]:
            found = _read(data.take(new), folder, progress)
            read |= dict(zip(new, found, strict=True))
            broken |= {i: error for i, (_, error, _) in zip(new, found, strict=True) if error}
            if broken and on_error == "raise":
                raise ValueError(
                    f"{len(broken)} of {len(new)} images cannot be read, the first is {_first(data, broken)}: repair "
                    "or remove it, or leave such images out with on_error='skip'"
                )
            chosen = self.choose(list(broken))
        kept = data.take(chosen)
        for k in np.flatnonzero(np.bincount(kept.labels, minlength=len(kept.classes)) < 2)[:1]:
            count = (kept.labels == k).sum()
            raise ValueError(
                f"{count or 'no'} image of class {kept.classes[k]!r} can be read, and two are needed; the first that "
                f"cannot: {_first(data, broken)}"
            )
        digests = [read[i][0] for i in chosen]
        # With it, Pillow reads on behind a damaged part, so that files can be other images.
        settings = [ImageFile.LOAD_TRUNCATED_IMAGES] if _has_files(data) else []
        hasher = hashlib.sha256(json.dumps([kept.labels.tolist(), list(kept.classes), *settings]).encode())
        hasher.update("".join(digests).encode())
        return Target(
            self.kind,
            kept,
            key=hasher.hexdigest(),
            skipped=tuple(_called(data, i) for i in sorted(broken)),
            largest=max(read[i][2] for i in chosen),
            shared=tuple(_called(kept, i) for i in _in_several(digests, kept.labels)),
        )


def open_target(
    data: Any,
    labels: Any = None,
    *,
    text: str = "text",
    label: str = "label",
    max_per_class: int | None = None,
    seed: int = 0,
    progress: Callable[[Iterable, str, int], Iterable] = lambda work, title, n: work,
) -> Target:
    """Find samples and labels in a reader's data. This is quick, except that a data set is asked for every item: only
    the item itself gives its label.

    Parameters as for `ncrepro.rank`, and ``progress`` as for `Target.checked`.

    Raises
    ------
    ValueError
        If there is no such folder or file, no class or only one, a class without samples, labels that are missing, or a
        column that is not there.
    """
    data = host(data) if hasattr(data, "detach") else data  # a tensor
    if labels is not None and (isinstance(data, (str, Path, Photos, Images, pd.DataFrame)) or _is_dataset(data)):
        raise ValueError(
            f"labels=... are given, but the {type(data).__name__} carries labels of its own: leave one of the two out"
        )
    found = _find(data, labels, text, label, progress)
    check(found.labels, found.classes, found.name)
    choose = partial(np.setdiff1d, np.arange(len(found)))
    if max_per_class is not None:
        choose = partial(subset, found.labels, max_per_class, seed)
        choose(())  # refuses numbers that cannot be
    return Target("texts" if isinstance(found, Texts) else "images", found, choose)


def write(images: Images, folder: Path) -> Path:
    """Write images as files, one folder per class, as `open_target` reads them; returns the folder."""
    for i, (pixels, k) in enumerate(zip(images.images, images.labels, strict=True)):
        buffer = BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
        artifacts.write(Path(folder) / f"{k:03d}" / f"{i:05d}.png", buffer.getvalue())
    return Path(folder)


# Images and texts -----------------------------------------------------------------------------------------------------


def _find(data: Any, labels: Any, text: str, label: str, progress: Callable) -> Photos | Texts:
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        if path.suffix.lower() in tables.SUFFIXES:
            return _of_texts(*tables.read(path, text, label), f"rows of {path}", str(path))
        return _of_folder(path)
    if isinstance(data, Photos):
        return data
    if isinstance(data, Images):
        return Photos(data.name, data.split, data.images.transpose(0, 2, 3, 1), data.labels, data.classes, "all")
    if isinstance(data, pd.DataFrame):
        tables.check_columns(data.columns, {"text": text, "label": label})
        return _of_texts(data[text].tolist(), data[label], "rows of the table", "the table")
    if isinstance(data, np.ndarray) and data.ndim == 4:
        return _of_arrays(data, labels)
    if isinstance(data, LISTS) and any(isinstance(x, str) for x in data):
        check_order(data, labels, "texts and labels")
        return _of_texts(list(data), labels, "texts", "the list of texts")
    if _is_dataset(data):
        return _of_dataset(data, progress)
    raise ValueError(
        f"data is a {type(data).__name__}; allowed are a folder with one folder of images per class, a table of texts "
        f"({', '.join(tables.SUFFIXES)}), a torchvision-style data set, uint8 images of shape (n, height, width, 3) "
        "with labels, and features (.npz files, or a dict of a model's name and its features)"
    )


def _is_dataset(data: Any) -> bool:
    return hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (*LISTS, str, bytes))


def _of_folder(folder: Path) -> Photos:
    if not folder.exists():
        near = ""
        if folder.parent.is_dir():
            beside = [path.name for path in folder.parent.iterdir() if not folders.is_hidden(path.name)]
            near = ": " + unknown("folder", folder.name, beside[:50])
        raise ValueError(f"there is no folder {folder}{near}")
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is a file, not a folder; allowed are a folder with one folder of images per class, a table of "
            f"texts ({', '.join(tables.SUFFIXES)}) and features (.npz)"
        )
    split = _split(folder, folders.subfolders(folder))
    classes = folders.classes(folder / split)
    if len(classes) == 1 and len(folders.subfolders(deeper := folder / split / classes[0])) > 1:
        raise ValueError(f"{folder / split} holds one folder, which holds folders in its turn: name {deeper} instead")
    if len(classes) < 2:
        raise ValueError(
            f"{folder / split} holds {len(classes) or 'no'} folder{'s' * (len(classes) != 1)}, so "
            f"{'there is one class' if classes else 'there are no classes'}: put the images of each class into a "
            "folder of its own, two classes at least"
        )
    within = _same_inside([folder / split / name for name in classes])
    same = [path.name for path in within]
    for names, where in (classes, folder / split), (same, f"each of {_some(classes)} in {folder / split}"):
        if are_parts(names):
            raise ValueError(
                f"{where} holds {', '.join(names)}, which are images and what belongs to them, not classes: put the "
                "images of each class into a folder of its own, and give the folder of these"
            )
    if same:
        raise ValueError(
            f"each of {_some(classes)} in {folder / split} holds the same folders, {_some(same)}, which seem to be the "
            f"classes: give one folder that holds them, as {within[0].parent}; if {_some(classes)} are the classes "
            "instead, put the images of each straight into its folder"
        )
    return replace(folders.tree(folder, folder.name, split), split="train")


def _split(folder: Path, inside: list[str]) -> str:
    """The folder of training images, if the folders inside are splits, else "": splits are not classes."""
    kinds = splits(inside)
    train, held_out = ([name for name in inside if kinds[name] == kind] for kind in ("train", "held out"))
    if len(train) == 1 and (held_out or len(inside) == 1):
        return train[0]
    if len(train) + len(held_out) == len(inside) > 1:
        raise ValueError(
            f"{folder} holds the splits {', '.join(inside)}, which are not classes: name the one to rank for, as in "
            f"{folder / inside[0]}"
        )
    # A class may be called so (a train beside a car) and may hold folders, but hardly both.
    nested = [name for name in inside if kinds[name] and _holds_folders_only(folder / name)]
    if len(nested) > 1 or any(kinds[name] != "perhaps" for name in nested):
        raise ValueError(
            f"{folder / nested[0]} is called like a split of a data set and holds folders, so {', '.join(inside)} seem "
            f"to be no classes: name the folder in which those of the classes lie, as in {folder / nested[0]}, or "
            "rename it if it is a class"
        )
    return ""


def _holds_folders_only(folder: Path) -> bool:
    holds_images = any(folders.is_image(file) and file.is_file() for file in folder.iterdir())
    return not holds_images and bool(folders.subfolders(folder))


def _same_inside(above: list[Path]) -> list[Path]:
    """The classes in the first of these folders, if all hold the same ones, as splits and domains do; else none."""
    same = folders.subfolders(above[0])
    if not all(_holds_folders_only(place) and folders.subfolders(place) == same for place in above):
        return []
    if len(same) == 1 or all(splits(same).values()):  # as images, or train and test, in each
        return _same_inside([place / same[-1] for place in above])
    return [above[0] / name for name in same]


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def _of_arrays(images: np.ndarray, labels: Any) -> Photos:
    codes, classes = encode(labels, len(images), "images")
    if images.shape[1] == 3 != images.shape[3]:
        images = images.transpose(0, 2, 3, 1)  # (n, height, width, 3)
    if images.dtype != np.uint8 or images.shape[3] != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; allowed is uint8 of shape (n, height, width, 3)"
        )
    decode.check_size(*images.shape[2:0:-1])
    return Photos("the images", "train", images, codes, classes, "all")


def _of_dataset(dataset: Any, progress: Callable) -> Photos:
    name, n = type(dataset).__name__, len(dataset)
    if n == 0:
        raise ValueError(f"{name} is empty; give at least two samples of each class")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        items = list(progress(threads.map(partial(_item, dataset), range(n)), "read", n))
    readable = [i for i, (_, _, error, _) in enumerate(items) if not error]
    if not readable:
        raise ValueError(f"none of the {n} items of {name} can be read; the first says: {items[0][2]}")
    # An item that cannot be read has no label either: until it is left out, it has that of another one.
    given = [label if not error else items[readable[0]][0] for label, _, error, _ in items]
    codes, classes = encode(given, n, f"items of {name}")
    named = _class_names(dataset) if all(k.removeprefix("-").isdecimal() for k in classes) else None
    if named is not None and any(k.startswith("-") for k in classes):
        raise ValueError(
            f"items of {name} have the label {classes[0]}, which is none of its {len(named)} classes; leave them out"
        )
    if named is not None and len(classes) <= len(named) and all(int(k) < len(named) for k in classes):
        classes = tuple(str(named[int(k)]) for k in classes)
    read = [tuple(found) for _, *found in items]
    return DatasetPhotos(name, "train", np.arange(n), codes, classes, "all", dataset=dataset, read=read)


def _class_names(dataset: Any) -> list | None:
    """What a data set, its parts or what it selects from call their classes; ``classes`` may be a number, say."""
    named = getattr(dataset, "classes", None)
    parts = getattr(dataset, "datasets", None)
    if named is None and hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # as torch's Subset
        return _class_names(dataset.dataset)
    if named is None and isinstance(parts, (list, tuple)):
        return _common([_class_names(part) for part in parts], type(dataset).__name__)
    if isinstance(named, dict):
        numbers = set(range(len(named)))
        if set(named) != numbers:  # numbers by names
            named = {i: name for name, i in named.items() if isinstance(i, (int, np.integer))}
        return [named[i] for i in sorted(named)] if set(named) == numbers else None
    named = named.tolist() if isinstance(named, (np.ndarray, pd.Index, pd.Series)) else named
    return list(named) if isinstance(named, (list, tuple)) else None


def _common(listed: list[list | None], name: str) -> list | None:
    """The classes of all data sets that are put together, if they agree what each label means."""
    known = [names for names in listed if names is not None]
    longest = max(known, key=len, default=None)
    for names in known:
        for i, (one, other) in enumerate(zip(names, longest, strict=False)):
            if one != other:
                raise ValueError(
                    f"label {i} means {one!r} in one and {other!r} in another of the data sets in {name}: make one "
                    "list of classes for all of them"
                )
    return longest if len(known) == len(listed) else None


def _alone(dataset: Any) -> AbstractContextManager:
    """What keeps other threads out while an item is read: torch never asks a data set from two threads at a time, so it
    may read all items from one open file. A folder of torchvision's opens a file per item.
    """
    parts = type(dataset).__getitem__, getattr(dataset, "loader", None)
    own = all(getattr(part, "__module__", "") == "torchvision.datasets.folder" for part in parts)
    return nullcontext() if own and dataset.transform is dataset.target_transform is None else _ONE


def _item(dataset: Any, i: int) -> tuple[Any, str, str, int]:
    """One item's label, and of its image a digest, why it cannot be read, and the largest number if of many bits."""
    called = f"item {i} of {type(dataset).__name__}"
    with _alone(dataset):  # an image may be decoded only when it is looked at
        try:
            item = dataset[i]
        except Exception as error:  # a data set is anybody's code
            return None, "", f"{type(error).__name__}: {error}", 0
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise ValueError(
                f"labels are missing: {called} is a {type(item).__name__}; allowed are pairs of an image and a label"
            )
        if not isinstance(item[0], Image.Image) and not _is_pixels(array := np.asarray(item[0])):
            raise ValueError(
                f"{called} is {array.dtype} of shape {array.shape}; allowed are PIL images, or uint8 arrays of one or "
                "three colours: make the data set without a transform, each model has its own"
            )
        try:
            image = _as_image(item[0])
        except (OSError, ValueError) as error:
            return None, "", str(error), 0
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    return item[1], digest, "", image.info.get(decode.LARGEST, 0)


def _is_pixels(array: np.ndarray) -> bool:
    colours = {1} if array.ndim == 2 else {array.shape[0], array.shape[2]} if array.ndim == 3 else set()
    return array.dtype == np.uint8 and bool(colours & {1, 3})


def _as_image(item: Any) -> Image.Image:
    if not isinstance(item, Image.Image):
        array = np.atleast_3d(np.asarray(item))
        array = array if array.shape[2] in (1, 3) else array.transpose(1, 2, 0)  # (height, width, colours)
        item = Image.fromarray(array if array.shape[2] == 3 else array[..., 0])
    decode.check_size(*item.size)
    return decode.rgb(item)


def _of_texts(texts: list, labels: Any, what: str, name: str) -> Texts:
    if texts and all(isinstance(text, str) and Path(text).suffix.lower() in decode.SUFFIXES for text in texts):
        raise ValueError(
            f"the {len(texts)} {what} are names of images, such as {texts[0]!r}, not texts: give the folder with one "
            "folder of images per class, or a data set in torchvision's manner"
        )
    codes, classes = encode(labels, len(texts), what)
    for i, text in enumerate(texts):
        if is_missing(text):
            raise ValueError(
                f"number {i + 1} of the {len(texts)} {what} has no text; fill it in, or leave the sample out"
            )
        if not isinstance(text, (str, int, float)):
            raise ValueError(f"number {i + 1} of the {len(texts)} {what} is a {type(text).__name__}; allowed are texts")
    return Texts(name, "train", tuple(str(text).encode(errors="replace").decode() for text in texts), codes, classes)


# Reading every sample once --------------------------------------------------------------------------------------------


def _has_files(data: Photos | Texts) -> bool:
    return isinstance(data, Photos) and not isinstance(data.sources, np.ndarray)


def _called(data: Photos | Texts, i: int) -> str:
    return str(data.sources[i]) if _has_files(data) else f"item {i} of {data.name}"


def _first(data: Photos | Texts, broken: dict[int, str]) -> str:
    return f"{_called(data, min(broken))} ({broken[min(broken)]})"


def _in_several(digests: list[str], labels: np.ndarray) -> list[int]:
    """Where each sample lies first that is also, the same to the last bit, in another class."""
    same = pd.DataFrame({"digest": digests, "label": labels}).groupby("digest", sort=False)
    several = same["label"].nunique() > 1
    return sorted(same.indices[digest][0] for digest in several.index[several])


def _read(
    data: Photos | Texts, folder: Path | None, progress: Callable[[Iterable, str, int], Iterable]
) -> list[tuple[str, str, int]]:
    """Of each sample a digest, why it cannot be read, and its largest number if it has more than 8 bits, or 0."""
    n = len(data)
    with ThreadPoolExecutor(os.cpu_count()) as threads, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of EXIF data that nobody asked for
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # too large to read
        found = list(progress(threads.map(partial(_digest, data), range(n)), "read", n))
        if not _has_files(data):
            return found
        spec = {
            "content": hashlib.sha256("".join(digest for digest, *_ in found).encode()).hexdigest(),
            "by": [fingerprint.of(decode.__name__), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES],
        }
        path = folder / f"undecodable-{artifacts.digest(spec)}.safetensors" if folder else None
        known = artifacts.load(path, spec) if path else None
        if known is None:
            decoded = list(progress(threads.map(partial(_decode, data), range(n)), "decode", n))
            known = {"errors": [error for error, _ in decoded], "largest": [largest for _, largest in decoded]}
            if path:
                artifacts.save(path, known, spec)
    pairs = zip(found, known["errors"], known["largest"], strict=True)
    return [(digest, first or error, largest) for (digest, first, _), error, largest in pairs]


def _digest(data: Photos | Texts, i: int) -> tuple[str, str, int]:
    """A digest of one sample's bytes, or an error in words; the largest number of an image of many bits, if known."""
    if isinstance(data, DatasetPhotos):
        return data.read[data.sources[i]]
    if isinstance(data, Texts):
        return hashlib.sha256(data.texts[i].encode()).hexdigest(), "", 0
    if not _has_files(data):
        return hashlib.sha256(f"{data.sources[i].shape}".encode() + data.sources[i].tobytes()).hexdigest(), "", 0
    try:
        if not Path(data.sources[i]).is_file():
            return "", "it is not a plain file, or a link to nothing", 0
        return file_digests.of_file(data.sources[i]), "", 0
    except OSError as error:
        return "", str(error), 0


def _decode(data: Photos, i: int) -> tuple[str, int]:
    """Why an image cannot be decoded, or "", and its largest number if it has more than 8 bits, or 0."""
    try:
        return "", decode.read(Path(data.sources[i]), fast=True).info.get(decode.LARGEST, 0)
    except (OSError, ValueError) as error:
        return str(error), 0
