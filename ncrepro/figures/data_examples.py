"""What data look like: images, scenes with a label for every pixel, texts, images with texts, time series."""

from collections.abc import Sequence
from textwrap import fill, shorten

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..lab.datasets.scenes import IGNORE
from ..lab.experiment import Experiment
from . import style

# Fonts of common systems that have Chinese characters; matplotlib brings none.
CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")


def of_pool(study: Experiment) -> Figure:
    """Some of every source and target of a pool, sources on top."""
    if study.pool.task == "modalities":
        return captioned([study.task.load(name, "train") for name in study.pool.targets], "The targets")
    names = (*study.pool.sources, *study.pool.targets)
    data = [study.task.load(name, "train") for name in names if name != getattr(study.task, "NOTHING", None)]
    draw = {"segmentation": scenes, "text": texts, "time_series": series}.get(study.pool.task, images)
    return draw(data, title="What the models are pre-trained on, and the targets they are fine-tuned for")


# Images ---------------------------------------------------------------------------------------------------------------


def images(datasets: Sequence, per_row: int = 16, source_rows: int = 3, title: str | None = None) -> Figure:
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
        As wide as a page; on the left of each row the name and, unless all rows show the same images, the numbers of
        classes and images.
    """
    rows = [source_rows, *[1] * (len(datasets) - 1)]
    label = max(0.85, 0.077 * max(len(dataset.name) for dataset in datasets))  # inches, as all that follows
    gap, head = 0.06, 0.25 if title else 0.06
    sizes = [(dataset.n_classes, len(dataset)) for dataset in datasets]
    cell = (style.PAGE - label) / per_row
    height = head + cell * sum(rows) + gap * len(rows)
    figure = plt.figure(figsize=(style.PAGE, height))
    figure.set_layout_engine("none")  # every axis below is put in its place by hand
    top = height - head
    for dataset, n_rows, (n_classes, n_images) in zip(datasets, rows, sizes, strict=True):
        chosen = _in_turn(dataset.labels, dataset.n_classes, per_row * n_rows)
        tiles = dataset.images[chosen].reshape(n_rows, per_row, *dataset.images.shape[1:])  # (rows, columns, 3, h, w)
        tiles = np.pad(tiles, [(0, 0)] * 3 + [(0, 1), (0, 1)], constant_values=255)
        strip = tiles.transpose(0, 3, 1, 4, 2).reshape(n_rows * tiles.shape[3], per_row * tiles.shape[4], 3)
        top -= cell * n_rows
        axes = figure.add_axes((label / style.PAGE, top / height, 1 - label / style.PAGE, cell * n_rows / height))
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle = (top + cell * n_rows / 2) / height
        if len(datasets) > 1 and len(set(sizes)) == 1:
            figure.text(0.005, middle, dataset.name, weight="bold", size=8, va="center")
        else:
            figure.text(0.005, middle + 0.03 / height, dataset.name, weight="bold", size=8, va="bottom")
            each = f"{n_images // n_classes:,}" if n_images % n_classes == 0 else f"about {n_images / n_classes:,.0f}"
            text = f"{n_classes} classes,\n{each} images each"
            figure.text(0.005, middle, text, size=6.5, va="top", linespacing=1.05)
        top -= gap
    if title:
        figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", size=8.5)
    return figure


def _in_turn(labels: np.ndarray, n_classes: int, n: int) -> np.ndarray:
    """Positions of n images: classes in turn, or evenly chosen classes where there are more than n."""
    classes = np.arange(n) % n_classes if n_classes < n else np.linspace(0, n_classes - 1, n).round().astype(int)
    turns = np.arange(n) // n_classes
    members = {k: np.flatnonzero(labels == k) for k in np.unique(classes)}
    return np.array([members[k][turn % len(members[k])] for k, turn in zip(classes, turns, strict=True)])


# Scenes ---------------------------------------------------------------------------------------------------------------


def scenes(domains: Sequence, title: str) -> Figure:
    """Scenes of every domain with their labels to the right of each, one row per domain.

    Parameters
    ----------
    domains : sequence of Scenes or Folder
        Drawn from top to bottom; the first seven of each are shown.
    """
    per_row, name_width, head = 7, 1.15, 0.25  # inches, the last two
    cell = (style.PAGE - name_width) / (2 * per_row)
    figure = plt.figure(figsize=(style.PAGE, head + (cell + 0.05) * len(domains)))
    figure.set_layout_engine("none")  # every axis below is put in its place by hand
    height = figure.get_figheight()
    for row, domain in enumerate(domains):
        bottom = (height - head - (row + 1) * (cell + 0.05)) / height
        pairs = []
        for image, mask in (_item(domain, i) for i in range(min(per_row, len(domain)))):
            for part, gap in ((image / 255, 1), (_colours(mask)[..., :3], 4)):  # (h, w, 3) each
                pairs.append(np.pad(part, [(0, 0), (0, gap), (0, 0)], constant_values=1))
        axes = figure.add_axes((name_width / style.PAGE, bottom, 1 - name_width / style.PAGE, cell / height))
        axes.imshow(np.concatenate(pairs, axis=1), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle = bottom + cell / 2 / height
        figure.text(0.005, middle, domain.name, weight="bold", size=8, va="bottom")
        text = f"{domain.n_classes} classes, {len(domain)} scenes"
        figure.text(0.005, middle - 0.02 / height, text, size=6.5, va="top")
    figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", size=8.5)
    return figure


def pixel_samples(domain, places: np.ndarray, title: str) -> Figure:
    """Where pixels were drawn from the first four scenes of a domain: rings in the colour of their class.

    Parameters
    ----------
    domain : Scenes or Folder
    places : ndarray of shape (m, 3)
        Image, row and column of each pixel.
    """
    figure, axes = plt.subplots(2, 4, figsize=(style.PAGE, 3.9))
    for i in range(4):
        row, column = places[places[:, 0] == i, 1:].T
        image, mask = _item(domain, i)
        axes[0, i].imshow(image)
        axes[1, i].imshow(_colours(mask), alpha=0.35)
        for ax in axes[:, i]:
            ax.scatter(column, row, s=11, c=_colours(mask[row, column]), ec="black", lw=0.4)
            ax.set_axis_off()
        axes[0, i].set_title(f"{len(row)} pixels of {len(np.unique(mask[row, column]))} classes")
    figure.suptitle(title)
    return figure


def _item(domain, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (h, w, 3) and labels (h, w) of one scene."""
    image, mask = map(np.asarray, domain[i])
    return image.transpose(1, 2, 0), mask


def _colours(mask: np.ndarray) -> np.ndarray:
    """A label image (h, w) as colours (h, w, 4); what is ignored is white."""
    shown = plt.get_cmap("tab20")(mask % 20)
    shown[mask == IGNORE] = 1
    return shown


# Texts ----------------------------------------------------------------------------------------------------------------


def texts(datasets: Sequence, title: str) -> Figure:
    """The first four texts of several data sets, each of another class: one block of lines per data set.

    Parameters
    ----------
    datasets : sequence of Texts
        Drawn from top to bottom. Where no Chinese font is installed, its characters are boxes.
    """
    shown = [pd.Series(data.labels).drop_duplicates().index[:4] for data in datasets]
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in installed)]  # the first is matplotlib's own
    n_lines = sum(map(len, shown)) + 1.5 * len(shown)
    figure, ax = plt.subplots(figsize=(style.PAGE, 0.3 + 0.16 * n_lines))
    ax.set(xlim=(0, 1), ylim=(n_lines, 0.3))
    ax.set_axis_off()
    y = 0.0
    for data, first in zip(datasets, shown, strict=True):
        y += 1.2
        ax.text(0, y, data.name, weight="bold", size=8, va="center")
        for i in first:
            y += 1
            name, text = (_drawable(of, fonts) for of in (data.classes[data.labels[i]], _start(data.texts[i])))
            ax.text(0.02, y, name, size=7, va="center", color=style.COLOURS[0], family=fonts)
            ax.text(0.14, y, text, size=7, va="center", family=fonts)
        y += 0.3
    figure.suptitle(title)
    return figure


def _start(text: str) -> str:
    """As much of a text as fits on a line."""
    short = shorten(text, 105, placeholder=" …")
    return f"{text[:52]} …" if short == "…" else short  # Chinese has no spaces, and characters twice as wide


def _drawable(text: str, fonts: list[str]) -> str:
    """``text`` with a box for every character that none of the ``fonts`` has."""
    glyphs = [font_manager.get_font(font_manager.findfont(font)).get_charmap() for font in fonts]
    return "".join(c if any(ord(c) in of_font for of_font in glyphs) else "□" for c in text)


# Images with texts ----------------------------------------------------------------------------------------------------


def captioned(datasets: Sequence, title: str, n: int = 10) -> Figure:
    """The first ``n`` items of several data sets, classes in turn: class, image, and text, ``n // 2`` in a row.

    Parameters
    ----------
    datasets : sequence of Captioned
        Drawn from top to bottom.
    """
    columns = n // 2
    figure, axes = plt.subplots(2 * len(datasets), columns, figsize=(style.PAGE, 0.3 + 2.05 * len(datasets)))
    for data, pair in zip(datasets, axes.reshape(len(datasets), 2 * columns), strict=True):
        for ax, i in zip(pair, _in_turn(data.labels, data.n_classes, 2 * columns), strict=True):
            ax.imshow(data.images[i].transpose(1, 2, 0), interpolation="nearest")
            ax.set_axis_off()
            ax.set_title(data.classes[data.labels[i]], size=7, pad=2, color=style.COLOURS[0])
            ax.text(0.5, -0.06, fill(data.texts[i], 24), transform=ax.transAxes, ha="center", va="top", size=6.5)
        text = f"{data.name}\n{len(data)} items,\n{data.n_classes} classes"
        pair[0].text(-0.45, 0.5, text, transform=pair[0].transAxes, ha="right", va="center", size=6.5)
    figure.suptitle(title)
    return figure


# Time series ----------------------------------------------------------------------------------------------------------


def series(datasets: Sequence, title: str, n: int = 4) -> Figure:
    """Series of ``n`` classes of several data sets, one row per data set; every channel is a line.

    Parameters
    ----------
    datasets : sequence of Series
        Drawn from top to bottom; a set of fewer classes leaves places empty.
    """
    figure, axes = plt.subplots(len(datasets), n, figsize=(style.PAGE, 0.35 + 0.58 * len(datasets)), squeeze=False)
    for row, data in zip(axes, datasets, strict=True):
        classes = np.unique(np.linspace(0, data.n_classes - 1, n).round().astype(int))
        for ax in row:
            ax.set_axis_off()
        for ax, k in zip(row, classes, strict=False):
            i = np.flatnonzero(data.labels == k)[0]
            ax.plot(data.values[i, :, : data.lengths[i]].T, lw=0.7, color=style.COLOURS[0], alpha=0.8)
            ax.set_xlim(0, data.values.shape[2] - 1)
            name = data.classes[k]
            ax.set_title(f"class {name}" if name.isdigit() else name, size=7, pad=1)
        text = f"{fill(data.name.replace('_', ' '), 12)}\n{len(data)} series,\n{data.n_classes} classes"
        row[0].text(-0.08, 0.5, text, transform=row[0].transAxes, ha="right", va="center", size=6.5, linespacing=1.05)
    figure.suptitle(title)
    return figure
