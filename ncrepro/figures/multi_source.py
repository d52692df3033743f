"""The figures of `22_multi_source`, and what `23_loss_functions` shares with it: a pool is a product of two factors."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .. import ranking
from ..lab import published
from ..lab.experiment import Experiment, baselines, competitors, correlations, seed_noise
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..ranking.verdicts import Verdict, above, positive, probability, some
from ..store import artifacts
from . import charts, style
from .display_names import label
from .findings import FACE_METHODS, better_than_static, comparison_panels, probability_text, ranking_table, ranks_best
from .index import Checked, figure

EXTRA = ["face_printed", "ncti", "static_baseline"]  # what we rank beside them
SHOWN = ["face", "ncti", "logme", "leep"]  # the metrics that the matrix of sources has room for

ALL = "all models"
SAME_ARCHITECTURE = "same architecture: which source?"
SAME_SOURCE = "same source: which architecture?"


# A pool in parts ------------------------------------------------------------------------------------------------------


def rankings_by_factor(study: Experiment, factors: dict[str, str]) -> pd.DataFrame:
    """How well every metric ranks the whole pool, and how well it ranks models that agree in one factor.

    Parameters
    ----------
    study : Experiment
        After `Experiment.score`.
    factors : dict question -> factor
        ``architecture``, ``source`` or ``loss``. Only models with the same value of it are compared with each other,
        their min-max included; the correlations are averaged over values and targets, and the intervals come from draws
        of the models that are compared.

    Returns
    -------
    DataFrame (question, metric, weighted_kendall, pearson, spearman, low, high)
        Also written, as ``questions``.
    """

    def answers() -> pd.DataFrame:
        parts = {ALL: competitors(study.read("correlations"))}
        for question, factor in factors.items():
            parts[question] = correlations(*split_by_factor(study, factor), noise_within(study, factor))
        of_averages = [part.query("target == 'average'").assign(target=question) for question, part in parts.items()]
        return pd.concat(of_averages, ignore_index=True).rename(columns={"target": "question"})

    return artifacts.table(study.results / "questions.csv", answers)


def split_by_factor(study: Experiment, factor: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and accuracies in which each value of ``factor`` has its own targets, and models are named by the rest."""
    parts, rest = _parts(study, factor)
    _, accuracies = study.ranked()
    terms, pretraining = competitors(study.read("scores")), study.read("pretraining")
    scores = []
    for value, group in parts.groupby(factor, sort=False):
        members = accuracies.loc[group.index]
        found = pd.concat([ranking.totals(terms[terms["model"].isin(group.index)]), baselines(pretraining, members)])
        scores.append(found.assign(model=found["model"].map(rest), target=f"{value}: " + found["target"]))
    return pd.concat(scores), _arranged(study, factor, accuracies)


def noise_within(study: Experiment, factor: str) -> Noise:
    """`Experiment.noise`, arranged as the accuracies of `split_by_factor` are."""
    return study.noise().map(lambda table: _arranged(study, factor, table))


def draws_within(study: Experiment, factor: str) -> pd.DataFrame:
    """What every ranking could have been worth among models that agree in a factor: draws of `split_by_factor`."""
    return resampling.mean_over_targets(resampling.draws(*split_by_factor(study, factor), noise_within(study, factor)))


def _parts(study: Experiment, factor: str) -> tuple[pd.DataFrame, pd.Series]:
    """Each model's architecture, source and loss, and what is left of them as its name once ``factor`` is known."""
    parts = pd.DataFrame(study.pool.models).set_index("name")
    varying = parts.columns[parts.nunique() > 1].difference([factor], sort=False)
    return parts, parts[varying].agg("@".join, axis=1)


def _arranged(study: Experiment, factor: str, table: pd.DataFrame) -> pd.DataFrame:
    """Models x targets, with targets of its own for each value of ``factor``."""
    parts, rest = _parts(study, factor)
    return pd.concat([
        table.loc[group.index].rename(index=rest, columns=lambda target, value=value: f"{value}: {target}")
        for value, group in parts.groupby(factor, sort=False)
    ], axis=1)  # fmt: skip


def by_factor(study: Experiment, values: pd.Series, factor: str) -> pd.DataFrame:
    """Means of ``values`` (index: model, target) over the models that agree in ``factor``: (factor x targets)."""
    of = {model.name: getattr(model, factor) for model in study.pool.models}
    table = values.unstack("target")[list(study.pool.targets)]
    order = list(dict.fromkeys(of.values()))
    return table.groupby(table.index.map(of)).mean().loc[order]


def rank_shades(column: pd.Series) -> pd.Series:
    """Ranks as shades: 0 for the lowest value, 1 for the highest."""
    return (column.rank() - 1) / (len(column) - 1)


def cells_of(values: pd.DataFrame, decimals: int, shades: pd.DataFrame) -> pd.DataFrame:
    """A table's numbers and their shades, a row for each cell: (row, column, shade, text)."""
    texts = values.map(f"{{:.{decimals}f}}".format)
    cells = pd.DataFrame({"shade": shades.stack(), "text": texts.stack()})
    return cells.rename_axis(["row", "column"]).reset_index()


def intervals(pool: str, profile: str) -> Figure:
    """Every ranking of a pool but PARC, ETran and kNN, with its interval."""
    study = Experiment(pool, profile)
    sizes = f"{len(study.pool.models)} models, {len(study.pool.targets)} targets"
    return interval_plot(study, f"How good is each ranking, and how certain is that? {sizes}")


def interval_plot(study: Experiment, title: str) -> Figure:
    """`charts.interval_plot` of a pool's rankings, on average over its targets."""
    average = competitors(study.averages().reset_index()).dropna(subset="weighted_kendall")
    ceiling = seed_noise(study.read("accuracies"))["weighted_kendall"].mean()
    return charts.interval_plot(average, ceiling, title, study.covered())


# The figures ----------------------------------------------------------------------------------------------------------


@figure(
    shows="Pearson correlation of each metric and target, several sources: printed, and here; our weighted Kendall "
    "below",
    claim="of six metrics FaCe has the highest average ρ (its τ_w values are missing in the paper)",
)
def face_table2(profile: str) -> Checked:
    study = Experiment("multi_source", profile)
    ours, n = study.read("correlations"), len(study.pool.models)
    titles = ("ρ, printed: 30 models", f"ρ, here: {n} models, profile {profile}", "ρ, here − printed")
    pearson, kendall = (ranking_table(ours, FACE_METHODS + EXTRA, of) for of in ("pearson", "weighted_kendall"))
    panels = comparison_panels(published.wide("face_table2", "pearson"), pearson, titles)
    panels["$\\tau_w$, here (the printed block repeats ρ)"] = kendall
    title = "FaCe Table 2: how well each metric ranks models from several sources"
    figure = charts.correlation_heatmap(panels, title, "correlation")
    return figure, *ranks_best(study, "face", FACE_METHODS, statistic="pearson")


def source_table(study: Experiment) -> pd.DataFrame:
    """Accuracy of every source and target, and where each metric ranks the source: what `matrices` draws.

    Returns
    -------
    DataFrame (panel, row, column, text, shade)
        Rows are sources, best on average first. Panel ``accuracy (%)``: mean over architectures. Panel of a metric: the
        source's rank among the sources, mean over architectures, 1 being the metric's first choice.
    """
    scores, accuracies = split_by_factor(study, "architecture")  # sources x "architecture: target"
    tables = {"accuracy (%)": accuracies}
    for metric in SHOWN:
        of_metric = scores[scores["metric"] == metric].pivot(index="model", columns="target", values="score")
        tables[label(metric)] = of_metric.loc[accuracies.index, accuracies.columns]
    order = accuracies.mean(axis=1).sort_values(ascending=False).index
    cells = []
    for panel, table in tables.items():
        ranks = _mean_over_architectures(table.rank(ascending=False)).loc[order]
        values, decimals = (_mean_over_architectures(table).loc[order], 0) if table is accuracies else (ranks, 1)
        cells.append(
            cells_of(values, decimals, ranks.apply(lambda column: 1 - rank_shades(column))).assign(panel=panel)
        )
    return pd.concat(cells, ignore_index=True)


def _mean_over_architectures(table: pd.DataFrame) -> pd.DataFrame:
    targets = table.columns.str.split(": ").str[1]
    return table.T.groupby(targets, sort=False).mean().T


def _sources_hold(profile: str) -> tuple[str, Verdict]:
    """Another source is better on some target than the one that is best on average."""
    study = Experiment("multi_source", profile)
    _, accuracies = study.ranked()
    stray = resampling.errors(accuracies, study.noise())
    of_source = by_factor(study, accuracies.stack(), "source")
    error = (by_factor(study, (stray**2).stack(future_stack=True), "source") / len(study.pool.architectures)) ** 0.5
    usual = of_source.mean(axis=1).idxmax()
    others = of_source.index.drop(usual)
    both = (error.loc[others] ** 2 + error.loc[usual] ** 2) ** 0.5
    text = "best source: " + ", ".join(f"{source} for {target}" for target, source in of_source.idxmax().items())
    return text, some(*positive(of_source.loc[others] - of_source.loc[usual], both))


@figure(
    shows="accuracy of each source on each target, and where four metrics rank the source",
    claim="(ours) the best source differs from target to target",
)
def multi_source_matrix(profile: str) -> Checked:
    table = source_table(Experiment("multi_source", profile))
    title = "Which source helps which target, and which metric sees it? (numbers: accuracy; mean rank)"
    return matrices(table, title, "rank of the source"), *_sources_hold(profile)


@figure(
    shows="mean weighted Kendall of every ranking but PARC, ETran and kNN with its interval, several sources",
    claim="(ours) some metric ranks better than the static baseline",
)
def multi_source_intervals(profile: str) -> Checked:
    return intervals("multi_source", profile), *better_than_static(Experiment("multi_source", profile))


def _questions_hold(profile: str) -> tuple[str, Verdict]:
    study = Experiment("multi_source", profile)
    table = study.read("questions").pivot(index="metric", columns="question", values="weighted_kendall")
    source, architecture = table.loc["face", [SAME_ARCHITECTURE, SAME_SOURCE]]
    among = [draws_within(study, factor)["face"] for factor in ("architecture", "source")]
    text = (
        f"FaCe's mean τ_w: among sources {source:.2f}, among {len(study.pool.architectures)} architectures "
        f"{architecture:.2f}; higher"
    )
    return f"{text}{probability_text(probability(*among))}", above(*among)


@figure(
    shows="mean weighted Kendall among all models, among models with one architecture, and among models with one "
    "source",
    claim="(ours) FaCe ranks sources better than architectures",
)
def multi_source_questions(profile: str) -> Checked:
    title = "Is it the source or the architecture that a metric sees?"
    study = Experiment("multi_source", profile)
    return questions(study.read("questions"), title, study.covered()), *_questions_hold(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


NAMES, CELL = 1.6, 0.27  # inches: names of the rows and colour bar; a cell in which a number can be read


def matrices(table: pd.DataFrame, title: str, shading: str) -> Figure:
    """Matrices that share their rows, side by side and, where the page is too narrow, one below the other.

    Parameters
    ----------
    table : DataFrame (panel, row, column, text, shade)
        ``text`` is written into the cell; ``shade`` colours it, 0 (worst) to 1 (best). Rows, columns and panels come in
        the order in which they first occur.
    title : str
    shading : str
        What the colour means.
    """
    panels = list(dict.fromkeys(table["panel"]))
    rows = list(dict.fromkeys(table["row"]))
    columns = {panel: list(dict.fromkeys(table.loc[table["panel"] == panel, "column"])) for panel in panels}
    widest = max(map(len, columns.values()))
    per_line = max(1, int((style.PAGE - NAMES) / (CELL * widest + 0.15)))  # so many are legible side by side
    figure, axes = charts.grid(len(panels), per_line, 1.0 + 0.21 * len(rows), 0.3, sharey=True)
    for ax, panel in zip(axes.flat, panels, strict=False):
        group = table[table["panel"] == panel]
        shades, texts = (
            group.pivot(index="row", columns="column", values=of).reindex(index=rows, columns=columns[panel])
            for of in ("shade", "text")
        )
        values = shades.to_numpy(float)  # (rows, columns)
        image = ax.imshow(values, cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value < 0.55 else "black"
                ax.text(j, i, texts.iat[i, j], ha="center", va="center", size=6.5, color=colour)
        names = [label(column) for column in columns[panel]]
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rows)), [label(row) for row in rows])
        ax.set_title(panel, size=8)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, aspect=25, ticks=[0, 1], label=shading)
    bar.ax.set_yticklabels(["worst", "best"])
    bar.outline.set_visible(False)
    figure.suptitle(title)
    return figure


def questions(table: pd.DataFrame, title: str, covered: str) -> Figure:
    """The mean weighted Kendall of every ranking for each question of `rankings_by_factor`, with its interval.

    Metrics come in the order of the first question's values, best on top. ``covered``: what the intervals include, in
    words (`resampling.covers`).
    """
    question_order = list(dict.fromkeys(table["question"]))
    order = table[table["question"] == question_order[0]].sort_values("weighted_kendall", ascending=False)["metric"]
    table = charts.in_order(charts.in_order(table, "metric", order), "question", question_order)
    table = table.assign(panel=table["question"].str.replace(": ", ":\n"), row=table["metric"])
    return charts.rows(table, title, f"{charts.TAU}; lines: {covered}")
