"""The figures of `20_supervised`, and of the training behind it."""

from matplotlib.figure import Figure

from ..lab import datasets, published
from ..lab.experiment import Experiment, with_accuracies
from ..metrics import registry
from ..ranking import resampling
from ..ranking.verdicts import UNKNOWN, Verdict, above, every
from . import charts, data_examples
from .display_names import label
from .findings import (
    FACE_METHODS,
    NCTI_METHODS,
    above_0,
    best_of,
    better_than_static,
    comparison_panels,
    is_best,
    ranking_table,
    ranks_best,
)
from .index import Checked, figure
from .multi_source import intervals


@figure(shows="examples of the source and of every target")
def data_gallery(profile: str) -> Figure:
    pool = Experiment("supervised", profile).pool
    shown = [datasets.load(name, "train") for name in (*pool.sources, *pool.targets)]
    title = "What the models are pre-trained on (top), and the targets they are fine-tuned for"
    return data_examples.images(shown, title=title)


@figure(shows="accuracy after fine-tuning, every model on every target: the ground truth")
def supervised_accuracies(profile: str) -> Figure:
    study = Experiment("supervised", profile)
    table = study.read("accuracies").groupby(["model", "target"])["accuracy"].mean().unstack("target")
    title = "Accuracy (%) after fine-tuning: the order that every metric has to predict"
    return charts.accuracy_heatmap(table[list(study.pool.targets)], title)


def _table1(study: Experiment, paper: str, n_printed: int, methods: list[str]) -> Figure:
    """A paper's Table 1 as printed, and of its own models here."""
    ours = ranking_table(study.read(f"correlations_{paper}"), [*methods, "static_baseline"])
    here = f"here: {len(study.pool.subset(paper))} models, profile {study.profile.name}"
    titles = (f"printed: {n_printed} ImageNet models", here, "here − printed")
    panels = comparison_panels(published.wide(f"{paper}_table1"), ours, titles)
    title = f"{label(paper)} Table 1: how well each metric ranks the models for each target"
    return charts.correlation_heatmap(panels, title)


@figure(
    shows="weighted Kendall of each metric and target, NCTI's pool: printed, and here",
    claim="of six metrics NCTI ranks best on average",
)
def ncti_table1(profile: str) -> Checked:
    study = Experiment("supervised", profile)
    return _table1(study, "ncti", 11, NCTI_METHODS), *ranks_best(study, "ncti", NCTI_METHODS, "ncti")


def _ncti_fig2_holds(profile: str) -> tuple[str, Verdict]:
    study = Experiment("supervised", profile)
    models = list(dict.fromkeys(study.read("embedding")["model"]))
    scores = study.read("scores").query("metric == 'ncti' and target == @study.pool.targets[0]")
    terms = scores.pivot(index="model", columns="term", values="score").loc[models]
    signed = {term.signed_label: term.sign * terms[term.name] for term in registry.METRICS["ncti"].terms}
    falling = [name for name, values in signed.items() if values.is_monotonic_decreasing]
    return f"terms that fall throughout: {', '.join(falling) or 'none'}; of {len(models)} models", UNKNOWN


@figure(
    shows="t-SNE of the features of four models, from the most to the least accurate",
    claim="as accuracy falls from left to right, all three terms fall",
)
def ncti_fig2(profile: str) -> Checked:
    study = Experiment("supervised", profile)
    points = study.read("embedding")
    captions = dict(zip(points["model"], points["caption"], strict=True))
    title = f"Features of {study.pool.targets[0]} before fine-tuning, the best model on the left"
    return charts.embedding(points, captions, title), *_ncti_fig2_holds(profile)


@figure(
    shows="NCTI against accuracy after fine-tuning, one panel per target",
    claim="a strong correlation (here: is the mean above 0?)",
)
def ncti_fig3(profile: str) -> Checked:
    study = Experiment("supervised", profile)
    scores, accuracies = study.ranked("ncti")
    points = with_accuracies(scores.query("metric == 'ncti'"), accuracies)
    found = study.read("correlations_ncti").query("metric == 'ncti'")
    figure = charts.score_scatter(points, found, "NCTI", "Do models with a higher NCTI do better after fine-tuning?")
    return figure, *above_0(study.averages("ncti").loc["ncti"], study.draws("ncti")["ncti"])


def _face_table1_holds(profile: str) -> tuple[str, Verdict]:
    study, found = Experiment("supervised", profile), []
    for statistic in published.SYMBOLS:
        text, verdict = is_best(study.draws("face", statistic), "face", FACE_METHODS)
        found.append((f"{best_of(study.averages('face'), 'face', FACE_METHODS, statistic)}, {text}", verdict))
    return "; ".join(text for text, _ in found), every(*(verdict for _, verdict in found))


@figure(
    shows="weighted Kendall of each metric and target, FaCe's pool: printed, and here",
    claim="of six metrics FaCe ranks best on average, by τ_w and by ρ",
)
def face_table1(profile: str) -> Checked:
    study = Experiment("supervised", profile)
    return _table1(study, "face", 15, [*FACE_METHODS, "face_printed"]), *_face_table1_holds(profile)


def _face_fig4_holds(profile: str) -> tuple[str, Verdict]:
    study = Experiment("supervised", profile)
    table = study.read("correlations_face").query("metric == 'face' and target != 'average'")
    found = table.set_index("target")["pearson"]
    falling = found.index[found <= 0].tolist()
    scores, accuracies = study.ranked("face")
    draws = resampling.draws(scores[scores["metric"] == "face"], accuracies, study.noise("face"), "pearson")["face"]
    text = f"ρ from {found.min():.2f} to {found.max():.2f}"
    text += f", not rising on {', '.join(falling)}" if falling else ""
    return text, every(*(above(draws[target]) for target in draws))


@figure(
    shows="score against accuracy, six metrics on five targets, FaCe's pool",
    claim="FaCe rises with accuracy on every target shown",
)
def face_fig4(profile: str) -> Checked:
    study = Experiment("supervised", profile)
    scores, accuracies = study.ranked("face")
    shown = scores[scores["metric"].isin(FACE_METHODS) & scores["target"].isin(study.pool.targets[:5])]
    points = with_accuracies(shown, accuracies)
    found, title = study.read("correlations_face"), "FaCe's pool: do higher scores go with higher accuracies?"
    return charts.method_scatter(points, found, FACE_METHODS, title), *_face_fig4_holds(profile)


@figure(
    shows="mean weighted Kendall of every ranking but PARC, ETran and kNN with its bootstrap interval, beside rankings "
    "that never look at the target",
    claim="(ours) some metric ranks better than the static baseline",
)
def supervised_intervals(profile: str) -> Checked:
    return intervals("supervised", profile), *better_than_static(Experiment("supervised", profile))
