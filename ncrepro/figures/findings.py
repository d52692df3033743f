"""What figures and notebooks say about a claim: our ranking beside a paper's, which metric is best, what luck gives."""

from functools import cache
from itertools import permutations
from math import factorial

import numpy as np
import pandas as pd

from .. import ranking
from ..lab.experiment import Experiment
from ..lab.published import SYMBOLS
from ..metrics import registry
from ..ranking import resampling
from ..ranking.correlation import KERNELS
from ..ranking.verdicts import UNKNOWN, Verdict, above, best, every, likely, probability, some
from .display_names import label

NCTI_METHODS, FACE_METHODS = list(registry.COMPARED["ncti"]), list(registry.COMPARED["face"])
SHOWN = [*FACE_METHODS, "face_printed", "ncti"]
OURS = list(registry.COMPARED)  # the metrics that this compendium is about
RIVALS = ["static_baseline", "linear_probe"]  # what is easy to have without them
RANDOM_ORDERS = 2000


def ranking_table(correlations: pd.DataFrame, methods: list[str], statistic: str = "weighted_kendall") -> pd.DataFrame:
    """Correlations of some rankings, metrics x targets, the average last, in the order of ``methods``."""
    order = list(dict.fromkeys(correlations["target"]))
    table = correlations.pivot(index="metric", columns="target", values=statistic)
    return table.loc[[m for m in methods if m in table.index], order]


def comparison_panels(
    printed: pd.DataFrame, ours: pd.DataFrame, titles: tuple[str, str, str]
) -> dict[str, pd.DataFrame]:
    """Panels: what is printed, what is found here and, if the targets are the paper's own, the difference cell by cell.

    Cells that were not computed here stay empty; the average of the differences is over the others.
    """
    targets = printed.columns.drop("average")
    if not set(ours.columns) & set(targets):
        return dict(zip(titles, (printed, ours), strict=False))
    difference = (ours.reindex(columns=targets) - printed[targets]).reindex(printed.index)
    difference["average"] = difference.mean(axis=1)
    return dict(zip(titles, (printed, ours.reindex(columns=printed.columns), difference), strict=True))


def best_of(average: pd.DataFrame, metric: str, rivals: list[str], statistic: str = "weighted_kendall") -> str:
    """A metric's mean and that of the best of the others, in words."""
    value, others = average.loc[metric, statistic], average.loc[[r for r in rivals if r != metric], statistic].dropna()
    best_other = f"{label(others.idxmax())} {others.max():.2f}" if len(others) else "none"
    return f"mean {SYMBOLS[statistic]}: {label(metric)} {value:.2f}, best of the others {best_other}"


def is_best(draws: pd.DataFrame, metric: str, rivals: list[str]) -> tuple[str, Verdict]:
    """Whether a metric ranks better than each of its rivals: `Experiment.draws`, n x metrics."""
    others = [r for r in rivals if r != metric and draws[r].notna().all()]  # one score for all models is no ranking
    if draws[metric].isna().any() or not others:
        return f"{label(metric)} has too few models for a probability", UNKNOWN
    text = f"best in {best(draws[[metric, *others]])[metric]:.0%} of draws"
    return text, every(*(above(draws[metric], draws[other]) for other in others))


def ranks_best(
    study: Experiment, metric: str, rivals: list[str], subset: str | None = None, statistic: str = "weighted_kendall"
) -> tuple[str, Verdict]:
    """Whether a metric ranks the models of a pool, or a part of them, better on average than each of its rivals."""
    text, verdict = is_best(study.draws(subset, statistic), metric, rivals)
    return f"{best_of(study.averages(subset), metric, rivals, statistic)}; {text}", verdict


def any_above(draws: pd.DataFrame, metrics: list[str], than) -> tuple[str, Verdict]:
    """Whether one of several metrics lies above a number, or above another ranking's draws."""
    chances = pd.Series({metric: probability(draws[metric], than) for metric in metrics}, dtype=float).dropna()
    if chances.empty:
        return "too few models for a probability", UNKNOWN
    text = f"most likely of {len(chances)}: {label(chances.idxmax())}, in {chances.max():.1%} of draws"
    return text, some(*map(likely, chances))


def better_than_static(study: Experiment) -> tuple[str, Verdict]:
    """Whether some metric ranks better than each model's mean accuracy on the other targets does."""
    draws, static = study.draws(), study.averages().at["static_baseline", "weighted_kendall"]
    text, verdict = any_above(draws, [m for m in draws if m not in registry.BASELINES], draws["static_baseline"])
    return f"static baseline {static:.2f}; {text}", verdict


def above_0(row: pd.Series, draws: pd.Series) -> tuple[str, Verdict]:
    """Whether a mean weighted Kendall lies above 0: a row of `experiment.correlations`, and its draws."""
    text = f"mean τ_w {row.weighted_kendall:.2f}, interval {row.low:.2f} to {row.high:.2f}"
    return text + probability_text(probability(draws)), above(draws)


def probability_text(chance: float) -> str:
    """How often a statement is true in the draws: the end of a sentence."""
    return "; too few models for a probability" if pd.isna(chance) else f", true in {chance:.1%} of draws"


@cache
def random_taus(n_models: int) -> np.ndarray:
    """The weighted Kendall of `RANDOM_ORDERS` orders of ``n_models`` models, drawn at random (seeded)."""
    return _taus(np.random.default_rng(0).permuted(np.tile(np.arange(n_models), (RANDOM_ORDERS, 1)), axis=1))


def by_chance(n_models: int, level: float = 0.95) -> float:
    """The weighted Kendall below which a share ``level`` of all rankings of ``n_models`` models stay.

    All rankings count if there are at most `RANDOM_ORDERS` of them, otherwise `random_taus`.
    """
    if factorial(n_models) > RANDOM_ORDERS:
        taus = random_taus(n_models)
    else:
        taus = _taus(np.array([*permutations(range(n_models))]))
    return float(np.quantile(taus, level))


def _taus(orders: np.ndarray) -> np.ndarray:
    """The weighted Kendall of each row with the order 0, 1, 2, ..."""
    return KERNELS[ranking.weighted_kendall](orders, np.broadcast_to(np.arange(orders.shape[1]), orders.shape))


def line(correlations: pd.DataFrame, metric: str) -> str:
    """A metric's name, weighted Kendall and interval, for a sentence; ``correlations`` has one ground truth."""
    row = correlations.set_index("metric").loc[metric]
    return f"{label(metric)} **{row.weighted_kendall:.2f}** ({row.low:.2f} to {row.high:.2f})"


def mean_text(table: pd.DataFrame, draws: pd.DataFrame, metric: str) -> str:
    """A metric's mean in a `ranking_table`, on how many targets it has an order, and how often the mean is above 0."""
    row = table.loc[metric].drop("average", errors="ignore")
    where = f" on {row.notna().sum()} of {len(row)} targets" if row.isna().any() else ""
    return f"{label(metric)} {row.mean():.2f}{where} (above 0 in {probability(draws[metric]):.0%} of draws)"


def beat_rivals(study: Experiment) -> tuple[str, Verdict]:
    """Whether one of `OURS` ranks better than each of `RIVALS`, on the targets where it has an order."""
    found, better = [], []
    table = ranking.agreement(*study.ranked()).pivot(index="metric", columns="target", values="weighted_kendall")
    draws = resampling.draws(*study.ranked(), study.noise())
    for metric in OURS:
        where = list(table.columns[table.loc[metric].notna()])
        means = {m: draws[m][where].mean(axis=1) for m in (metric, *RIVALS)}
        better.append(every(*(above(means[metric], means[rival]) for rival in RIVALS)))
        text = ", ".join(f"{label(m)} {table.loc[m, where].mean():.2f}" for m in means)
        found.append(f"{text} on {len(where)} targets")
    return f"mean τ_w: {'; '.join(found)}", some(*better)


def claims_table(rows: list[tuple[str, str, Verdict]]) -> str:
    """Claims, what is found in this run, and whether they hold by this run alone, as a table in Markdown."""
    lines = [f"| {claim} | {found} | {verdict} |" for claim, found, verdict in rows]
    return "\n".join(["| the paper's claim | found in this run | holds in this run? |", "|---|---|---|", *lines])
