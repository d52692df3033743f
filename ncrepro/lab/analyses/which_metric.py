"""Which metric, pair or trio of metrics would have been the best choice, on every pool that has tables
(`35_which_metric`).

A set is judged on pools that it was not chosen on: those of this profile, and of all whose tables are committed.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from ... import ranking
from ...metrics import registry
from ...ranking.correlation import KERNELS
from ...store import paths
from ...store.trace import is_there
from .. import profiles
from ..experiment import Experiment
from . import pools, stack

SIZES = (1, 2, 3)  # metrics in a set
NOT_FOR_RANK = ("nleep",)  # fits a mixture of Gaussians: no default, since `rank` scores every model on fifty resamples
FEATURES, CLASSIFIER = "features", "source classifier"  # what a set may ask of a model
RULE = "rule"  # the choice by `choose`, of any size
# Sets that somebody else proposed, so that none of these pools was used to choose them.
PROPOSED = ("ncti", "face", "logme", "linear_probe", "ncti face logme")
SHOWN = 5  # sets of each size in a table


# The pools ------------------------------------------------------------------------------------------------------------


class Case:
    """One pool of one profile, its tables read once.

    Parameters
    ----------
    study : Experiment
    committed : bool
        Whether its tables are read from ``data/reference``.
    """

    def __init__(self, study: Experiment, committed: bool = False):
        self.study, self.pool = study, study.pool
        self.name = f"{profiles.repetition_of(study.profile.name)[0]} {study.pool.name}"  # the same in a repetition
        if committed:
            study.results = paths.reference(study.profile.name, study.pool.name)

    @cached_property
    def ranked(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`Experiment.ranked`, without `registry.VARIANTS`."""
        scores, accuracies = self.study.ranked()
        return scores[~scores["metric"].isin(registry.VARIANTS)], accuracies

    @cached_property
    def wide(self) -> pd.DataFrame:
        """The scores, models x (target, metric)."""
        scores, accuracies = self.ranked
        return scores.pivot(index="model", columns=["target", "metric"], values="score").loc[accuracies.index]

    @property
    def varies(self) -> str:
        """What most of all tells the models apart: architecture, source, loss or objective."""
        pool = self.pool
        of_losses = "objective" if pool.task == "selfsupervised" else "loss"
        counts = {"architecture": len(pool.architectures), "source": len(pool.sources), of_losses: len(pool.losses)}
        return max(counts, key=counts.get)


def evidence(profile: str) -> list[Case]:
    """The pools of a profile, then those of the other profiles whose tables are committed."""
    own = [Case(Experiment(pool, profile)) for pool in pools(profile)]
    others = [name for name in profiles.names() if name != profiles.repetition_of(profile)[0]]
    return own + [
        Case(Experiment(pool, name), committed=True)
        for name in others
        for pool in pools(name)
        if is_there(paths.reference(name, pool) / "correlations.csv")
    ]


# Every metric on every pool -------------------------------------------------------------------------------------------


def of_pools(cases: Sequence[Case]) -> pd.DataFrame:
    """How well every ranking does on every pool, mean over targets.

    Returns
    -------
    DataFrame (pool, varies, n_models, n_targets, classifier, metric, weighted_kendall, low, high, regret, place)
        ``classifier``: whether metrics that need a source classifier have values. ``place`` among the metrics that look
        at the target, 1 is best; NaN for other rankings. ``low``, ``high``: as in the pool's own ``correlations.csv``.
    """
    tables = {}
    for case in cases:
        found = case.study.averages()
        found = found[~found.index.isin(registry.VARIANTS)]
        regret = judge(case, {metric: (metric,) for metric in found.index})["regret"]
        accuracies = case.ranked[1]
        known = found["weighted_kendall"].notna()
        place = found["weighted_kendall"][known & ~found.index.isin(registry.BLIND)].rank(ascending=False, method="min")
        tables[case.name] = found.assign(
            varies=case.varies,
            n_models=len(accuracies),
            n_targets=accuracies.shape[1],
            classifier=bool(known[[m for m in found.index if _needs(m) != registry.FEATURES]].any()),
            regret=regret,
            place=place,
        ).reset_index()
    first = ["pool", "varies", "n_models", "n_targets", "classifier", "metric"]
    return stack(tables)[[*first, "weighted_kendall", "low", "high", "regret", "place"]]


def _needs(metric: str) -> str:
    return registry.METRICS[metric].needs if metric in registry.METRICS else registry.FEATURES


# Sets of metrics ------------------------------------------------------------------------------------------------------


def candidates(table: pd.DataFrame, classifier: bool) -> list[str]:
    """The metrics of `of_pools` that a set may hold: they have values in every pool and are not `NOT_FOR_RANK`.

    Without a source classifier, those that need nothing but features and labels; with one, the pools that have it.
    """
    table = table[table["classifier"] | (not classifier)]
    everywhere = table.groupby("metric", sort=False)["weighted_kendall"].count() == table["pool"].nunique()
    allowed = (registry.FEATURES, registry.SOURCE_PROBS, registry.SOURCE_LABELS) if classifier else (registry.FEATURES,)
    order = [*registry.METRICS, *(m for m in everywhere.index if m not in registry.METRICS)]
    return [
        metric
        for metric in order
        if everywhere.get(metric, False)
        and metric not in (*registry.BLIND, *NOT_FOR_RANK)
        and _needs(metric) in allowed
    ]


def sets(metrics: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Every set of one, two or three metrics: name -> its metrics."""
    return {" ".join(chosen): chosen for size in SIZES for chosen in combinations(metrics, size)}


def judge(case: Case, of: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """What the `ranking.total` of each set is worth, mean over targets: (weighted_kendall, regret), indexed by set.

    A metric that gives all models of a target the same score, or has none, is left out of the total, as `rank` does. A
    set without an order has no weighted Kendall, and its regret is that of a choice at random.
    """
    metrics = list(dict.fromkeys(metric for chosen in of.values() for metric in chosen))
    holds = np.array([[metric in chosen for metric in metrics] for chosen in of.values()], dtype=float)
    found = {"weighted_kendall": [], "regret": []}
    for target, truth in case.ranked[1].items():
        totals = holds @ normalised_scores(case.wide[target].reindex(columns=metrics)).to_numpy().T  # (sets, models)
        for statistic, values in found.items():
            with np.errstate(invalid="ignore"):  # no order
                values.append(KERNELS[getattr(ranking, statistic)](totals, np.broadcast_to(truth, totals.shape)))
    of_targets = {statistic: pd.DataFrame(values, columns=list(of)).mean() for statistic, values in found.items()}
    return pd.DataFrame(of_targets)


def normalised_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores (models x metrics), each metric min-max normalised; 0 where it has no order."""
    order = ranking.varies(scores) & scores.notna().all()
    known = scores.loc[:, order]
    return ((known - known.min()) / (known.max() - known.min())).reindex(columns=scores.columns, fill_value=0.0)


def on_pools(cases: Sequence[Case], of: dict[str, tuple[str, ...]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`judge` on several pools: weighted Kendall and regret, each sets x pools."""
    found = {case.name: judge(case, of) for case in cases}
    return tuple(
        pd.DataFrame({pool: table[statistic] for pool, table in found.items()})
        for statistic in ("weighted_kendall", "regret")
    )


def choose(kendall: pd.DataFrame) -> str:
    """The set that the pools (columns) speak for, by the rule of one standard error.

    Of the sets whose mean is within one standard error of the highest mean, the smallest; of these, the best. The error
    is that of the mean difference to the best set, over pools. So a metric is added only where it pays.
    """
    mean = kendall.mean(axis=1)
    behind = kendall.rsub(kendall.loc[mean.idxmax()], axis=1)
    error = behind.std(axis=1).fillna(0) / np.sqrt(kendall.shape[1])
    near = mean[behind.mean(axis=1) <= error + 1e-12]
    size = near.index.map(_size)
    return near[size == size.min()].idxmax()


def _size(chosen: str) -> int:
    return len(chosen.split())


def settings(table: pd.DataFrame) -> dict[str, tuple[list[str], list[str]]]:
    """What a set may ask of a model -> the pools where all models can give it, and the metrics to choose from."""
    pools_of = {FEATURES: table, CLASSIFIER: table[table["classifier"]]}
    return {
        setting: (list(part["pool"].unique()), candidates(table, setting == CLASSIFIER))
        for setting, part in pools_of.items()
        if len(part)
    }


def best_sets(kendall: pd.DataFrame, regret: pd.DataFrame) -> pd.DataFrame:
    """The best of each size, and `PROPOSED`: (metrics, size, weighted_kendall, behind, error, regret, chosen).

    ``behind``: by how much the mean weighted Kendall lies below the highest, with its standard ``error`` over pools.
    ``chosen``: whether it is the set that `choose` takes.
    """
    mean = kendall.mean(axis=1).sort_values(ascending=False, kind="stable")
    size = mean.index.map(_size)
    shown = {row for n in SIZES for row in mean.index[size == n][:SHOWN]} | set(PROPOSED)
    behind = kendall.rsub(kendall.loc[mean.index[0]], axis=1)
    table = pd.DataFrame({
        "size": size,
        "weighted_kendall": mean,
        "behind": behind.mean(axis=1).reindex(mean.index),
        "error": (behind.std(axis=1) / np.sqrt(kendall.shape[1])).reindex(mean.index),
        "regret": regret.mean(axis=1).reindex(mean.index),
        "chosen": mean.index == choose(kendall),
    }, index=mean.index)  # fmt: skip
    return table[table.index.isin(shown)].rename_axis("metrics").reset_index()


def worth_on_other_pools(kendall: pd.DataFrame, regret: pd.DataFrame) -> pd.DataFrame:
    """What sets that were chosen on other pools are worth on each pool.

    Returns
    -------
    DataFrame (left_out, choice, pool, metrics, weighted_kendall, regret)
        ``left_out``: "pool", or "profile", where all pools of the same profile are left out of the choice. ``choice``:
        the best set of "1", "2" or "3" metrics on the other pools, "rule" (`choose`), or a set of `PROPOSED`. No rows
        where no pool is left to choose on.
    """
    size = kendall.index.map(_size)
    rows = []
    for left_out in ("pool", "profile"):
        for pool in kendall:
            others = [other for other in kendall if _part(other, left_out) != _part(pool, left_out)]
            if not others:
                continue
            on_others = kendall[others]
            picks = {str(n): on_others[size == n].mean(axis=1).idxmax() for n in SIZES if (size == n).any()}
            picks |= {RULE: choose(on_others)} | {chosen: chosen for chosen in PROPOSED if chosen in kendall.index}
            rows += [
                (left_out, choice, pool, chosen, kendall.at[chosen, pool], regret.at[chosen, pool])
                for choice, chosen in picks.items()
            ]
    return pd.DataFrame(rows, columns=["left_out", "choice", "pool", "metrics", "weighted_kendall", "regret"])


def _part(pool: str, left_out: str) -> str:
    return pool if left_out == "pool" else pool.partition(" ")[0]


def advice(held: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Of `worth_on_other_pools`, by group: (choice, group, n_pools, most_often, times, weighted_kendall, error, regret,
    regret_error).

    Groups: all pools (also where whole profiles were left out), by what varies, by the number of models, with and
    without a source classifier. Errors are standard errors over pools; NaN for one pool.
    """
    of_pool = table.drop_duplicates("pool").set_index("pool")
    n_models = of_pool["n_models"]
    middle = n_models.median()
    few, many = f"fewer than {middle:g} models", f"{middle:g} models or more"
    labels = {
        "every pool": pd.Series("every pool", of_pool.index),
        "varies": of_pool["varies"] + " varies",
        "n_models": pd.Series(np.where(n_models < middle, few, many), of_pool.index),
        "classifier": of_pool["classifier"].map({True: "with a source classifier", False: "without one"}),
    }
    parts = [held[held["left_out"] == "pool"].assign(group=held["pool"].map(groups)) for groups in labels.values()]
    parts.append(held[held["left_out"] == "profile"].assign(group="every pool, its whole profile left out"))
    tables = []
    for group, part in ((g, p) for whole in parts for g, p in whole.groupby("group", sort=False)):
        by = part.groupby("choice", sort=False)
        often = by["metrics"].agg(lambda chosen: chosen.value_counts().index[0])
        tables.append(
            pd.DataFrame({
                "group": group,
                "n_pools": by["pool"].nunique(),
                "most_often": often,
                "times": by["metrics"].agg(lambda chosen: chosen.value_counts().iloc[0]),
                "weighted_kendall": by["weighted_kendall"].mean(),
                "error": by["weighted_kendall"].sem(),
                "regret": by["regret"].mean(),
                "regret_error": by["regret"].sem(),
            }).reset_index()
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def all_tables(cases: Sequence[Case]) -> dict[str, pd.DataFrame]:
    """``pools``, and by setting: the ``best`` sets, what these ``sets`` are worth by pool, ``held_out``, ``advice``."""
    table = of_pools(cases)
    found = {"best": {}, "sets": {}, "held_out": {}, "advice": {}}
    for setting, (names, metrics) in settings(table).items():
        kendall, regret = on_pools([case for case in cases if case.name in names], sets(metrics))
        held = worth_on_other_pools(kendall, regret)
        best = best_sets(kendall, regret)
        worth = pd.DataFrame({"weighted_kendall": kendall.stack(), "regret": regret.stack()}).loc[best["metrics"]]
        found["best"][setting] = best
        found["sets"][setting] = worth.rename_axis(["metrics", "pool"]).reset_index()
        found["held_out"][setting] = held
        found["advice"][setting] = advice(held, table)
    return {"pools": table} | {key: stack(tables, "setting") for key, tables in found.items()}


def advised_metrics(best: pd.DataFrame, setting: str = FEATURES) -> tuple[str, ...]:
    """The metrics that a table of `best_sets` speaks for."""
    return tuple(best[(best["setting"] == setting) & best["chosen"]]["metrics"].item().split())


def over_pools(one: pd.Series, other: pd.Series) -> tuple[float, float, int]:
    """How far one thing lies above another on the same pools: mean difference, standard error, degrees of freedom."""
    difference = (one - other).dropna()
    return float(difference.mean()), float(difference.sem()), len(difference) - 1
