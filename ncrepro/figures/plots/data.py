"""Pictures of the data sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style


def _examples(labels: np.ndarray, n_classes: int, n: int) -> np.ndarray:
    """Positions of n images: classes in turn, or evenly chosen classes where there are more than n."""
    classes = np.arange(n) % n_classes if n_classes < n else np.linspace(0, n_classes - 1, n).round().astype(int)
    turns = np.arange(n) // n_classes
    members = {k: np.flatnonzero(labels == k) for k in set(classes)}
    return np.array([members[k][turn % len(members[k])] for k, turn in zip(classes, turns, strict=True)])


def examples(datasets: Sequence, per_row: int = 16, source_rows: int = 3, title: str | None = None) -> Figure:
    """Examples of every data set, ``per_row`` in a row, classes in turn.

    Parameters
    ----------
    datasets : sequence of Images
        Drawn from top to bottom; the first is the source and gets ``source_rows`` rows, each other one row.
    per_row : int
        Images in a row.
    source_rows : int
        Rows of the first data set.
    title : str, optional

    Returns
    -------
    Figure
        As wide as a page; on the left of each row the name, the number of classes and of images.
    """
    rows = [source_rows, *[1] * (len(datasets) - 1)]
    label = max(0.85, 0.077 * max(len(dataset.name) for dataset in datasets))  # inches, as all that follows
    gap, head = 0.06, 0.25 if title else 0.06
    cell = (style.PAGE - label) / per_row
    height = head + cell * sum(rows) + gap * len(rows)
    figure = plt.figure(figsize=(style.PAGE, height))
    figure.set_layout_engine("none")  # every axis below is put in its place by hand
    top = height - head
    for dataset, n_rows in zip(datasets, rows, strict=True):
        chosen = _examples(dataset.labels, dataset.n_classes, per_row * n_rows)
        tiles = dataset.images[chosen].reshape(n_rows, per_row, *dataset.images.shape[1:])  # (rows, columns, 3, h, w)
        tiles = np.pad(tiles, [(0, 0)] * 3 + [(0, 1), (0, 1)], constant_values=255)
        strip = tiles.transpose(0, 3, 1, 4, 2).reshape(n_rows * tiles.shape[3], per_row * tiles.shape[4], 3)
        top -= cell * n_rows
        axes = figure.add_axes((label / style.PAGE, top / height, 1 - label / style.PAGE, cell * n_rows / height))
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle = (top + cell * n_rows / 2) / height
        text = f"{dataset.n_classes} classes\n{len(dataset):,} images"
        figure.text(0.005, middle + 0.045 / height, dataset.name, weight="bold", size=8, va="bottom")
        figure.text(0.005, middle + 0.035 / height, text, size=6.5, va="top", linespacing=1.0)
        top -= gap
    if title:
        figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", size=8.5)
    return figure
