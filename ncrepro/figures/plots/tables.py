"""Tables of correlations as annotated heat maps."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style
from .names import label

CELL = 0.24  # inches, height of a row
GAP = 0.35  # of a cell, between the targets and their average


def correlation_heatmap(panels: pd.DataFrame | dict[str, pd.DataFrame], title: str,
                        statistic: str = "weighted_kendall", decimals: int = 2) -> Figure:
    """Correlations of metrics (rows) with accuracies on targets (columns), the values written in the cells.

    Parameters
    ----------
    panels : DataFrame (metrics x targets), or dict panel title -> DataFrame
        Panels stand one above the other, for instance ``{"printed": ..., "ours": ...}``; their rows and columns may
        differ. A column ``average`` is set apart at the right. Missing values stay blank; a row of
        nothing else says that its metric is not applicable.
    title : str
        What is seen.
    statistic : str
        Names the colour bar; the colours run from -1 to 1.
    decimals : int
        Digits after the point. The highest value of each column is bold.

    Returns
    -------
    Figure
        As wide as a page.
    """
    panels = {"": panels} if isinstance(panels, pd.DataFrame) else panels
    heights = [len(table) + (2.6 if name else 1.6) for name, table in panels.items()]  # rows, tick labels and title
    figure, axes = plt.subplots(len(panels), 1, figsize=(style.PAGE, CELL * sum(heights) + 0.35), squeeze=False,
                                height_ratios=heights)
    for ax, (name, table) in zip(axes[:, 0], panels.items()):
        mesh = _panel(ax, table, decimals)
        ax.set_title(name, loc="left", pad=4)
    figure.suptitle(title, fontsize=plt.rcParams["axes.titlesize"])
    bar = figure.colorbar(mesh, ax=axes[:, 0], label=label(statistic), fraction=0.03, pad=0.015, aspect=30,
                          ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, decimals: int):
    left = np.arange(table.shape[1]) + GAP * (table.columns == "average")  # left edge of each column
    for x, name in zip(left, table):
        values = table[name].to_numpy(float)[:, None]  # (metrics, 1)
        mesh = ax.pcolormesh([x, x + 1], np.arange(len(table) + 1), values, cmap=style.DIVERGING, vmin=-1, vmax=1,
                             edgecolors="white", linewidth=1)
        for row, value in enumerate(values[:, 0]):
            if np.isfinite(value):
                ax.text(x + 0.5, row + 0.5, f"{value:.{decimals}f}".replace("-", "−"), ha="center", va="center",
                        fontsize=7, fontweight="bold" if value == np.nanmax(values) else "normal")
    for row in np.flatnonzero(table.isna().all(axis=1)):
        ax.text((left[-1] + 1) / 2, row + 0.5, "not applicable", ha="center", va="center", fontsize=7, color="0.4")
    ax.set(xlim=(0, left[-1] + 1), ylim=(len(table), 0))
    crowded = table.shape[1] > 9
    ax.set_xticks(left + 0.5, [label(name).replace("-", "\n") if crowded else label(name) for name in table])
    ax.set_yticks(np.arange(len(table)) + 0.5, [label(name) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return mesh
