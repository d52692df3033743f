"""The figures of `21_selfsupervised`."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..lab import datasets, objectives, published, training
from ..lab.datasets.images import Images
from ..lab.experiment import Experiment, correlations, seed_noise, totals, with_accuracies
from ..lab.objectives import clustering, collapse
from ..lab.objectives.base import unit
from ..lab.objectives.infomin import INFOMIN
from ..lab.objectives.views import STRONG, WEAK
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..ranking.verdicts import UNKNOWN, Verdict, every, exact, positive
from ..store import artifacts
from . import above_0, beside, best_of, figure, is_best, plots, ranking_table
from .multi_source import averages, intervals, intervals_hold
from .plots import label
from .plots import selfsupervised as drawings

NEED_A_SOURCE_CLASSIFIER = ["nce", "leep"]  # rows of NCTI Table 1 that its Table 2 cannot have
METHODS = ["nleep", "logme", "sfda", "ncti"]  # the rows of NCTI Table 2
EXTRA = ["face", "face_printed", "static_baseline"]  # what we rank beside them

TERMS = {  # what is ranked by -> metric, and its terms that are added up
    "seli": ("ncti", ("seli",)),
    "ncc": ("ncti", ("ncc",)),
    "−log vc": ("ncti", ("log_vc",)),
    "NCTI without seli": ("ncti", ("ncc", "log_vc")),
    "NCTI without ncc": ("ncti", ("seli", "log_vc")),
    "NCTI without −log vc": ("ncti", ("seli", "ncc")),
    "NCTI": ("ncti", ("seli", "ncc", "log_vc")),
    "VC": ("face", ("variance_collapse",)),
    "CF": ("face", ("class_fairness",)),
    "FaCe": ("face", ("variance_collapse", "class_fairness")),
}
_PAIRS = {"seli, ncc": ("seli", "ncc"), "seli, −log vc": ("seli", "log_vc"), "ncc, −log vc": ("ncc", "log_vc")}
POOLS = {"supervised": ("supervised", "ncti"), "self-supervised": ("selfsupervised", None)}  # title -> pool, subset
SHOWN = "source"  # whose images explain the objectives, whatever the models learnt from: ImageNet is not read here


def _study(profile: str | None) -> Experiment:
    return Experiment("selfsupervised", profile)


# What an objective compares with what ---------------------------------------------------------------------------------


def picture(objective: str) -> Figure:
    """What one objective compares with what, on four drawn images as its own views show them."""
    return drawings.comparison(**panel(objective), title=label(objective))


def panel(objective: str) -> dict:
    """The parts of `picture`, as `plots.selfsupervised.comparisons` takes them.

    Clusters and codes are found by the functions that the objective trains with, from the pixels instead of a network's
    features: the picture is there before anything is trained.
    """
    data = datasets.load(SHOWN, "train", 1)
    chosen = np.linspace(0, len(data) - 1, 8).round().astype(int)
    x = training.prepare(data.images[chosen])  # (8, 3, 32, 32)
    batch, others = x[::2], x[1::2]
    draws = torch.Generator().manual_seed(1)
    views = [view(batch, draws) for view in objectives.OBJECTIVES[objective].views]
    older = objectives.OBJECTIVES[objective].views[-1](others, draws)
    return _COMPARED[objective](views, batch, others, older)


def _with_memory(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    return _parts(views[0], _shown(torch.cat([batch, others])), _own(4, 8), "view", "memory of every image")


def _with_queue(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    keys = torch.cat([views[1], older])
    return _parts(views[0], _shown(keys), _own(4, 8), "query", "keys: this batch, then the queue")


def _with_queue_and_clusters(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    parts = _with_queue(views, batch, others, older[:2])
    centres, roles = _clusters(torch.cat([batch, others]), 4)
    parts["columns"] = parts["columns"][:6] + centres
    parts["roles"] = np.hstack([parts["roles"][:, :6], roles])
    return parts | {"of_columns": "keys, queue, and centres of clusters"}


def _within_batch(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    z = torch.cat([view[:3] for view in views])
    roles = np.full((6, 6), -1.0)
    roles[np.arange(6), (np.arange(6) + 3) % 6] = 1
    np.fill_diagonal(roles, 0)
    return _parts(z, _shown(z), roles, "view", "all views of the batch")


def _with_other_view(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    return _parts(views[0], _shown(views[1]), np.eye(4), "prediction", "other view, by the slow copy")


def _with_codes(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    codes = clustering.sinkhorn(_pixels(views[1]) @ _pixels(older)[:3].T, epsilon=0.03, n_iterations=3)  # (4, 3)
    more_than_its_share = (3 * codes.numpy() - 1).clip(-1, 1)
    return _parts(views[0], _named("c", 3), more_than_its_share, "view", "prototypes: the other view's code")


def _with_clusters(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    centres, roles = _clusters(torch.cat([batch, others]), 4)
    return _parts(views[0], centres, roles, "view", "clusters of the last epoch")


def _with_equal_labels(views: list[Tensor], batch: Tensor, others: Tensor, older: Tensor) -> dict:
    scores = _pixels(batch) @ _pixels(others)[:2].T
    labels = clustering.sinkhorn(scores, epsilon=0.05, n_iterations=30).argmax(1)
    return _parts(views[0], _named("q", 2), _own(2, 2)[labels], "view", "labels, equally often")


def _parts(rows: Tensor, columns: list, roles: np.ndarray, of_rows: str, of_columns: str) -> dict:
    return {"rows": _shown(rows), "columns": columns, "roles": roles, "of_rows": of_rows, "of_columns": of_columns}


def _own(n: int, k: int) -> np.ndarray:
    """Each of n rows belongs to the column of its number, and to no other of the k."""
    return 2 * np.eye(n, k) - 1


def _clusters(x: Tensor, k: int) -> tuple[list[str], np.ndarray]:
    _, assignment = clustering.spherical_kmeans(_pixels(x), k, torch.Generator().manual_seed(0))
    return _named("c", k), _own(k, k)[assignment[:4]]


def _pixels(x: Tensor) -> Tensor:
    return unit(x.flatten(1))


def _named(letter: str, k: int) -> list[str]:
    return [f"${letter}_{i}$" for i in range(1, k + 1)]


def _shown(x: Tensor) -> list[np.ndarray]:
    """Images as they are looked at: undoes `training.prepare`."""
    return list((x * 63.75 + 127.5).round().to(torch.uint8).numpy())


_COMPARED = {
    "insdis": _with_memory,
    "moco_v1": _with_queue,
    "moco_v2": _with_queue,
    "infomin": _with_queue,
    "pcl_v1": _with_queue_and_clusters,
    "pcl_v2": _with_queue_and_clusters,
    "simclr_v1": _within_batch,
    "simclr_v2": _within_batch,
    "byol": _with_other_view,
    "swav": _with_codes,
    "deepcluster_v2": _with_clusters,
    "sela_v2": _with_equal_labels,
}


@figure(shows="one view of each image by the three augmentations of the objectives", notebook="21_selfsupervised")
def selfsupervised_views(profile: str) -> Figure:
    data = datasets.load(SHOWN, "train", 1)
    x, draws = training.prepare(data.images), torch.Generator().manual_seed(0)
    shown = [data]
    for name, view in (("weak", WEAK), ("strong", STRONG), ("InfoMin", INFOMIN)):
        shown.append(Images(name, data.split, np.stack(_shown(view(x, draws))), data.labels, data.classes))
    return plots.examples(shown, source_rows=1, title="The same images, and what the objectives are shown of them")


@figure(shows="what each objective pulls together and pushes apart", notebook="21_selfsupervised")
def selfsupervised_objectives(profile: str) -> Figure:
    panels = {name: panel(name) for name in _COMPARED}
    return drawings.comparisons(panels, "What each objective compares with what")


# Have they learnt? ----------------------------------------------------------------------------------------------------


def learnt(profile: str | None) -> pd.DataFrame:
    """What is known of each model before fine-tuning, one row per model.

    Returns
    -------
    DataFrame (model, source_accuracy, random_accuracy, effective_rank, feature_std, live_features, collapsed)
        Both accuracies are NaN for models that others trained, on images that are not read here; how much of the feature
        space these use is measured on the targets: the means over them, and ``collapsed`` 1 if it is so on any.
    """
    study = _study(profile)
    table = study.read("pretraining")
    if "collapsed" not in table:
        by_model = study.read("features").groupby("model")
        use = by_model[[*collapse.Collapse._fields]].mean().assign(collapsed=by_model["collapsed"].max())
        table = table.join(use, on="model").assign(random_accuracy=np.nan)
    return table[["model", "source_accuracy", "random_accuracy", "effective_rank", "feature_std", "live_features", "collapsed"]]


def told_probes(profile: str | None) -> str:
    """How many models a linear probe finds better than random weights, for a sentence."""
    table = learnt(profile)
    if table["source_accuracy"].isna().all():
        return "No linear probe was run: it would take ImageNet's images, which are not read here"
    better = table["source_accuracy"] > table["random_accuracy"]
    return f"{better.sum()} of {len(table)} models read better than random weights by a linear probe"


def told_seeds(profile: str | None) -> str:
    """How far two fine-tunings of the same models agree, for a sentence."""
    table = _study(profile).read("accuracies")
    noise, by_model = seed_noise(table), table.groupby(["target", "model"])["accuracy"].mean()
    if noise.empty:
        return "Each accuracy is that of one fine-tuning, done and published by others: how far chance reorders the models is not known."
    spread = by_model.groupby("target").agg(np.ptp)[noise["target"]].mean()
    return (f"Two fine-tunings of the same models agree at {noise['weighted_kendall'].mean():.2f} on {', '.join(noise['target'])}: they "
            f"differ by\n  {noise['difference'].mean():.1f} points, best and worst model by {spread:.1f}.")  # fmt: skip


def collapsed(profile: str | None) -> list[str]:
    """The models whose representation has collapsed; their scores say nothing."""
    pretraining = learnt(profile)
    return pretraining.loc[pretraining["collapsed"] > 0, "model"].tolist()


def _told_collapsed(profile: str) -> str:
    return "collapsed: " + (", ".join(map(label, collapsed(profile))) or "none")


def _probes_hold(profile: str) -> tuple[str, Verdict]:
    table = learnt(profile)
    if table["source_accuracy"].isna().all():
        return f"{told_probes(profile)}; {_told_collapsed(profile)}", UNKNOWN
    worst = table.loc[table["source_accuracy"].idxmin()]
    text = f"random weights {worst.random_accuracy:.1f} %, weakest {label(worst.model)} {worst.source_accuracy:.1f} %"
    error = _study(profile).read("pretraining").get("standard_error", np.nan)  # both probes are read on the same images
    learnt_something = positive(table["source_accuracy"] - table["random_accuracy"], np.sqrt(2) * error)
    in_use = exact(not collapsed(profile), "the features of these very models")
    return f"{text}; {_told_collapsed(profile)}", every(*learnt_something, in_use)


@figure(
    shows="linear probe on the source and effective rank of each self-supervised model, beside random weights",
    notebook="21_selfsupervised",
    claim="(ours) every objective has learnt something, and none has collapsed",
    holds=_probes_hold,
)
def selfsupervised_probes(profile: str) -> Figure:
    table = learnt(profile)
    return drawings.probes(table, table["random_accuracy"].mean(), "What was learnt without labels")


@figure(shows="accuracy after fine-tuning, every objective on every target", notebook="21_selfsupervised")
def selfsupervised_accuracies(profile: str) -> Figure:
    accuracies = _study(profile).read("accuracies").pivot_table("accuracy", "model", "target", sort=False)
    return plots.accuracy_heatmap(accuracies.rename(label), "Accuracy (%) after fine-tuning: the order to foresee")


# How well are they ranked? --------------------------------------------------------------------------------------------


def _ncti_table2_holds(profile: str) -> tuple[str, Verdict]:
    text, verdict = is_best(_study(profile).draws(), "ncti", METHODS)
    return f"{best_of(averages('selfsupervised', profile), 'ncti', METHODS)}; {text}", verdict


@figure(
    shows="weighted Kendall of each metric and target, self-supervised models: printed, and here",
    notebook="21_selfsupervised",
    claim="of four metrics NCTI ranks best on average",
    holds=_ncti_table2_holds,
)
def ncti_table2(profile: str) -> Figure:
    study = _study(profile)
    here = f"here: {len(study.pool.models)} models ({_told_collapsed(profile)}), profile {profile}"
    ours = ranking_table(study.read("correlations"), METHODS + EXTRA)
    titles = ("printed: models trained on ImageNet without labels", here, "here − printed")
    panels = beside(published.wide("ncti_table2"), ours, titles)
    panels = {name: table.reindex([*NEED_A_SOURCE_CLASSIFIER, *table.index]) for name, table in panels.items()}
    title = "NCTI Table 2: how well each metric ranks self-supervised models"
    reason = "NCE and LEEP read the source's own classes, of which these models know none"
    return plots.correlation_heatmap(panels, f"{title}\n({reason})")


def _scatter(profile: str, metric: str, title: str) -> Figure:
    study = _study(profile)
    scores, accuracies = study.ranked()
    points = with_accuracies(scores.query("metric == @metric"), accuracies)
    return plots.score_scatter(points, study.read("correlations").query("metric == @metric"), label(metric), title)


def _interval_above_0(profile: str, metric: str) -> tuple[str, Verdict]:
    return above_0(averages("selfsupervised", profile).loc[metric], _study(profile).draws()[metric])


@figure(
    shows="NCTI against accuracy after fine-tuning, self-supervised models, one panel per target",
    notebook="21_selfsupervised",
    claim="(ours) NCTI ranks self-supervised models: its mean lies above 0",
    holds=lambda profile: _interval_above_0(profile, "ncti"),
)
def selfsupervised_ncti(profile: str) -> Figure:
    return _scatter(profile, "ncti", "Do self-supervised models with a higher NCTI do better after fine-tuning?")


@figure(
    shows="FaCe against accuracy after fine-tuning, self-supervised models, one panel per target",
    notebook="21_selfsupervised",
    claim="(ours) FaCe ranks self-supervised models, which it was never tried on: its mean lies above 0",
    holds=lambda profile: _interval_above_0(profile, "face"),
)
def selfsupervised_face(profile: str) -> Figure:
    return _scatter(profile, "face", "Do self-supervised models with a higher FaCe do better after fine-tuning?")


@figure(
    shows="mean weighted Kendall of every ranking of self-supervised models with its interval",
    notebook="21_selfsupervised",
    claim="(ours) some metric ranks better than the static baseline",
    holds=lambda profile: intervals_hold("selfsupervised", profile),
)
def selfsupervised_intervals(profile: str) -> Figure:
    return intervals("selfsupervised", profile)


# Which term carries the ranking? --------------------------------------------------------------------------------------


def which_term(profile: str | None = None) -> pd.DataFrame:
    """How well the terms of NCTI and FaCe rank, alone and together, models that had labels and models that had none.

    Parameters
    ----------
    profile : str, optional
        One in which the pools ``supervised`` (of which NCTI's models are taken) and ``selfsupervised`` are scored.

    Returns
    -------
    DataFrame (pool, terms, weighted_kendall, low, high)
        Means over the pool's targets; also written, as ``terms`` of the self-supervised pool.
    """
    parts = []
    for title in POOLS:
        average = correlations(*_by_terms(title, profile)).query("target == 'average'")
        parts.append(average.rename(columns={"metric": "terms"}).assign(pool=title))
    table = pd.concat(parts, ignore_index=True)[["pool", "terms", "weighted_kendall", "low", "high"]]
    return artifacts.write_table(_study(profile).results / "terms.csv", table)


def _by_terms(title: str, profile: str | None) -> tuple[pd.DataFrame, pd.DataFrame, Noise]:
    """Scores by `TERMS`, accuracies, and their noise, of one of `POOLS`."""
    pool, subset = POOLS[title]
    study = Experiment(pool, profile)
    _, accuracies = study.ranked(subset)
    terms = study.read("scores").query("term != 'total' and model in @accuracies.index")
    scores = [
        totals(terms[(terms["metric"] == metric) & terms["term"].isin(used)]).assign(metric=name)
        for name, (metric, used) in TERMS.items()
    ]
    return pd.concat(scores), accuracies, study.noise(subset)


def agreement(profile: str | None = None) -> pd.DataFrame:
    """How far the terms of NCTI order the models alike: Spearman correlations, mean over targets, (pair x pool)."""
    columns = {}
    for title, (pool, subset) in POOLS.items():
        study = Experiment(pool, profile)
        _, accuracies = study.ranked(subset)
        terms = study.read("scores").query("metric == 'ncti' and term != 'total' and model in @accuracies.index")
        by_target = terms.assign(score=terms["score"].where(terms["term"] != "log_vc", -terms["score"]))
        tables = [
            group.pivot(index="model", columns="term", values="score").corr("spearman")
            for _, group in by_target.groupby("target")
        ]
        mean = sum(tables) / len(tables)
        columns[title] = {name: mean.loc[pair] for name, pair in _PAIRS.items()}
    return pd.DataFrame(columns)


def _terms_hold(profile: str) -> tuple[str, Verdict]:
    table = _study(profile).read("terms").pivot(index="terms", columns="pool", values="weighted_kendall")
    best = table.loc[list(TERMS)[:3]].idxmax()
    found = [f"{pool}: {term} {table.loc[term, pool]:.2f}" for pool, term in best.items()]
    asked, terms = [], list(TERMS)[:3]
    for title, expected in (("supervised", "seli"), ("self-supervised", "ncc")):
        text, verdict = is_best(resampling.mean_over_targets(resampling.draws(*_by_terms(title, profile))), expected, terms)
        asked.append((f"{title}: {expected} {text}", verdict))
    return "best term, " + "; ".join([*found, *(text for text, _ in asked)]), every(*(verdict for _, verdict in asked))


@figure(
    shows="mean weighted Kendall of the terms of NCTI and FaCe, alone and together, with labels and without",
    notebook="21_selfsupervised",
    claim="of NCTI's terms seli ranks supervised models best, and ncc self-supervised ones",
    holds=_terms_hold,
)
def selfsupervised_terms(profile: str) -> Figure:
    covered = resampling.covers(*(Experiment(pool, profile).noise(subset) for pool, subset in POOLS.values()))
    return drawings.term_intervals(_study(profile).read("terms"), "Which term carries the ranking?", covered)
