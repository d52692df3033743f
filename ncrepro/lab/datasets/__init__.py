"""Labelled data by name: drawn by `builtin` or divided by `cifar` once, then read from the cache."""

from functools import lru_cache
from types import ModuleType

from ...extraction.samples import Images
from ...store import fingerprint
from ...store.schema import refuse_unknown
from . import builtin, cifar, torchvision_datasets, train_test

# Which of them `load` uses depends on the name.
_OTHERS = {module.__name__ for module in (builtin, cifar, torchvision_datasets)}


def names() -> tuple[str, ...]:
    """Of the data sets that are drawn, and of the parts of CIFAR."""
    return (*builtin.NAMES, *cifar.NAMES)


@lru_cache(maxsize=32)
def load(name: str, split: str, max_per_class: int | None = None) -> Images:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` images of each class.

    Data sets of the paper's scale come as `folders.Photos`, whose ``images`` are thumbnails.
    """
    found = reader(name)
    if found is torchvision_datasets:
        return torchvision_datasets.load(name, split, max_per_class=max_per_class)
    if found is cifar:
        images = cifar.load(name, split)
    else:
        code = fingerprint.of(builtin.__name__, fingerprint.root(train_test.cached))
        images = train_test.cached(Images, name, name, split, lambda: builtin.generate(name, split), code=code)
    return images if max_per_class is None else images.limited(max_per_class)


def reader(name: str) -> ModuleType:
    """The module that makes or reads the labelled images of that name."""
    if name in torchvision_datasets.names() or name.startswith(torchvision_datasets.FOLDER):
        return torchvision_datasets
    refuse_unknown("data set", name, names())
    return cifar if name in cifar.NAMES else builtin


def provenance(reader: ModuleType | None, name: str) -> dict:
    """What a data set rests on: the code that makes or reads it, and what it is read from; nothing where there is no
    data.
    """
    if reader is None:
        return {}
    code = fingerprint.of(
        reader.__name__, f"{__name__}:load", stops=(*fingerprint.KEEPING, *sorted(_OTHERS - {reader.__name__}))
    )
    return {"code": code, **({"content": reader.content(name)} if hasattr(reader, "content") else {})}
