"""The paper's text data, IFLYTEK and TNEWS (Xu et al., 2020), in the JSON-lines layout of the CLUE benchmark.

A folder holds ``train.json`` and ``dev.json``, one object per line with ``label`` and ``sentence``, and
``labels.json``, one object per line with ``label`` and its name. CLUE does not publish the labels of its own test set,
so test is ``dev``.
"""

import json
from functools import lru_cache

import numpy as np

from ...extraction.samples import Texts
from ...store import paths
from ...store.file_digests import of_data
from . import train_test, unpacked_folders

URL = "https://github.com/CLUEbenchmark/CLUE"
FOLDERS = {"iflytek": "iflytek_public", "tnews": "tnews_public"}  # 119 kinds of apps; 15 kinds of news
NAMES = tuple(FOLDERS)


def content(name: str) -> dict[str, str | None]:
    """What is in the data set's folder."""
    return of_data(paths.downloads() / FOLDERS[name])


@lru_cache(maxsize=4)
def load(name: str, split: str) -> Texts:
    """One split of a downloaded data set.

    Parameters
    ----------
    name : {"iflytek", "tnews"}
    split : {"train", "test"}

    Raises
    ------
    ValueError
        If the name or the split is unknown, or a text has a label that ``labels.json`` does not list.
    FileNotFoundError
        If a file is not there; the message says where to get it.
    """
    train_test.check(name, FOLDERS, split)
    written = {"train": "train.json", "test": "dev.json"}[split]
    names = {row["label"]: row.get("label_des") or row["label_desc"] for row in _rows(name, "labels.json")}
    place = {label: i for i, label in enumerate(sorted(names, key=int))}
    rows = _rows(name, written)
    for number, row in enumerate(rows, 1):
        if row["label"] not in place:
            raise ValueError(
                f"{name}, {written}, line {number}: label {row['label']!r} is not in labels.json; add it there"
            )
    labels = np.array([place[row["label"]] for row in rows], np.int64)
    return Texts(name, split, tuple(row["sentence"] for row in rows), labels, tuple(names[label] for label in place))


def _rows(name: str, file: str) -> list[dict]:
    path = unpacked_folders.require(f"{FOLDERS[name]}/{file}", name, URL)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
