"""The figures of `25_text`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from ..lab.datasets import docstrings
from ..lab.experiment import Experiment, correlations, seed_noise, with_accuracies
from ..lab.models.text import ARCHITECTURES
from ..lab.tasks import text
from ..metrics import registry
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..ranking.verdicts import Verdict, above, best, every, exact, positive
from ..store import artifacts
from . import charts, data_examples, small_pools
from .display_names import label
from .findings import FACE_METHODS, SHOWN, any_above, by_chance
from .index import Checked, figure
from .multi_source import interval_plot, noise_within, split_by_factor


def of_sources(profile: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `Experiment.ranked` gives, each source with its own six variants, sources in the place of targets.

    This is the paper's experiment, six models of one source, as many times as there are sources.
    """
    scores, accuracies = split_by_factor(Experiment("text", profile), "source")
    return scores.assign(target=scores["target"].map(_source)), accuracies.rename(columns=_source)


def noise_of_sources(profile: str | None) -> Noise:
    """`Experiment.noise`, arranged as `of_sources` is."""
    return noise_within(Experiment("text", profile), "source").map(lambda table: table.rename(columns=_source))


def _source(part: str) -> str:
    return part.split(": ")[0]


def judge(profile: str | None) -> pd.DataFrame:
    """How well each metric ranks the variants of each source: `experiment.correlations` of `of_sources`, written."""
    path = Experiment("text", profile).results / "correlations_by_source.csv"
    return artifacts.table(path, lambda: correlations(*of_sources(profile), noise_of_sources(profile)))


def judgements(profile: str | None) -> pd.DataFrame:
    """The table that `judge` wrote, without the average over sources."""
    return Experiment("text", profile).read("correlations_by_source").query("target != 'average'")


def ceilings(profile: str | None) -> pd.DataFrame:
    """How far two fine-tunings of the same six variants agree: `experiment.seed_noise`, with sources for targets."""
    study = Experiment("text", profile)
    sources = {model.name: model.source for model in study.pool.models}
    return seed_noise(study.read("accuracies").assign(target=lambda table: table["model"].map(sources)))


def start(profile: str | None) -> str:
    """What the variants begin their pre-training with, and what `text_scratch` is fine-tuned from."""
    begun = {ARCHITECTURES[name].checkpoint for name in Experiment("text", profile).pool.architectures}
    return "random weights" if begun == {None} else "Chinese checkpoints"


def gains(profile: str | None) -> pd.DataFrame:
    """Points that pre-training adds to the same variant's training without a source: (architecture x source)."""
    study, scratch = Experiment("text", profile), Experiment("text_scratch", profile)
    names = pd.DataFrame(study.pool.models).set_index("name")[["architecture", "source"]]
    means = study.read("accuracies").groupby("model")["accuracy"].mean()
    table = names.assign(mean=means).pivot(index="architecture", columns="source", values="mean")
    return table.sub(scratch.read("accuracies").groupby("model")["accuracy"].mean(), axis=0)[list(study.pool.sources)]


def bag_of_words(profile: str | None) -> float:
    """Accuracy (per cent) on the target of a logistic regression on word frequencies: no network, no word order.

    A Chinese character counts as a word.
    """
    pool = Experiment("text", profile).pool
    train, test = (text.load(pool.targets[0], split, pool.max_per_class) for split in ("train", "test"))
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[\u4e00-\u9fff]|\b\w\w+\b").fit(train.texts)
    model = LogisticRegression(C=30, max_iter=2000).fit(words.transform(train.texts), train.labels)
    return 100 * float(model.score(words.transform(test.texts), test.labels))


def claims(profile: str | None) -> list[tuple[str, str, Verdict]]:
    """What FaCe Section 4.5 says of its Figure 6, what is found here, and whether it holds."""
    return [
        ("LogME and FaCe rank six models perfectly, τ_w = 1", *_perfect(profile)),
        ("LogME, GBC and FaCe are the best of six metrics", *_competitive(profile)),
    ]


def _perfect(profile: str | None) -> tuple[str, Verdict]:
    table = judgements(profile).pivot(index="target", columns="metric", values="weighted_kendall")[["logme", "face"]]
    found = "; ".join(f"{label(m)} {table[m].min():.2f} to {table[m].max():.2f}" for m in table)
    scores, accuracies = of_sources(profile)
    stray, pairs = resampling.errors(accuracies, noise_of_sources(profile)), []
    for (_, source), group in scores[scores["metric"].isin(table.columns)].groupby(["metric", "target"], sort=False):
        score = group.set_index("model")["score"].sort_values(ascending=False)
        truth, error = accuracies.loc[score.index, source].to_numpy(), stray.loc[score.index, source].to_numpy()
        for i, j in zip(*np.triu_indices(len(score), k=1), strict=True):
            if score.iloc[i] == score.iloc[j]:
                pairs.append(exact(False, "equal scores leave no order"))
            else:
                pairs += positive(truth[i] - truth[j], np.hypot(error[i], error[j]))
    return f"{found}, by source; tested on each of {len(pairs)} pairs of models", every(*pairs)


def _competitive(profile: str | None) -> tuple[str, Verdict]:
    means = judgements(profile).groupby("metric")["weighted_kendall"].mean()[FACE_METHODS].sort_values(ascending=False)
    found = ", ".join(f"{label(m)} {value:.2f}" for m, value in means.items())
    draws = resampling.draws(*of_sources(profile), noise_of_sources(profile))
    draws = resampling.mean_over_targets(draws)[FACE_METHODS]
    chances = ", ".join(f"{label(m)} {value:.0%}" for m, value in best(draws).items())
    three = ["logme", "gbc", "face"]
    better = [above(draws[one], draws[other]) for one in three for other in FACE_METHODS if other not in three]
    return f"mean τ_w: {found}; best in draws: {chances}", every(*better)


@figure(shows="texts of every source and of the target, with their labels")
def text_examples(profile: str) -> Figure:
    pool = Experiment("text", profile).pool
    what = "docstrings of installed packages" if set(pool.sources) <= set(docstrings.NAMES) else "apps and headlines"
    count = {1: "The source", 2: "Two sources", 3: "Three sources"}[len(pool.sources)]
    title = f"{count} and the target (last): {what}"
    return data_examples.texts([text.load(name, "train") for name in (*pool.sources, *pool.targets)], title)


def _helps(profile: str) -> tuple[str, Verdict]:
    table = gains(profile)
    n = len(table)
    found = [f"{s}: {table[s].mean():+.1f} points, {(table[s] > 0).sum()} of {n} variants better" for s in table]
    return "; ".join(found), every(*positive(table.mean(), table.std() / n**0.5, freedom=n - 1))


@figure(
    shows="accuracy after fine-tuning, beside training without a source",
    claim="(ours) pre-training on any source is better than none",
)
def text_accuracies(profile: str) -> Checked:
    study = Experiment("text", profile)
    results = study.read("accuracies").rename(columns={"accuracy": "value"}).assign(measure="accuracy")
    scratch = Experiment("text_scratch", profile).read("accuracies")["accuracy"].mean()
    title = "Which source, and which variant, is best for the target?"
    return small_pools.gain_of_pretraining(results, {"accuracy": scratch}, start(profile), title), *_helps(profile)


@figure(
    shows="τ_w and ρ of each metric over six variants, for each source",
    claim="LogME and FaCe rank six text models perfectly (τ_w = 1)",
)
def face_fig6(profile: str) -> Checked:
    n = len(Experiment("text", profile).pool.architectures)
    title = f"FaCe Fig. 6, here: {n} text classifiers, once for each source they were pre-trained on"
    covered = resampling.covers(noise_of_sources(profile))
    return small_pools.correlation_bars(judgements(profile), SHOWN, by_chance(n), title, covered), *_perfect(profile)


@figure(
    shows="score against accuracy, six metrics, one row for each source",
    claim="LogME, GBC and FaCe are the best of six metrics",
)
def face_fig6_scatter(profile: str) -> Checked:
    scores, accuracies = of_sources(profile)
    points = with_accuracies(scores[scores["metric"].isin(FACE_METHODS)], accuracies)
    points, found = (
        table.assign(target=table["target"].str.replace("_", "\n")) for table in (points, judgements(profile))
    )
    title = "Do variants with higher scores classify more texts correctly?"
    return charts.method_scatter(points, found, FACE_METHODS, title), *_competitive(profile)


@figure(
    shows="weighted Kendall of every ranking of all models but PARC, ETran and kNN, with its bootstrap interval",
    claim="(ours) variants and sources together are enough to show that some metric ranks better than chance",
)
def text_intervals(profile: str) -> Checked:
    study = Experiment("text", profile)
    figure = interval_plot(study, f"How certain is the ranking? {len(study.pool.models)} text models")
    draws = study.draws()
    return figure, *any_above(draws, [m for m in draws if m not in registry.BLIND], 0.0)
