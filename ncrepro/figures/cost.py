"""The figure of `33_cost`, and that of the bench: what metrics cost."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..lab import profiles
from ..lab.experiment import Experiment
from ..lab.scoring_cost import OURS, PLAIN, TOGETHER, stages
from ..ranking.verdicts import Verdict, every, positive
from . import style
from .display_names import label
from .findings import NCTI_METHODS, is_best
from .index import Checked, figure

TIMES = 10  # "more than 10x more time"


def pools(profile: str) -> list[str]:
    """The pools of NCTI's Fig. 4 that the profile has."""
    return [name for name in ("supervised", "selfsupervised") if name in profiles.load(profile).pools]


def _table(profile: str) -> pd.DataFrame:
    return pd.concat([Experiment(pool, profile).read("seconds_cost").assign(pool=pool) for pool in pools(profile)])


def _holds(profile: str) -> tuple[str, Verdict]:
    found = []
    for pool, group in _table(profile).groupby("pool", sort=False):
        seconds = group.set_index(["implementation", "metric"])["seconds"]
        ranked = group[group["implementation"] == OURS].set_index("metric")["weighted_kendall"]
        better = ranked.index[ranked.index.isin(NCTI_METHODS) & (ranked > ranked["ncti"])]
        ratios = [seconds[way, "sfda"] / seconds[way, "ncti"] for way in (OURS, PLAIN)]
        in_time = group[group["implementation"] == OURS].set_index("metric")["error"]  # of the logarithm
        text = f"{label(pool)}: metrics that rank better: {', '.join(map(label, better)) or 'none'}"
        text += f"; time of SFDA / NCTI {ratios[0]:.1f}, plain {ratios[1]:.1f}"
        more, verdict = is_best(Experiment(pool, profile).draws(), "ncti", [m for m in NCTI_METHODS if m in ranked])
        slower = positive(np.log(ratios[0] / TIMES), np.hypot(in_time["sfda"], in_time["ncti"]))
        found.append((f"{text}; NCTI {more}", every(verdict, *slower)))
    return "; ".join(text for text, _ in found), every(*(verdict for _, verdict in found))


@figure(
    shows="mean weighted Kendall against the time to score the whole pool, this package and a plain evaluation",
    claim="NCTI ranks best of its six metrics within a small budget, and SFDA takes more than ten times as long",
)
def ncti_fig4(profile: str) -> Checked:
    table = _table(profile)
    is_together = table["metric"] == TOGETHER
    others = [
        {"pool": pool, "what": f"{stage} (CPU)", "seconds": seconds}
        for pool in pools(profile)
        for stage, seconds in stages(Experiment(pool, profile)).items()
    ]
    lines = pd.concat([table[is_together].assign(what="all metrics at once"), pd.DataFrame(others)])
    title = "What a ranking costs, and how good it is"
    return time_against_ranking(table[~is_together], lines, title), *_holds(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


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
            # the second of two near lines has its text on the other side
            side, away = ("left", 2) if line.seconds < NEAR * before else ("right", -2)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": side, "va": "bottom"}
            ax.annotate(line.what, (line.seconds, 0.01), (away, 0), rotation=90, size=6.5, color="0.35", **where)
            before = line.seconds
        ax.set(xscale="log", xlabel="processor seconds to score the pool", title=f"{label(pool)} pool")
    axes[0, 0].set_ylabel("mean weighted Kendall $\\tau_w$ over targets")
    handles = [plt.Line2D([], [], color=colour, marker=marker, ls="", ms=6) for colour, marker in looks.values()]
    fills = [plt.Line2D([], [], color="0.3", mfc=face, marker="o", ls="", ms=6) for face in ("0.3", "white")]
    names = [*map(label, metrics), *implementations]
    figure.legend(handles + fills[: len(implementations)], names, loc="outside right center", handletextpad=0.2)
    figure.suptitle(title)
    return figure


# Of the bench ---------------------------------------------------------------------------------------------------------

AXES = {"n_samples": "samples n", "n_features": "features d", "n_classes": "classes K"}


def of_metrics(scaling: pd.DataFrame, against_plain: pd.DataFrame) -> Figure:
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
    along_axes = scaling.loc[scaling["axis"].isin(AXES), "metric"]
    metrics = [TOGETHER, *along_axes[along_axes != TOGETHER].unique()]
    for panel, (axis, name) in zip(panels, AXES.items(), strict=False):
        table = scaling[scaling["axis"] == axis]
        for i, metric in enumerate(metrics):
            rows = table[table["metric"] == metric].sort_values(axis)
            look = {"color": style.COLOURS[(i - 1) % 6], "ls": "-" if i < 7 else "-.", "label": label(metric)}
            if metric == TOGETHER:
                look |= {"color": "black", "lw": 2, "label": "all at once"}
            panel.plot(rows[axis], rows["cpu_seconds"], marker=style.MARKERS[i], markersize=3.5, **look)
        gram = table.groupby(axis)["gram_cpu_seconds"].median()
        panel.plot(gram.index, gram, color="0.5", linestyle="--", label="one XᵀX")
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(gram.index, [f"{value:,}" for value in gram.index])
        panel.minorticks_off()
        panel.yaxis.set_major_locator(LogLocator())
        fixed = ", ".join(f"{other[-1]} = {table[key].iloc[0]:,}" for key, other in AXES.items() if key != axis)
        panel.set(xlabel=name, ylabel="processor time (s)", title=fixed)
    _beside_plain(panels[3], against_plain)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _beside_plain(panel: Axes, table: pd.DataFrame) -> None:
    table = table.dropna(subset="plain_cpu_seconds")
    y = np.arange(len(table))
    panel.barh(y + 0.2, table["plain_cpu_seconds"], height=0.38, color="0.75", label=PLAIN)
    panel.barh(y - 0.2, table["cpu_seconds"], height=0.38, color=style.COLOURS[0], label=OURS)
    for i, row in enumerate(table.itertuples()):
        times = f"{row.plain_cpu_seconds / row.cpu_seconds:.0f} ×"
        panel.text(row.plain_cpu_seconds * 1.1, i + 0.2, times, va="center", size=7)
    panel.set_yticks(y, [label(metric) for metric in table["metric"]])
    panel.set_xscale("log")
    panel.set_xlim(right=4 * table["plain_cpu_seconds"].max())
    first = table.iloc[0]
    title = f"n = {first['n_samples']:,.0f}, d = {first['n_features']:,.0f}, K = {first['n_classes']:,.0f}"
    panel.set(xlabel="processor time (s)", title=title)
    panel.set_ylim(bottom=-1.5)  # room for the legend beneath the bars
    panel.legend(loc="lower right", ncols=2)
