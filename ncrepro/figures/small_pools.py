"""Small pools: what pre-training is worth to each model, and how well each metric predicts it."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .display_names import label


def gain_of_pretraining(results: pd.DataFrame, scratch: dict[str, float], start: str, title: str) -> Figure:
    """How well every model does after fine-tuning, beside the same training without a source.

    Parameters
    ----------
    results : DataFrame (model, measure, value)
        One row per fine-tuning, per cent; a panel for each measure, the best model of the first one on top.
    scratch : dict measure -> per cent
        Without a source: the dashed lines.
    start : str
        What that begins with: "random weights", ...
    """
    measures = list(dict.fromkeys(results["measure"]))
    means = results[results["measure"] == measures[0]].groupby("model")["value"].mean().sort_values()
    height = 0.95 + 0.19 * len(means)
    figure, axes = plt.subplots(1, len(measures), figsize=(style.PAGE, height), sharey=True, squeeze=False)
    rows = {model: y for y, model in enumerate(means.index)}
    for ax, measure in zip(axes[0], measures, strict=True):
        group = results[results["measure"] == measure]
        y = group["model"].map(rows)
        ax.plot(group["value"], y, "o", ms=3.5, color=style.COLOURS[0], mec="white", mew=0.3, label="one fine-tuning")
        mean = group.groupby("model")["value"].mean()
        ax.plot(mean, mean.index.map(rows), "|", ms=9, color="black", label="their mean")
        ax.axvline(scratch[measure], color=style.COLOURS[1], ls="--", lw=1, zorder=0, label=f"from {start}")
        ax.set(xlabel=f"{measure} after fine-tuning (%)")
        ax.grid(axis="y", color="0.92")
    axes[0, 0].set_yticks(list(rows.values()), list(rows))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(title)
    return figure


def correlation_bars(correlations: pd.DataFrame, methods: list[str], chance: float, title: str, covered: str) -> Figure:
    """Weighted Kendall and Pearson of several metrics as bars, one colour for each ground truth.

    Parameters
    ----------
    correlations : DataFrame (target, metric, weighted_kendall, pearson, low, high)
        ``target`` names the ground truth; ``low`` and ``high`` become a line on the bars of the weighted Kendall. Where
        all ground truths give the same values, there is one bar for all, with the line of the first.
    methods : list of metrics, from left to right
    chance : float
        The weighted Kendall that one random ranking in twenty exceeds: the grey band ends there.
    covered : str
        What the lines include, in words: `resampling.covers`.
    """
    judges = list(dict.fromkeys(correlations["target"]))
    figure, axes = plt.subplots(2, 1, figsize=(style.PAGE, 4.2), sharex=True)
    for ax, statistic in zip(axes, ("weighted_kendall", "pearson"), strict=True):
        wide = correlations.pivot(index="metric", columns="target", values=statistic).loc[methods, judges]
        alike = len(judges) > 1 and np.allclose(wide, wide[[judges[0]]], equal_nan=True)  # equal bars say nothing twice
        shown = {f"{' and '.join(judges)} alike": "0.55"} if alike else dict(zip(judges, style.COLOURS, strict=False))
        width = 0.8 / (len(shown) + alike)
        for i, (judge, colour) in enumerate(shown.items()):
            group = correlations[correlations["target"] == judges[i]].set_index("metric").loc[methods]
            x = np.arange(len(methods)) + (i - (len(shown) - 1) / 2) * width
            ax.bar(x, group[statistic], 0.92 * width, color=colour, label=judge)
            if statistic == "weighted_kendall":
                lines = ax.vlines(x, group["low"], group["high"], color="0.25", lw=1)
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(ylabel=label(statistic), ylim=(-1.05, 1.05))
    band = axes[0].axhspan(-chance, chance, color="0.9", lw=0, zorder=0)
    axes[1].set_xticks(range(len(methods)), [label(m).replace(", ", ",\n").replace(" as", "\nas") for m in methods])
    bars = dict(pair for ax in axes for pair in zip(*reversed(ax.get_legend_handles_labels()), strict=False))
    names = [*bars, covered, f"19 of 20 random rankings stay below {chance:.2f}"]
    spacing = {"columnspacing": 1.2, "handlelength": 1.5, "ncols": 2}
    figure.legend([*bars.values(), lines, band], names, loc="outside lower center", **spacing)
    figure.suptitle(title)
    return figure
