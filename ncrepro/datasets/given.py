"""Features that were taken elsewhere: arrays, ``.npz`` files, or statistics of shards that were too large for one machine."""

from __future__ import annotations

import functools
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from ..metrics import ClassStatistics
from .own import codes_of, require_labels, subset


@dataclass(frozen=True, eq=False)
class Features:
    """One model's features, taken elsewhere; or only their statistics, where they came in shards."""

    name: str
    features: np.ndarray | None
    labels: np.ndarray
    source_probs: np.ndarray | None = None
    statistics: ClassStatistics | None = None


def are_features(data: Any) -> bool:
    """Whether ``data`` means features rather than samples."""
    if isinstance(data, dict):
        return True
    if isinstance(data, (list, tuple)):
        return bool(data) and all(isinstance(x, (str, Path)) and Path(x).suffix == ".npz" for x in data)
    if not isinstance(data, (str, Path)):
        return False
    path = Path(data).expanduser()
    return path.suffix == ".npz" or (
        path.is_dir() and not any(p.is_dir() for p in path.iterdir()) and any(path.glob("*.npz"))
    )


def features(data: Any, labels: Any = None, *, max_per_class: int | None = None, seed: int = 0) -> list[Features]:
    """The features of each model.

    Parameters
    ----------
    data : path, list of paths, or dict
        ``.npz`` files, or a folder of them. A file holds ``labels`` and either ``features`` (and ``source_probs``, if
        there are any) of the model that the file is called after, or one array per model. A dict has one entry per
        model: an array (n, d) with ``labels`` given beside, a pair (features, labels), a path, a `ClassStatistics`, or
        a list of those that are shards of one data set.
    labels : array of n labels, optional
    max_per_class, seed
        As for `ncrepro.rank`.

    Raises
    ------
    ValueError
        If a file is missing or torn, labels are missing, or the models have not seen the same samples.
    """
    found = [model for name, value in _entries(data) for model in _features_of(name, value, labels)]
    if not found:
        raise ValueError("there are no features; give a dict of a model's name and its features, or .npz files")
    for model in found[1:]:
        same = np.array_equal(model.labels, found[0].labels)
        if model.statistics is None and found[0].statistics is None and not same:
            raise ValueError(
                f"{model.name} and {found[0].name} have different labels; extract features of the same samples in the "
                "same order, so that models can be compared"
            )
    if max_per_class is None:
        return found
    if any(model.statistics is not None for model in found):
        raise ValueError("statistics cannot be sub-sampled: leave max_per_class out, or give the features")
    kept = subset(found[0].labels, max_per_class, seed)
    return [replace(m, features=m.features[kept], labels=m.labels[kept],
                    source_probs=None if m.source_probs is None else m.source_probs[kept]) for m in found]  # fmt: skip


def _entries(data: Any) -> list[tuple[str, Any]]:
    if isinstance(data, dict):
        return [(str(name), value) for name, value in data.items()]
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        data = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    return [(Path(path).stem, Path(path).expanduser()) for path in data]


def _features_of(name: str, value: Any, labels: Any) -> list[Features]:
    if isinstance(value, (list, ClassStatistics)):
        shards = value if isinstance(value, list) else [value]
        made = joblib.Parallel()(joblib.delayed(_statistics)(name, shard) for shard in shards)
        merged = functools.reduce(ClassStatistics.merge, made)
        return [Features(name, None, np.repeat(merged.classes, merged.class_counts), statistics=merged)]
    if isinstance(value, (str, Path)):
        return _of_file(name, Path(value), labels)
    if isinstance(value, tuple):
        value, labels = value
    require_labels(labels, len(value), f"samples of {name}")
    return [Features(name, value, codes_of(labels)[0])]


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
    return ClassStatistics("float64").update(*shard)


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
    for model, H in named.items():
        require_labels(labels, len(H), f"samples of {model} in {path}")
    return [Features(model, H, codes_of(labels)[0], probs) for model, H in named.items()]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a ``.npz`` file; nothing is unpickled."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, OSError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a .npz file of plain arrays ({error}): save it with np.savez, labels as integers or strings"
        ) from None
