"""The same question put to several pools: one panel per pool, intervals in rows or values along an axis."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from . import style
from .names import label

TAU = r"mean weighted Kendall $\tau_w$"


def rows(table: pd.DataFrame, title: str, xlabel: str, columns: int = 3) -> Figure:
    """One row per method, one panel per pool, a value and its interval.

    Parameters
    ----------
    table : DataFrame (panel, row, weighted_kendall, low, high)
        Rows and panels come in the order in which they first occur, the first on top.
    """
    panels, names = (list(dict.fromkeys(table[column])) for column in ("panel", "row"))
    figure, axes = _grid(len(panels), columns, 0.55 + 0.17 * len(names))
    for ax, panel, colour in zip(axes, panels, _colours()):
        group = table[table["panel"] == panel].set_index("row").reindex(names)
        y = np.arange(len(names))
        ax.hlines(y, group["low"], group["high"], color=colour, lw=1.6, alpha=0.5)
        ax.plot(group["weighted_kendall"], y, "o", color=colour, ms=4.5)
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yticks(y, [label(name) for name in names])
        ax.set(title=panel, ylim=(len(names) - 0.5, -0.5))
    _finish(figure, title, xlabel)
    return figure


def curves(table: pd.DataFrame, title: str, xlabel: str, ylabel: str = TAU, *, columns: int = 3, log: bool = False,
           mark: float | None = None, names: str | None = None) -> Figure:
    """Lines along a setting, one panel per pool or term, with a band where there is one.

    Parameters
    ----------
    table : DataFrame (panel, line, x, y[, low, high])
    log : bool
        Whether x has a logarithmic axis.
    mark : float, optional
        The setting to be marked: the paper's.
    names : str, optional
        What the lines are, written above the legend.
    """
    panels, lines = (list(dict.fromkeys(table[column])) for column in ("panel", "line"))
    figure, axes = _grid(len(panels), columns, 1.75)
    for ax, panel in zip(axes, panels):
        for line, colour, marker in zip(lines, _colours(), style.MARKERS):
            points = table[(table["panel"] == panel) & (table["line"] == line)].sort_values("x")
            ax.plot(points["x"], points["y"], marker=marker, ms=3.5, lw=1.2, color=colour, label=label(line))
            if "low" in table:
                ax.fill_between(points["x"], points["low"], points["high"], color=colour, alpha=0.15, lw=0)
        if mark is not None:
            ax.axvline(mark, color="0.6", lw=0.9, ls="--", zorder=0)
        if log:
            _logarithmic(ax, table["x"])
        ax.axhline(0, color="0.85", lw=0.8, zorder=0)
        ax.set_title(panel)
    figure.supylabel(ylabel, size=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title=names, title_fontsize=7.5, handlelength=1.4)
    _finish(figure, title, xlabel)
    return figure


def _colours():
    return style.COLOURS[:7] * 3


def _grid(n: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """``n`` panels with common axes, in as few rows as can be."""
    columns = min(n, columns)
    lines = -(-n // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(style.PAGE, 0.65 + height * lines), sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    for ax in axes[-2:, :].flat if lines > 1 else ():  # a panel above an empty place needs the axis itself
        ax.tick_params(labelbottom=True)
    return figure, axes.ravel()[:n]


def _logarithmic(ax: Axes, x: pd.Series) -> None:
    ax.set_xscale("log")
    ticks = sorted(set(x))
    ax.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // 5)]))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _finish(figure: Figure, title: str, xlabel: str) -> None:
    figure.supxlabel(xlabel, size=8)
    figure.suptitle(title, size=9)
