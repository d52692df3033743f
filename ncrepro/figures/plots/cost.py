"""What rankings cost and what they are worth."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .names import label

NEAR = 3  # times whose quotient is less stand too close for two texts on the same side


def time_against_ranking(table: pd.DataFrame, lines: pd.DataFrame, title: str) -> Figure:
    """Mean weighted Kendall over the time that it takes to score the pool, one panel per pool.

    Parameters
    ----------
    table : DataFrame (pool, implementation, metric, seconds, weighted_kendall)
        The first implementation is drawn filled, another hollow and tied to it.
    lines : DataFrame (pool, what, seconds)
        Times to compare with, drawn upright.
    """
    pools, implementations = (list(dict.fromkeys(table[column])) for column in ("pool", "implementation"))
    metrics = list(dict.fromkeys(table["metric"]))
    looks = {m: (style.COLOURS[i % 7], style.MARKERS[i % len(style.MARKERS)]) for i, m in enumerate(metrics)}
    figure, axes = plt.subplots(1, len(pools), figsize=(style.PAGE, 3.4), sharey=True, squeeze=False)
    for ax, pool in zip(axes[0], pools, strict=True):
        group = table[table["pool"] == pool]
        for metric, points in group.groupby("metric", sort=False):
            colour, marker = looks[metric]
            ax.plot(points["seconds"], points["weighted_kendall"], color=colour, lw=0.8, alpha=0.6)
            for row in points.itertuples():
                face = colour if row.implementation == implementations[0] else "white"
                ax.plot(row.seconds, row.weighted_kendall, marker, color=colour, mfc=face, ms=6, mew=1)
        before = 0.0
        for line in lines[lines["pool"] == pool].sort_values("seconds").itertuples():
            ax.axvline(line.seconds, color="0.6", lw=0.9, ls="--", zorder=0)
            side, away = ("left", 2) if line.seconds < NEAR * before else ("right", -2)  # of two near lines one has its text behind it
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": side}
            ax.annotate(line.what, (line.seconds, 0.01), (away, 0), va="bottom", rotation=90, size=6.5, color="0.35", **where)
            before = line.seconds
        ax.set(xscale="log", xlabel="seconds to score the pool, one thread", title=f"{label(pool)} pool")
    axes[0, 0].set_ylabel("mean weighted Kendall $\\tau_w$ over targets")
    handles = [plt.Line2D([], [], color=colour, marker=marker, ls="", ms=6) for colour, marker in looks.values()]
    fills = [plt.Line2D([], [], color="0.3", mfc=face, marker="o", ls="", ms=6) for face in ("0.3", "white")]
    names = [*map(label, metrics), *implementations]
    figure.legend(handles + fills[: len(implementations)], names, loc="outside right center", handletextpad=0.2)
    figure.suptitle(title, size=9)
    return figure
