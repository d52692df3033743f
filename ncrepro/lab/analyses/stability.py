"""How different a result could have been, with other models, images, fine-tunings, ground truths (`34_stability`)."""

from itertools import product

import numpy as np
import pandas as pd

from ... import ranking
from ...metrics import registry
from ...ranking import resampling
from ...ranking.resampling import Noise
from ...ranking.verdicts import probability
from .. import published
from ..experiment import Experiment, competitors, correlations, long_form, seed_noise
from . import stack, subsamples

RESAMPLES = [{"per_class": 0, "replace": True, "draw": draw} for draw in range(10)]  # of a target's images
# metrics whose total depends on which models are in the pool
MIN_MAX = tuple(name for name in registry.several_terms() if name not in registry.beside())


# Of one pool ----------------------------------------------------------------------------------------------------------


def choices(study: Experiment, subset: str | None) -> pd.DataFrame:
    """What following each ranking gives, target by target: `choice_quality` of a pool."""
    return choice_quality(*study.ranked(subset))


def without_each_model(study: Experiment, subset: str | None) -> pd.DataFrame:
    """Mean weighted Kendall with each model left out in turn: (left_out, metric, weighted_kendall, error).

    "" leaves out none. ``error``: deviation of the difference to all models by images and training; NaN: not measured.
    """
    scores, accuracies = study.ranked(subset)
    terms = study.read("scores").query("metric in @MIN_MAX")
    noise, whole, tables = study.noise(subset), None, {}
    for name in ("", *accuracies.index):
        rest = accuracies.drop(index=name or [])
        of_rest = scores_among(rest.index, scores, terms)
        resamples = resampling.draws(of_rest, accuracies, noise, components=("images", "training"), n=200, without=name)
        resamples = resampling.mean_over_targets(resamples)
        whole = resamples if whole is None else whole
        found = ranking.mean_agreement(ranking.agreement(of_rest, rest))
        error = found["metric"].map((resamples - whole).std()) if noise.known else np.nan
        tables[name] = found.assign(error=error)
    return stack(tables, "left_out")


def scores_among(models, scores: pd.DataFrame, terms: pd.DataFrame) -> pd.DataFrame:
    """The scores of some models of a pool; `MIN_MAX` are normalised again over these."""
    again = ranking.totals(terms[terms["model"].isin(models)])
    return pd.concat([scores[~scores["metric"].isin(MIN_MAX) & scores["model"].isin(models)], again])


def contests(study: Experiment, subset: str | None) -> pd.DataFrame:
    """`chances_to_win` of a pool."""
    return chances_to_win(*study.ranked(subset), study.noise(subset))


def other_images(study: Experiment, targets: list[str]) -> pd.DataFrame:
    """Mean weighted Kendall of every metric on resampled images of some targets: (draw, metric, weighted_kendall)."""
    _, accuracies = study.ranked()
    measured = study.measure(subsamples.scored_but_nleep, RESAMPLES, targets)
    scores = subsamples.total_scores(measured, list(accuracies.index), ["draw"])
    found = ranking.agreement(scores, accuracies[targets], ["draw", "metric"])
    return ranking.mean_agreement(found, ["draw", "metric"])


def other_seeds(study: Experiment) -> pd.DataFrame:
    """Mean weighted Kendall by each single fine-tuning, over targets with several: (seed, metric, weighted_kendall)."""
    runs = study.read("accuracies")
    several = runs.groupby("target")["seed"].nunique()
    runs = runs[runs["target"].isin(several.index[several > 1]) & (runs["seed"] < 2)]
    scores, _ = study.ranked()
    tables = {}
    for seed, group in runs.groupby("seed"):
        tables[seed] = ranking.agreement(scores, group.pivot(index="model", columns="target", values="accuracy"))
    return ranking.mean_agreement(stack(tables, "seed"), ["seed", "metric"])


def doubts(study: Experiment, left: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """How far each metric's mean weighted Kendall moves: (doubt, metric, weighted_kendall, low, high).

    ``models``: 95 % of draws of other models. The others: the range in `without_each_model`, `other_images`,
    `other_seeds`.
    """
    average = competitors(study.averages().reset_index())
    average = average.assign(low=average["low_models"], high=average["high_models"])
    tables = {"models": average[["metric", "weighted_kendall", "low", "high"]]}
    for doubt, table in (("left_out", left[left["left_out"] != ""]), ("images", images), ("seeds", other_seeds(study))):
        of_metric = table.groupby("metric", sort=False)["weighted_kendall"]
        tables[doubt] = of_metric.agg(weighted_kendall="mean", low="min", high="max").reset_index()
    return stack(tables, "doubt")


# Training again ------------------------------------------------------------------------------------------------------


def components(study: Experiment, subset: str | None) -> pd.DataFrame:
    """What chance does to a mean weighted Kendall: (component, metric, weighted_kendall, low, high).

    ``component``: each source of chance that was measured, and all together; ``low``, ``high``: 95 % of the draws.
    """
    noise = study.noise(subset)
    unknown = {"images": noise.images is None, "training": noise.seeds is None and not noise.runs}
    tables = {}
    for name, parts in ({part: (part,) for part in resampling.COMPONENTS} | {"all": resampling.COMPONENTS}).items():
        if not unknown.get(name, False):
            resamples = resampling.mean_over_targets(resampling.draws(*study.ranked(subset), noise, components=parts))
            low, high = resampling.interval(resamples)
            tables[name] = pd.DataFrame({"weighted_kendall": resamples.mean(), "low": low, "high": high}).reset_index()
    return stack(tables, "component")


def points(study: Experiment, subset: str | None) -> pd.DataFrame:
    """How far an accuracy strays, in points, root mean square over models: (target, images, seeds, training, runs).

    By other test images, by another fine-tuning, by all trained again (``runs``: how many times); NaN: not measured.
    """
    _, accuracies = study.ranked(subset)
    noise = study.noise(subset)
    again = np.stack([accuracies.to_numpy(), *(run["accuracy"].to_numpy() for run in noise.runs)])
    found = {"images": noise.images, "seeds": noise.seeds}
    table = pd.DataFrame(
        {name: np.nan if x is None else (x**2).mean() ** 0.5 for name, x in found.items()}, index=accuracies.columns
    )
    table["training"] = again.var(axis=0, ddof=1).mean(axis=0) ** 0.5 if noise.runs else np.nan
    return table.assign(runs=len(again)).rename_axis("target").reset_index()


def over_runs(study: Experiment, subset: str | None) -> pd.DataFrame:
    """Mean weighted Kendall in the present run (0) and in every repetition: (run, metric, weighted_kendall)."""
    scores, accuracies = study.ranked(subset)
    tables = {0: ranking.agreement(scores, accuracies)}
    for number, run in enumerate(study.noise(subset).runs, start=1):
        again = [long_form(table, name) for name, table in run.items() if name in set(scores["metric"])]
        tables[number] = ranking.agreement(pd.concat(again), run["accuracy"])
    return ranking.mean_agreement(stack(tables, "run"), ["run", "metric"])


# Of two pools ---------------------------------------------------------------------------------------------------------


def by_sources(one: Experiment, several: Experiment) -> pd.DataFrame:
    """How well models that share their source are ranked, and models that do not, on the targets that both pools have.

    Three groups of models: those of ``one``, those of ``several``, and of these those whose source ``one`` lacks.

    Returns
    -------
    DataFrame (n_sources, n_models, metric, weighted_kendall, low, high)
        Means over targets. ``metric`` holds two rankings more: ``other_seed``, the accuracies of a second fine-tuning,
        and ``other_target``, the accuracies on another target (mean over pairs of targets); they have no interval.
    """
    tables = []
    for study, n_sources, scores, truth in source_groups(one, several):
        table = correlations(scores, truth, study.noise()).query("target == 'average'")
        targets = list(truth.columns)  # noqa: F841, the query names it
        runs = study.read("accuracies").query("model in @truth.index and target in @targets")
        ceilings = {
            "other_seed": seed_noise(runs)["weighted_kendall"].mean(),
            "other_target": ranking.mutual_agreement(truth),
        }
        more = pd.DataFrame({"metric": ceilings.keys(), "weighted_kendall": ceilings.values()})
        rows = pd.concat([table[["metric", "weighted_kendall", "low", "high"]], more])
        tables.append(rows.assign(n_sources=n_sources, n_models=len(truth)))
    return pd.concat(tables, ignore_index=True)[["n_sources", "n_models", "metric", "weighted_kendall", "low", "high"]]


def source_groups(one: Experiment, several: Experiment) -> list[tuple[Experiment, int, pd.DataFrame, pd.DataFrame]]:
    """The groups of `by_sources`: the pool they are of, how many sources they have, their scores, their accuracies."""
    targets = [target for target in one.pool.targets if target in several.pool.targets]
    groups = [
        (one, one.pool.models),
        (several, several.pool.models),
        (several, tuple(m for m in several.pool.models if m.source not in one.pool.sources)),
    ]
    found = []
    for study, models in dict.fromkeys(groups):
        scores, accuracies = study.ranked()
        terms = study.read("scores").query("metric in @MIN_MAX")
        truth = accuracies.loc[accuracies.index.isin([model.name for model in models]), targets]
        found.append((study, len({model.source for model in models}), scores_among(truth.index, scores, terms), truth))
    return found


# Tables in, tables out ------------------------------------------------------------------------------------------------


def choice_quality(scores: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """What you get if you fine-tune the model that a ranking puts first.

    Parameters
    ----------
    scores : DataFrame (model, target, metric, score)
    accuracies : DataFrame, models x targets, per cent

    Returns
    -------
    DataFrame (metric, target, regret, top1, top3)
        ``regret``: points given up to the best model (`ranking.regret`). ``top1``, ``top3``: 1.0 if the best model has
        the highest score, or one of the three highest, else 0.0. The metric ``random`` stands for a choice at random.
    """
    rows = []
    for (metric, target), group in scores.groupby(["metric", "target"], sort=False):
        score, truth = group.set_index("model")["score"].loc[accuracies.index], accuracies[target]
        if score.nunique() > 1:
            place = int((score > score[truth.idxmax()]).sum())  # models that are preferred to the best one
            rows.append((metric, target, ranking.regret(score, truth), float(place < 1), float(place < 3)))
    n = len(accuracies)
    rows += [("random", t, accuracies[t].max() - accuracies[t].mean(), 1 / n, min(3, n) / n) for t in accuracies]
    return pd.DataFrame(rows, columns=["metric", "target", "regret", "top1", "top3"])


def chances_to_win(scores: pd.DataFrame, accuracies: pd.DataFrame, noise: Noise = resampling.NONE) -> pd.DataFrame:
    """How surely one ranking is better than another: (metric, rival, probability).

    ``probability``: how often its mean weighted Kendall over targets is above its rival's in `resampling.draws`.
    """
    resamples = resampling.mean_over_targets(resampling.draws(scores, accuracies, noise)).dropna(axis=1)
    rows = [
        (one, other, probability(resamples[one], resamples[other]))
        for one, other in product(resamples, resamples)
        if one != other
    ]
    return pd.DataFrame(rows, columns=["metric", "rival", "probability"])


# The published ground truth -------------------------------------------------------------------------------------------


def published_truths() -> pd.DataFrame:
    """Published scores judged by two published tables of accuracies of the same models.

    Returns
    -------
    DataFrame (score, target, truth, weighted_kendall)
        ``truth``: "sfda" (on which NCTI's tables rest) or "tllib". ``score``: those that the Transfer Learning Library
        prints, NCTI as the blog prints it for CIFAR-10, the static baseline from the accuracies of the same table, and
        ``other_truth``: how far the two tables agree.
    """
    tllib, sfda = published.load("tllib_finetuned_accuracy"), published.load("supervised_finetuned_accuracy")
    truths = {"sfda": sfda.loc[tllib.index, tllib.columns], "tllib": tllib}
    blog = published.load("ncti_cifar10_blog")["ncti"].loc[tllib.index]
    of_blog = pd.DataFrame({"model": blog.index, "target": "cifar10", "metric": "ncti", "score": blog.to_numpy()})
    shared = pd.concat([published.load("tllib_scores").reset_index(), of_blog])
    tables = []
    for truth, accuracies in truths.items():
        other = truths["tllib" if truth == "sfda" else "sfda"]
        own = [long_form(ranking.static_baseline(accuracies), "static_baseline"), long_form(other, "other_truth")]
        tables.append(ranking.agreement(pd.concat([shared, *own]), accuracies).assign(truth=truth))
    return pd.concat(tables, ignore_index=True).rename(columns={"metric": "score"})
