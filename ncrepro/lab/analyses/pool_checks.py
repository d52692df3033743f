"""Can a pool test a metric at all? Lists that look at no target, the largest models left out, how far targets
disagree, and whether gaps in score mean gaps in accuracy (`35_which_metric`).

The questions are those of Singh, Hess and Vanschoren, *How NOT to benchmark your SITE metric*, ICLR 2026,
arXiv 2510.06448.
"""

import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from ... import ranking
from ...metrics import registry
from ...ranking import resampling
from ...ranking.resampling import Noise
from .. import published
from ..experiment import long_form
from . import stack
from .stability import MIN_MAX, scores_among
from .which_metric import Case

# Singh et al.'s list for NCTI's supervised models: by size, residual and dense networks in turn. They name its first
# five places and its last; the others follow the same rule.
IN_TURN = ("resnet152", "densenet201", "resnet101", "densenet169", "resnet50", "densenet121", "resnet34",
           "inception_v3", "googlenet", "mobilenet_v2", "mnasnet1_0")  # fmt: skip
THEIR_TARGETS = ("aircraft", "cifar10", "cifar100", "dtd", "food", "pets")  # they print the list's values of these
MOST_LEFT_OUT, FEWEST_LEFT = 6, 6  # of the largest models; of the models that are still ranked
NCTI_TABLES = {pool: published.TABLES[name] for pool, name in published.NCTI_POOLS.items()}
SATURATED = 98.0  # per cent: the best model is as good as can be, so there is little to choose
COMPARABLE = 2.0  # how many times larger the largest model may be, if size is not to decide


# Lists ----------------------------------------------------------------------------------------------------------------


def family(architecture: str) -> str:
    """``resnet`` of ``resnet152``: the letters that a name begins with."""
    return re.match("[A-Za-z]*", architecture)[0]


def by_family(families: pd.Series, accuracies: pd.DataFrame) -> pd.DataFrame:
    """A list that knows the family only: its mean accuracy on the *other* targets, models x targets."""
    return ranking.static_baseline(accuracies).groupby(families.loc[accuracies.index]).transform("mean")


def lists_of(case: Case) -> pd.DataFrame:
    """The rankings of a pool that look at no feature: `registry.BLIND` and ``family``."""
    scores, accuracies = case.ranked
    blind = scores[scores["metric"].isin(registry.BLIND)]
    families = pd.Series({model.name: family(model.architecture) for model in case.pool.models})
    if accuracies.shape[1] < 2 or families[accuracies.index].nunique() < 2:
        return blind
    return pd.concat([blind, long_form(by_family(families, accuracies), "family")], ignore_index=True)


def lists(cases: Sequence[Case]) -> pd.DataFrame:
    """How well `lists_of` rank each pool and NCTI's two published: (benchmark, metric, weighted_kendall, low, high).

    Means over targets. Of the published pools also NCTI's metrics, without interval, and Singh et al.'s ``in_turn``.
    """
    tables = {case.name: kendall_table(lists_of(case), case.ranked[1], case.study.noise()) for case in cases}
    return stack(tables | {name: published_lists(pool) for pool, name in NCTI_TABLES.items()}, "benchmark")


def kendall_table(scores: pd.DataFrame, accuracies: pd.DataFrame, noise: Noise = resampling.NONE) -> pd.DataFrame:
    """Mean weighted Kendall over targets with its interval: (metric, weighted_kendall, low, high)."""
    found = ranking.mean_agreement(ranking.agreement(scores, accuracies)).set_index("metric")
    low, high = resampling.interval(resampling.mean_over_targets(resampling.draws(scores, accuracies, noise)))
    return found.assign(low=low, high=high).reset_index()


def published_lists(pool: str, targets: Sequence[str] = ()) -> pd.DataFrame:
    """As `lists`, of one of NCTI's published pools, on all of its targets or on some."""
    accuracies = published.load(f"{pool}_finetuned_accuracy")
    static = ranking.static_baseline(accuracies)
    found = [long_form(static, "static_baseline")]
    if pool == "supervised":
        sizes = published.load("model_sizes").loc[accuracies.index]
        turn = pd.Series(range(len(IN_TURN), 0, -1), index=list(IN_TURN), dtype=float)
        found += [
            long_form(pd.DataFrame(dict.fromkeys(accuracies, sizes["n_parameters"].astype(float))), "n_parameters"),
            long_form(pd.DataFrame(dict.fromkeys(accuracies, turn)), "in_turn"),
            long_form(by_family(sizes["family"], accuracies), "family"),
        ]
    of_lists = kendall_table(pd.concat(found), accuracies[list(targets or accuracies)])
    printed = published.wide(published.NCTI_POOLS[pool]).drop(columns="average")
    printed = printed[list(targets or printed)].mean(axis=1).rename("weighted_kendall").rename_axis("metric")
    return pd.concat([of_lists, printed.reset_index()], ignore_index=True)


def without_largest(cases: Sequence[Case], metrics: Sequence[str]) -> pd.DataFrame:
    """Mean weighted Kendall without the largest models: (pool, left_out, n_models, metric, weighted_kendall).

    Only pools whose models differ in size, one model less each time; NCTI and FaCe are normalised over what is left.
    """
    tables = []
    for case in cases:
        scores, accuracies = case.ranked
        size = case.study.read("pretraining").set_index("model")["n_parameters"].loc[accuracies.index]
        if size.nunique() < 2:
            continue
        scores = pd.concat([scores[scores["metric"].isin(metrics)], lists_of(case)])
        terms = case.study.read("scores")[lambda t: t["metric"].isin(set(MIN_MAX) & set(metrics))]
        order = size.sort_values(ascending=False, kind="stable").index
        for left_out in range(min(MOST_LEFT_OUT, len(order) - FEWEST_LEFT) + 1):
            rest = accuracies.loc[accuracies.index.isin(order[left_out:])]
            found = ranking.mean_agreement(ranking.agreement(scores_among(rest.index, scores, terms), rest))
            tables.append(found.assign(pool=case.name, left_out=left_out, n_models=len(rest)))
    columns = ["pool", "left_out", "n_models", "metric", "weighted_kendall"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


# Do targets and scores tell anything? ---------------------------------------------------------------------------------


def dispersion(accuracies: pd.DataFrame) -> dict[str, float]:
    """How far the targets of a pool (models x targets) disagree about its models.

    ``agreement``: mean weighted Kendall between two targets. ``static_baseline``: its mean weighted Kendall.
    ``winners``: how many models are the best one of some target. ``saturated``: on how many targets the best model
    reaches `SATURATED`. NaN where one target leaves nothing to compare.
    """
    several = accuracies.shape[1] > 1
    static = long_form(ranking.static_baseline(accuracies), "static_baseline") if several else None
    return {
        "n_models": len(accuracies),
        "n_targets": accuracies.shape[1],
        "agreement": ranking.mutual_agreement(accuracies) if several else np.nan,
        "static_baseline": ranking.agreement(static, accuracies)["weighted_kendall"].mean() if several else np.nan,
        "winners": accuracies.idxmax().nunique(),
        "saturated": int((accuracies.max() >= SATURATED).sum()),
    }


def fidelity(cases: Sequence[Case]) -> pd.DataFrame:
    r"""Does a larger gap in score mean a larger gap in accuracy? (pool, metric, pearson, low, high, right_small,
    right_large, points_small, points_large), mean over targets.

    ``pearson``: the correlation, over all ordered pairs of models, of the gap in score with the gap in accuracy, with
    its interval. As :math:`\sum_{i,j} (s_i - s_j)(a_i - a_j) = 2 n \sum_i (s_i - \bar s)(a_i - \bar a)`, this is the
    Pearson correlation of scores and accuracies. ``right_``: the share of pairs that are ranked right, among the third
    of the pairs with the smallest and with the largest gaps in score; ``points_``: how much better the preferred is.
    """
    tables = {}
    for case in cases:
        scores, accuracies = case.ranked
        scores = scores[~scores["metric"].isin(registry.BLIND)]
        draws = resampling.mean_over_targets(resampling.draws(scores, accuracies, case.study.noise(), "pearson"))
        low, high = resampling.interval(draws)
        found = ranking.agreement(scores, accuracies, statistics=(ranking.pearson,))
        table = found.groupby("metric", sort=False)[["pearson"]].mean().assign(low=low, high=high)
        gaps = pd.DataFrame([
            {"metric": metric, **_gaps(group.set_index("model")["score"].loc[accuracies.index], accuracies[target])}
            for (metric, target), group in scores.groupby(["metric", "target"], sort=False)
        ])  # fmt: skip
        tables[case.name] = table.join(gaps.groupby("metric").mean()).reset_index()
    return stack(tables)


def _gaps(score: pd.Series, accuracy: pd.Series) -> dict[str, float]:
    """Pairs of models by the size of their gap in score."""
    if score.isna().any() or score.nunique() < 2:
        return {}
    one, other = np.array(list(combinations(range(len(score)), 2))).T
    gap, points = (x.to_numpy()[one] - x.to_numpy()[other] for x in (score, accuracy))
    points, gap = points * np.sign(gap), np.abs(gap)
    order = np.argsort(gap, kind="stable")
    third = max(1, len(order) // 3)
    found = {}
    for name, part in (("small", order[:third]), ("large", order[-third:])):
        found[f"right_{name}"] = np.mean((points[part] > 0) + 0.5 * (points[part] == 0))
        found[f"points_{name}"] = points[part].mean()
    return found


# The checklist --------------------------------------------------------------------------------------------------------

QUESTIONS = {
    "open": "scores, accuracies and code are there to be recomputed",
    "families": "several families of architectures",
    "sizes": f"no model is more than {COMPARABLE:g} times as large as another",
    "headroom": f"on no target does the best model reach {SATURATED:g} %",
    "dispersion": "different targets have different best models",
    "beats_lists": "a metric ranks better than every list that looks at no target",
    "fidelity": "for the best metric, a larger gap in score means a larger gap in accuracy",
    "repeated": "fine-tuned more than once, or the error of an accuracy is known",
}  # our reading of their best practices and checklist; each is answered yes, no, or not known


def dispersions(cases: Sequence[Case], hub: pd.DataFrame | None = None) -> pd.DataFrame:
    """`dispersion` of each pool, NCTI's two published pools, ten ImageNet networks and, where it is given, the hub."""
    accuracies = {case.name: case.ranked[1] for case in cases}
    accuracies |= {name: published.load(f"{pool}_finetuned_accuracy") for pool, name in NCTI_TABLES.items()}
    networks = published.load("imagenet_models").reset_index()
    accuracies["ten ImageNet networks"] = networks.pivot(index="model", columns="target", values="accuracy")
    if hub is not None:
        accuracies["a public hub"] = hub
    return pd.DataFrame([{"benchmark": name, **dispersion(table)} for name, table in accuracies.items()])


def checklist(
    cases: Sequence[Case], pools: pd.DataFrame, of_lists: pd.DataFrame, faithful: pd.DataFrame
) -> pd.DataFrame:
    """`QUESTIONS` answered "yes", "no" or "not known" for each pool and the papers' tables: (benchmark, *questions).

    Parameters
    ----------
    cases : list of Case
    pools : DataFrame
        Of `which_metric.of_pools`.
    of_lists, faithful : DataFrame
        Of `lists` and `fidelity`.
    """
    rows = []
    for case in cases:
        table = pools[pools["pool"] == case.name].set_index("metric")["weighted_kendall"]
        blind = of_lists[of_lists["benchmark"] == case.name]["weighted_kendall"].max()
        metrics = table.drop(index=list(registry.BLIND), errors="ignore")
        low = faithful[faithful["pool"] == case.name].set_index("metric")["low"].get(metrics.idxmax(), np.nan)
        size = case.study.read("pretraining")["n_parameters"]
        noise = case.study.noise()
        rows.append({
            "benchmark": case.name,
            "open": True,
            "families": len({family(model.architecture) for model in case.pool.models}) > 1,
            "sizes": size.max() <= COMPARABLE * size.min(),
            **_of_targets(dispersion(case.ranked[1])),
            "beats_lists": metrics.max() > blind if np.isfinite(blind) else None,
            "fidelity": low > 0 if np.isfinite(low) else None,
            "repeated": noise.known,
        })  # fmt: skip
    rows += [_of_published(pool, of_lists) for pool in NCTI_TABLES] + [_of_face()]
    table = pd.DataFrame(rows, columns=["benchmark", *QUESTIONS])
    words = {True: "yes", False: "no"}
    return table.set_index("benchmark").map(lambda known: words.get(known, "not known")).reset_index()


def _of_targets(found: dict[str, float]) -> dict[str, bool | None]:
    several = found["n_targets"] > 1
    return {"headroom": found["saturated"] == 0, "dispersion": found["winners"] > 1 if several else None}


def _of_published(pool: str, of_lists: pd.DataFrame) -> dict:
    """NCTI prints correlations; scores and more than one fine-tuning are not published."""
    accuracies = published.load(f"{pool}_finetuned_accuracy")
    table = of_lists[of_lists["benchmark"] == NCTI_TABLES[pool]].set_index("metric")
    printed = table["low"].isna()
    sizes = published.load("model_sizes").reindex(accuracies.index)
    known = sizes.notna().all(axis=None)  # the self-supervised models are one network
    return {
        "benchmark": NCTI_TABLES[pool],
        "open": False,
        "families": bool(known and sizes["family"].nunique() > 1),
        "sizes": not known or sizes["n_parameters"].max() <= COMPARABLE * sizes["n_parameters"].min(),
        **_of_targets(dispersion(accuracies)),
        "beats_lists": table["weighted_kendall"][printed].max() > table["weighted_kendall"][~printed].max(),
        "fidelity": None,
        "repeated": False,
    }


def _of_face() -> dict:
    """FaCe prints correlations alone: neither accuracies nor scores nor code."""
    models = published.load("listed").query("list == 'face_single_source_models'")["name"]
    size = published.load("model_sizes")["n_parameters"].reindex(models)  # NaN where it is not known
    return {
        "benchmark": "FaCe Table 1",
        "open": False,
        "families": len({family(model) for model in models}) > 1,
        "sizes": size.max() <= COMPARABLE * size.min(),
    }
