"""The figure of `40_rank_your_own`, and the demo's models and images as a reader's own."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from .. import ranking
from ..extraction.folders import Photos
from ..lab import analyses, committed_sample, datasets
from ..lab.experiment import Experiment
from ..metrics import registry
from ..rank_your_own.data import write
from ..rank_your_own.rank import DEFAULT, by_metric, rank
from ..ranking import resampling
from ..ranking.verdicts import Verdict, every, positive
from ..store import paths
from . import charts, style
from .display_names import label
from .index import Checked, figure

ADVICE = ("total", *DEFAULT)  # what a ranking can be followed by: all metrics, or one
FREE = "any model"


def own_target(study: Experiment) -> str:
    """The target that is ranked for if a reader names none: textures or the first; cold, that of the sample."""
    if study.is_cold:
        return committed_sample.pairs(study.profile.name, study.pool.name)[0][1]
    return "textures" if "textures" in study.pool.targets else study.pool.targets[0]


def own_data(study: Experiment, target: str) -> tuple[Path | Photos | dict, str]:
    """A target as a reader would have it, a folder of images, and a description of it. Photographs in files are not
    copied.

    If the profile is cold, there are no models that could read images, so the committed sample of features is given.
    """
    if study.is_cold:
        features = _features(
            study, [model for model, _ in committed_sample.pairs(study.profile.name, study.pool.name)], target
        )
        what = f"features of the images of {target} by {len(features)} models"
        return features, f"{what}: the committed sample, because no model was trained here"
    data = datasets.load(target, "train", study.pool.max_per_class)
    text = f"{len(data)} images of {data.n_classes} classes"
    if isinstance(data, Photos):
        return data, text
    folder = paths.cache("rank") / "example" / study.profile.name / target
    return write(data, folder / "train").parent, f"{text} in {paths.relative(folder)}/train"


def _features(study: Experiment, models: Iterable[str], target: str) -> dict[str, tuple]:
    arrays = {model: study.features_of(model, target) for model in models}
    return {model: (a["features"], a["labels"]) for model, a in arrays.items()}


def own_models(study: Experiment) -> dict[str, Path | str]:
    """A pool's models: files of weights where they were trained here, published names otherwise; cold, none."""
    if study.is_cold:
        return {}
    trained = study.pool.task == "classification"
    return {model.name: study.checkpoint(model.name) if trained else model.architecture for model in study.pool.models}


def example(profile: str | None) -> tuple[Path | Photos | dict, dict[str, Path | str]]:
    """Data and models for those who bring none: the demo's first target and five networks; cold, `own_data` alone."""
    study = Experiment("supervised", profile)
    return own_data(study, study.pool.targets[0])[0], dict(list(own_models(study).items())[:5])


def with_accuracies(study: Experiment, target: str, table: pd.DataFrame) -> pd.DataFrame:
    """A ranking with what fine-tuning gives (per cent), also written as ``ranking.csv``."""
    accuracies = study.read("accuracies").query("target == @target").groupby("model")["accuracy"].mean()
    table = table.assign(target=target, accuracy=table["model"].map(accuracies))
    analyses.write(study.profile.name, "rank_your_own", ranking=table.drop(columns=["seconds", "peak_mb"]))
    return table


def regrets(study: Experiment) -> pd.DataFrame:
    """What each advice gives up on each target, in points: (advice, target, regret), also written as ``regrets.csv``.

    ``regret_moves.csv`` tells how much more than the total each choice that looks at no features gives up on average.
    """
    if study.is_cold:  # this needs the features of every model
        return analyses.read(study.profile.name, "rank_your_own", "regrets")
    rows, ranked = [], []
    scores, accuracies = study.ranked()
    blind = scores[scores["metric"].isin(registry.BLIND)]
    for target, truth in accuracies[list(study.pool.targets)].items():
        table = rank(_features(study, accuracies.index, target), n_bootstrap=0, progress=False).set_index("model")
        ranked.append(table["total"].rename("score").reset_index().assign(target=target, metric="total"))
        rows += [(name, target, ranking.regret(table[name], truth)) for name in ADVICE if table[name].nunique() > 1]
        for name, group in blind[blind["target"] == target].groupby("metric", sort=False):
            rows.append((name, target, ranking.regret(group.set_index("model")["score"], truth)))
        rows.append((FREE, target, truth.max() - truth.mean()))
    found = pd.DataFrame(rows, columns=["advice", "target", "regret"])
    found = charts.in_order(found, "advice", [*ADVICE, *registry.BLIND, FREE]).reset_index(drop=True)
    free = [table.assign(metric=FREE, score=0.0) for table in ranked]  # one score for all: any of them is chosen
    judged = pd.concat([*ranked, blind, *free])
    draws = resampling.mean_over_targets(resampling.draws(judged, accuracies, study.noise(), "regret"))
    others, total = draws.columns.drop("total"), draws[["total"]]
    moves = pd.DataFrame([{"advice": name, **analyses.difference(draws[[name]], total)} for name in others])
    analyses.write(study.profile.name, "rank_your_own", regrets=found, regret_moves=moves)
    return found


def _holds(profile: str) -> tuple[str, Verdict]:
    mean = analyses.read(profile, "rank_your_own", "regrets").groupby("advice")["regret"].mean()
    rivals = mean[[name for name in (*registry.BLIND, FREE) if name in mean]]
    text = f"mean regret {mean['total']:.1f} points; {label(rivals.idxmin())} {rivals.min():.1f}"
    text += f", {FREE} {mean[FREE]:.1f}"
    moves = analyses.read(profile, "rank_your_own", "regret_moves")
    return text, every(*positive(moves["difference"], moves["error"]))


@figure(
    shows="a ranking by `ncrepro.rank` beside the accuracies after fine-tuning, and what following it costs on each "
    "target",
    claim="(ours) fine-tuning the model ranked first loses less accuracy than a choice that does not look at the "
    "target's features",
)
def rank_your_own(profile: str) -> Checked:
    table, costs = (analyses.read(profile, "rank_your_own", name) for name in ("ranking", "regrets"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 1.1 + 0.2 * len(table)), width_ratios=(1.3, 1))
    _totals(left, table, by_metric(table))
    left.set_title(f"Ranking of {len(table)} models for {table['target'][0]}", size=8.5)
    dot = {"ms": 3.5, "color": style.COLOURS[5], "alpha": 0.8}
    for i, (_, lost) in enumerate(costs.groupby("advice", sort=False)["regret"]):
        right.plot(lost, [i] * len(lost), "o", label="one target" if i == 0 else None, **dot)
        right.plot(lost.mean(), i, "|", ms=13, mew=2, color=style.COLOURS[1], label="mean" if i == 0 else None)
    order = costs["advice"].unique()
    right.set_yticks(range(len(order)), [label(advice) for advice in order])
    right.invert_yaxis()
    right.set_xlabel("points of accuracy lost")
    right.set_title("What does following it cost?", size=8.5)
    handles, names = (a + b for a, b in zip(*(ax.get_legend_handles_labels() for ax in (left, right)), strict=True))
    figure.legend(handles, names, loc="outside lower center", ncols=7)
    return figure, *_holds(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


def ranking_plot(table: pd.DataFrame, parts: pd.DataFrame, title: str) -> Figure:
    """Totals with their intervals, best model on top, and what each metric alone says.

    Parameters
    ----------
    table : DataFrame (model, total, low, high), best first
        With a column ``accuracy``, this stands at the right.
    parts : DataFrame (model, metric, share)
        0 for a metric's last choice, 1 for its first.
    """
    figure, ax = plt.subplots(figsize=(style.PAGE, 0.9 + 0.22 * len(table)))
    _totals(ax, table, parts)
    figure.suptitle(title)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _totals(ax: plt.Axes, table: pd.DataFrame, parts: pd.DataFrame) -> None:
    rows = {model: i for i, model in enumerate(table["model"])}
    low, high = (table[end].clip(0, 1) for end in ("low", "high"))  # no total lies beyond
    ax.hlines(list(rows.values()), low, high, color=style.COLOURS[0], lw=1.6, alpha=0.5)
    for i, (metric, group) in enumerate(parts.groupby("metric", sort=False)):
        marker, colour = style.MARKERS[1:][i % 11], style.COLOURS[1:][i % 7]
        look = {"ms": 3.5, "mfc": "none", "mew": 0.9, "color": colour, "label": f"{label(metric)} alone"}
        ax.plot(group["share"], group["model"].map(rows), marker, **look)
    ax.plot(table["total"], list(rows.values()), "o", ms=5, color=style.COLOURS[0], label="total, 95 % by bootstrap")
    ax.set_yticks(list(rows.values()), list(rows))
    ax.invert_yaxis()
    ax.set_xlabel("score relative to the pool: 0 last choice, 1 first choice")
    if "accuracy" in table:
        for i, accuracy in enumerate(table["accuracy"]):
            ax.annotate(f"{accuracy:.1f} %", (1.01, i), xycoords=("axes fraction", "data"), size=7, va="center")
        ax.annotate("fine-\ntuned", (1.01, -0.9), xycoords=("axes fraction", "data"), size=7, va="bottom")
