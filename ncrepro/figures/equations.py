"""The figures of `02_metrics_from_equations`: where the printed and the released forms of metrics differ."""

from __future__ import annotations

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style


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
    for panel, (column, title) in zip(panels, titles.items(), strict=False):
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
    for panel, (column, title) in zip(panels, titles.items(), strict=False):
        for i, (layout, rows) in enumerate(table.groupby("layout", sort=False)):
            look = {"color": style.COLOURS[i], "marker": style.MARKERS[i], "markersize": 3, "label": layout}
            panel.plot(rows["separation"], rows[column], **look)
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
    d = table["n_features"].iloc[0]
    panel.axvline(d, color="0.6", linestyle=":", linewidth=1)
    offset = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    panel.annotate("n = d", (d, 1), (3, -10), size=7, **offset)
    n = table["n_samples"]
    panel.plot(n, table["copied"], "s-", color=style.COLOURS[1], label="copied shortcut", markersize=3)
    panel.plot(n, table["logme"], "o-", color=style.COLOURS[0], label="all eigenvalues", markersize=3)
    panel.set(xscale="log", xlabel=f"samples n (d = {d})", ylabel="LogME", title="LogME with few samples")
    ticks = list(table["n_samples"])[::2]
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.legend()
    return figure
