"""The figures of `26_time_series`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.neighbors import KNeighborsClassifier

from ..lab.datasets.time_series import SPEECH
from ..lab.experiment import Experiment, seed_noise, with_accuracies
from ..lab.tasks import time_series
from ..ranking import resampling
from ..ranking.verdicts import Verdict, above, every, positive, probability, some
from . import charts, examples, multi_source
from .findings import FACE_METHODS, ranking_table
from .index import Checked, figure
from .names import label

ASKED = ["ncti", "face"]  # what this compendium is about
RIVALS = ["static_baseline", "linear_probe"]
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


def noise(profile: str | None) -> pd.DataFrame:
    """How far accuracies stray, in points, beside how far the models are apart: a row for each target.

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


def correlations(profile: str | None, target: str) -> pd.DataFrame:
    """How well every metric ranks for a target, or on ``average``: rows of ``correlations.csv``, by metric."""
    return Experiment("time_series", profile).read("correlations").query("target == @target").set_index("metric")


def _draws_of(profile: str | None, target: str) -> pd.DataFrame:
    """What every ranking could have been worth for one target, n x metrics."""
    study = Experiment("time_series", profile)
    return resampling.draws(*study.ranked(), study.noise()).xs(target, axis=1, level=1)


def _better_than_chance(profile: str | None, target: str, draws: pd.DataFrame) -> tuple[str, Verdict]:
    table = correlations(profile, target)
    found = ", ".join(
        f"{label(m)} {table.loc[m, 'weighted_kendall']:.2f} (above 0 in {probability(draws[m]):.0%} of draws)"
        for m in ASKED
    )
    return f"τ_w: {found}", every(*(above(draws[m]) for m in ASKED))


# The figures ----------------------------------------------------------------------------------------------------------


@figure(shows="series of every source and target, one of each of several classes")
def time_series_examples(profile: str) -> Figure:
    pool = Experiment("time_series", profile).pool
    data = [time_series.load(name, "train") for name in (*pool.sources, *pool.targets)]
    return examples.series(data, f"The {len(pool.sources)} sources, then the {len(pool.targets)} targets")


def _helps(profile: str) -> tuple[str, Verdict]:
    """Over the models of a target, which share what random weights reach: no more than their scatter is known."""
    table = gains(profile)
    found = [f"{t}: {table[t].mean():+.1f} points, {(table[t] > 0).sum()} of {len(table)} better" for t in table]
    n = len(table)
    return "; ".join(found), some(*positive(table.mean(), table.std() / n**0.5, freedom=n - 1))


@figure(
    shows="accuracy after fine-tuning, models x targets, with training from random weights among the rows",
    claim="(ours) pre-training helps on some target",
)
def time_series_accuracies(profile: str) -> Checked:
    table = accuracies(profile)
    title = "Which model is best for which target? (source nothing: random weights)"
    return charts.accuracy_heatmap(table.rename(columns=_on_two_lines), title), *_helps(profile)


def _rank(profile: str) -> tuple[str, Verdict]:
    return _better_than_chance(profile, "average", Experiment("time_series", profile).draws())


@figure(
    shows="weighted Kendall of each metric and target, time series and speech",
    claim="(ours) NCTI and FaCe rank models of time series better than chance",
)
def time_series_rankings(profile: str) -> Checked:
    study = Experiment("time_series", profile)
    table = ranking_table(study.read("correlations"), SHOWN).rename(columns=_on_two_lines)
    title = f"How well does each metric rank {len(study.pool.models)} models of time series?"
    return charts.correlation_heatmap(table, title), *_rank(profile)


def _beat_rivals(profile: str) -> tuple[str, Verdict]:
    draws, table = Experiment("time_series", profile).draws(), correlations(profile, "average")["weighted_kendall"]
    found = ", ".join(f"{label(m)} {table[m]:.2f}" for m in [*ASKED, *RIVALS])
    better = {m: every(*(above(draws[m], draws[rival]) for rival in RIVALS)) for m in ASKED}
    return f"mean τ_w: {found}", some(*better.values())


@figure(
    shows="mean weighted Kendall of every ranking with its interval, time series and speech",
    claim="(ours) NCTI or FaCe ranks better than the static baseline and than a linear probe",
)
def time_series_intervals(profile: str) -> Checked:
    return multi_source.intervals("time_series", profile), *_beat_rivals(profile)


def _rank_speech(profile: str) -> tuple[str, Verdict]:
    return _better_than_chance(profile, SPEECH, _draws_of(profile, SPEECH))


@figure(
    shows="score against accuracy for speech, the six metrics of FaCe and NCTI",
    claim="(ours) NCTI and FaCe rank models for speech better than chance",
)
def time_series_speech(profile: str) -> Checked:
    study, methods = Experiment("time_series", profile), [*FACE_METHODS, "ncti"]
    scores, truth = study.ranked()
    points = with_accuracies(scores[scores["metric"].isin(methods) & (scores["target"] == SPEECH)], truth)
    found = study.read("correlations")
    points, found = (table.assign(target=table["target"].map(_on_two_lines)) for table in (points, found))
    title = "Speech: do models with higher scores tell more speakers apart?"
    return charts.method_scatter(points, found, methods, title), *_rank_speech(profile)


def _on_two_lines(name: str) -> str:
    """A target's name, divided in the middle if it is long."""
    first, _, rest = name.partition("_")
    return f"{first}\n{rest.replace('_', ' ')}" if rest else name


def ceilings(profile: str | None) -> pd.DataFrame:
    """How far two fine-tunings of the same models agree: `experiment.seed_noise`."""
    return seed_noise(Experiment("time_series", profile).read("accuracies"))
