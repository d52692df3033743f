"""Labelled data by name: drawn by `builtin` or divided by `photographs` once, then read from the cache."""

import json
from functools import lru_cache

import numpy as np

from .. import artifacts, paths
from ..profiles import unknown
from . import builtin, docstrings, photographs, torchvision_datasets
from .images import Images


def names() -> tuple[str, ...]:
    return (*builtin.NAMES, *photographs.NAMES)


@lru_cache(maxsize=32)
def load(name: str, split: str, max_per_class: int | None = None) -> Images:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` images of each class.

    Data sets of the paper's scale come as `folders.Photos`, whose ``images`` are thumbnails.
    """
    if name in torchvision_datasets.names() or name.startswith(torchvision_datasets.FOLDER):
        return torchvision_datasets.load(name, split, max_per_class=max_per_class)
    if name not in names():
        raise ValueError(unknown("data set", name, names()))
    images = photographs.load(name, split) if name in photographs.NAMES else _drawn(name, split)
    return images if max_per_class is None else images.limited(max_per_class)


def provenance(name: str) -> dict[str, str | dict[str, str]]:
    """What of a data set's making stands in the spec of what is made with it; nothing where the task's own code says it all."""
    if name in docstrings.NAMES:
        return {"data": docstrings.versions()}
    if name in photographs.NAMES:
        return {"data": photographs.origin(), "data_code": artifacts.fingerprint("datasets/photographs")}
    return {}


def _drawn(name: str, split: str) -> Images:
    spec = {"dataset": name, "split": split, "code": artifacts.fingerprint("datasets/builtin")}
    arrays = artifacts.cached(paths.datasets() / f"{name}-{split}.safetensors", spec, lambda: _arrays(name, split))
    classes = tuple(json.loads(arrays["classes"].tobytes()))
    return Images(name, split, arrays["images"], arrays["labels"], classes)


def _arrays(name: str, split: str) -> artifacts.Arrays:
    made = builtin.generate(name, split)
    classes = np.frombuffer(json.dumps(made.classes).encode(), dtype=np.uint8)
    return {"images": made.images, "labels": made.labels, "classes": classes}
