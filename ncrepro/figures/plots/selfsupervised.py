"""Pictures of the self-supervised objectives, and of what they have taught."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import style
from .names import label

TILE = 0.82  # of a cell, the width of an image that stands for a row or a column
PULL, PUSH = style.COLOURS[0], style.COLOURS[1]
ROLES = mpl.colors.LinearSegmentedColormap.from_list("roles", [PUSH, "#fbe3d3", "white", "#cfe3f2", PULL])


def comparison(rows: np.ndarray, columns: list, roles: np.ndarray, of_rows: str, of_columns: str, title: str) -> Figure:
    """What one objective compares with what; see `comparisons`."""
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.72, 0.95 + 0.36 * len(rows)))
    _comparison(ax, rows, columns, roles, of_rows, of_columns)
    ax.set_title(title, pad=24)
    _explain(figure)
    return figure


def comparisons(panels: dict[str, dict], title: str) -> Figure:
    """What each objective compares with what, one panel each.

    Parameters
    ----------
    panels : dict name -> dict
        ``rows`` (r, 3, height, width) uint8: the views that are trained on; ``columns``: list of c images or short
        texts that they are compared with; ``roles`` (r, c): from 1, pulled together, over 0, not compared, to -1,
        pushed apart; ``of_rows`` and ``of_columns``: what they are.
    """
    n_columns = 3
    n_rows = -(-len(panels) // n_columns)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(style.PAGE, 0.5 + 1.72 * n_rows), squeeze=False)
    for ax, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        _comparison(ax, **panel)
        ax.set_title(label(name), pad=16, weight="bold")
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    figure.suptitle(title, size=9)
    _explain(figure)
    return figure


def _explain(figure: Figure) -> None:
    patches = [Patch(facecolor=colour, edgecolor="0.7", label=text) for colour, text in
               ((PULL, "pulled together"), (PUSH, "pushed apart"), ("white", "not compared"))]  # fmt: skip
    figure.legend(handles=patches, loc="outside lower center", ncols=3)


def _comparison(ax: Axes, rows: np.ndarray, columns: list, roles: np.ndarray, of_rows: str, of_columns: str) -> None:
    n_rows, n_columns = roles.shape
    edges = np.arange(n_columns + 1), np.arange(n_rows + 1)
    ax.pcolormesh(*edges, roles, cmap=ROLES, vmin=-1, vmax=1, edgecolors="0.8", lw=0.5)
    for i, image in enumerate(rows):
        _tile(ax, image, -0.65, i + 0.5)
    for j, column in enumerate(columns):
        if isinstance(column, str):
            ax.text(j + 0.5, -0.25, column, ha="center", va="bottom", size=6.5)
        else:
            _tile(ax, column, j + 0.5, -0.65)
    ax.text(-1.35, n_rows / 2, of_rows, rotation=90, ha="center", va="center", size=7)
    ax.text(n_columns / 2, -1.25, of_columns, ha="center", va="bottom", size=7)
    ax.set(xlim=(-1.7, n_columns + 0.1), ylim=(n_rows + 0.1, -1.2), aspect="equal")
    ax.set_axis_off()


def _tile(ax: Axes, image: np.ndarray, x: float, y: float) -> None:
    half = TILE / 2
    extent = (x - half, x + half, y + half, y - half)
    ax.imshow(image.transpose(1, 2, 0), extent=extent, interpolation="nearest", clip_on=False)


def probes(table: pd.DataFrame, random_accuracy: float, title: str) -> Figure:
    """What a linear classifier reads from each frozen network, and how much of its feature space the network uses.

    Parameters
    ----------
    table : DataFrame (model, source_accuracy, effective_rank, collapsed)
        Without any ``source_accuracy`` there is one panel, not two.
    random_accuracy : float
        The probe of a network with random weights.
    """
    table = table.sort_values(["source_accuracy", "effective_rank"])
    y = np.arange(len(table))
    size = (style.PAGE, 0.75 + 0.19 * len(table))
    shown = [column for column in ("source_accuracy", "effective_rank") if table[column].notna().any()]
    widths = {"source_accuracy": 2, "effective_rank": 1}
    figure, axes = plt.subplots(1, len(shown), sharey=True, figsize=size, width_ratios=[widths[s] for s in shown], squeeze=False)
    alive = table["collapsed"].to_numpy() == 0
    for ax, column in zip(axes[0], shown, strict=True):
        values = table[column].to_numpy()
        ax.hlines(y, 0, values, color="0.85", lw=1.5)
        ax.plot(values[alive], y[alive], "o", color=style.COLOURS[0], ms=5, label="in use")
        ax.plot(values[~alive], y[~alive], "X", color=style.COLOURS[1], ms=6, label="collapsed")
        ax.set_xlim(left=0)
    left, right = axes[0, 0], axes[0, -1]
    if left is not right:
        left.axvline(random_accuracy, color="0.35", ls="--", lw=1)
        left.text(random_accuracy, len(table) - 0.4, " random weights", size=7, color="0.35", va="bottom")
        left.set_xlabel("accuracy of a linear probe on the source (%)")
        right.tick_params(axis="y", length=0)
    left.set_yticks(y, [label(model) for model in table["model"]])
    left.set_ylim(-0.6, len(table) + 0.4)
    right.set_xlabel("directions that the features use\n(effective rank)")
    if not alive.all():
        right.legend()
    figure.suptitle(title, size=9)
    return figure


def term_intervals(table: pd.DataFrame, title: str, covered: str) -> Figure:
    """How well the terms of NCTI rank each pool, alone and together: mean weighted Kendall with its interval.

    Parameters
    ----------
    table : DataFrame (pool, terms, weighted_kendall, low, high)
        Rows of one pool come from top to bottom as they stand.
    covered : str
        What the intervals include, in words: `resampling.covers`.
    """
    pools = list(dict.fromkeys(table["pool"]))
    names = list(dict.fromkeys(table["terms"]))
    size = (style.PAGE, 0.9 + 0.21 * len(names))
    figure, axes = plt.subplots(1, len(pools), sharex=True, sharey=True, figsize=size, squeeze=False)
    for ax, pool, colour in zip(axes[0], pools, style.COLOURS, strict=False):
        rows = table[table["pool"] == pool].set_index("terms").loc[names]
        y = np.arange(len(names))
        ax.hlines(y, rows["low"], rows["high"], color=colour, lw=1.6, alpha=0.55)
        ax.plot(rows["weighted_kendall"], y, "o", color=colour, ms=5)
        for at, value in zip(y, rows["weighted_kendall"], strict=True):
            text = f"{value:.2f}".replace("-", "−")
            ax.annotate(text, (value, at), (0, 3.5), textcoords="offset points", ha="center", size=6.5)
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yticks(y, names)
        ax.set(title=pool, ylim=(len(names) - 0.5, -0.7))
    figure.supxlabel(f"mean weighted Kendall $\\tau_w$ over targets; lines: {covered}", size=8)
    figure.suptitle(title, size=9)
    return figure
