"""Pictures of the metrics themselves: what they cost, and where their printed and released forms part."""

from __future__ import annotations

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from . import names, style

METRICS = ("all_scores", "ncti", "face", "logme", "sfda", "h_score", "regularized_h_score", "transrate", "gbc")
AXES = {"n_samples": "samples n", "n_features": "features d", "n_classes": "classes K"}


def cost(scaling: pd.DataFrame, against_plain: pd.DataFrame) -> Figure:
    """What the metrics cost: processor time along n, d and K beside one XᵀX, and beside a plain evaluation.

    Parameters
    ----------
    scaling : DataFrame
        ``axis, n_samples, n_features, n_classes, metric, cpu_seconds, gram_cpu_seconds``: the table of the bench's
        section of that name.
    against_plain : DataFrame
        ``metric, cpu_seconds, plain_cpu_seconds``: likewise.
    """
    figure, panels = plt.subplots(2, 2, figsize=(style.PAGE, 5.0))
    panels = panels.ravel()
    for panel, (axis, name) in zip(panels, AXES.items()):
        table = scaling[scaling["axis"] == axis]
        for i, metric in enumerate(METRICS):
            rows = table[table["metric"] == metric].sort_values(axis)
            look = {
                "color": style.COLOURS[(i - 1) % 6],
                "linestyle": "-" if i < 7 else "-.",
                "label": names.label(metric),
            }
            look |= {"color": "black", "linewidth": 2, "label": "all at once"} if metric == "all_scores" else {}
            panel.plot(rows[axis], rows["cpu_seconds"], marker=style.MARKERS[i], markersize=3.5, **look)
        gram = table.groupby(axis)["gram_cpu_seconds"].median()
        panel.plot(gram.index, gram, color="0.5", linestyle="--", label="one XᵀX")
        _logarithmic(panel, gram.index)
        fixed = ", ".join(f"{other[-1]} = {table[key].iloc[0]:,}" for key, other in AXES.items() if key != axis)
        panel.set(xlabel=name, ylabel="processor time (s)", title=f"{fixed}")
    _beside_plain(panels[3], against_plain)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _beside_plain(panel: Axes, table: pd.DataFrame) -> None:
    table = table.dropna(subset="plain_cpu_seconds")
    places = range(len(table))
    panel.barh([i + 0.2 for i in places], table["plain_cpu_seconds"], height=0.38, color="0.75", label="plain")
    panel.barh(
        [i - 0.2 for i in places], table["cpu_seconds"], height=0.38, color=style.COLOURS[0], label="this package"
    )
    for i, (_, row) in zip(places, table.iterrows()):
        panel.text(
            row["plain_cpu_seconds"] * 1.1,
            i + 0.2,
            f"{row['plain_cpu_seconds'] / row['cpu_seconds']:.0f} ×",
            va="center",
            size=7,
        )
    panel.set_yticks(list(places), [names.label(metric) for metric in table["metric"]])
    panel.set_xscale("log")
    panel.set_xlim(right=4 * table["plain_cpu_seconds"].max())
    first = table.iloc[0]
    title = f"n = {first['n_samples']:,.0f}, d = {first['n_features']:,.0f}, K = {first['n_classes']:,.0f}"
    panel.set(xlabel="processor time (s)", title=title)
    panel.legend(loc="lower right")


def _logarithmic(panel: Axes, values) -> None:
    panel.set(xscale="log", yscale="log")
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xticks(list(values), [f"{value:,}" for value in values])
    panel.minorticks_off()
    panel.yaxis.set_major_locator(LogLocator())


def scale_cliff(table: pd.DataFrame) -> Figure:
    """NCTI's three terms as the same features are multiplied by a constant: flat while α is at its floor, then a jump.

    Parameters
    ----------
    table : DataFrame
        ``scale, alpha, seli, ncc, log_vc``, one row per multiplier.
    """
    figure, panels = plt.subplots(1, 4, figsize=(style.PAGE, 1.9))
    titles = {
        "alpha": "shrinkage α",
        "seli": "seli (higher is better)",
        "ncc": "ncc (higher is better)",
        "log_vc": "log vc (lower is better)",
    }
    table = table.sort_values("scale")
    shrunk = table.loc[table["alpha"] > table["alpha"].min(), "scale"].max()
    for panel, (column, title) in zip(panels, titles.items()):
        panel.axvspan(table["scale"].min() / 1.3, shrunk, color=style.COLOURS[4], alpha=0.2, linewidth=0)
        panel.margins(x=0.02)
        panel.plot(table["scale"], table[column], color=style.COLOURS[0], marker="o", markersize=2.5)
        panel.set(xscale="log", xlabel="features × this", title=title)
    panels[0].set_yscale("log")
    panels[0].text(0.04, 0.5, "shrinkage", transform=panels[0].transAxes, size=7)
    panels[0].text(0.97, 0.5, "none", transform=panels[0].transAxes, size=7, ha="right")
    return figure


def overlap_reward(table: pd.DataFrame, n_classes: int) -> Figure:
    """FaCe's class fairness as classes move apart: with j = i, as printed, it is largest where they overlap.

    Parameters
    ----------
    table : DataFrame
        ``separation, layout, as_printed, without_self``: distance between neighbouring means in standard deviations;
        the layout of the means; the two readings of Eq. 6.
    n_classes : int
        K, for the largest values log K and log(K-1).
    """
    figure, panels = plt.subplots(1, 2, figsize=(style.PAGE, 2.2), sharey=True)
    titles = {"as_printed": "Eq. 6 as printed (with j = i)", "without_self": "overlap with the other classes only"}
    for panel, (column, title) in zip(panels, titles.items()):
        for i, (layout, rows) in enumerate(table.groupby("layout", sort=False)):
            panel.plot(
                rows["separation"],
                rows[column],
                color=style.COLOURS[i],
                marker=style.MARKERS[i],
                markersize=3,
                label=layout,
            )
        panel.set(xlabel="distance of neighbouring means (σ)", title=title)
    panels[0].set_ylabel("class fairness F (nats)\nhigher counts as better")
    panels[0].legend(title=f"{n_classes} class means on", loc="center right")
    return figure


def few_samples(table: pd.DataFrame) -> Figure:
    """LogME as the number of samples passes below the number of features: evidence of d weights, and the copied
    shortcut.

    Parameters
    ----------
    table : DataFrame
        ``n_samples, n_features, logme, copied``: the evidence with all d eigenvalues, and with d/2 · log α but only
        min(n, d) of them.
    """
    figure, panel = plt.subplots(figsize=(style.COLUMN, 2.4))
    table = table.sort_values("n_samples")
    panel.axvline(table["n_features"].iloc[0], color="0.6", linestyle=":", linewidth=1)
    panel.annotate(
        "n = d",
        (table["n_features"].iloc[0], 1),
        (3, -10),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        size=7,
    )
    panel.plot(
        table["n_samples"], table["copied"], color=style.COLOURS[1], marker="s", markersize=3, label="copied shortcut"
    )
    panel.plot(
        table["n_samples"], table["logme"], color=style.COLOURS[0], marker="o", markersize=3, label="all eigenvalues"
    )
    panel.set(
        xscale="log",
        xlabel=f"samples n (d = {table['n_features'].iloc[0]})",
        ylabel="LogME",
        title="LogME with few samples",
    )
    ticks = list(table["n_samples"])[::2]
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.legend()
    return figure
