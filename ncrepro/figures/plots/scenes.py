"""Pictures of scenes with a label for every pixel."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style

IGNORED = 255


def _item(domain, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (h, w, 3) and labels (h, w) of one scene."""
    image, mask = domain[i]
    return np.asarray(image).transpose(1, 2, 0), np.asarray(mask)


def _colours(mask: np.ndarray) -> np.ndarray:
    """A label image (h, w) as colours (h, w, 4); what is ignored is white."""
    shown = plt.get_cmap("tab20")(mask % 20)
    shown[mask == IGNORED] = 1
    return shown


def scene_rows(domains: Sequence, per_row: int = 7, title: str | None = None) -> Figure:
    """Scenes of every domain with their labels to the right of each, one row per domain.

    Parameters
    ----------
    domains : sequence of Scenes or Folder
        Drawn from top to bottom; the first ``per_row`` of each are shown.
    """
    name_width = 1.15  # inches
    cell = (style.PAGE - name_width) / (2 * per_row)
    head = 0.25 if title else 0.02
    figure = plt.figure(figsize=(style.PAGE, head + (cell + 0.05) * len(domains)))
    figure.set_layout_engine("none")  # every axis below is put in its place by hand
    height = figure.get_figheight()
    for row, domain in enumerate(domains):
        bottom = (height - head - (row + 1) * (cell + 0.05)) / height
        pairs = []
        for image, mask in (_item(domain, i) for i in range(min(per_row, len(domain)))):
            both = [image / 255, _colours(mask)[..., :3]]  # (h, w, 3) each
            gaps = [[(0, 0), (0, width), (0, 0)] for width in (1, 4)]
            pairs += [np.pad(part, gap, constant_values=1) for part, gap in zip(both, gaps, strict=True)]
        axes = figure.add_axes((name_width / style.PAGE, bottom, 1 - name_width / style.PAGE, cell / height))
        axes.imshow(np.concatenate(pairs, axis=1), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle = bottom + cell / 2 / height
        figure.text(0.005, middle, domain.name, weight="bold", size=8, va="bottom")
        figure.text(0.005, middle - 0.02 / height, f"{domain.n_classes} classes, {len(domain)} scenes", size=6.5, va="top")
    if title:
        figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", size=8.5)
    return figure


def drawn_pixels(domain, places: np.ndarray, title: str, n: int = 4) -> Figure:
    """Where pixels were drawn from the first scenes of a domain: rings in the colour of their class.

    Parameters
    ----------
    domain : Scenes or Folder
    places : ndarray of shape (m, 3)
        Image, row and column of each pixel.
    """
    figure, axes = plt.subplots(2, n, figsize=(style.PAGE, 3.9))
    for i in range(n):
        row, column = places[places[:, 0] == i, 1:].T
        image, mask = _item(domain, i)
        axes[0, i].imshow(image)
        axes[1, i].imshow(_colours(mask), alpha=0.35)
        for ax in axes[:, i]:
            ax.scatter(column, row, s=11, c=_colours(mask[row, column]), ec="black", lw=0.4)
            ax.set_axis_off()
        axes[0, i].set_title(f"{len(row)} pixels of {len(np.unique(mask[row, column]))} classes")
    figure.suptitle(title, size=9)
    return figure
