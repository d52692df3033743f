"""The figures of `34_stability`."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..lab import repeated_verdicts
from ..lab.analyses import read
from ..lab.analyses import stability as measured
from ..lab.experiment import Experiment
from ..metrics import registry
from ..ranking import resampling
from ..ranking.verdicts import OPEN, SURE, Verdict, above, every, exact, positive, some
from . import charts, style
from .ablations import panel_names
from .display_names import label
from .index import Checked, figure

POOL = "supervised"  # the pool whose images are resampled and whose metrics meet each other
DOUBTS = {
    "models": "other models", "left_out": "one model fewer", "images": "other images", "seeds": "another fine-tuning",
}  # fmt: skip


def _of_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the metrics, without the baselines."""
    return table[~table["metric"].isin(registry.BASELINES)]


def _doubts_hold(profile: str) -> tuple[str, Verdict]:
    table = _of_metrics(read(profile, "stability", "doubts"))
    widths = table.assign(width=table["high"] - table["low"]).pivot(index="metric", columns="doubt", values="width")
    text = "median width: " + ", ".join(f"{DOUBTS[doubt]} {widths[doubt].median():.2f}" for doubt in DOUBTS)
    widths = widths.dropna()
    n = len(widths)
    metric_indices = np.random.default_rng(0).integers(n, size=(resampling.DRAWS, n))  # with replacement
    medians = {
        doubt: resampling.widened(np.median(widths[doubt].to_numpy(float)[metric_indices], axis=1), n)
        for doubt in DOUBTS
    }
    return text, every(*(above(medians["models"], medians[doubt]) for doubt in DOUBTS if doubt != "models"))


@figure(
    shows="how far each metric's mean weighted Kendall moves with other models, one model fewer, other images, "
    "another fine-tuning",
    claim="(ours) how well a metric ranks depends on which models are in the pool, more than on images or seeds",
)
def stability_doubts(profile: str) -> Checked:
    table = read(profile, "stability", "doubts")
    order = table[table["doubt"] == "models"].sort_values("weighted_kendall", ascending=False)["metric"]
    table = charts.in_order(charts.in_order(table, "metric", order), "doubt", DOUBTS)
    table = table.assign(panel=table["doubt"].map(DOUBTS), row=table["metric"])
    title, lines = "The supervised pool: what could have been different?", f"{charts.TAU}; lines: how far it moves"
    return charts.rows(table, title, lines, columns=4), *_doubts_hold(profile)


COMPONENTS = {
    "models": "other models", "images": "other test images", "training": "trained again", "all": "all of them",
}  # fmt: skip


@figure(
    shows="how far each metric's mean weighted Kendall moves with other models, other test images, another training, "
    "and with all of them",
)
def stability_training(profile: str) -> Figure:
    table, runs = read(profile, "stability", "components"), read(profile, "stability", "over_runs")
    table, runs = (part[part["pool"] == POOL] for part in (table, runs))
    order = table[table["component"] == "all"].sort_values("weighted_kendall", ascending=False)["metric"].tolist()
    title = f"The {POOL} pool, what each source of chance does\n({_runs_text(profile)})"
    return sources_of_chance(table, runs, order, COMPONENTS, title)


def training_text(profile: str) -> str:
    """What training again showed, in Markdown: how far accuracies vary, and which verdicts changed."""
    table = read(profile, "stability", "points").query("pool == @POOL")
    names = {"images": "other test images", "seeds": "another fine-tuning", "training": "everything trained again"}
    strays = [f"{name} {table[column].mean():.1f}" for column, name in names.items() if table[column].notna().any()]
    lines = [
        f"The {POOL} pool: {_runs_text(profile)}. "
        f"How far an accuracy moves, in points: {', '.join(strays) or 'not known'}."
    ]
    verdicts = repeated_verdicts.measured_verdicts(profile)
    if len(verdicts):
        alone, exchanged = (
            repeated_verdicts.single_verdicts(verdicts),
            repeated_verdicts.verdicts_without_each(verdicts),
        )
        moved = alone.index[alone.nunique(axis=1) > 1]
        turned = alone.index[alone.where(alone != OPEN).nunique(axis=1) > 1]
        lines.append(
            f"If one training alone decided, {len(moved)} of {len(alone)} verdicts would not be the same for all "
            f"{alone.shape[1]} ({', '.join(moved) or 'none'}), and {len(turned)} of them would go from *holds* to "
            "*does not hold* or back. Verdicts rest on all trainings together: leaving out each of them in turn "
            f"changes {(exchanged.nunique(axis=1) > 1).sum()} of {len(exchanged)}."
        )
    return "\n\n".join(lines)


def _runs_text(profile: str) -> str:
    """What is known of another training, in one line."""
    noise = Experiment(POOL, profile).noise()
    if noise.runs:
        return f"everything was trained {len(noise.runs) + 1} times"
    instead = ": another fine-tuning is used in place of another training" if noise.seeds is not None else ""
    return f"no repetitions were measured{instead}"


def _left_out(profile: str) -> pd.DataFrame:
    """With all models, and the range with each left out: (pool, n_models, metric, weighted_kendall, low, high)."""
    table, by = read(profile, "stability", "left_out"), ["pool", "n_models", "metric"]
    whole = table[table["left_out"].isna()].set_index(by)["weighted_kendall"]
    rest = table[table["left_out"].notna()].groupby(by, sort=False)["weighted_kendall"]
    found = pd.DataFrame({"weighted_kendall": whole, "low": rest.min(), "high": rest.max()})
    return found.loc[whole.index].dropna().reset_index()


def _left_out_holds(profile: str) -> tuple[str, Verdict]:
    table = _of_metrics(_left_out(profile))
    moved = np.maximum(table["high"] - table["weighted_kendall"], table["weighted_kendall"] - table["low"])
    row = table.loc[moved.idxmax()]
    text = (
        f"largest: {label(row.metric)} on {row.pool} from {row.weighted_kendall:.2f} to between {row.low:.2f} and "
        f"{row.high:.2f}"
    )
    table = _of_metrics(read(profile, "stability", "left_out")).set_index(["pool", "metric"])
    whole, rest = table.loc[table["left_out"].isna(), "weighted_kendall"], table[table["left_out"].notna()]
    moved = rest["weighted_kendall"] - whole.loc[rest.index].to_numpy()
    return text, every(*positive(0.1 - moved, rest["error"]), *positive(0.1 + moved, rest["error"]))


@figure(
    shows="mean weighted Kendall with all models, and its range when each model is left out in turn, on every pool",
    claim="(ours) leaving out one model never changes a metric's mean τ_w by more than 0.1",
)
def stability_leave_one_out(profile: str) -> Checked:
    table = _left_out(profile)
    first = table[table["pool"] == table["pool"].iloc[0]].sort_values("weighted_kendall", ascending=False)["metric"]
    table = charts.in_order(table.assign(panel=panel_names(table), row=table["metric"]), "row", first)
    table = charts.in_order(table, "pool", read(profile, "stability", "left_out")["pool"].unique())
    lines = f"{charts.TAU} over targets; lines: range when each model is left out in turn"
    return charts.rows(table, "Does one model decide?", lines), *_left_out_holds(profile)


def _contests_hold(profile: str) -> tuple[str, Verdict]:
    table = _of_metrics(read(profile, "stability", "contests"))[lambda t: ~t["rival"].isin(registry.BASELINES)]
    texts, verdicts = [], []
    for pool, group in table.groupby("pool"):
        sure = (group.pivot(index="metric", columns="rival", values="probability") >= SURE).astype(float)
        pairs = len(group) // 2
        texts.append(f"{pool} {sure.to_numpy().sum():.0f} of {pairs} pairs")
        verdicts.append(above(_decided((sure + sure.T).to_numpy()), 0.5))
    return "decided: " + "; ".join(texts), every(*verdicts)


def _decided(pairs: np.ndarray) -> np.ndarray:
    """The share of decided pairs (metrics x metrics) in draws of the metrics with replacement."""
    counts = resampling.counts_of_models(len(pairs), np.random.default_rng(0))
    weights = 1.0 - np.eye(len(pairs))
    of_draws, all_pairs = (np.einsum("bi,ij,bj->b", counts, table, counts) for table in (pairs * weights, weights))
    return resampling.widened(of_draws / np.maximum(all_pairs, 1), len(pairs))


@figure(
    shows="probability that one metric ranks better than another, supervised pool, and better than the static "
    "baseline, every pool",
    claim="(ours) for most pairs of metrics the draws decide: one is better in 95 % of them",
)
def stability_contests(profile: str) -> Checked:
    table = read(profile, "stability", "contests")
    square = table[table["pool"] == POOL].pivot(index="metric", columns="rival", values="probability")
    order = square.mean(axis=1).sort_values(ascending=False).index
    against = table[table["rival"] == "static_baseline"].pivot(index="metric", columns="pool", values="probability")
    against = against.reindex(index=order, columns=table["pool"].unique()).dropna(axis=1, how="all")
    against = against.rename(columns=lambda pool: label(pool).replace("_", " "))
    title = "How certain is it that one ranking is better than another?"
    return contests(square.loc[order, order], against, "static_baseline", title), *_contests_hold(profile)


def _choices(profile: str) -> pd.DataFrame:
    """Means over targets: (pool, n_models, metric, regret, top1, top3)."""
    by_target = read(profile, "stability", "choices").groupby(["pool", "n_models", "metric"], sort=False)
    return by_target[["regret", "top1", "top3"]].mean().reset_index()


def _choices_hold(profile: str) -> tuple[str, Verdict]:
    texts, found = [], []
    for pool, group in _choices(profile).groupby("pool", sort=False):
        regret = group.set_index("metric")["regret"]
        of_metrics = regret.drop([*registry.BASELINES, "random"], errors="ignore")
        rivals = ["static_baseline"] if "static_baseline" in regret else regret.index.intersection(registry.BLIND)
        blind = regret[rivals].idxmin()
        texts.append(
            f"{pool}: {label(of_metrics.idxmin())} {of_metrics.min():.1f}, {label(blind)} {regret[blind]:.1f}, "
            f"random choice {regret['random']:.1f} points"
        )
        draws = Experiment(pool, profile).draws(statistic="regret")
        better = (every(*(above(draws[rival], draws[metric]) for rival in rivals)) for metric in of_metrics.index)
        found.append(some(*better))
    return "; ".join(texts), every(*found)


@figure(
    shows="accuracy lost by following each ranking, and how often it finds the best model, every pool",
    claim="(ours) on every pool some metric's first choice is better than the static baseline's; a pool with one "
    "target has no static baseline, and there it is better than that of every ranking that never looks at the target",
)
def stability_regret(profile: str) -> Checked:
    table = _choices(profile)
    table = table.assign(panel=panel_names(table), row=table["metric"])
    return regrets(table, "What does following a ranking cost?"), *_choices_hold(profile)


OTHERS = ("other_seed", "other_target")
NOT_METRICS = (*registry.BASELINES, *OTHERS)
OTHER_ACCURACIES = "other accuracies, as a ranking"


def _sources(profile: str) -> pd.DataFrame:
    """(n_sources, n_models, metric, weighted_kendall, low, high), with the group's name as ``panel``."""
    table = read(profile, "stability", "sources")
    several = np.where(table["n_sources"] > 1, table["n_sources"].astype(str) + " sources, ", "one source, ")
    return table.assign(panel=several + table["n_models"].astype(str) + " models")


def better_than_static(profile: str) -> dict[str, tuple[float, float, list[str]]]:
    """Of each group of models, what the static baseline and a linear probe reach, and the metrics above the former."""
    found = {}
    for panel, group in _sources(profile).groupby("panel", sort=False):
        tau = group.set_index("metric")["weighted_kendall"]
        static, of_metrics = tau["static_baseline"], tau.drop(list(NOT_METRICS), errors="ignore")
        found[panel] = static, tau["linear_probe"], of_metrics.index[of_metrics > static].tolist()
    return found


def _sources_hold(profile: str) -> tuple[str, Verdict]:
    table = _sources(profile)
    wide = table.pivot(index="metric", columns="panel", values="weighted_kendall")[table["panel"].unique()]
    of_metrics = wide.drop(index=list(NOT_METRICS), errors="ignore").median()
    texts = [
        f"{panel}: static {wide.at['static_baseline', panel]:.2f}, median of the metrics {of_metrics[panel]:.2f}"
        for panel in wide
    ]
    groups = measured.source_groups(*(Experiment(pool, profile) for pool in ("supervised", "multi_source")))
    first, last = (
        resampling.mean_over_targets(resampling.draws(scores, truth, study.noise()))
        for study, _, scores, truth in (groups[0], groups[-1])
    )
    lost = first["static_baseline"] - last["static_baseline"]
    of_median = [draws.drop(columns=list(NOT_METRICS), errors="ignore").median(axis=1) for draws in (first, last)]
    return "; ".join(texts), above(lost, of_median[0] - of_median[1])


@figure(
    shows="mean weighted Kendall of every ranking but PARC, ETran and kNN, where all models share a source and where "
    "they do not, on the same targets",
    claim="(ours) where models do not share a source, the static baseline, which never looks at the target, loses "
    "more than the metrics do",
)
def stability_sources(profile: str) -> Checked:
    table = _sources(profile)
    last = table[table["panel"] == table["panel"].iloc[-1]].sort_values("weighted_kendall", ascending=False)["metric"]
    covered = resampling.covers(*(Experiment(pool, profile).noise() for pool in ("supervised", "multi_source")))
    is_blind = last.isin(registry.BLIND)
    order = [*OTHERS, *last[is_blind], *last[~is_blind & ~last.isin(OTHERS)]]
    table = charts.in_order(table, "metric", order)
    series = np.where(table["metric"].isin(OTHERS), OTHER_ACCURACIES, charts.look_names(table["metric"]))
    looks = {OTHER_ACCURACIES: (style.COLOURS[2], "^"), **charts.LOOKS}
    table, lines = table.assign(row=table["metric"], series=series), f"{charts.TAU} over targets; lines: {covered}"
    return charts.rows(table, "When is a metric worth using?", lines, series=looks), *_sources_hold(profile)


def _truths_hold(profile: str) -> tuple[str, Verdict]:
    table = read(profile, "stability", "published_truths")
    table = table.pivot(index=["score", "target"], columns="truth", values="weighted_kendall")
    agree = table.loc["other_truth", "sfda"]
    moved = (table["sfda"] - table["tllib"]).drop("other_truth").abs()
    text = (
        f"the two tables agree at τ_w {agree.min():.2f} ({label(agree.idxmin())}) to {agree.max():.2f} "
        f"({label(agree.idxmax())}); scores move by {moved.mean():.2f} on average, at most {moved.max():.2f}"
    )
    return text, exact(moved.mean() < 0.1, "published scores and published accuracies")


@figure(
    shows="published scores of the same ten models judged by two published tables of accuracies",
    claim="(ours) how well a score ranks does not depend on whose accuracies judge it",
)
def stability_ground_truth(profile: str) -> Checked:
    table = read(profile, "stability", "published_truths")
    scores, targets = table["score"].unique(), table["target"].unique()
    judges = {
        "sfda": "accuracies that NCTI's tables rest on (SFDA)",
        "tllib": "accuracies of the Transfer Learning Library",
    }
    figure, axes = plt.subplots(1, len(scores), figsize=(style.PAGE, 2.5), sharex=True, sharey=True)
    for ax, score in zip(axes, scores, strict=True):
        of_score = table[table["score"] == score]
        wide = of_score.pivot(index="target", columns="truth", values="weighted_kendall").reindex(targets)
        y = np.arange(len(targets))
        ax.hlines(y, *(wide[judge] for judge in judges), color="0.75", lw=1.5)
        for (judge, name), colour, marker in zip(judges.items(), style.COLOURS, style.MARKERS, strict=False):
            ax.plot(wide[judge], y, marker, color=colour, ms=4.5, label=name)
        ax.axvline(0, color="0.85", lw=0.8, zorder=0)
        ax.set_title(label(score).replace(" ", "\n"))
        ax.set_yticks(y, [label(target) for target in targets])
    axes[0].invert_yaxis()
    axes[len(axes) // 2].set_xlabel(r"weighted Kendall $\tau_w$")
    figure.suptitle("The same ten ImageNet models, the same scores, two published ground truths")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure, *_truths_hold(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


def contests(probability: pd.DataFrame, against: pd.DataFrame, baseline: str, title: str) -> Figure:
    """Left: how surely the metric of a row beats that of a column, in one pool. Right: the baseline, in every pool.

    Parameters
    ----------
    probability : DataFrame (metrics x metrics)
        Only the upper half is drawn: each value in the lower half is 1 minus one in the upper half.
    against : DataFrame (metrics x pools)
    """
    upper = probability.where(np.triu(np.ones(probability.shape, bool), 1)).iloc[:, 1:]
    size, widths = (style.PAGE, 0.23 * len(probability) + 1.3), [upper.shape[1], 1.15 * against.shape[1]]
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=widths)
    for ax, table in zip(axes, (upper, against), strict=True):
        numbers = {"annot": True, "fmt": ".0f", "annot_kws": {"size": 7}}
        bar = {"cbar": ax is axes[1], "cbar_kws": {"label": "probability (%)", "aspect": 30}}
        sns.heatmap(100 * table, ax=ax, vmin=0, vmax=100, cmap=style.DIVERGING, linewidths=0.5, **numbers, **bar)
        for text, value in zip(ax.texts, table.to_numpy()[table.notna().to_numpy()], strict=True):
            text.set_fontweight("bold" if value >= SURE else "normal")
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(np.arange(table.shape[1]) + 0.5, [label(name) for name in table], **slanted)
        ax.set_yticks(np.arange(len(table)) + 0.5, [label(name) for name in table.index], rotation=0)
        ax.set(xlabel="", ylabel="")
        ax.tick_params(length=0)
    x, y = against.shape[1] / 2, against.index.get_loc(baseline) + 0.5
    axes[1].text(x, y, "itself", ha="center", va="center", size=6.5, color="0.5")
    axes[0].set_title("supervised pool: the row's ranking\nis better than the column's", size=8)
    axes[1].set_title(f"every pool: better\nthan the {label(baseline)}", size=8)
    figure.suptitle(title)
    figure.supxlabel(f"per cent of the draws; bold: decided, at least {SURE:.0%}")
    return figure


RANDOM = "random choice"


def regrets(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy given up by following each ranking, one panel per pool, with the share of targets on which it finds the
    best model.

    Parameters
    ----------
    table : DataFrame (panel, row, regret, top1, top3)
        Rows are ordered by the first panel, the least regret on top.
    """
    panels = list(dict.fromkeys(table["panel"]))
    order = table[table["panel"] == panels[0]].sort_values("regret")["row"].tolist()
    figure, axes = charts.grid(len(panels), 3, 0.6 + 0.16 * len(order), 1.0, sharey=True)
    looks = {name: colour for name, (colour, _) in charts.LOOKS.items()} | {RANDOM: "0.6"}
    series = np.where(np.array(order) == "random", RANDOM, charts.look_names(pd.Series(order)))
    for ax, panel in zip(axes.flat, panels, strict=False):
        group = table[table["panel"] == panel].set_index("row").reindex(order)
        for name, colour in looks.items():
            y = np.flatnonzero(series == name)
            ax.barh(y, group["regret"].iloc[y], color=colour, alpha=0.7, height=0.65, label=name)
        at_right = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center", "size": 6.5}
        for x, column, head in ((1.0, "top3", "in top 3"), (0.74, "top1", "first")):
            ax.text(x, -1, head, color="0.35", **at_right)
            for i, value in enumerate(group[column]):
                if np.isfinite(value):
                    ax.text(x, i, f"{100 * value:.0f} %", **at_right)
        for i in np.flatnonzero(group["regret"].isna()):
            ax.text(0.03, i, "n/a", transform=ax.get_yaxis_transform(), va="center", size=6.5, color="0.5")
        ax.set_yticks(range(len(order)), [label(name) for name in order])
        ax.set(title=panel, xlim=(0, 2 * np.nanmax(group["regret"])), ylim=(len(order) - 0.5, -1.6))
        ticks = MaxNLocator(5).tick_values(*ax.get_xlim())
        ax.set_xticks([tick for tick in ticks if tick <= 1.05 * np.nanmax(group["regret"])])  # the rest is for text
    below = (
        "bars: points of accuracy lost by fine-tuning the ranking's first choice, mean over targets\n"
        "text: share of the targets on which the best model is the ranking's first choice, and one of its first three"
    )
    charts.legend_below(figure, *axes[0, 0].get_legend_handles_labels(), below)
    figure.suptitle(title)
    return figure


def sources_of_chance(
    table: pd.DataFrame, runs: pd.DataFrame, order: list[str], components: dict[str, str], title: str
) -> Figure:
    """What each source of chance does to a mean weighted Kendall, side by side; dots: the runs that were made.

    Parameters
    ----------
    table : DataFrame (component, metric, weighted_kendall, low, high)
    runs : DataFrame (run, metric, weighted_kendall)
        Drawn where the training is, if there is more than one.
    order : list of metrics, from top to bottom
    components : dict component -> its name on the page
    """
    table = charts.in_order(charts.in_order(table, "metric", order), "component", components)
    xlabel = r"mean weighted Kendall $\tau_w$ over targets; lines: 95 % of draws"
    if several := runs["run"].nunique() > 1:
        xlabel += "; ticks: single runs"
    table = table.assign(panel=table["component"].map(components), row=table["metric"])
    figure = charts.rows(table, title, xlabel, columns=4)
    for ax in figure.axes if several else ():
        if ax.get_title() == components["training"]:
            found = runs[runs["metric"].isin(order)]
            ax.plot(found["weighted_kendall"], found["metric"].map(order.index), "|", color="0.2", ms=6)
    return figure
