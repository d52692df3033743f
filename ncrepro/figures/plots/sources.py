"""Pools that vary what a model was pre-trained on, or by which loss: matrices, and the same question asked in parts."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .names import label


def matrices(table: pd.DataFrame, title: str, shading: str) -> Figure:
    """Matrices side by side that share their rows.

    Parameters
    ----------
    table : DataFrame (panel, row, column, text, shade)
        ``text`` is written into the cell; ``shade`` colours it, 0 (worst) to 1 (best). Rows, columns and panels come in the
        order in which they first occur.
    title : str
    shading : str
        What the colour means.
    """
    panels = list(dict.fromkeys(table["panel"]))
    rows = list(dict.fromkeys(table["row"]))
    widths = [table.loc[table["panel"] == panel, "column"].nunique() for panel in panels]
    height = 1.15 + 0.21 * len(rows)
    width = max(style.PAGE, 1 + 0.36 * sum(widths))  # wider than the page where the numbers would not fit their cells
    figure, axes = plt.subplots(1, len(panels), figsize=(width, height), width_ratios=widths, sharey=True, squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        group = table[table["panel"] == panel]
        columns = list(dict.fromkeys(group["column"]))
        shades, texts = (
            group.pivot(index="row", columns="column", values=of).reindex(index=rows, columns=columns) for of in ("shade", "text")
        )
        values = shades.to_numpy(float)  # (rows, columns)
        image = ax.imshow(values, cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                ax.text(j, i, texts.iat[i, j], ha="center", va="center", size=6.5, color="white" if value < 0.55 else "black")
        ax.set_xticks(range(len(columns)), [label(column) for column in columns], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rows)), [label(row) for row in rows])
        ax.set_title(panel, size=8)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes[0], fraction=0.03, pad=0.01, aspect=25, ticks=[0, 1], label=shading)
    bar.ax.set_yticklabels(["worst", "best"])
    bar.outline.set_visible(False)
    figure.suptitle(title, size=9)
    return figure


def questions(table: pd.DataFrame, title: str, covered: str) -> Figure:
    """The mean weighted Kendall of every ranking for several questions put to the same pool, each with its interval.

    Parameters
    ----------
    table : DataFrame (question, metric, weighted_kendall, low, high)
        Metrics come in the order of the first question's values, best on top; a value may be NaN.
    covered : str
        What the intervals include, in words: `resampling.covers`.
    """
    asked = list(dict.fromkeys(table["question"]))
    order = table[table["question"] == asked[0]].sort_values("weighted_kendall")["metric"].tolist()
    figure, axes = plt.subplots(1, len(asked), figsize=(style.PAGE, 0.9 + 0.19 * len(order)), sharex=True, sharey=True, squeeze=False)
    for ax, question, colour in zip(axes[0], asked, style.COLOURS, strict=False):
        rows = table[table["question"] == question].set_index("metric").reindex(order)
        y = np.arange(len(order))
        ax.hlines(y, rows["low"], rows["high"], color=colour, lw=1.6, alpha=0.55)
        ax.plot(rows["weighted_kendall"], y, "o", color=colour, ms=4.5)
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yticks(y, [label(metric) for metric in order])
        ax.set_title(question.replace(": ", ":\n"), size=8)
    figure.supxlabel(f"mean weighted Kendall $\\tau_w$; lines: {covered}", size=8)
    figure.suptitle(title, size=9)
    return figure


def curves(table: pd.DataFrame, title: str) -> Figure:
    """Functions of one variable, panels side by side, one line per curve.

    Parameters
    ----------
    table : DataFrame (panel, curve, x, y, xlabel, ylabel)
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, axes = plt.subplots(1, len(panels), figsize=(style.PAGE, 2.3), squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        group = table[table["panel"] == panel]
        for curve, points in group.groupby("curve", sort=False):
            ax.plot(points["x"], points["y"], label=curve, lw=1.4)
        ax.set(title=panel, xlabel=group["xlabel"].iloc[0], ylabel=group["ylabel"].iloc[0])
        ax.legend()
    figure.suptitle(title, size=9)
    return figure
