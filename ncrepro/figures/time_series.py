"""The figures of `26_time_series`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.neighbors import KNeighborsClassifier

from ..lab.datasets.time_series import SPEECH
from ..lab.experiment import Experiment, seed_noise, with_accuracies
from ..lab.tasks import time_series
from ..ranking import resampling
from ..ranking.verdicts import Verdict, above, every, positive
from . import charts, data_examples, multi_source
from .display_names import label
from .findings import FACE_METHODS, OURS, beat_rivals, mean_text, ranking_table
from .index import Checked, figure

SHOWN = [*FACE_METHODS, "ncti", "linear_probe", "static_baseline", "source_accuracy", "n_parameters"]


def accuracies(profile: str | None) -> pd.DataFrame:
    """Mean accuracy over seeds, models x targets; rows of source ``nothing`` start from random weights."""
    study, scratch = Experiment("time_series", profile), Experiment("time_series_scratch", profile)
    means = [pool.read("accuracies").groupby(["model", "target"])["accuracy"].mean() for pool in (study, scratch)]
    means[1] = means[1].rename(lambda name: f"{name}@{time_series.NOTHING}", level="model")
    return pd.concat(means).unstack("target")[list(study.pool.targets)]


def gains(profile: str | None) -> pd.DataFrame:
    """Points that pre-training adds to the same architecture's training from random weights: models x targets."""
    table, pool = accuracies(profile), Experiment("time_series", profile).pool
    origin = {model.name: f"{model.architecture}@{time_series.NOTHING}" for model in pool.models}
    return table.loc[list(origin)] - table.loc[list(origin.values())].to_numpy()


def accuracy_noise(profile: str | None) -> pd.DataFrame:
    """How far accuracies vary, in points, and how far the models differ: a row for each target.

    Returns
    -------
    DataFrame (test series, by test series, by seed, between models)
        The second: binomial, mean over models. The last two: standard deviations, of a fine-tuning over seeds (NaN
        where there is one) and of the mean accuracies over models.
    """
    study = Experiment("time_series", profile)
    table = study.read("accuracies")
    by_model, targets = table.groupby(["target", "model"])["accuracy"], list(study.pool.targets)
    sizes = {target: len(time_series.load(target, "test", study.pool.max_per_class)) for target in targets}
    return pd.DataFrame({
        "test series": sizes,
        "by test series": table.groupby("target")["standard_error"].mean(),
        "by seed": by_model.var().groupby("target").mean() ** 0.5,
        "between models": by_model.mean().groupby("target").std(),
    }).loc[targets]  # fmt: skip


def nearest_neighbour(profile: str | None) -> pd.Series:
    """Accuracy (per cent) on each target of the nearest series in the training split: the archives' usual yardstick."""
    pool, reached = Experiment("time_series", profile).pool, {}
    for target in pool.targets:
        train, test = (time_series.load(target, split, pool.max_per_class) for split in ("train", "test"))
        longest = max(data.values.shape[2] for data in (train, test))
        x, z = (
            np.pad(data.values, [(0, 0), (0, 0), (0, longest - data.values.shape[2])]).reshape(len(data), -1)
            for data in (train, test)
        )
        reached[target] = 100 * KNeighborsClassifier(1).fit(x, train.labels).score(z, test.labels)
    return pd.Series(reached)


def targets_without_order(profile: str | None) -> pd.Series:
    """Targets for which a metric has no order, since it gives all models the same score: by metric."""
    table = Experiment("time_series", profile).read("correlations").query("target != 'average'")
    lacking = table[table["weighted_kendall"].isna()]
    return lacking.groupby("metric", sort=False)["target"].agg(", ".join)


# The figures ----------------------------------------------------------------------------------------------------------


@figure(shows="series of every source and target, one of each of several classes")
def time_series_examples(profile: str) -> Figure:
    pool = Experiment("time_series", profile).pool
    data = [time_series.load(name, "train") for name in (*pool.sources, *pool.targets)]
    return data_examples.series(data, f"The {len(pool.sources)} sources, then the {len(pool.targets)} targets")


def _helps(profile: str) -> tuple[str, Verdict]:
    """Each architecture counts once: its models share what it reaches from random weights."""
    table, pool = gains(profile), Experiment("time_series", profile).pool
    gain = table.mean(axis=1).groupby([model.architecture for model in pool.models]).mean()
    found = [f"{t}: {table[t].mean():+.1f} points, {(table[t] > 0).sum()} of {len(table)} better" for t in table]
    n = len(gain)
    return "; ".join(found), every(*positive(gain.mean(), gain.std() / n**0.5, freedom=n - 1))


@figure(
    shows="accuracy after fine-tuning, models x targets, with training from random weights among the rows",
    claim="(ours) pre-training is better than random weights, on average over sources and targets",
)
def time_series_accuracies(profile: str) -> Checked:
    table = accuracies(profile)
    title = "Which model is best for which target? (source nothing: random weights)"
    return charts.accuracy_heatmap(table.rename(columns=_on_two_lines), title), *_helps(profile)


def _rank(profile: str) -> tuple[str, Verdict]:
    study = Experiment("time_series", profile)
    table, draws = ranking_table(study.read("correlations"), OURS), study.draws()
    found = ", ".join(mean_text(table, draws, m) for m in OURS)
    return f"mean τ_w: {found}", every(*(above(draws[m]) for m in OURS))


@figure(
    shows="weighted Kendall of each metric and target, time series and speech",
    claim="(ours) NCTI and FaCe rank models of time series better than chance",
)
def time_series_rankings(profile: str) -> Checked:
    study = Experiment("time_series", profile)
    table = ranking_table(study.read("correlations"), SHOWN).rename(columns=_on_two_lines)
    title = f"How well does each metric rank {len(study.pool.models)} models of time series?"
    return charts.correlation_heatmap(table, title), *_rank(profile)


@figure(
    shows="mean weighted Kendall of every ranking but PARC, ETran and kNN with its interval, time series and speech",
    claim="(ours) NCTI or FaCe ranks better than the static baseline and than a linear probe",
)
def time_series_intervals(profile: str) -> Checked:
    return multi_source.intervals("time_series", profile), *beat_rivals(Experiment("time_series", profile))


def _rank_speech(profile: str) -> tuple[str, Verdict]:
    study = Experiment("time_series", profile)
    table = ranking_table(study.read("correlations"), OURS)[[SPEECH]]
    draws = resampling.draws(*study.ranked(), study.noise()).xs(SPEECH, axis=1, level="target")
    found = ", ".join(mean_text(table, draws, m) for m in OURS)
    return f"τ_w: {found}", every(*(above(draws[m]) for m in OURS))


@figure(
    shows="score against accuracy for speech, the metrics of FaCe that have an order there, and NCTI",
    claim="(ours) NCTI and FaCe rank models for speech better than chance",
)
def time_series_speech(profile: str) -> Checked:
    study = Experiment("time_series", profile)
    found = study.read("correlations").query("target == @SPEECH").set_index("metric").dropna(subset="weighted_kendall")
    shown = [metric for metric in [*FACE_METHODS, "ncti"] if metric in found.index]
    scores, truth = study.ranked()
    points = with_accuracies(scores[scores["metric"].isin(shown) & (scores["target"] == SPEECH)], truth)
    panels = found.loc[shown].reset_index().assign(target=list(map(label, shown)))
    points = points.assign(target=points["metric"].map(label)).set_index("target").loc[panels["target"]].reset_index()
    title = "Speech: do models with higher scores tell more speakers apart?"
    return charts.score_scatter(points, panels, "each metric's", title), *_rank_speech(profile)


def _on_two_lines(name: str) -> str:
    """A target's name, divided in the middle if it is long."""
    first, _, rest = name.partition("_")
    return f"{first}\n{rest.replace('_', ' ')}" if rest else name


def ceilings(profile: str | None) -> pd.DataFrame:
    """How far two fine-tunings of the same models agree: `experiment.seed_noise`."""
    return seed_noise(Experiment("time_series", profile).read("accuracies"))
