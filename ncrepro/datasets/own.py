"""A reader's own data: a folder of images, a data set in torchvision's manner, or a table of texts.

`open_target` finds samples and labels and refuses, before anything long is started, what cannot be ranked for;
`Target.checked` then reads every image once, so that an unreadable one is named before any network sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from .. import artifacts
from ..profiles import unknown
from . import folders
from .folders import Photos
from .images import Images

TABLES = (".csv", ".jsonl", ".ndjson")  # a table of texts
HELD_OUT = ("test", "val", "valid", "validation")  # what may lie beside train/ in a folder of images
ON_ERROR = ("raise", "skip")


@dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts.

    Parameters
    ----------
    name : str
    texts : ndarray of n str
    labels : ndarray of shape (n,), int64
        0 to K - 1, positions in ``classes``.
    classes : tuple of K str
    """

    name: str
    texts: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | np.ndarray) -> Texts:
        """The texts at ``indices``, in that order; the classes stay."""
        return replace(self, texts=self.texts[indices], labels=self.labels[indices])


@dataclass(frozen=True, eq=False)
class DatasetPhotos(Photos):
    """Photos whose images a data set in torchvision's manner hands out; ``sources`` are positions in ``dataset``."""

    dataset: Any = None

    def image(self, i: int) -> Image.Image:
        return _as_image(self.dataset[int(self.sources[i])][0], f"item {self.sources[i]} of {self.name}")


@dataclass(frozen=True, eq=False)
class Target:
    """What models are ranked for.

    Parameters
    ----------
    kind : {"images", "texts"}
    data : Photos or Texts
    key : str
        A digest of the samples and their labels; "" before `checked`.
    skipped : tuple of str
        What was left out because it could not be read.
    """

    kind: str
    data: Photos | Texts
    key: str = ""
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.data)

    @property
    def counts(self) -> pd.Series:
        """Samples of each class."""
        counts = np.bincount(self.data.labels, minlength=len(self.data.classes))
        return pd.Series(counts, index=list(self.data.classes))

    def checked(self, on_error: str, folder: Path | None, progress: Callable[[Iterable, str, int], Iterable]) -> Target:
        """The same with every sample read once: what cannot be read raises or is left out, and the key is known.

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
        n = len(self.data)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = list(progress(threads.map(partial(_digest, self.data), range(n)), "read", n))
            broken = {i: error for i, (_, error) in enumerate(found) if error}
            if _has_files(self.data):
                content = {"content": hashlib.sha256("".join(digest for digest, _ in found).encode()).hexdigest()}
                path = folder / f"decoded-{artifacts.digest(content)}.safetensors" if folder else None
                known = artifacts.load(path, content) if path else None
                if known is None:
                    errors = list(progress(threads.map(partial(_decode, self.data), range(n)), "decode", n))
                    known = {"errors": np.frombuffer(json.dumps(errors).encode(), dtype=np.uint8)}
                    if path:
                        artifacts.save(path, known, content)
                decoded = json.loads(known["errors"].tobytes())
                broken |= {i: error for i, error in enumerate(decoded) if error and i not in broken}
        data = self.data
        if broken:
            first = f"{_called(data, min(broken))} ({broken[min(broken)]})"
            if on_error == "raise":
                raise ValueError(
                    f"{len(broken)} of {n} images cannot be read, the first is {first}: repair or remove it, or leave such "
                    "images out with on_error='skip'"
                )
            kept = np.array([i for i in range(n) if i not in broken], dtype=np.int64)
            data = data.take(kept)
            for i in np.flatnonzero(np.bincount(data.labels, minlength=len(data.classes)) == 0)[:1]:
                raise ValueError(f"no image of class {data.classes[i]!r} can be read; the first that cannot: {first}")
        hasher = hashlib.sha256(json.dumps([data.labels.tolist(), list(data.classes)]).encode())
        for i, (digest, _) in enumerate(found):
            if i not in broken:
                hasher.update(digest.encode())
        return replace(
            self, data=data, key=hasher.hexdigest(), skipped=tuple(_called(self.data, i) for i in sorted(broken))
        )


def open_target(
    data: Any,
    labels: Any = None,
    *,
    text: str = "text",
    label: str = "label",
    max_per_class: int | None = None,
    seed: int = 0,
) -> Target:
    """Find samples and labels in what a reader calls data; nothing long is done.

    Parameters as for `ncrepro.rank`.

    Raises
    ------
    ValueError
        If there is no such folder or file, no class or only one, a class without samples, labels that are missing, or a
        column that is not there.
    """
    found = _find(data, labels, text, label)
    counts = np.bincount(found.labels, minlength=len(found.classes))
    if len(found) == 0:
        raise ValueError(f"{found.name} holds no samples; give at least two of each class")
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"all {len(found)} samples of {found.name} are of class {found.classes[counts.argmax()]!r}; a score "
            "compares classes: give samples of at least two"
        )
    for k in np.flatnonzero(counts < 2)[:1]:
        raise ValueError(
            f"class {found.classes[k]!r} of {found.name} has {counts[k]} sample(s); give at least two of each class, "
            "or leave the class out"
        )
    if max_per_class is not None:
        found = found.take(subset(found.labels, max_per_class, seed))
    return Target("texts" if isinstance(found, Texts) else "images", found)


def subset(labels: np.ndarray, max_per_class: int, seed: int) -> np.ndarray:
    """Positions of at most so many samples of each class, drawn with ``seed``, in their old order."""
    if max_per_class < 2:
        raise ValueError(f"max_per_class is {max_per_class}; allowed is 2 or more")
    order = np.random.default_rng(seed).permutation(len(labels))
    place = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()
    return np.sort(order[place < max_per_class])


def write(images: Images, folder: Path) -> Path:
    """Write images as files, one folder per class, as `open_target` reads them; returns the folder."""
    for i, (pixels, k) in enumerate(zip(images.images, images.labels, strict=True)):
        buffer = BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
        artifacts.write(Path(folder) / f"{k:03d}" / f"{i:05d}.png", buffer.getvalue())
    return Path(folder)


# Images and texts -----------------------------------------------------------------------------------------------------


def _find(data: Any, labels: Any, text: str, label: str) -> Photos | Texts:
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        if path.suffix.lower() in TABLES:
            return _of_table(_read_table(path), text, label, str(path))
        return _of_folder(path)
    if isinstance(data, Photos):
        return data
    if isinstance(data, Images):
        return Photos(data.name, data.split, data.images.transpose(0, 2, 3, 1), data.labels, data.classes, "all")
    if isinstance(data, pd.DataFrame):
        return _of_table(data, text, label, "the table")
    if isinstance(data, np.ndarray) and data.ndim == 4:
        return _of_arrays(data, labels)
    if isinstance(data, (list, tuple, np.ndarray, pd.Series)) and len(data) and all(isinstance(x, str) for x in data):
        require_labels(labels, len(data), "texts")
        return _of_table(
            pd.DataFrame({text: list(data), label: [str(x) for x in labels]}), text, label, "the list of texts"
        )
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, tuple, np.ndarray)):
        return _of_dataset(data)
    raise ValueError(
        f"data is a {type(data).__name__}; allowed are a folder with one folder of images per class, a table of texts "
        f"({', '.join(TABLES)}), a torchvision-style data set, uint8 images of shape (n, height, width, 3) with labels, and features "
        "(.npz files, or a dict of a model's name and its features)"
    )


def _of_folder(folder: Path) -> Photos:
    if not folder.exists():
        near = (
            unknown("folder", folder.name, [p.name for p in folder.parent.iterdir()][:50])
            if folder.parent.is_dir()
            else ""
        )
        raise ValueError(f"there is no folder {folder}{': ' + near if near else ''}")
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is a file, not a folder; allowed are a folder with one folder of images per class, a table of "
            f"texts ({', '.join(TABLES)}) and features (.npz)"
        )
    inside = _folders(folder)
    split = "train" if "train" in inside and (len(inside) == 1 or set(inside) & set(HELD_OUT)) else ""
    classes = _folders(folder / split)
    if len(classes) < 2:
        raise ValueError(
            f"{folder / split} holds {len(classes) or 'no'} folder{'s' * (len(classes) != 1)}, so "
            f"{'there is one class' if classes else 'there are no classes'}: put the images of each class into a folder "
            "of its own, two classes at least"
        )
    return replace(folders.tree(folder, folder.name, split), split="train")


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _of_arrays(images: np.ndarray, labels: Any) -> Photos:
    require_labels(labels, len(images), "images")
    if images.shape[1] == 3 != images.shape[3]:
        images = images.transpose(0, 2, 3, 1)  # (n, height, width, 3)
    if images.dtype != np.uint8 or images.shape[3] != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; allowed is uint8 of shape (n, height, width, 3)"
        )
    codes, classes = codes_of(labels)
    return Photos("the images", "train", images, codes, classes, "all")


def _of_dataset(dataset: Any) -> Photos:
    name = type(dataset).__name__
    if len(dataset) == 0:
        raise ValueError(f"{name} is empty; give at least two samples of each class")
    first = dataset[0]
    if not isinstance(first, (tuple, list)) or len(first) < 2:
        raise ValueError(
            f"labels are missing: item 0 of {name} is a {type(first).__name__}; allowed are pairs of an image and a label"
        )
    _as_image(first[0], f"item 0 of {name}")
    given = next((getattr(dataset, a) for a in ("targets", "labels", "_labels") if hasattr(dataset, a)), None)
    if given is None or len(given) != len(dataset):
        given = [dataset[i][1] for i in range(len(dataset))]
    codes, classes = codes_of(given)
    named = getattr(dataset, "classes", None)
    if named is not None and len(classes) <= len(named) and all(k.isdigit() and int(k) < len(named) for k in classes):
        classes = tuple(str(named[int(k)]) for k in classes)
    return DatasetPhotos(name, "train", np.arange(len(dataset)), codes, classes, "all", dataset=dataset)


def _as_image(item: Any, called: str) -> Image.Image:
    if isinstance(item, Image.Image):
        return item.convert("RGB")
    array = np.asarray(item)
    if array.dtype == np.uint8 and array.ndim == 3 and 3 in (array.shape[0], array.shape[2]):
        return Image.fromarray(array if array.shape[2] == 3 else array.transpose(1, 2, 0))
    raise ValueError(
        f"{called} is {array.dtype} of shape {array.shape}; allowed are PIL images or uint8 arrays: make the data set without a "
        "transform, each model has its own"
    )


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        return pd.read_json(path, lines=True, dtype=False)
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as {path.suffix[1:]} ({error}): save it as UTF-8, one row or line per text"
        ) from None


def _of_table(table: pd.DataFrame, text: str, label: str, name: str) -> Texts:
    for kind, column in (("text", text), ("label", label)):
        if column not in table.columns:
            raise ValueError(
                f"{name}: "
                + unknown(f"{kind} column", column, map(str, table.columns))
                + f"; say which with {kind}=..."
            )
    for kind, column in (("text", text), ("label", label)):
        empty = table[column].isna() | (table[column].astype(str).str.strip() == "")
        if empty.any():
            raise ValueError(
                f"{name}: {int(empty.sum())} of {len(table)} rows have no {kind}, the first is row {int(empty.argmax()) + 1}; "
                "fill them in or remove them"
            )
    codes, classes = codes_of(table[label])
    return Texts(name, table[text].astype(str).to_numpy(dtype=object), codes, classes)


def require_labels(labels: Any, n: int, what: str) -> None:
    if labels is None:
        raise ValueError(f"labels are missing: give labels=..., one per sample of the {n} {what}")
    if len(labels) != n:
        raise ValueError(f"{n} {what} but {len(labels)} labels; give exactly one label per sample")


def codes_of(labels: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as positions in the sorted classes, and what these are called."""
    values = [x.item() if hasattr(x, "item") else x for x in labels]
    missing = [i for i, x in enumerate(values) if x is None or x != x]
    if missing:
        raise ValueError(f"labels are missing: sample {missing[0]} has none; give one label per sample")
    classes, codes = np.unique(np.array(values), return_inverse=True)
    return codes.astype(np.int64), tuple(map(str, classes))


# Reading every sample once --------------------------------------------------------------------------------------------


def _has_files(data: Photos | Texts) -> bool:
    return isinstance(data, Photos) and not isinstance(data.sources, np.ndarray)


def _called(data: Photos | Texts, i: int) -> str:
    return str(data.sources[i]) if _has_files(data) else f"item {i} of {data.name}"


def _digest(data: Photos | Texts, i: int) -> tuple[str, str]:
    """A digest of one sample's bytes, or an error in words."""
    try:
        if isinstance(data, Texts):
            content = data.texts[i].encode()
        elif _has_files(data):
            content = Path(data.sources[i]).read_bytes()
        elif isinstance(data, DatasetPhotos):
            image = data.image(i)
            content = f"{image.size}".encode() + image.tobytes()
        else:
            content = f"{data.sources[i].shape}".encode() + data.sources[i].tobytes()
    except (OSError, ValueError, SyntaxError) as error:
        return "", str(error) or type(error).__name__
    return hashlib.sha256(content).hexdigest(), ""


def _decode(data: Photos, i: int) -> str:
    """Why an image cannot be decoded, or "": at an eighth of its size where it is a JPEG, which still reads all of it."""
    try:
        with Image.open(BytesIO(Path(data.sources[i]).read_bytes())) as opened:
            opened.draft("RGB", (1, 1))
            opened.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).split("<_io")[0].strip() or type(error).__name__
    return ""
