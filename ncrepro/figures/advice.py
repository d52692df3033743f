"""The figure of `40_rank_your_own`, and the demo's models and images as a reader's own."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from .. import ranking
from ..extraction.folders import Photos
from ..lab import analyses, datasets
from ..lab.experiment import BLIND, Experiment
from ..rank_your_own import data as own
from ..rank_your_own import rank as advice
from ..ranking import resampling
from ..ranking.verdicts import Verdict, every, positive
from ..store import artifacts, paths
from . import figure
from .plots import advice as drawn
from .plots import label

ADVICE = ("total", "ncti", "face", "logme")  # what a ranking can be followed by: all metrics, or one
FREE = "any model"


def own_data(study: Experiment, target: str) -> tuple[Path | Photos, str]:
    """A target as a reader would have it, a folder of images, and that in words; photographs that are files stay where they are."""
    data = datasets.load(target, "train", study.pool.max_per_class)
    text = f"{len(data)} images of {data.n_classes} classes"
    if isinstance(data, Photos):
        return data, text
    folder = paths.cache("rank") / "example" / study.profile.name / target
    return own.write(data, folder / "train").parent, f"{text} in {paths.relative(folder)}/train"


def own_models(study: Experiment) -> dict[str, Path | str]:
    """A pool's models: files of weights where they were trained here, published names otherwise."""
    trained = study.pool.task == "classification"
    return {model.name: study.checkpoint(model.name) if trained else model.architecture for model in study.pool.models}


def example(profile: str | None) -> tuple[Path | Photos, dict[str, Path | str]]:
    """Data and models for those who bring none: the first target of the demo and five of its networks."""
    study = Experiment("supervised", profile)
    return own_data(study, study.pool.targets[0])[0], dict(list(own_models(study).items())[:5])


def with_accuracies(study: Experiment, target: str, table: pd.DataFrame) -> pd.DataFrame:
    """A ranking with what fine-tuning gives (per cent), also written as ``ranking.csv``."""
    accuracies = study.read("accuracies").query("target == @target").groupby("model")["accuracy"].mean()
    table = table.assign(target=target, accuracy=table["model"].map(accuracies))
    _write(study.profile.name, "ranking", table.drop(columns=["seconds", "peak_mb"]))
    return table


def regrets(study: Experiment) -> pd.DataFrame:
    """What each advice gives up on each target, in points: (advice, target, regret), also written as ``regrets.csv``.

    ``regret_moves.csv`` tells how much more than the total each choice that looks at no features gives up on average.
    """
    rows, ranked = [], []
    scores, accuracies = study.ranked()
    for target in study.pool.targets:
        arrays = {model: study.features_of(model, target) for model in accuracies.index}
        features = {model: (a["features"], a["labels"]) for model, a in arrays.items()}
        table = advice.rank(features, n_bootstrap=0, progress=False).set_index("model")
        truth = accuracies[target]
        ranked.append(pd.DataFrame({"model": table.index, "target": target, "metric": "total", "score": table["total"].to_numpy()}))
        rows += [(name, target, ranking.regret(table[name], truth)) for name in ADVICE if table[name].nunique() > 1]
        for name, group in scores[(scores["target"] == target) & scores["metric"].isin(BLIND)].groupby(
            "metric", sort=False
        ):
            rows.append((name, target, ranking.regret(group.set_index("model")["score"], truth)))
        rows.append((FREE, target, truth.max() - truth.mean()))
    found = pd.DataFrame(rows, columns=["advice", "target", "regret"])
    order = [*ADVICE, *BLIND, FREE]
    found = found.sort_values("advice", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)
    _write(study.profile.name, "regrets", found)
    lot = ranked[0].assign(metric=FREE, score=0.0)
    judged = pd.concat([*ranked, scores[scores["metric"].isin(BLIND)], *(lot.assign(target=target) for target in accuracies)])
    drawn = resampling.mean_over_targets(resampling.draws(judged, accuracies, study.noise(), "regret"))
    moves = [{"advice": name, **analyses.difference(drawn[[name]], drawn[["total"]])} for name in drawn if name != "total"]
    _write(study.profile.name, "regret_moves", pd.DataFrame(moves))
    return found


def _write(profile: str, name: str, table: pd.DataFrame) -> None:
    artifacts.write_table(paths.results(profile, "rank_your_own") / f"{name}.csv", table)


def _read(profile: str, name: str) -> pd.DataFrame:
    path = paths.results(profile, "rank_your_own") / f"{name}.csv"
    return artifacts.read_table(path, profile, "40_rank_your_own")


def _holds(profile: str) -> tuple[str, Verdict]:
    mean = _read(profile, "regrets").groupby("advice")["regret"].mean()
    rivals = mean[[name for name in (*BLIND, FREE) if name in mean]]
    text = (
        f"mean regret {mean['total']:.1f} points; {label(rivals.idxmin())} {rivals.min():.1f}, {FREE} {mean[FREE]:.1f}"
    )
    moves = _read(profile, "regret_moves")
    return text, every(*positive(moves["difference"], moves["error"]))


@figure(
    shows="a ranking by `ncrepro.rank` beside the fine-tuned accuracies, and what following it costs on each target",
    notebook="40_rank_your_own",
    claim="(ours) the model ranked first costs less accuracy than one chosen without looking at the target's features",
    holds=_holds,
)
def rank_your_own(profile: str) -> Figure:
    table, costs = _read(profile, "ranking"), _read(profile, "regrets")
    titles = (f"Ranked for {table['target'][0]}; at the right, fine-tuned", "What does following it cost?")
    return drawn.advice_plot(table, advice.by_metric(table), costs, titles)
