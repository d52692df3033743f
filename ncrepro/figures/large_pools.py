"""The figures of `36_large_pools`."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..lab.analyses import large_pools as measured
from ..lab.analyses import read
from ..ranking.verdicts import Verdict, above, every, positive
from . import charts, style
from .display_names import label
from .index import Checked, figure

QUALITY = 0.6  # the weighted Kendall in the claim
TENTH = 0.1
WHAT = {"best": "to have the best model", "near": "to have one within a point of it"}


def _table(profile: str, name: str) -> pd.DataFrame:
    return read(profile, "large_pools", name)


# The hub --------------------------------------------------------------------------------------------------------------


def _hub_holds(profile: str) -> tuple[str, Verdict]:
    table = _table(profile, "hub").query("ranking == 'simulated' and weighted_kendall == @QUALITY")
    spare = TENTH * table["n_models"] - table["best"]
    text = (
        f"with τ_w {QUALITY:g}, {table['best'].min()} to {table['best'].max()} of {table['n_models'].iloc[0]} models "
        f"to have the best one (mean {table['best'].mean():.0f}), {table['near'].min()} to {table['near'].max()} to "
        f"have one within a point (mean {table['near'].mean():.0f})"
    )
    return text, every(*positive(spare.mean(), spare.sem(), len(spare) - 1))


@figure(
    shows="how many of the first models of a ranking must be fine-tuned to have the best one, or one within a point, "
    "with 95 %, by the quality of the ranking: simulated scores, real accuracies of 175 models of a hub",
    claim=f"(ours) with a ranking of τ_w {QUALITY:g}, a tenth of the models is enough to have the best one with 95 %, "
    "on average over data sets",
)
def hub_shortlist(profile: str) -> Checked:
    table = _table(profile, "hub").query("ranking == 'simulated'")
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 2.8), sharey=True)
    for ax, (what, title) in zip(axes, WHAT.items(), strict=True):
        for _, one in table.groupby("target", sort=False):
            ax.plot(one["weighted_kendall"], one[what], color="0.75", lw=0.8, label="a data set")
        mean, name = table.groupby("weighted_kendall")[what].mean(), f"mean of {table['target'].nunique()} data sets"
        ax.plot(mean, "o-", color=style.COLOURS[0], ms=3.5, lw=1.4, label=name)
        ax.axhline(TENTH * table["n_models"].iloc[0], color="0.4", lw=0.9, ls="--", label="a tenth of the models")
        ax.set_title(title)
        ax.set_xlabel(r"quality, weighted Kendall $\tau_w$ (0: at random)")
        ax.set_yscale("log")
        ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        ax.minorticks_off()
    axes[0].set_ylabel(f"models to fine-tune, of {table['n_models'].iloc[0]}")
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    figure.suptitle("How many models must be fine-tuned, with 95 %?")
    return figure, *_hub_holds(profile)


@figure(
    shows="where the static baseline has the best of 175 hub models on each data set, and one within a point of it, "
    "beside what simulated scores of the same quality need with 95 %"
)
def hub_static_shortlist(profile: str) -> Figure:
    table = _table(profile, "hub").query("ranking == 'static'").sort_values("weighted_kendall", ascending=False)
    y = np.arange(len(table))
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 1.35 + 0.19 * len(table)), sharey=True, sharex=True)
    for ax, (what, title) in zip(axes, WHAT.items(), strict=True):
        ax.plot(table[f"promised_{what}"], y, "|", color="0.4", ms=9, mew=1.4, label="simulated scores, 95 %")
        ax.plot(table[what], y, "D", color=style.COLOURS[1], ms=4, label="the static baseline")
        ax.set_title(title)
        ax.set_xlabel(r"place (in brackets: $\tau_w$ of the ranking)")
        ax.set_xscale("log")
        ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        ax.minorticks_off()
    names = [f"{label(row.target)} ({row.weighted_kendall:.2f})" for row in table.itertuples()]
    axes[0].set_yticks(y, names)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle("A list that looks at no target: how far down is the best model?")
    return figure


# Made candidates ------------------------------------------------------------------------------------------------------


def _shortlist_holds(profile: str) -> tuple[str, Verdict]:
    draws = _table(profile, "draws").query("total == 'min-max'")
    place = draws.pivot(index="draw", columns="target", values="best")[draws["target"].unique()]
    shares = ", ".join(f"{label(target)} {share:.0%}" for target, share in (place <= measured.FIRST).mean().items())
    needed = ", ".join(f"{label(target)} {measured.shortlist_length(place[target].to_numpy())}" for target in place)
    text = (
        f"pools of {measured.SIZE} whose best candidate is among the first {measured.FIRST}: {shares}; to have it in "
        f"95 % of them, fine-tune {needed}"
    )
    return text, every(*(above(measured.FIRST + 0.5 - place[target]) for target in place))


@figure(
    shows="how often the best of many made candidates is among the first that NCTI ranks, with three ways to add its "
    "terms",
    claim=f"(ours) the best of {measured.SIZE} candidates is among the {measured.FIRST} that NCTI ranks first",
)
def large_pool_shortlist(profile: str) -> Checked:
    groups = _table(profile, "draws").groupby(["target", "total"], sort=False)["best"]
    points = [
        {"panel": f"{label(target)}, {measured.SIZE} candidates", "line": total, "x": k, "y": 100 * (place <= k).mean()}
        for (target, total), place in groups
        for k in (1, 2, 3, 5, 10, 20, 50, 100)
    ]
    title = f"Is the best candidate among the first? (dashed: {measured.FIRST})"
    labels = ("candidates that are fine-tuned, from the first on", "pools (%)")
    look = {"columns": 2, "log": True, "mark": measured.FIRST, "names": "terms added as"}
    return charts.curves(pd.DataFrame(points), title, *labels, **look), *_shortlist_holds(profile)


def _outlier_holds(profile: str) -> tuple[str, Verdict]:
    draws, worst = _table(profile, "draws"), list(measured.OUTLIERS)[-1]
    moved = 100 * draws.pivot_table(worst, "draw", "total")
    means = ", ".join(f"{name} {moved[name].mean():.2f} %" for name in measured.TOTALS)
    text = f"pairs whose order changes in pools of {measured.SIZE}: {means}"
    return text, above(moved["min-max"], moved["ranks"])


@figure(
    shows="how many pairs of candidates change their order when one outlier joins the pool, by what it is and by how "
    "NCTI's terms are added",
    claim="(ours) one candidate that was trained on the target's own images changes the order of the others more if "
    "terms are min-max normalised than if they are ranks",
)
def large_pool_outlier(profile: str) -> Checked:
    draws = _table(profile, "draws")
    figure, axes = plt.subplots(1, len(measured.OUTLIERS), figsize=(style.PAGE, 2.3), sharey=True, sharex=True)
    y = np.arange(len(measured.TOTALS))
    for ax, what in zip(axes, measured.OUTLIERS, strict=True):
        part = 100 * draws.groupby("total")[what].agg(["mean", "min", "max"]).loc[list(measured.TOTALS)]
        ax.hlines(y, part["min"], part["max"], color=style.COLOURS[0], lw=4, alpha=0.3)
        ax.plot(part["mean"], y, "o", color=style.COLOURS[0], ms=4, label=f"{measured.SIZE} candidates")
        ax.set_title(what)
        ax.set_xlabel("pairs that change their order (%)\nmark: mean, band: range over pools")
        ax.set_xscale("symlog", linthresh=0.1)
        ax.set_xticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])
        ax.minorticks_off()
    axes[0].set_yticks(y, list(measured.TOTALS))
    axes[0].set_ylim(len(y) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center")
    figure.suptitle("One outlier joins the pool: does the order of the others change?")
    return figure, *_outlier_holds(profile)
