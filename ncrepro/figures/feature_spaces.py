"""Pictures of the toy feature spaces."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style


def spaces(points: pd.DataFrame, captions: dict[str, str], title: str, reach: float | None = None) -> Figure:
    """Feature spaces side by side on one scale, with the centre of each class.

    Parameters
    ----------
    points : DataFrame (space, label, x, y)
    captions : dict space -> what is written below its panel, in the order of the panels
    reach : float, optional
        Every axis goes from -reach to reach; None fits the axes to the points.
    """
    width = style.PAGE if len(captions) > 1 else style.COLUMN
    figure, axes = plt.subplots(1, len(captions), figsize=(width, 2.6), sharex=True, sharey=True, squeeze=False)
    for ax, (space, caption) in zip(axes[0], captions.items(), strict=True):
        draw_space(ax, points[points["space"] == space])
        ax.set_title(space, weight="bold")
        ax.set_xlabel(caption)
        if reach is not None:
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    figure.suptitle(title)
    return figure


def draw_space(ax: Axes, points: pd.DataFrame, size: float = 8) -> None:
    """Samples (label, x, y) of a few classes, each in its colour and marker, and their means at ``size`` points."""
    for label, members in points.groupby("label"):
        colour, marker = style.COLOURS[label], style.MARKERS[label]
        ax.plot(members["x"], members["y"], marker, color=colour, ms=2.2, alpha=0.5, mew=0)
        ax.plot(*members[["x", "y"]].mean(), marker, color=colour, ms=size, mec="black")
    ax.set(xticks=[], yticks=[], aspect="equal")


def terms(table: pd.DataFrame, title: str) -> Figure:
    """What each model gains by each term after min-max, and the total that ranks it.

    Parameters
    ----------
    table : DataFrame, models x signed and normalised terms
    """
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.6, 2.3))
    left = np.zeros(len(table))
    for colour, (term, gain) in zip(style.COLOURS, table.items(), strict=False):
        ax.barh(table.index, gain, left=np.where(gain >= 0, left, 0), color=colour, label=term, height=0.6)
        left = left + gain.clip(lower=0)
    ax.plot(table.sum(axis=1), table.index, "D", color="black", ms=5, label="total")
    ax.axvline(0, color="0.6", lw=0.8)
    ax.invert_yaxis()
    ax.use_sticky_edges = False  # a total of 0 or of the largest sum would be cut in half
    ax.margins(x=0.04)
    ax.set(xlabel="score after min-max over the pool", title=title)
    figure.legend(loc="outside right center")
    return figure
