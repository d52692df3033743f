"""What is asked of pools that are already trained, extracted and scored: tables in, tidy tables out.

Each module answers one notebook's questions. What needs features is a *step*, run and cached by
`ncrepro.lab.experiment.Experiment.measure`; the rest is arithmetic on tables.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...ranking import resampling
from ...store import artifacts, cold_notebooks, paths
from .. import profiles
from ..experiment import Experiment


def pools(profile: str | None) -> list[str]:
    """The pools of a profile whose models are ranked: not those that start from random weights, as a comparison."""
    return [name for name, pool in profiles.load(profile).pools.items() if "nothing" not in pool.sources]


def over_pools(profile: str, paper: str, ask: Callable[[Experiment, str | None], pd.DataFrame]) -> pd.DataFrame:
    """What ``ask`` answers for every pool of a profile, one table below the other.

    Parameters
    ----------
    profile : str
    paper : {"ncti", "face"}
        A pool that names this paper's own models is cut down to them.
    ask : function (experiment, subset) -> DataFrame

    Returns
    -------
    DataFrame (pool, n_models, ...)
    """
    tables = {}
    for name in pools(profile):
        study, subset = part_of(name, profile, paper)
        tables[name] = ask(study, subset)
        models = study.pool.subset(subset) if subset else study.pool.models
        tables[name].insert(0, "n_models", len(models))
    return stack(tables)


def part_of(pool: str, profile: str | None, paper: str) -> tuple[Experiment, str | None]:
    """A pool, and the name of the part that is a paper's own list of models, if the pool names one."""
    study = Experiment(pool, profile)
    return study, paper if paper in study.pool.subsets else None


def covered_by_intervals(profile: str | None, paper: str) -> str:
    """What the intervals over `over_pools` include: `resampling.covers`."""
    parts = [part_of(name, profile, paper) for name in pools(profile)]
    return resampling.covers(*(study.noise(subset) for study, subset in parts))


def stack(tables: dict, column: str = "pool") -> pd.DataFrame:
    """Tables one below the other, each with its key, such as its pool, in the first column."""
    whole = pd.concat([table.assign(**{column: key}) for key, table in tables.items()], ignore_index=True)
    return whole[[column, *whole.columns.drop(column)]]


def terms_of(study: Experiment, subset: str | None, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A metric's terms (model, target, term, score) and the accuracies (models x targets) of a pool or a part of it."""
    _, accuracies = study.ranked(subset)
    terms = study.read("scores").query("metric == @metric and term != 'total'")
    return terms[terms["model"].isin(accuracies.index)].drop(columns="metric"), accuracies


def most_samples(study: Experiment, n: int) -> list[str]:
    """The ``n`` targets that have the most samples in their smallest class."""
    return sorted(study.pool.targets, key=lambda target: smallest_class(study, target), reverse=True)[:n]


def smallest_class(study: Experiment, target: str) -> int:
    """The number of samples in the smallest class of a target."""
    labels = study.features_of(study.pool.models[0].name, target)["labels"]
    return np.unique(labels, return_counts=True)[1].min()


def draws_of(scores: pd.DataFrame, accuracies: pd.DataFrame, noise: resampling.Noise, by: list[str]) -> pd.DataFrame:
    """`resampling.draws` of the mean weighted Kendall of each setting: 500 x settings, the columns named ``by``."""
    settings = scores[by].drop_duplicates()
    numbered = scores.merge(settings.assign(setting=range(len(settings))), on=by)
    numbered = numbered[["model", "target", "setting", "score"]].rename(columns={"setting": "metric"})
    draws = resampling.mean_over_targets(resampling.draws(numbered, accuracies, noise, n=500))
    return draws.set_axis(pd.MultiIndex.from_frame(settings), axis=1)


def difference(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """How far one setting ranks better than another: ``difference``, and its standard ``error`` over draws.

    Columns are repetitions of a setting, as by other draws of images; how far these disagree adds to the error.
    """
    values = one.mean(axis=1) - other.mean(axis=1)
    luck = sum(table.mean().var() / table.shape[1] for table in (one, other) if table.shape[1] > 1)
    return {"difference": values.mean(), "error": float(np.sqrt(values.var() + luck))}


def tables(
    profile: str, topic: str, names: Sequence[str], compute: Callable[[], Sequence[pd.DataFrame]]
) -> list[pd.DataFrame]:
    """Compute tables of an analysis, write ``data/results/<profile>/<topic>/<name>.csv``, and return them.

    Where the profile has not run here (`store.cold_notebooks`), nothing is computed: these are the committed tables.
    """
    if cold_notebooks.is_cold(profile):
        return [read(profile, topic, name) for name in names]
    return [
        artifacts.write_table(_file(profile, topic, name), frame) for name, frame in zip(names, compute(), strict=True)
    ]


def write(profile: str, topic: str, **named: pd.DataFrame) -> list[pd.DataFrame]:
    """Write tables that rest on nothing but tables, also where the profile is cold, and return them."""
    return [artifacts.write_table(_file(profile, topic, name), frame) for name, frame in named.items()]


def table(profile: str, topic: str, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """As `tables`, for one table."""
    return artifacts.table(_file(profile, topic, name), compute)


def read(profile: str, topic: str, name: str) -> pd.DataFrame:
    """A table that `tables` has written."""
    return artifacts.read_table(_file(profile, topic, name), profile)


def folder(profile: str, topic: str) -> str:
    """Where an analysis's tables are, in words."""
    return cold_notebooks.folder(paths.results(profile, topic))


def _file(profile: str, topic: str, name: str) -> Path:
    return paths.results(profile, topic) / f"{name}.csv"
