"""Features that were taken elsewhere: arrays, ``.npz`` files, or statistics of shards from several machines."""

from __future__ import annotations

import functools
import itertools
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from ..extraction import folders
from ..metrics import ClassStatistics
from ..metrics._arrays import check_features, check_order
from .labels import as_list, check, encode, is_missing, plain_name, plain_values, subset

BOMB = 100, 1 << 30  # an archive that unpacks to so many times its size, and so many bytes, is refused


@dataclass(frozen=True, eq=False)
class Features:
    """One model's features, taken elsewhere; or only their statistics, where they came in shards."""

    name: str
    features: np.ndarray | None
    labels: np.ndarray
    classes: tuple[str, ...]
    source_probs: np.ndarray | None = None
    statistics: ClassStatistics | None = None


def are_features(data: Any) -> bool:
    """Whether ``data`` means features rather than samples."""
    if isinstance(data, dict):
        return True
    if isinstance(data, (list, tuple)):
        return bool(data) and all(isinstance(x, (str, Path)) and _is_named_as_arrays(Path(x)) for x in data)
    if not isinstance(data, (str, Path)):
        return False
    path = Path(data).expanduser()
    return _is_named_as_arrays(path) or (path.is_dir() and not folders.subfolders(path) and bool(_files(path)))


def _is_named_as_arrays(path: Path) -> bool:
    """Whether a file is meant to hold features: a .npy file, which lacks labels, is refused when it is read."""
    return _is_npz(path) or path.suffix.lower() == ".npy"


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_npz(path) and not folders.is_hidden(path.name))


def open_features(data: Any, labels: Any = None, *, max_per_class: int | None = None, seed: int = 0) -> list[Features]:
    """The features of each model.

    Parameters
    ----------
    data : path, list of paths, or dict
        ``.npz`` files, or a folder of them. A file holds ``labels`` and either ``features`` (and ``source_probs``, if
        there are any) of the model that the file is called after, or one array per model. A dict has one entry per
        model: an array (n, d) with ``labels`` given beside, a pair (features, labels), a path, a `ClassStatistics`, or
        a list of those that are shards of one data set.
    labels : array of n labels, optional
        Labels for files without labels; where a file holds labels, they must be the same.
    max_per_class, seed
        As for `ncrepro.rank`.

    Raises
    ------
    ValueError
        If a file is missing or torn, labels are missing or not those that are given, or the models have not seen the
        same samples.
    """
    if isinstance(data, dict):
        tables = [*data.items(), ("labels", labels)]
        for (one, first), (other, second) in itertools.combinations(tables, 2):
            check_order(first, second, f"{one} and {other}")
    labels = None if labels is None else as_list(labels)
    found = [model for name, value in _entries(data) for model in _features_of(name, value, labels)]
    if not found:
        raise ValueError("there are no features; give a dict of a model's name and its features, or .npz files")
    names = [model.name for model in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"{names.count(twice[0])} models are called {twice[0]!r}: give each a name of its own, as in {{'first': "
            f"..., 'second': ...}}"
        )
    given = None if labels is None else Features("labels", None, *encode(labels, len(labels), "samples"))
    for model in found:
        check(model.labels, model.classes, model.name)
        if given and not _are_same(model, given):
            raise ValueError(
                f"labels=... are given, but {model.name} carries labels of its own, which are different: leave one of "
                "the two out"
            )
        if not _have_same_labels(model, found[0]):
            raise ValueError(
                f"{model.name} and {found[0].name} have different labels; extract features of the same samples in the "
                "same order, and call their classes the same, so that models can be compared"
            )
    if max_per_class is None:
        return found
    if any(model.statistics is not None for model in found):
        raise ValueError("statistics cannot be sub-sampled: leave max_per_class out, or give the features")
    kept = subset(found[0].labels, max_per_class, seed)
    return [replace(m, features=m.features[kept], labels=m.labels[kept],
                    source_probs=None if m.source_probs is None else m.source_probs[kept]) for m in found]  # fmt: skip


def _have_same_labels(one: Features, other: Features) -> bool:
    """Whether two models have seen the same samples, as far as labels can say: the same classes in the same order; or
    where one has numbers for classes, as many classes whose sorted positions are in the same order.
    """
    if _are_same(one, other):
        return True
    if one.statistics is not None or other.statistics is not None:
        return False
    names, others = _plain_names(one), _plain_names(other)
    may_be_codes = any(all(isinstance(x, Decimal) for x in side) for side in (names, others))
    return set(names) != set(others) and may_be_codes and np.array_equal(_sorted_codes(one), _sorted_codes(other))


def _are_same(one: Features, other: Features) -> bool:
    """Whether labels are equal but for the way of writing them: 1 and "1.0" are one class, as are "cat" and "Cat "."""
    names, others = ([_plain_names(model)[code] for code in model.labels] for model in (one, other))
    if one.statistics is not None or other.statistics is not None:  # which keep no order
        return Counter(names) == Counter(others)
    return names == others


def _plain_names(model: Features) -> Sequence[str | Decimal]:
    plain = [plain_name(name) for name in model.classes]
    return plain if len(set(plain)) == len(plain) else model.classes


def _sorted_codes(model: Features) -> np.ndarray:
    """Labels as positions in the sorted classes: of numbers by their value, though they came as strings."""
    names = _plain_names(model)
    if all(isinstance(x, Decimal) for x in names):
        return np.argsort(np.argsort(np.array(names, dtype=object)))[model.labels]
    return model.labels


def _entries(data: Any) -> list[tuple[str, Any]]:
    if isinstance(data, dict):
        return [(str(name), value) for name, value in data.items()]
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        data = _files(path) if path.is_dir() else [path]
    paths = [Path(path).expanduser() for path in data]
    return list(zip(_names(paths), paths, strict=True))


def _names(paths: list[Path]) -> list[str]:
    """What files are called, with as many of their folders as tell them apart."""
    parts = [path.with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [path.stem for path in paths]


def _features_of(name: str, value: Any, labels: Any) -> list[Features]:
    if isinstance(value, ClassStatistics) or _are_shards(value):
        shards = value if isinstance(value, list) else [value]
        made = joblib.Parallel()(joblib.delayed(_statistics)(name, shard) for shard in shards)
        merged = functools.reduce(ClassStatistics.merge, made)
        codes = np.repeat(np.arange(len(merged.classes)), merged.class_counts)
        if any(map(is_missing, merged.classes)):
            raise ValueError(f"labels of some samples of {name} are missing; fill them in, or leave these samples out")
        return [Features(name, None, codes, tuple(map(str, merged.classes)), statistics=merged)]
    if isinstance(value, (str, Path)):
        return _of_file(name, Path(value).expanduser(), labels)
    if isinstance(value, tuple) and len(value) == 2:
        value, labels = value
    return [_of_arrays(name, value, labels, name)]


def _are_shards(value: Any) -> bool:
    """Whether a list is one of shards; else it is one of features, a row each."""

    def is_shard(x: Any) -> bool:
        is_pair = isinstance(x, tuple) and len(x) == 2 and np.ndim(x[0]) == 2
        return is_pair or isinstance(x, (str, Path, ClassStatistics))

    return isinstance(value, list) and bool(value) and all(map(is_shard, value))


def _of_arrays(name: str, H: Any, labels: Any, where: str, probs: np.ndarray | None = None) -> Features:
    check_order(H, labels, f"features and labels of {where}")
    try:
        H = check_features(H)  # an array, whatever it came as: of a data frame, [...] would take columns
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    codes, classes = encode(labels, len(H), f"samples of {where}")
    if probs is not None and (probs.ndim != 2 or len(probs) != len(H)):
        raise ValueError(f"{where}: source_probs have shape {probs.shape}; allowed is ({len(H)}, source classes)")
    return Features(name, H, codes, classes, probs)


def _statistics(name: str, shard: Any) -> ClassStatistics:
    """Statistics of one shard, in float64 so that they can be merged with any other."""
    if isinstance(shard, ClassStatistics):
        return shard
    if isinstance(shard, (str, Path)):
        arrays = read_npz(Path(shard).expanduser())
        missing = {"features", "labels"} - arrays.keys()
        if missing:
            raise ValueError(
                f"shard {shard} of {name} holds no {' and no '.join(sorted(missing))}; save both arrays in it"
            )
        shard = arrays["features"], arrays["labels"]
    H, labels = shard
    check_order(H, labels, f"features and labels of a shard of {name}")
    values = plain_values(labels, len(H), f"samples in a shard of {name}")
    return ClassStatistics("float64").update(H, values.astype(str) if values.dtype == object else values)


def _of_file(name: str, path: Path, labels: Any) -> list[Features]:
    arrays = read_npz(path)
    labels = arrays.pop("labels", labels)
    probs = arrays.pop("source_probs", None)
    if labels is None:
        raise ValueError(
            f"labels are missing: {path} holds {', '.join(arrays) or 'nothing'}; save an array called labels with them"
        )
    if not arrays:
        raise ValueError(f"{path} holds no features; save them as an array called features, or one array per model")
    named = {name: arrays["features"]} if "features" in arrays else arrays
    if probs is not None and len(named) > 1:
        raise ValueError(
            f"{path} holds source_probs beside the features of {len(named)} models: {', '.join(named)}; save a file "
            "for each model, with its own"
        )
    return [_of_arrays(model, H, labels, f"{model} in {path}", probs) for model, H in named.items()]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a ``.npz`` file: ``features``, ``labels`` and ``source_probs`` if it has the first, else all;
    nothing is unpickled, and nothing read that is larger than its file can hold.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if "features.npy" in names:
                names = [name for name in names if name in ("features.npy", "labels.npy", "source_probs.npy")]
            return {name.removesuffix(".npy"): _array(archive, name) for name in names}
    except Exception as error:  # damaged archives raise errors of any type
        raise ValueError(
            f"{path} is not a .npz file of plain arrays ({error}): save it with np.savez, labels as integers or strings"
        ) from None


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, once its header claims no more than is there."""
    entry = archive.getinfo(name)
    if entry.file_size > max(BOMB[0] * entry.compress_size, BOMB[1]):
        raise ValueError(f"{name} would unpack {entry.compress_size:,} bytes to {entry.file_size:,}")
    with archive.open(name) as stream:
        major, minor = np.lib.format.read_magic(stream)
        shape, _, dtype = getattr(np.lib.format, f"read_array_header_{major}_{minor}")(stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        claimed = math.prod(shape) * dtype.itemsize  # nothing for any number of rows without columns
        if claimed != entry.file_size - stream.tell() or max(shape, default=0) > entry.file_size:
            raise ValueError(f"{name} claims {shape} numbers of type {dtype}, which is not what is there")
    with archive.open(name) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
