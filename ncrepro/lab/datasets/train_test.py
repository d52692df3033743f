"""The two splits that every data set of the lab has: what is in them, and how they are kept."""

from collections.abc import Callable, Collection
from typing import TypeVar

import numpy as np

from ...store import artifacts, paths, schema

Data = TypeVar("Data")  # a dataclass with a name, a split, arrays, and tuples of text

SPLITS = ("train", "test")


def check(name: str, known: Collection[str], split: str) -> None:
    """Refuse a data set that is none of ``known``, and a split that no data set has.

    Raises
    ------
    ValueError
        With the names that there are, and the nearest of them.
    """
    schema.refuse_unknown("data set", name, known)
    schema.refuse_unknown("split", split, SPLITS)


def split_texts(
    collected: dict[str, list[str]], split: str, n_train: int, n_test: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], np.ndarray]:
    """Texts and labels in random order: the first ``n_test`` of each class are for testing, the next for training."""
    chosen = slice(n_test) if split == "test" else slice(n_test, n_test + n_train)
    items = [(text, k) for k, of_class in enumerate(collected.values()) for text in of_class[chosen]]
    order = rng.permutation(len(items))
    return tuple(items[i][0] for i in order), np.array([items[i][1] for i in order], np.int64)


def cached(kind: type[Data], file: str, name: str, split: str, make: Callable[[], Data], **rests_on) -> Data:
    """What ``make`` gives. It is made once, then read from ``file`` in the cache as long as all that it ``rests_on`` is
    the same.
    """

    def fields() -> artifacts.Arrays:
        return {field: value for field, value in vars(make()).items() if field not in ("name", "split")}

    path = paths.datasets() / f"{file}-{split}.safetensors"
    kept = artifacts.cached(path, {"dataset": name, "split": split, **rests_on}, fields)
    texts = {field: tuple(value) for field, value in kept.items() if isinstance(value, list | tuple)}
    return kind(name, split, **kept | texts)
