"""Who beats whom, what a choice costs, and one score before two judges."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .names import label


def contests(probability: pd.DataFrame, against: pd.DataFrame, baseline: str, title: str) -> Figure:
    """Left: how surely the metric of a row beats that of a column, in one pool. Right: the baseline, in every pool.

    Parameters
    ----------
    probability : DataFrame (metrics x metrics)
    against : DataFrame (metrics x pools)
    """
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 0.23 * len(probability) + 1.2), sharey=True,
                                width_ratios=[len(probability), 1.1 * against.shape[1]])
    for ax, table in zip(axes, (probability, against), strict=True):
        sns.heatmap(table, ax=ax, vmin=0, vmax=1, cmap=style.DIVERGING, annot=True, fmt=".2f", annot_kws={"size": 6},
                    cbar=ax is axes[1], linewidths=0.5, cbar_kws={"label": "probability", "aspect": 30})
        ax.set_xticks(np.arange(table.shape[1]) + 0.5, [label(name) for name in table], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(np.arange(len(table)) + 0.5, [label(name) for name in table.index], rotation=0)
        ax.set(xlabel="", ylabel="")
        ax.tick_params(length=0)
    axes[0].set_title("this metric (row) ranks better than that one (column)")
    axes[1].set_title(f"better than the\n{label(baseline)}")
    figure.suptitle(title, size=9)
    return figure


def regrets(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy given up by following each ranking, one panel per pool, with the share of targets on which it finds the best model.

    Parameters
    ----------
    table : DataFrame (panel, row, regret, top1, top3)
        Rows are ordered by the first panel, the least regret on top.
    """
    panels = list(dict.fromkeys(table["panel"]))
    order = table[table["panel"] == panels[0]].sort_values("regret")["row"].tolist()
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(style.PAGE, 0.6 + (0.45 + 0.16 * len(order)) * lines), sharey=True, squeeze=False)
    for ax, panel, colour in zip(axes.flat, panels, style.COLOURS[:7] * 3):
        group = table[table["panel"] == panel].set_index("row").reindex(order)
        y = np.arange(len(order))
        ax.barh(y, group["regret"], color=colour, alpha=0.7, height=0.65)
        end = np.nanmax(group["regret"])
        for i, row in enumerate(group.itertuples()):
            if np.isfinite(row.regret):
                ax.text(row.regret + 0.02 * end, i, f"{row.top1:.0%} · {row.top3:.0%}", va="center", size=6)
        ax.set_yticks(y, [label(name) for name in order])
        ax.set(title=panel, xlim=(0, 1.35 * end), ylim=(len(order) - 0.5, -0.5))
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    figure.supxlabel("points of accuracy given up by fine-tuning the first choice, mean over targets\n"
                     "(written: how often the best model is the first choice · among the first three)", size=8)
    figure.suptitle(title, size=9)
    return figure


def two_judges(table: pd.DataFrame, judges: dict[str, str], title: str) -> Figure:
    """The same scores judged by two ground truths, one panel per score, one row per target.

    Parameters
    ----------
    table : DataFrame (score, target, truth, weighted_kendall)
    judges : dict truth -> its name on the page, two of them
    """
    scores, targets = (list(dict.fromkeys(table[column])) for column in ("score", "target"))
    figure, axes = plt.subplots(1, len(scores), figsize=(style.PAGE, 2.5), sharex=True, sharey=True)
    for ax, score in zip(axes, scores, strict=True):
        wide = table[table["score"] == score].pivot(index="target", columns="truth", values="weighted_kendall").reindex(targets)
        y = np.arange(len(targets))
        ax.hlines(y, *(wide[judge] for judge in judges), color="0.75", lw=1.5)
        for (judge, name), colour, marker in zip(judges.items(), style.COLOURS, style.MARKERS):
            ax.plot(wide[judge], y, marker, color=colour, ms=4.5, label=name)
        ax.axvline(0, color="0.85", lw=0.8, zorder=0)
        ax.set_title(label(score).replace(" ", "\n"))
        ax.set_yticks(y, [label(target) for target in targets])
    axes[0].invert_yaxis()
    axes[len(axes) // 2].set_xlabel(r"weighted Kendall $\tau_w$")
    figure.suptitle(title, size=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def again(table: pd.DataFrame, runs: pd.DataFrame, order: list[str], components: dict[str, str], title: str) -> Figure:
    """What each source of chance does to a mean weighted Kendall, side by side; dots: the runs that were made.

    Parameters
    ----------
    table : DataFrame (component, metric, weighted_kendall, low, high)
    runs : DataFrame (run, metric, weighted_kendall)
        Drawn where the training is.
    order : list of metrics, from top to bottom
    components : dict component -> its name on the page
    """
    shown = [name for name in components if name in set(table["component"])]
    figure, axes = plt.subplots(1, len(shown), figsize=(style.PAGE, 0.8 + 0.17 * len(order)), sharex=True, sharey=True, squeeze=False)
    y = np.arange(len(order))
    for ax, name, colour in zip(axes[0], shown, style.COLOURS):
        group = table[table["component"] == name].set_index("metric").reindex(order)
        ax.hlines(y, group["low"], group["high"], color=colour, lw=1.6, alpha=0.5)
        ax.plot(group["weighted_kendall"], y, "o", color=colour, ms=4.5)
        if name == "training":
            found = runs[runs["metric"].isin(order)]
            ax.plot(found["weighted_kendall"], found["metric"].map(order.index), "|", color="0.2", ms=6)
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yticks(y, [label(metric) for metric in order])
        ax.set(title=components[name], ylim=(len(order) - 0.5, -0.5))
    figure.supxlabel(r"mean weighted Kendall $\tau_w$ over targets; lines: 95 % of draws; strokes: single runs", size=8)
    figure.suptitle(title, size=9)
    return figure
