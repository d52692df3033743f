"""The figures of `35_which_metric`."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t

from ..lab.analyses import published_pools, read
from ..lab.analyses import which_metric as measured
from ..metrics import registry
from ..rank_your_own.rank import DEFAULT
from ..ranking import resampling
from ..ranking.verdicts import HOLDS, Verdict, above, every, likely, positive, some
from . import charts, style
from .display_names import label
from .findings import is_best
from .index import Checked, figure

# made on other pools -> on the page
CHOICES = {"1": "best metric", "2": "best pair", "3": "best trio", measured.RULE: "one standard error"}
DEFAULT_SET = " ".join(DEFAULT)


def _table(profile: str, name: str) -> pd.DataFrame:
    return read(profile, "which_metric", name)


def set_label(chosen: str) -> str:
    """``NCTI + LogME`` of ``"ncti logme"``."""
    return CHOICES.get(chosen) or " + ".join(map(label, chosen.split()))


def _over_pools(values: pd.DataFrame) -> pd.DataFrame:
    """Means of rows over the columns, which are pools, with 95 % by Student: (weighted_kendall, low, high)."""
    n, mean = values.notna().sum(axis=1), values.mean(axis=1)
    half = t.ppf(0.975, (n - 1).clip(lower=1)) * values.sem(axis=1)
    return pd.DataFrame({"weighted_kendall": mean, "low": mean - half, "high": mean + half})


def _above(one: pd.Series, other: pd.Series) -> Verdict:
    """That one thing lies above another on average over the same pools."""
    difference, error, freedom = measured.mean_difference(one, other)
    return positive(difference, error, max(freedom, 1))[0]


# Every metric on every pool -------------------------------------------------------------------------------------------


def by_pool(profile: str, column: str = "weighted_kendall") -> pd.DataFrame:
    """Rankings x pools, the metrics first, best mean rank on top; then what looks at no target."""
    table = _table(profile, "pools")
    wide = table.pivot(index="metric", columns="pool", values=column)[table["pool"].unique()]
    place = table.groupby("metric")["place"].mean()
    blind = wide.index.isin(registry.BLIND)
    order = [*place[~blind].sort_values(kind="stable").index, *wide.index[blind]]
    return wide.loc[order]


def _best_holds(profile: str) -> tuple[str, Verdict]:
    wide = by_pool(profile)
    wide = wide[~wide.index.isin(registry.BLIND)]
    everywhere = wide[wide.notna().all(axis=1)]
    mean = everywhere.mean(axis=1).sort_values(ascending=False)
    first, others = mean.index[0], mean.index[1:]
    verdicts = [_above(wide.loc[first], wide.loc[other]) for other in others]
    beaten = [label(other) for other, verdict in zip(others, verdicts, strict=True) if verdict.word == HOLDS]
    text = (
        f"highest mean τ_w over {wide.shape[1]} pools: {label(first)} {mean.iloc[0]:.2f}, then {label(others[0])} "
        f"{mean.iloc[1]:.2f}; it is surely above {', '.join(beaten) or 'none'}"
    )
    return text, every(*verdicts)


@figure(
    shows="how well every metric ranks every pool, its mean over pools, and its mean rank among the metrics",
    claim="(ours) one metric ranks better than every other, on average over pools",
)
def advice_pools(profile: str) -> Checked:
    wide, low, high = by_pool(profile), by_pool(profile, "low"), by_pool(profile, "high")
    place = _table(profile, "pools").groupby("metric")["place"].mean()
    rows, columns = wide.shape
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(style.PAGE, 1.5 + charts.CELL * rows), width_ratios=(0.34 * columns + 1, 2.2), sharey=True
    )
    left.pcolormesh(wide.to_numpy(), cmap=style.DIVERGING, vmin=-1, vmax=1, edgecolors="white", linewidth=1)
    unsure = (low <= 0) & (high >= 0) | low.isna()
    for (row, column), value in np.ndenumerate(wide.to_numpy()):
        if np.isfinite(value):
            look = {"color": "0.45", "style": "italic"} if unsure.iat[row, column] else {}
            text = f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
            left.text(column + 0.5, row + 0.5, text, ha="center", va="center", size=6.5, **look)
    left.set_xticks(np.arange(columns) + 0.5, list(wide), rotation=40, ha="right", rotation_mode="anchor", size=6.5)
    left.set_yticks(np.arange(rows) + 0.5, [label(name) for name in wide.index])
    left.tick_params(length=0)
    left.set(ylim=(rows, 0))
    left.spines[:].set_visible(False)
    _means(right, _over_pools(wide), place)
    figure.suptitle("How well every metric ranks every pool: mean weighted Kendall over its targets")
    return figure, *_best_holds(profile)


def _means(ax: Axes, means: pd.DataFrame, place: pd.Series) -> None:
    y = np.arange(len(means)) + 0.5
    for name, (colour, marker) in charts.LOOKS.items():
        chosen = charts.look_names(pd.Series(means.index)) == name
        charts.intervals(ax, y[chosen], means[chosen], colour, marker)
    at_right = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center", "size": 6.5}
    for row, rank in enumerate(place.reindex(means.index)):
        if np.isfinite(rank):
            ax.text(1.16, row + 0.5, f"{rank:.1f}", **at_right)
    ax.text(1.16, -0.35, "rank", **at_right)
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    ax.set_xlim(min(-0.2, means["low"].min()), 1)
    ax.set_xlabel("mean over pools\nlines: 95 %, other pools")
    ax.tick_params(axis="y", length=0)


# Sets that were chosen on other pools ---------------------------------------------------------------------------------


def worth_on_other_pools(profile: str, setting: str, column: str) -> pd.DataFrame:
    """Choices x pools: what sets chosen on other pools are worth."""
    table = _table(profile, "held_out").query("setting == @setting and left_out == 'pool'")
    wide = table.pivot(index="choice", columns="pool", values=column)
    return wide.loc[[*(c for c in CHOICES if c in wide.index), *(c for c in measured.PROPOSED if c in wide.index)]]


def _held_out_holds(profile: str) -> tuple[str, Verdict]:
    wide = worth_on_other_pools(profile, measured.FEATURES, "weighted_kendall")
    mean = wide.mean(axis=1)
    several = [choice for choice in ("2", "3") if choice in wide.index]
    text = ", ".join(f"{CHOICES[c]} {mean[c]:.2f}" for c in ("1", *several)) + f" (mean τ_w on {wide.shape[1]} pools)"
    return text, some(*(_above(wide.loc[choice], wide.loc["1"]) for choice in several))


@figure(
    shows="what sets of metrics that were chosen on other pools are worth on the pool that was left out, beside sets "
    "that others proposed",
    claim="(ours) a total of two or three metrics, chosen on other pools, ranks better than the one chosen there",
)
def advice_held_out(profile: str) -> Checked:
    settings = list(_table(profile, "held_out")["setting"].unique())
    figure, axes = plt.subplots(len(settings), 2, figsize=(style.PAGE, 0.9 + 1.75 * len(settings)), squeeze=False,
                                sharex="col")  # fmt: skip
    for (left, right), setting in zip(axes, settings, strict=True):
        for ax, column in ((left, "weighted_kendall"), (right, "regret")):
            wide = worth_on_other_pools(profile, setting, column)
            y, means = np.arange(len(wide)), _over_pools(wide)
            for row, values in enumerate(wide.to_numpy()):
                ax.plot(values, np.full(len(values), row), "|", color="0.6", ms=5, mew=0.8)
            chosen = wide.index.isin(CHOICES)
            for part, colour, marker in ((chosen, style.COLOURS[0], "o"), (~chosen, style.COLOURS[1], "D")):
                charts.intervals(ax, y[part], means[part], colour, marker)
            ax.set_yticks(y, [set_label(choice) for choice in wide.index] if ax is left else [""] * len(y), size=7)
            ax.set_ylim(len(y) - 0.5, -0.5)
        left.axvline(0, color="0.85", lw=0.8, zorder=0)
        right.set_xlim(left=min(0, right.get_xlim()[0]))
        inputs = "features and labels" if setting == measured.FEATURES else "a source classifier, too"
        left.set_title(f"asks for {inputs} ({wide.shape[1]} pools)", size=8)
    axes[-1, 0].set_xlabel(r"weighted Kendall $\tau_w$")
    axes[-1, 1].set_xlabel("regret in points of accuracy")
    figure.supxlabel("blue: chosen on the other pools; orange: proposed by others. Ticks: pools; lines: 95 %", size=7.5)
    figure.suptitle("Sets of metrics, judged on the pool that was left out of the choice")
    return figure, *_held_out_holds(profile)


# Lists that look at no target -----------------------------------------------------------------------------------------


METRIC = "best metric of the pool"
LISTS = {"n_parameters": "by size", "family": "by family", "static_baseline": "static baseline",
         "in_turn": "by size, families in turn", METRIC: METRIC}  # fmt: skip


def _lists_hold(profile: str) -> tuple[str, Verdict]:
    table = _table(profile, "lists").pivot(index="benchmark", columns="metric", values="weighted_kendall")
    pools = by_pool(profile)
    size = table["n_parameters"].reindex(pools.columns).dropna()
    metrics = pools.loc[[m for m in pools.index if m not in registry.BLIND and pools.loc[m].notna().all()]]
    text = (
        f"by size {size.mean():.2f} on the {len(size)} pools whose models differ in size, "
        f"{label(DEFAULT[0])} {pools.loc[DEFAULT[0], size.index].mean():.2f}"
    )
    return text, every(*(_above(size, metrics.loc[metric, size.index]) for metric in metrics.index))


@figure(
    shows="how well lists that look at no target rank each pool and NCTI's two published pools, beside the best metric",
    claim="(Singh et al., of the usual benchmarks) a list of models ordered by size ranks better than every metric",
)
def size_lists(profile: str) -> Checked:
    table = _table(profile, "lists")
    shown = pd.concat([table[table["metric"].isin(LISTS)], _best_metric(profile, table)])
    shown = shown.assign(row=shown["metric"].map(LISTS)).rename(columns={"benchmark": "panel"})
    cells = pd.MultiIndex.from_product([table["benchmark"].unique(), LISTS.values()], names=["panel", "row"])
    shown = shown.set_index(["panel", "row"]).reindex(cells).reset_index()  # every row in every panel, in this order
    shown["series"] = np.where(shown["row"] == METRIC, METRIC, "looks at no target")
    seen, never = charts.LOOKS.values()
    looks = {"looks at no target": never, METRIC: seen}
    title, lines = "Lists that look at no target, and the best metric of each pool", "lines: 95 % of draws"
    return charts.rows(shown, title, f"{charts.TAU}; {lines}", columns=4, series=looks), *_lists_hold(profile)


def _best_metric(profile: str, lists: pd.DataFrame) -> pd.DataFrame:
    """The metric with the highest mean of each benchmark; of published ones among those that are printed."""
    pools = _table(profile, "pools").rename(columns={"pool": "benchmark"})
    known = ~lists["metric"].isin([*LISTS, *registry.BLIND])
    both = pd.concat([pools[~pools["metric"].isin(registry.BLIND)], lists[known]])
    best = both.sort_values("weighted_kendall", ascending=False, kind="stable").drop_duplicates("benchmark")
    return best[["benchmark", "weighted_kendall", "low", "high"]].assign(metric=METRIC)


@figure(shows="how well metrics and lists rank each pool without its largest models, left out one by one")
def size_without_largest(profile: str) -> Figure:
    names = {"pool": "panel", "metric": "line", "left_out": "x", "weighted_kendall": "y"}
    shown = [*DEFAULT, "n_parameters", "static_baseline"]
    table = charts.in_order(_table(profile, "without_largest"), "metric", shown).rename(columns=names)
    title = "Without the largest models: does a metric only know the size?"
    return charts.curves(table, title, "how many of the largest are left out")


# Gaps -----------------------------------------------------------------------------------------------------------------


def _fidelity_holds(profile: str) -> tuple[str, Verdict]:
    wide = _table(profile, "fidelity").pivot(index="metric", columns="pool", values="pearson")
    mean = wide.mean(axis=1)
    text = (
        f"mean correlation of gaps {mean.min():.2f} ({label(mean.idxmin())}) to {mean.max():.2f} "
        f"({label(mean.idxmax())}) over {wide.shape[1]} pools"
    )
    return text, every(*(likely(_at_most_0(wide.loc[metric])) for metric in wide.index))


def _at_most_0(values: pd.Series) -> float:
    """How likely the mean over pools is not above 0; NaN for one pool."""
    known = values.dropna()
    return float(t.sf(known.mean() / known.sem(), len(known) - 1)) if len(known) > 1 and known.sem() > 0 else np.nan


@figure(
    shows="how far a gap in score goes with a gap in accuracy, and how often a pair of models is ranked right when the "
    "gap in score is small or large",
    claim="(Singh et al.) for no metric does the gap in score say anything about the gap in accuracy",
)
def fidelity(profile: str) -> Checked:
    table = _table(profile, "fidelity")
    wide = table.pivot(index="metric", columns="pool", values="pearson")
    order = wide.mean(axis=1).sort_values(ascending=False, kind="stable").index
    means = _over_pools(wide.loc[order])
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 1.3 + 0.19 * len(order)), sharey=True)
    y = np.arange(len(order))
    charts.intervals(axes[0], y, means, style.COLOURS[0], "o")
    for row, metric in enumerate(order):
        axes[0].plot(wide.loc[metric], np.full(wide.shape[1], row), "|", color="0.6", ms=5, mew=0.8)
    axes[0].axvline(0, color="0.8", lw=0.8, zorder=0)
    axes[0].set_xlabel("correlation of the gaps\nticks: pools; lines: 95 %")
    for ax, what, scale, xlabel in (
        (axes[1], "right", 100, "pairs ranked right (%)"),
        (axes[2], "points", 1, "points by which the\npreferred model is better"),
    ):
        for part, name, marker, colour in (
            ("small", "third with the smallest gaps", "o", style.COLOURS[2]),
            ("large", "third with the largest", "s", style.COLOURS[3]),
        ):
            mean = scale * table.groupby("metric")[f"{what}_{part}"].mean()[order]
            ax.plot(mean, y, marker, color=colour, ms=4.5, label=name)
        ax.axvline(50 if what == "right" else 0, color="0.8", lw=0.8, zorder=0)
        ax.set_xlabel(xlabel)
    axes[0].set_yticks(y, [label(metric) for metric in order])
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle("Does a larger gap in score mean a larger gap in accuracy?")
    return figure, *_fidelity_holds(profile)


# Real scale -----------------------------------------------------------------------------------------------------------


def _imagenet_holds(profile: str) -> tuple[str, Verdict]:
    draws = resampling.mean_over_targets(resampling.draws(*published_pools.imagenet()))
    known = _table(profile, "imagenet").query("target == 'average'").set_index("metric")["weighted_kendall"]
    rivals = [m for m in known.index if m in draws and m not in (*registry.BLIND, "ncti")]
    text, verdict = is_best(draws, "ncti", rivals)
    return f"NCTI {known['ncti']:.2f}, ImageNet accuracy {known['source_accuracy']:.2f}; NCTI is {text}", verdict


@figure(
    shows="how well published scores of ten ImageNet networks rank them for eleven real data sets",
    claim="NCTI ranks better than every other metric, on networks and data sets of others",
)
def imagenet_models(profile: str) -> Checked:
    table = _table(profile, "imagenet")
    mean = table[table["target"] == "average"].sort_values("weighted_kendall", ascending=False, kind="stable")
    mean = mean.set_index("metric")
    wide = table.pivot(index="metric", columns="target", values="weighted_kendall")
    wide = wide.loc[mean.index, table["target"].unique()]
    names = {m: f"{set_label(m)}  ({charts.number(r.low)} to {charts.number(r.high)})" for m, r in mean.iterrows()}
    title = (
        "Ten ImageNet networks, eleven data sets: published scores judged by published accuracies\n"
        "(in brackets: 95 % of the average, other networks)"
    )
    return charts.correlation_heatmap(wide.rename(index=names), title), *_imagenet_holds(profile)


@figure(shows="how well a list that looks at no target ranks 175 models of a public hub on each of twelve data sets")
def hub_targets(profile: str) -> Figure:
    table = _table(profile, "hub").sort_values("weighted_kendall", ascending=False, ignore_index=True)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 1.1 + 0.19 * len(table)), sharey=True)
    y = np.arange(len(table))
    charts.intervals(axes[0], y, table, style.COLOURS[1], "D")
    axes[0].set_xlabel(r"$\tau_w$ of the static baseline" + "\nlines: 95 %, other models")
    axes[1].plot(table["agreement"], y, "o", color=style.COLOURS[0], ms=4)
    axes[1].set_xlabel("mean Spearman correlation\nwith the other data sets")
    axes[2].plot(table["regret"], y, "D", color=style.COLOURS[1], ms=4, label="first choice of the static baseline")
    axes[2].plot(table["random"], y, "x", color="0.5", ms=4, label="a choice at random")
    axes[2].set_xlabel("regret in points of accuracy")
    for ax in axes:
        ax.axvline(0, color="0.85", lw=0.8, zorder=0)
    axes[0].set_yticks(y, [label(target) for target in table["target"]])
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(f"A public hub: {table['n_models'].iloc[0]} models fine-tuned on {len(table)} data sets")
    return figure


def choice_text(profile: str) -> str:
    """How the default compares with its members and with what others proposed, in a sentence."""
    table = _table(profile, "sets").query("setting == @measured.FEATURES")
    kendall = table.pivot(index="metrics", columns="pool", values="weighted_kendall")
    if DEFAULT_SET not in kendall.index:
        return f"{set_label(DEFAULT_SET)} is not among the best sets here"
    rivals = [chosen for chosen in dict.fromkeys((*DEFAULT, *measured.PROPOSED)) if chosen in kendall.index]
    words = {chosen: _above(kendall.loc[DEFAULT_SET], kendall.loc[chosen]).word for chosen in rivals}
    parts = [f"{set_label(chosen)} {kendall.loc[chosen].mean():.2f} ({word})" for chosen, word in words.items()]
    return (
        f"That {set_label(DEFAULT_SET)} (mean τ_w {kendall.loc[DEFAULT_SET].mean():.2f}) is above, over the "
        f"{kendall.shape[1]} pools it was chosen on: {', '.join(parts)}"
    )


def imagenet_text(profile: str) -> str:
    """What the default would have been worth on the ten ImageNet networks, in a sentence."""
    scores, accuracies = published_pools.imagenet((DEFAULT_SET,))
    scores = scores[scores["metric"].isin((*DEFAULT, DEFAULT_SET))]
    draws = resampling.mean_over_targets(resampling.draws(scores, accuracies))
    mean = _table(profile, "imagenet").query("target == 'average'").set_index("metric")["weighted_kendall"]
    parts = [
        f"{label(m)} alone {mean[m]:.2f} ({above(draws[DEFAULT_SET], draws[m]).word})" for m in DEFAULT if m in mean
    ]
    return (
        f"On ten ImageNet networks, with the scores that others published, {set_label(DEFAULT_SET)} reaches "
        f"{mean[DEFAULT_SET]:.2f}. That it is above its members there: {', '.join(parts)}"
    )
