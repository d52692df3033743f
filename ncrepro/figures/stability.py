"""The figures of `34_stability`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..lab.analyses import read
from ..lab.analyses import stability as measured
from ..lab.experiment import BASELINES, BLIND, Experiment
from ..ranking import resampling
from ..ranking.verdicts import FAILS, HOLDS, SURE, Verdict, above, every, exact, positive, some
from . import figure
from .ablations import panel_names
from .plots import label, panels, stability

POOL = "supervised"  # the pool whose images are resampled and whose metrics meet each other
DOUBTS = {
    "models": "other models", "left_out": "one model fewer", "images": "other images", "seeds": "another fine-tuning",
}  # fmt: skip


def _doubts(profile: str) -> pd.DataFrame:
    """Mean weighted Kendall and its range under each doubt: (doubt, metric, weighted_kendall, low, high)."""
    return read(profile, "stability", "doubts")


def _doubts_hold(profile: str) -> tuple[str, Verdict]:
    table = _doubts(profile)[lambda t: ~t["metric"].isin(BASELINES)]
    width = (table["high"] - table["low"]).groupby(table["doubt"]).median()[list(DOUBTS)]
    text = "median width: " + ", ".join(f"{DOUBTS[doubt]} {value:.2f}" for doubt, value in width.items())
    widths = (table["high"] - table["low"]).set_axis(pd.MultiIndex.from_frame(table[["metric", "doubt"]])).unstack("doubt").dropna()
    drawn = {doubt: _other_metrics(widths[doubt], np.median) for doubt in DOUBTS}
    return text, every(*(above(drawn["models"], drawn[doubt]) for doubt in DOUBTS if doubt != "models"))


def _other_metrics(values: pd.Series, statistic, n: int = resampling.DRAWS) -> np.ndarray:
    """A statistic of the metrics in draws of them with replacement; NaN where there are too few. The same draws for the same number."""
    values = values.to_numpy(float)
    rows = np.random.default_rng(0).integers(len(values), size=(n, len(values)))
    return resampling.widened(statistic(values[rows], axis=1), len(values))


@figure(
    shows="how far each metric's mean weighted Kendall moves with other models, one model fewer, other images, another fine-tuning",
    notebook="34_stability",
    claim="(ours) what a metric is worth hangs on which models are in the pool, more than on images or seeds",
    holds=_doubts_hold,
)
def stability_doubts(profile: str) -> Figure:
    table = _doubts(profile)
    order = table[table["doubt"] == "models"].sort_values("weighted_kendall", ascending=False)["metric"]
    table = pd.concat([table[table["metric"] == metric] for metric in order]).sort_values("doubt", key=lambda d: d.map(list(DOUBTS).index), kind="stable")
    table = table.assign(panel=table["doubt"].map(DOUBTS), row=table["metric"])
    return panels.rows(table, "The supervised pool: what could have been different?", panels.TAU + "; lines: how far it moves", columns=4)


COMPONENTS = {"models": "other models", "images": "other test images", "training": "trained again", "all": "all of them"}


@figure(
    shows="how far each metric's mean weighted Kendall moves with other models, other test images, another training, and with all of them",
    notebook="34_stability",
)
def stability_training(profile: str) -> Figure:
    table, runs = read(profile, "stability", "components"), read(profile, "stability", "over_runs")
    table, runs = (part[part["pool"] == POOL] for part in (table, runs))
    order = table[table["component"] == "all"].sort_values("weighted_kendall", ascending=False)["metric"].tolist()
    noise = Experiment(POOL, profile).noise()
    return stability.again(table, runs, order, COMPONENTS, f"The {POOL} pool: {told_runs(len(noise.runs), noise.seeds is not None)}")


def told_training(profile: str) -> str:
    """What was measured of training again, in Markdown: how far accuracies stray, and which verdicts changed."""
    table, noise = read(profile, "stability", "points").query("pool == @POOL"), Experiment(POOL, profile).noise()
    names = {"images": "other test images", "seeds": "another fine-tuning", "training": "everything trained again"}
    strays = [f"{name} {table[column].mean():.1f}" for column, name in names.items() if table[column].notna().any()]
    lines = [f"The {POOL} pool: {told_runs(len(noise.runs), noise.seeds is not None)}. "
             f"An accuracy strays, in points, by: {', '.join(strays) or 'nobody knows'}."]
    words = measured.verdicts_over_runs(profile)
    if len(words):
        moved = words.index[(words > 0).sum(axis=1) > 1]
        turned = words.index[(words.reindex(columns=[HOLDS, FAILS], fill_value=0) > 0).all(axis=1)]
        lines.append(f"Over the repetitions {len(moved)} of {len(words)} verdicts changed ({', '.join(moved) or 'none'}); "
                     f"{len(turned)} of them from one side to the other.")
    return "\n\n".join(lines)


def told_runs(n: int, seeds: bool) -> str:
    """What stands for the training, in one line."""
    if n:
        return f"everything was trained {n + 1} times"
    return "no repetitions were measured" + (": another fine-tuning stands for another training" if seeds else "")


def _left_out(profile: str) -> pd.DataFrame:
    """(pool, n_models, metric, weighted_kendall, low, high, worst): with all models, and the range with each left out."""
    table = read(profile, "stability", "left_out").fillna({"left_out": ""})
    whole = table[table["left_out"] == ""].set_index(["pool", "n_models", "metric"])["weighted_kendall"]
    rest = table[table["left_out"] != ""].set_index("left_out").groupby(["pool", "n_models", "metric"], sort=False)["weighted_kendall"]
    found = pd.DataFrame({"weighted_kendall": whole, "low": rest.min(), "high": rest.max()})
    return found.loc[whole.index].dropna().reset_index()


def _left_out_holds(profile: str) -> tuple[str, Verdict]:
    table = _left_out(profile)[lambda t: ~t["metric"].isin(BASELINES)]
    moved = np.maximum(table["high"] - table["weighted_kendall"], table["weighted_kendall"] - table["low"])
    row = table.loc[moved.idxmax()]
    return f"largest: {label(row.metric)} on {row.pool} from {row.weighted_kendall:.2f} to between {row.low:.2f} and {row.high:.2f}", _no_move(profile)


def _no_move(profile: str) -> Verdict:
    """That each model, left out, moves each metric by less than 0.1, up or down."""
    table = read(profile, "stability", "left_out").fillna({"left_out": ""}).query("metric not in @BASELINES")
    whole = table[table["left_out"] == ""].set_index(["pool", "metric"])["weighted_kendall"]
    rest = table[table["left_out"] != ""].set_index(["pool", "metric"])
    moved = rest["weighted_kendall"] - whole.loc[rest.index].to_numpy()
    return every(*positive(0.1 - moved, rest["error"]), *positive(0.1 + moved, rest["error"]))


@figure(
    shows="mean weighted Kendall with all models, and its range when each model is left out in turn, on every pool",
    notebook="34_stability",
    claim="(ours) no single model moves a metric's mean τ_w by more than 0.1",
    holds=_left_out_holds,
)
def stability_leave_one_out(profile: str) -> Figure:
    table = _left_out(profile)
    first = table[table["pool"] == table["pool"].iloc[0]].sort_values("weighted_kendall", ascending=False)["metric"]
    table = table.assign(panel=panel_names(table), row=table["metric"]).sort_values("row", key=lambda m: m.map(list(first).index), kind="stable")
    table = table.sort_values("pool", key=lambda p: p.map(list(dict.fromkeys(read(profile, "stability", "left_out")["pool"])).index), kind="stable")
    return panels.rows(table, "Does one model decide? Lines: each model left out in turn", panels.TAU + " over targets")


def _contests(profile: str) -> pd.DataFrame:
    return read(profile, "stability", "contests")


def _contests_hold(profile: str) -> tuple[str, Verdict]:
    table = _contests(profile)[lambda t: ~t["metric"].isin(BASELINES) & ~t["rival"].isin(BASELINES)]
    texts, asked = [], []
    for pool, group in table.groupby("pool"):
        sure = (group.pivot(index="metric", columns="rival", values="probability") >= SURE).astype(float)
        pairs = len(group) // 2
        texts.append(f"{pool} {sure.to_numpy().sum():.0f} of {pairs} pairs")
        asked.append(above(_decided((sure + sure.T).to_numpy()), 0.5))
    return "decided: " + "; ".join(texts), every(*asked)


def _decided(pairs: np.ndarray) -> np.ndarray:
    """The share of decided pairs (metrics x metrics) in draws of the metrics with replacement."""
    counts = resampling.drawn_models(len(pairs), np.random.default_rng(0))
    weights = 1.0 - np.eye(len(pairs))
    of_draws, all_pairs = (np.einsum("bi,ij,bj->b", counts, table, counts) for table in (pairs * weights, weights))
    return resampling.widened(of_draws / np.maximum(all_pairs, 1), len(pairs))


@figure(
    shows="probability that one metric ranks better than another, supervised pool, and better than the static baseline, every pool",
    notebook="34_stability",
    claim="(ours) most pairs of metrics can be told apart: one is better in 95 % of draws",
    holds=_contests_hold,
)
def stability_contests(profile: str) -> Figure:
    table = _contests(profile)
    square = table[table["pool"] == POOL].pivot(index="metric", columns="rival", values="probability")
    order = square.mean(axis=1).sort_values(ascending=False).index
    against = table[table["rival"] == "static_baseline"].pivot(index="metric", columns="pool", values="probability")
    against = against.reindex(index=order, columns=table["pool"].unique()).dropna(axis=1, how="all").rename(columns=lambda pool: pool.replace("_", " "))
    return stability.contests(square.loc[order, order], against, "static_baseline", "How surely is one ranking better than another?")


def _choices(profile: str) -> pd.DataFrame:
    """Means over targets: (pool, n_models, metric, regret, top1, top3)."""
    return read(profile, "stability", "choices").groupby(["pool", "n_models", "metric"], sort=False)[["regret", "top1", "top3"]].mean().reset_index()


def _choices_hold(profile: str) -> tuple[str, Verdict]:
    texts, found = [], []
    for pool, group in _choices(profile).groupby("pool", sort=False):
        regret = group.set_index("metric")["regret"]
        of_metrics = regret.drop([*BASELINES, "random"], errors="ignore")
        blind = "static_baseline" if "static_baseline" in regret else regret[regret.index.isin(BLIND)].idxmin()
        texts.append(f"{pool}: {label(of_metrics.idxmin())} {of_metrics.min():.1f}, {label(blind)} {regret[blind]:.1f}, by lot {regret['random']:.1f} points")
        rivals = ["static_baseline"] if "static_baseline" in regret else [name for name in BLIND if name in regret]
        drawn = Experiment(pool, profile).draws(statistic="regret")
        found.append(some(*(every(*(above(drawn[rival], drawn[metric]) for rival in rivals)) for metric in of_metrics.index)))
    return "; ".join(texts), every(*found)


@figure(
    shows="accuracy given up by following each ranking, and how often it finds the best model, every pool",
    notebook="34_stability",
    claim="(ours) on every pool some metric's first choice is better than the static baseline's (with one target: than any that ignores it)",
    holds=_choices_hold,
)
def stability_regret(profile: str) -> Figure:
    table = _choices(profile)
    return stability.regrets(table.assign(panel=panel_names(table), row=table["metric"]), "What does following a ranking cost?")


NOT_METRICS = (*BASELINES, "other_seed", "other_target")


def _sources(profile: str) -> pd.DataFrame:
    """(n_sources, n_models, metric, weighted_kendall, low, high), with the group's name as ``panel``."""
    table = read(profile, "stability", "sources")
    several = np.where(table["n_sources"] > 1, table["n_sources"].astype(str) + " sources, ", "one source, ")
    return table.assign(panel=several + table["n_models"].astype(str) + " models")


def earn_their_keep(profile: str) -> dict[str, tuple[float, list[str]]]:
    """For each group of models: what the best simple ranking reaches, and the metrics that do better."""
    found = {}
    for panel, group in _sources(profile).groupby("panel", sort=False):
        tau = group.set_index("metric")["weighted_kendall"].drop(["other_seed", "other_target"])
        simple = tau[[name for name in BASELINES if name in tau]].max()
        found[panel] = simple, tau.drop(list(BASELINES), errors="ignore")[lambda t, simple=simple: t > simple].index.tolist()
    return found


def _sources_hold(profile: str) -> tuple[str, Verdict]:
    wide = _sources(profile).pivot(index="metric", columns="panel", values="weighted_kendall")[_sources(profile)["panel"].unique()]
    of_metrics = wide.drop(index=list(NOT_METRICS), errors="ignore").median()
    texts = [f"{panel}: static {wide.at['static_baseline', panel]:.2f}, median of the metrics {of_metrics[panel]:.2f}" for panel in wide]
    groups = measured.source_groups(*(Experiment(pool, profile) for pool in ("supervised", "multi_source")))
    first, last = (resampling.mean_over_targets(resampling.draws(scores, truth, study.noise())) for study, _, scores, truth in (groups[0], groups[-1]))
    lost = first["static_baseline"] - last["static_baseline"]
    of_median = [drawn.drop(columns=list(NOT_METRICS), errors="ignore").median(axis=1) for drawn in (first, last)]
    return "; ".join(texts), above(lost, of_median[0] - of_median[1])


@figure(
    shows="every ranking's mean weighted Kendall where all models share a source and where they do not, on the same targets",
    notebook="34_stability",
    claim="(ours) where models do not share a source, a ranking that never looks at the target loses more than the metrics do",
    holds=_sources_hold,
)
def stability_sources(profile: str) -> Figure:
    table = _sources(profile)
    last = table[table["panel"] == table["panel"].iloc[-1]].sort_values("weighted_kendall", ascending=False)["metric"].tolist()
    covered = resampling.covers(*(Experiment(pool, profile).noise() for pool in ("supervised", "multi_source")))
    order = ["other_seed", "other_target", *sorted(BASELINES, key=last.index), *(name for name in last if name not in NOT_METRICS)]
    table = pd.concat([group.set_index("metric").loc[order].reset_index() for _, group in table.groupby("panel", sort=False)])
    return panels.rows(table.assign(row=table["metric"]), "When does a metric earn its keep? (on top: fine-tunings; simple rankings; below: metrics)",
                       f"{panels.TAU} over targets; lines: {covered}")


JUDGES = {"sfda": "accuracies that NCTI's tables rest on (SFDA)", "tllib": "accuracies of the Transfer Learning Library"}


def _truths_hold(profile: str) -> tuple[str, Verdict]:
    table = read(profile, "stability", "published_truths").pivot(index=["score", "target"], columns="truth", values="weighted_kendall")
    agree = table.loc["other_truth", "sfda"]
    moved = (table["sfda"] - table["tllib"]).drop("other_truth").abs()
    text = f"the two tables agree at τ_w {agree.min():.2f} ({label(agree.idxmin())}) to {agree.max():.2f} ({label(agree.idxmax())})"
    return text + f"; scores move by {moved.mean():.2f} on average, at most {moved.max():.2f}", exact(moved.mean() < 0.1, "published scores and published accuracies")


@figure(
    shows="published scores of the same ten models judged by two published tables of accuracies",
    notebook="34_stability",
    claim="(ours) what a score is worth does not depend on whose accuracies judge it",
    holds=_truths_hold,
)
def stability_ground_truth(profile: str) -> Figure:
    table = read(profile, "stability", "published_truths")
    return stability.two_judges(table, JUDGES, "The same ten ImageNet models, the same scores, two published ground truths")
