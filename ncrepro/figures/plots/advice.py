"""A ranking of a reader's own models, and what became of its advice."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .names import label


def ranking_plot(table: pd.DataFrame, parts: pd.DataFrame, title: str) -> Figure:
    """Totals with their intervals, best model on top, and what each metric alone says.

    Parameters
    ----------
    table : DataFrame (model, total, low, high), best first
        With a column ``accuracy``, this stands at the right.
    parts : DataFrame (model, metric, share)
        0 for a metric's last choice, 1 for its first.
    """
    figure, ax = plt.subplots(figsize=(style.PAGE, 0.9 + 0.22 * len(table)))
    _totals(ax, table, parts)
    figure.suptitle(title, size=9)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def advice_plot(table: pd.DataFrame, parts: pd.DataFrame, regrets: pd.DataFrame, titles: tuple[str, str]) -> Figure:
    """On the left a ranking and the accuracies that it tried to foresee, on the right what following each advice costs.

    Parameters
    ----------
    table, parts : as for `ranking_plot`, with the column ``accuracy``
    regrets : DataFrame (target, advice, regret), points given up; one row of the panel per advice, in their order
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 1.1 + 0.2 * len(table)), width_ratios=(1.3, 1))
    _totals(left, table, parts)
    left.set_title(titles[0], size=8.5)
    order = list(dict.fromkeys(regrets["advice"]))
    mean = regrets.groupby("advice")["regret"].mean()
    for i, advice in enumerate(order):
        found = regrets[regrets["advice"] == advice]
        right.plot(
            found["regret"],
            [i] * len(found),
            "o",
            ms=3.5,
            color=style.COLOURS[5],
            alpha=0.8,
            label="one target" if i == 0 else None,
        )
        right.plot(mean[advice], i, "|", ms=13, mew=2, color=style.COLOURS[1], label="mean" if i == 0 else None)
    right.set_yticks(range(len(order)), [label(advice) for advice in order])
    right.invert_yaxis()
    right.set_xlabel("points of accuracy given up")
    right.set_title(titles[1], size=8.5)
    handles = [ax.get_legend_handles_labels() for ax in (left, right)]
    figure.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], loc="outside lower center", ncols=7)
    return figure


def _totals(ax: plt.Axes, table: pd.DataFrame, parts: pd.DataFrame) -> None:
    rows = {model: i for i, model in enumerate(table["model"])}
    ax.hlines(list(rows.values()), table["low"], table["high"], color=style.COLOURS[0], lw=1.6, alpha=0.5)
    for i, (metric, group) in enumerate(parts.groupby("metric", sort=False)):
        marker, colour = style.MARKERS[1:][i % 11], style.COLOURS[1:][i % 7]
        ax.plot(
            group["share"],
            group["model"].map(rows),
            marker,
            ms=3.5,
            mfc="none",
            color=colour,
            mew=0.9,
            label=f"{label(metric)} alone",
        )
    ax.plot(table["total"], list(rows.values()), "o", ms=5, color=style.COLOURS[0], label="total, 95 % by bootstrap")
    ax.set_yticks(list(rows.values()), list(rows))
    ax.invert_yaxis()
    ax.set_xlabel("score relative to the pool: 0 last choice, 1 first")
    if "accuracy" in table:
        for i, accuracy in enumerate(table["accuracy"]):
            ax.annotate(f"{accuracy:.1f} %", (1.01, i), xycoords=("axes fraction", "data"), size=7, va="center")
