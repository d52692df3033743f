"""Pictures of neural collapse: NC1 to NC4 by epoch, orders that hold, and fairness at equal collapse."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from . import style
from .rankings import model_styles
from .toy import draw_space

PANELS = {  # title of a panel -> its measures and what each is called in it
    "NC1: classes shrink": {"nc1": "within / between"},
    "NC2: means evenly far": {
        "nc2_equinorm": "lengths",
        "nc2_equiangularity": "angles alike",
        "nc2_maximal_angle": "angles largest",
    },
    "NC3: weights are means": {"nc3": "distance"},
    "NC4: nearest mean decides": {"nc4": "answers that differ"},
}


def terminal_phase(points: pd.DataFrame, measures: pd.DataFrame, begins: int | None, title: str) -> Figure:
    """Features of three classes in the plane at some epochs, above NC1 to NC4 after every epoch.

    Parameters
    ----------
    points : DataFrame (epoch, kind, label, x, y)
        ``kind``: ``sample``, ``mean`` or ``weight``; collapsed means lie on the corners of the triangle.
    measures : DataFrame (epoch, nc1, nc2_equinorm, nc2_equiangularity, nc2_maximal_angle, nc3, nc4)
    begins : int or None
        The epoch at which the terminal phase begins.
    """
    snapshots = list(dict.fromkeys(points["epoch"]))
    figure = plt.figure(figsize=(style.PAGE, 3.8))
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    for ax, epoch in zip(upper.subplots(1, len(snapshots), sharex=True, sharey=True), snapshots, strict=True):
        _plane(ax, points[points["epoch"] == epoch])
        ax.set_title(f"after epoch {epoch}")
    for ax, (panel, names) in zip(lower.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for (name, text), line in zip(names.items(), ("-", "--", ":")):
            ax.plot(measures["epoch"], measures[name], line, color=style.COLOURS[0], lw=1.2, label=text)
        if begins is not None:
            ax.axvspan(begins, measures["epoch"].max(), color=style.COLOURS[4], alpha=0.15, lw=0)
        ax.set(xscale="log", xlabel="epoch")
        ax.set_title(panel, size=7.5)
        ax.xaxis.set_major_formatter("{x:g}")
        if len(names) > 1:
            ax.set_ylim(0, 1.7 * measures[list(names)].max().max())
            ax.legend(loc="upper right", fontsize=6.5, handlelength=1.6)
        elif "nc1" in names:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=0)
    lower.supylabel("0 is collapse", size=8)
    figure.suptitle(title, size=9)
    return figure


def _plane(ax: Axes, points: pd.DataFrame) -> None:
    draw_space(ax, points[points["kind"] == "sample"], size=5)
    ax.spines[:].set_visible(False)
    triangle = np.array([[0.0, 1.0], [-np.sqrt(0.75), -0.5], [np.sqrt(0.75), -0.5], [0.0, 1.0]])
    ax.plot(*triangle.T, color="0.5", lw=0.8, zorder=0)
    for arrow in points[points["kind"] == "weight"].itertuples():
        head = {"arrowstyle": "-|>", "color": style.COLOURS[arrow.label], "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (arrow.x, arrow.y), (0, 0), arrowprops=head)
    ax.set(xlim=(-1.8, 1.8), ylim=(-1.4, 2))


def followed(following: pd.DataFrame, order: pd.DataFrame, title: str) -> Figure:
    """Variance collapse of several models before and during fine-tuning, and their order by it: a column per target.

    Parameters
    ----------
    following : DataFrame (model, target, epoch, variance_collapse)
        Epoch 0 is before fine-tuning.
    order : DataFrame (target, epoch, pairs_kept, weighted_kendall)
        How far the order of epoch 0 still holds.
    """
    targets = list(dict.fromkeys(following["target"]))
    styles = model_styles(dict.fromkeys(following["model"]))
    figure, axes = plt.subplots(2, len(targets), figsize=(style.PAGE, 4.3), sharex=True, squeeze=False)
    for (upper, lower), target in zip(axes.T, targets, strict=True):
        group = following[following["target"] == target]
        table = group.pivot(index="epoch", columns="model", values="variance_collapse")
        ranks = table.rank(axis=1, ascending=False)
        for model in table.columns:
            colour, marker = styles[model]
            look = {"color": colour, "marker": marker, "ms": 4, "lw": 1.2, "mec": "white", "mew": 0.4, "label": model}
            upper.plot(table.index, -table[model], **look)
            lower.plot(ranks.index, ranks[model], **look)
        end = order[order["target"] == target].iloc[-1]
        kept = f"{100 * end['pairs_kept']:.0f} % of pairs keep their order, $\\tau_w$ = {end['weighted_kendall']:.2f}"
        upper.set(yscale="log", title=f"{target}\n{kept}")
        upper.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        upper.yaxis.set_major_formatter("{x:g}")
        upper.yaxis.set_minor_formatter(NullFormatter())
        lower.set(xlabel="epochs of fine-tuning", ylim=(len(table.columns) + 0.5, 0.5))
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1]))
    axes[0, 0].set_ylabel("NC1 = −variance collapse C\n(lower: more collapsed)")
    axes[1, 0].set_ylabel("rank (1: most collapsed)")
    figure.suptitle(title, size=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", handletextpad=0.4)
    return figure


def fairness(points: pd.DataFrame, captions: dict[str, str], sweep: pd.DataFrame, title: str) -> Figure:
    """Feature spaces of equal variance collapse, and what happens to fairness on the way from the first to the last.

    Parameters
    ----------
    points : DataFrame (space, label, x, y)
    captions : dict space -> what is written below its panel
    sweep : DataFrame (bias, variance_collapse, class_fairness, right, worst)
    """
    widths = [*[1] * len(captions), 1.25]
    figure, (*spaces, ax) = plt.subplots(1, len(widths), figsize=(style.PAGE, 2.6), width_ratios=widths)
    for panel, (space, caption) in zip(spaces, captions.items(), strict=True):
        draw_space(panel, points[points["space"] == space])
        panel.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), xlabel=caption)
        panel.set_title(space, weight="bold")
    curves = {"variance_collapse": "variance collapse C", "class_fairness": "class fairness F",
              "right": "nearest mean right, all", "worst": "nearest mean right, worst class"}  # fmt: skip
    for (column, text), colour, marker in zip(curves.items(), style.COLOURS, style.MARKERS):
        ax.plot(sweep["bias"], sweep[column], color=colour, marker=marker, ms=3, lw=1.2, label=text)
    ax.set(xlabel="bias: 0 even, 1 one class far off", title="equal collapse throughout")
    ax.legend(loc=(0.22, 0.5), fontsize=6.5)
    figure.suptitle(title, size=9)
    return figure
