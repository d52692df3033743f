"""The figures of `21_selfsupervised`."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from .. import ranking
from ..extraction.samples import Images
from ..lab import datasets, published, training
from ..lab.analyses import terms_of
from ..lab.experiment import Experiment, correlations, seed_noise, with_accuracies
from ..lab.objectives import clustering, representation_collapse
from ..lab.objectives.base import unit
from ..lab.objectives.infomin import INFOMIN
from ..lab.objectives.views import STRONG, WEAK
from ..metrics import registry
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..ranking.verdicts import UNKNOWN, Verdict, every, positive
from ..store import artifacts
from . import charts, data_examples, style
from .display_names import label
from .findings import NCTI_METHODS, above_0, better_than_static, comparison_panels, is_best, ranking_table, ranks_best
from .index import Checked, figure
from .multi_source import intervals

# Rows of NCTI Table 1 that its Table 2 cannot have.
NEED_A_SOURCE_CLASSIFIER = [name for name in NCTI_METHODS if registry.METRICS[name].needs_source_classifier]
METHODS = ["nleep", "logme", "sfda", "ncti"]  # the rows of NCTI Table 2
EXTRA = ["face", "face_printed", "static_baseline"]  # what we rank beside them

_NCTI, _FACE = (registry.METRICS[metric].terms for metric in ("ncti", "face"))
_REST = {term: tuple(other.name for other in _NCTI if other != term) for term in _NCTI}
TERMS = (  # what is ranked by -> metric, and its terms that are added up
    {term.signed_label: ("ncti", (term.name,)) for term in _NCTI}
    | {f"NCTI without {term.signed_label}": ("ncti", rest) for term, rest in _REST.items()}
    | {"NCTI": ("ncti", registry.term_names("ncti"))}
    | {term.signed_label: ("face", (term.name,)) for term in _FACE}
    | {"FaCe": ("face", registry.term_names("face"))}
)
_PAIRS = {f"{one.signed_label}, {other.signed_label}": (one.name, other.name) for one, other in combinations(_NCTI, 2)}
POOLS = {"supervised": ("supervised", "ncti"), "self-supervised": ("selfsupervised", None)}  # title -> pool, subset


def _study(profile: str | None) -> Experiment:
    return Experiment("selfsupervised", profile)


# What an objective compares with what ---------------------------------------------------------------------------------


def panel(objective: str) -> dict:
    """What one objective compares with what, as `comparisons` takes it.

    Images are symbols, one shape for each. Clusters and codes are found by the functions that the objective trains
    with, from a few drawn vectors in place of a network's features: the picture is there before anything is trained,
    and the same for every profile.
    """
    (compared,) = (compared for objectives, compared in _ALIKE.items() if objective in objectives)
    return compared()


# fills of the symbols: a view, another view of the same image, one of an earlier batch
VIEW, OTHER, KEPT = "black", "white", "0.7"


def _with_memory() -> dict:
    return _parts(_symbols(range(4), VIEW), _symbols(range(8), KEPT), _own(4, 8), "view", "memory of all images")


def _with_queue() -> dict:
    keys = _symbols(range(4), OTHER) + _symbols(range(4, 8), KEPT)
    return _parts(_symbols(range(4), VIEW), keys, _own(4, 8), "query", "keys: this batch, then the queue")


def _with_queue_and_clusters() -> dict:
    parts = _with_queue()
    centres, roles = _clusters(4)
    parts["columns"] = parts["columns"][:6] + centres
    parts["roles"] = np.hstack([parts["roles"][:, :6], roles])
    return parts | {"of_columns": "keys, queue, and centres of clusters"}


def _within_batch() -> dict:
    views = _symbols(range(3), VIEW) + _symbols(range(3), OTHER)
    roles = np.full((6, 6), -1.0)
    roles[np.arange(6), (np.arange(6) + 3) % 6] = 1
    np.fill_diagonal(roles, 0)
    return _parts(views, views, roles, "view", "all views of the batch")


def _with_other_view() -> dict:
    views, others = _symbols(range(4), VIEW), _symbols(range(4), OTHER)
    return _parts(views, others, np.eye(4), "prediction", "other view, by the slow copy")


def _with_codes() -> dict:
    codes = clustering.sinkhorn(_vectors(4) @ _vectors(8)[4:7].T, epsilon=0.1, n_iterations=3)  # (4, 3)
    roles = (3 * codes.numpy() - 1).clip(-1, 1)  # above 0: more than its share
    return _parts(_symbols(range(4), VIEW), _named("p", 3), roles, "view", "prototypes: the other view's code")


def _with_clusters() -> dict:
    return _parts(_symbols(range(4), VIEW), *_clusters(4), "view", "clusters of the last epoch")


def _with_equal_labels() -> dict:
    labels = clustering.sinkhorn(_vectors(4) @ _vectors(8)[4:6].T, epsilon=0.05, n_iterations=30).argmax(1)
    return _parts(_symbols(range(4), VIEW), _named("q", 2), _own(2, 2)[labels], "view", "labels, equally often")


def _parts(rows: list, columns: list, roles: np.ndarray, of_rows: str, of_columns: str) -> dict:
    return {"rows": rows, "columns": columns, "roles": roles, "of_rows": of_rows, "of_columns": of_columns}


def _own(n: int, k: int) -> np.ndarray:
    """Each of n rows belongs to the column of its number, and to no other of the k."""
    return 2 * np.eye(n, k) - 1


def _clusters(k: int) -> tuple[list[str], np.ndarray]:
    _, assignment = clustering.spherical_kmeans(_vectors(8), k, torch.Generator().manual_seed(0))
    return _named("c", k), _own(k, k)[assignment[:4]]


def _vectors(n: int) -> Tensor:
    """What stands for the features of the first n images."""
    return unit(torch.randn(8, 4, generator=torch.Generator().manual_seed(3)))[:n]


def _named(letter: str, k: int) -> list[str]:
    return [f"${letter}_{i}$" for i in range(1, k + 1)]


def _symbols(images, fill: str) -> list[tuple[str, str]]:
    """A marker and its fill for each image."""
    return [(style.MARKERS[i], fill) for i in images]


_ALIKE = {  # objectives that compare the same
    ("insdis",): _with_memory,
    ("moco_v1", "moco_v2", "infomin"): _with_queue,
    ("pcl_v1", "pcl_v2"): _with_queue_and_clusters,
    ("simclr_v1", "simclr_v2"): _within_batch,
    ("byol",): _with_other_view,
    ("swav",): _with_codes,
    ("deepcluster_v2",): _with_clusters,
    ("sela_v2",): _with_equal_labels,
}


@figure(shows="one view of each image by each of the three augmentations of the objectives")
def selfsupervised_views(profile: str) -> Figure:
    pool = _study(profile).pool
    learnt_from = pool.sources if pool.task == "selfsupervised" else pool.targets  # ImageNet is not read here
    data = datasets.load(learnt_from[0], "train", 1)
    images = data.images[np.arange(len(data))]  # (n, 3, h, w)
    step = images.shape[-1] // training.SIZE
    x, draws = training.prepare(images[..., ::step, ::step]), torch.Generator().manual_seed(0)
    shown = [data]
    for name, view in (("weak", WEAK), ("strong", STRONG), ("InfoMin", INFOMIN)):
        views = (view(x, draws) * 63.75 + 127.5).round().to(torch.uint8).numpy()  # undoes training.prepare
        shown.append(Images(name, data.split, views, data.labels, data.classes))
    title = "The same images, and the views that the objectives are trained on"
    return data_examples.images(shown, source_rows=1, title=title)


@figure(shows="what each objective pulls together and pushes apart; objectives that compare alike share a picture")
def selfsupervised_objectives(profile: str) -> Figure:
    panels = {", ".join(map(label, names)): panel(names[0]) for names in _ALIKE}
    return comparisons(panels, "What each objective compares with what")


# Have they learnt? ----------------------------------------------------------------------------------------------------


def pretraining_summary(profile: str | None) -> pd.DataFrame:
    """What is known of each model before fine-tuning, one row per model.

    Returns
    -------
    DataFrame (model, source_accuracy, random_accuracy, effective_rank, feature_std, live_features, collapsed)
        Both accuracies are NaN for models that others trained, on images that are not read here; how much of the
        feature space these use is measured on the targets: the means over them, and ``collapsed`` 1 if it is so on any.
    """
    study = _study(profile)
    table = study.read("pretraining")
    if "collapsed" not in table:
        by_model = study.read("features").groupby("model")
        use = by_model[[*representation_collapse.Collapse._fields]].mean().assign(collapsed=by_model["collapsed"].max())
        table = table.join(use, on="model").assign(random_accuracy=np.nan)
    return table[
        ["model", "source_accuracy", "random_accuracy", "effective_rank", "feature_std", "live_features", "collapsed"]
    ]


def probes_text(profile: str | None) -> str:
    """How many models a linear probe finds better than random weights, for a sentence."""
    table = pretraining_summary(profile)
    if table["source_accuracy"].isna().all():
        return "No linear probe was run: it would need ImageNet's images, which are not read here"
    better = table["source_accuracy"] > table["random_accuracy"]
    return f"{better.sum()} of {len(table)} models are better than random weights by a linear probe"


def seeds_text(profile: str | None) -> str:
    """How far two fine-tunings of the same models agree, for a sentence."""
    table = _study(profile).read("accuracies")
    noise, by_model = seed_noise(table), table.groupby(["target", "model"])["accuracy"].mean()
    if noise.empty:
        return (
            "Each accuracy is that of one fine-tuning, done and published by others: how much chance reorders the "
            "models is not known."
        )
    spread = by_model.groupby("target").agg(np.ptp)[noise["target"]].mean()
    return (
        f"Two fine-tunings of the same models agree at {noise['weighted_kendall'].mean():.2f} on "
        f"{', '.join(noise['target'])}: they differ by\n  {noise['difference'].mean():.1f} points, best and worst "
        f"model by {spread:.1f}."
    )


def collapsed_models(profile: str | None) -> list[str]:
    """The models whose representation has collapsed; their scores say nothing."""
    pretraining = pretraining_summary(profile)
    return pretraining.loc[pretraining["collapsed"] > 0, "model"].tolist()


def _collapsed_text(profile: str) -> str:
    return "collapsed: " + (", ".join(map(label, collapsed_models(profile))) or "none")


def _probes_hold(profile: str) -> tuple[str, Verdict]:
    table = pretraining_summary(profile)
    if table["source_accuracy"].isna().all():
        return f"{probes_text(profile)}; {_collapsed_text(profile)}", UNKNOWN
    worst = table.loc[table["source_accuracy"].idxmin()]
    text = f"random weights {worst.random_accuracy:.1f} %, weakest {label(worst.model)} {worst.source_accuracy:.1f} %"
    error = _study(profile).read("pretraining").get("standard_error", np.nan)  # both probes are read on the same images
    learnt_something = positive(table["source_accuracy"] - table["random_accuracy"], np.sqrt(2) * error)
    # Each model is trained once, but whether one of the twelve collapses can change from training to training.
    return f"{text}; {_collapsed_text(profile)}", every(*learnt_something, UNKNOWN)


@figure(
    shows="linear probe on the source and effective rank of each self-supervised model, beside random weights",
    claim="(ours) every model has learned something, and none has collapsed",
)
def selfsupervised_probes(profile: str) -> Checked:
    table = pretraining_summary(profile)
    return probes(table, table["random_accuracy"].mean(), "What was learned without labels"), *_probes_hold(profile)


@figure(shows="accuracy after fine-tuning, every objective on every target")
def selfsupervised_accuracies(profile: str) -> Figure:
    accuracies = _study(profile).read("accuracies").pivot_table("accuracy", "model", "target", sort=False)
    return charts.accuracy_heatmap(accuracies.rename(label), "Accuracy (%) after fine-tuning: the order to predict")


# How well are they ranked? --------------------------------------------------------------------------------------------


@figure(
    shows="weighted Kendall of each metric and target, self-supervised models: printed, and here",
    claim="of four metrics NCTI ranks best on average",
)
def ncti_table2(profile: str) -> Checked:
    study = _study(profile)
    here = f"here: {len(study.pool.models)} models ({_collapsed_text(profile)}), profile {profile}"
    ours = ranking_table(study.read("correlations"), METHODS + EXTRA)
    titles = ("printed: models trained on ImageNet without labels", here, "here − printed")
    panels = comparison_panels(published.wide("ncti_table2"), ours, titles)
    panels = {name: table.reindex([*NEED_A_SOURCE_CLASSIFIER, *table.index]) for name, table in panels.items()}
    title = "NCTI Table 2: how well each metric ranks self-supervised models"
    reason = "NCE and LEEP need source classes, and these models have none"
    return charts.correlation_heatmap(panels, f"{title}\n({reason})"), *ranks_best(study, "ncti", METHODS)


def _ranks(profile: str, metric: str) -> Checked:
    """A metric's scores against the accuracies, and whether its mean weighted Kendall lies above 0."""
    study = _study(profile)
    scores, accuracies = study.ranked()
    points = with_accuracies(scores.query("metric == @metric"), accuracies)
    found = study.read("correlations").query("metric == @metric")
    title = f"Do self-supervised models with a higher {label(metric)} do better after fine-tuning?"
    figure = charts.score_scatter(points, found, label(metric), title)
    return figure, *above_0(study.averages().loc[metric], study.draws()[metric])


@figure(
    shows="NCTI against accuracy after fine-tuning, self-supervised models, one panel per target",
    claim="(ours) NCTI ranks self-supervised models: its mean lies above 0",
)
def selfsupervised_ncti(profile: str) -> Checked:
    return _ranks(profile, "ncti")


@figure(
    shows="FaCe against accuracy after fine-tuning, self-supervised models, one panel per target",
    claim="(ours) FaCe ranks self-supervised models, on which its paper does not test it: its mean lies above 0",
)
def selfsupervised_face(profile: str) -> Checked:
    return _ranks(profile, "face")


@figure(
    shows="mean weighted Kendall of every ranking of self-supervised models but PARC, ETran and kNN with its interval",
    claim="(ours) some metric ranks better than the static baseline",
)
def selfsupervised_intervals(profile: str) -> Checked:
    return intervals("selfsupervised", profile), *better_than_static(_study(profile))


# Which term carries the ranking? --------------------------------------------------------------------------------------


def which_term(profile: str | None = None) -> pd.DataFrame:
    """How well the terms of NCTI and FaCe rank, alone and together, models that had labels and models that had none.

    Parameters
    ----------
    profile : str, optional
        One in which the pools ``supervised`` (only NCTI's models are used) and ``selfsupervised`` are scored.

    Returns
    -------
    DataFrame (pool, terms, weighted_kendall, low, high)
        Means over the pool's targets; also written, as ``terms`` of the self-supervised pool.
    """

    def of_terms() -> pd.DataFrame:
        parts = [correlations(*_by_terms(title, profile)).assign(pool=title) for title in POOLS]
        averages = pd.concat(parts).query("target == 'average'").rename(columns={"metric": "terms"})
        return averages[["pool", "terms", "weighted_kendall", "low", "high"]].reset_index(drop=True)

    return artifacts.table(_study(profile).results / "terms.csv", of_terms)


def _by_terms(title: str, profile: str | None) -> tuple[pd.DataFrame, pd.DataFrame, Noise]:
    """Scores by `TERMS`, accuracies, and their noise, of one of `POOLS`."""
    pool, subset = POOLS[title]
    study = Experiment(pool, profile)
    _, accuracies = study.ranked(subset)
    terms = study.read("scores").query("term != 'total' and model in @accuracies.index")
    scores = [
        ranking.totals(terms[(terms["metric"] == metric) & terms["term"].isin(used)]).assign(metric=name)
        for name, (metric, used) in TERMS.items()
    ]
    return pd.concat(scores), accuracies, study.noise(subset)


def agreement(profile: str | None = None) -> pd.DataFrame:
    """How far the terms of NCTI order the models alike: Spearman correlations, mean over targets, (pair x pool)."""
    columns = {}
    for title, (pool, subset) in POOLS.items():
        terms, _ = terms_of(Experiment(pool, profile), subset, "ncti")
        signed = terms.assign(score=terms["score"] * terms["term"].map(registry.sign))
        by_target = signed.pivot(index=["target", "model"], columns="term", values="score").groupby("target")
        tables = [table.corr("spearman") for _, table in by_target]
        mean = sum(tables) / len(tables)
        columns[title] = {name: mean.loc[pair] for name, pair in _PAIRS.items()}
    return pd.DataFrame(columns)


def _terms_hold(profile: str) -> tuple[str, Verdict]:
    table = _study(profile).read("terms").pivot(index="terms", columns="pool", values="weighted_kendall")
    terms, verdicts = list(TERMS)[:3], []
    found = [f"{pool}: {term} {table.loc[term, pool]:.2f}" for pool, term in table.loc[terms].idxmax().items()]
    for title, expected in (("supervised", "seli"), ("self-supervised", "ncc")):
        draws = resampling.mean_over_targets(resampling.draws(*_by_terms(title, profile)))
        text, verdict = is_best(draws, expected, terms)
        found.append(f"{title}: {expected} {text}")
        verdicts.append(verdict)
    return f"best term, {'; '.join(found)}", every(*verdicts)


@figure(
    shows="mean weighted Kendall of the terms of NCTI and FaCe, alone and together, with labels and without",
    claim="of NCTI's terms seli ranks supervised models best, and ncc self-supervised ones",
)
def selfsupervised_terms(profile: str) -> Checked:
    covered = resampling.covers(*(Experiment(pool, profile).noise(subset) for pool, subset in POOLS.values()))
    table = _study(profile).read("terms").rename(columns={"pool": "panel", "terms": "row"})
    lines = f"{charts.TAU} over targets; lines: {covered}"
    return charts.rows(table, "Which term does the ranking?", lines), *_terms_hold(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


PULL, PUSH = style.COLOURS[0], style.COLOURS[1]
ROLES = mpl.colors.LinearSegmentedColormap.from_list("roles", [PUSH, "#fbe3d3", "white", "#cfe3f2", PULL])


def comparisons(panels: dict[str, dict], title: str) -> Figure:
    """What each objective compares with what, one panel each.

    Parameters
    ----------
    panels : dict name -> dict
        ``rows``: the r views that are trained on, and ``columns``: the c symbols or short texts that they are compared
        with; a symbol is (marker, fill). ``roles`` (r, c): from 1, pulled together, over 0, not compared, to -1, pushed
        apart; ``of_rows`` and ``of_columns``: what they are.
    """
    figure, axes = charts.grid(len(panels), 3, 1.72, 0.5)
    for ax, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        _comparison(ax, **panel)
        ax.set_title(name, pad=16, weight="bold")
    figure.suptitle(title)
    figure.set_layout_engine("constrained", h_pad=0.08)  # the titles of the panels stand outside their axes
    _explain(figure)
    return figure


def _explain(figure: Figure) -> None:
    roles = ((PULL, "pulled together"), (PUSH, "pushed apart"), ("white", "not compared"))
    fills = ((VIEW, "view (one shape: one image)"), (OTHER, "other view of the image"), (KEPT, "kept from earlier"))
    keys = []
    for (colour, role), (fill, what) in zip(roles, fills, strict=True):  # one column of the legend each
        keys.append(Patch(facecolor=colour, edgecolor="0.7", label=role))
        keys.append(plt.Line2D([], [], ls="", marker="o", ms=6, mfc=fill, mec="black", mew=0.8, label=what))
    figure.legend(handles=keys, loc="outside lower center", ncols=3)


def _comparison(ax: Axes, rows: list, columns: list, roles: np.ndarray, of_rows: str, of_columns: str) -> None:
    n_rows, n_columns = roles.shape
    edges = np.arange(n_columns + 1), np.arange(n_rows + 1)
    ax.pcolormesh(*edges, roles, cmap=ROLES, vmin=-1, vmax=1, edgecolors="0.8", lw=0.5)
    for i, (marker, fill) in enumerate(rows):
        _symbol(ax, marker, fill, -0.5, i + 0.5)
    for j, column in enumerate(columns):
        if isinstance(column, str):
            ax.text(j + 0.5, -0.5, column, ha="center", va="center", size=7.5)
        else:
            _symbol(ax, *column, j + 0.5, -0.5)
    ax.text(-1.2, n_rows / 2, of_rows, rotation=90, ha="center", va="center", size=7)
    ax.text(n_columns / 2, -1.1, of_columns, ha="center", va="bottom", size=7)
    ax.set(xlim=(-1.7, n_columns + 0.1), ylim=(n_rows + 0.1, -1.2), aspect="equal")
    ax.set_axis_off()


def _symbol(ax: Axes, marker: str, fill: str, x: float, y: float) -> None:
    ax.plot(x, y, marker, ms=6, mfc=fill, mec="black", mew=0.8, clip_on=False)


def probes(table: pd.DataFrame, random_accuracy: float, title: str) -> Figure:
    """What a linear classifier reads from each frozen network, and how much of its feature space the network uses.

    Parameters
    ----------
    table : DataFrame (model, source_accuracy, effective_rank, collapsed)
        Without any ``source_accuracy`` there is one panel, not two.
    random_accuracy : float
        The probe of a network with random weights.
    """
    table = table.sort_values(["source_accuracy", "effective_rank"])
    y = np.arange(len(table))
    size = (style.PAGE, 0.75 + 0.19 * len(table))
    shown = [column for column in ("source_accuracy", "effective_rank") if table[column].notna().any()]
    widths = {"source_accuracy": 2, "effective_rank": 1}
    ratios = [widths[column] for column in shown]
    figure, axes = plt.subplots(1, len(shown), sharey=True, figsize=size, width_ratios=ratios, squeeze=False)
    alive = table["collapsed"].to_numpy() == 0
    for ax, column in zip(axes[0], shown, strict=True):
        values = table[column].to_numpy()
        ax.hlines(y, 0, values, color="0.85", lw=1.5)
        ax.plot(values[alive], y[alive], "o", color=style.COLOURS[0], ms=5, label="in use")
        ax.plot(values[~alive], y[~alive], "X", color=style.COLOURS[1], ms=6, label="collapsed")
        ax.set_xlim(left=0)
    left, right = axes[0, 0], axes[0, -1]
    if left is not right:
        left.axvline(random_accuracy, color="0.35", ls="--", lw=1)
        left.text(random_accuracy, len(table) - 0.4, " random weights", size=7, color="0.35", va="bottom")
        left.set_xlabel("accuracy of a linear probe on the source (%)")
        right.tick_params(axis="y", length=0)
    left.set_yticks(y, [label(model) for model in table["model"]])
    left.set_ylim(-0.6, len(table) + 0.4)
    right.set_xlabel("directions that the features use\n(effective rank)")
    if not alive.all():
        right.legend()
    figure.suptitle(title)
    return figure
