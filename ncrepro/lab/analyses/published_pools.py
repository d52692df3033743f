"""Real models by numbers that others published, ten ImageNet networks and those of a public hub (`35_which_metric`)."""

from collections.abc import Callable

import pandas as pd

from ... import ranking
from ...ranking import resampling
from ...store import artifacts, paths
from ...store.trace import is_there
from .. import published
from ..experiment import correlations, long_form
from .which_metric import normalised_scores

HUB_DRAWS = 500  # of 175 models; more would take a minute


# Ten ImageNet networks ------------------------------------------------------------------------------------------------


def imagenet(sets: tuple[str, ...] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published scores and accuracies of ten ImageNet networks on eleven data sets.

    Parameters
    ----------
    sets : names of sets of metrics, as ``"ncti logme"``
        Whose totals are ranked as well.

    Returns
    -------
    scores : DataFrame (model, target, metric, score)
        Also the static baseline and the number of parameters.
    accuracies : DataFrame, models x targets, per cent
    """
    table = published.load("imagenet_models").reset_index()
    accuracies = table.pivot(index="model", columns="target", values="accuracy")[table["target"].unique()]
    scores = table.drop(columns="accuracy").melt(["model", "target"], var_name="metric", value_name="score")
    size = published.load("model_sizes")["n_parameters"].loc[accuracies.index].astype(float)
    more = [
        long_form(ranking.static_baseline(accuracies), "static_baseline"),
        long_form(pd.DataFrame(dict.fromkeys(accuracies, size)), "n_parameters"),
    ]
    for chosen in sets:
        members = scores[scores["metric"].isin(chosen.split())]
        wide = members.pivot(index="model", columns=["target", "metric"], values="score")
        more.append(long_form(pd.DataFrame({t: normalised_scores(wide[t]).sum(axis=1) for t in accuracies}), chosen))
    return pd.concat([scores, *more], ignore_index=True), accuracies


def imagenet_correlations(sets: tuple[str, ...] = ()) -> pd.DataFrame:
    """`experiment.correlations` of `imagenet`."""
    found = correlations(*imagenet(sets))
    return found[["target", "metric", "weighted_kendall", "pearson", "low", "high"]]


# A public hub ---------------------------------------------------------------------------------------------------------


def hub_file():
    """Where a reader puts ``doc/records.csv`` of Li et al.'s repository, see ``data/README.md``."""
    return paths.downloads() / "transfergraph" / "records.csv"


def hub_accuracies() -> pd.DataFrame | None:
    """Test accuracies, models x data sets, per cent, of models that have all of them; None where there is no file.

    Food-101 is left out: a third of the models were not fine-tuned on it, and most of the others stayed near chance.
    """
    if not is_there(hub_file()):
        return None
    records = pd.read_csv(hub_file()).query("finetuned_dataset != 'food101'")
    wide = records.pivot_table(index="model", columns="finetuned_dataset", values="test_accuracy", aggfunc="mean")
    return 100 * wide.dropna().rename_axis(columns="target")


def of_hub(accuracies: pd.DataFrame) -> pd.DataFrame:
    """What a list that looks at no target is worth on each data set of the hub.

    Returns
    -------
    DataFrame (target, n_models, agreement, weighted_kendall, low, high, regret, random)
        ``agreement``: mean Spearman correlation with the other data sets. ``weighted_kendall`` and ``regret`` (points)
        of the static baseline; ``random``: the regret of a choice at random.
    """
    static = ranking.static_baseline(accuracies)
    draws = resampling.draws(long_form(static, "static"), accuracies, n=HUB_DRAWS)["static"]
    spearman = accuracies.corr("spearman")
    rows = []
    for target, truth in accuracies.items():
        low, high = resampling.interval(draws[target])
        rows.append({
            "target": target,
            "n_models": len(truth),
            "agreement": spearman[target].drop(target).mean(),
            "weighted_kendall": ranking.weighted_kendall(static[target], truth),
            "low": low,
            "high": high,
            "regret": ranking.regret(static[target], truth),
            "random": truth.max() - truth.mean(),
        })  # fmt: skip
    return pd.DataFrame(rows).round(6)  # as it is committed


def hub() -> pd.DataFrame:
    """`of_hub` of the reader's file; where there is none, the committed table."""
    accuracies = hub_accuracies()
    return published.load("hub_targets") if accuracies is None else of_hub(accuracies)


def write_hub(of: Callable[[pd.DataFrame], pd.DataFrame] = of_hub, name: str = "hub_targets") -> None:
    """Write ``data/published/<name>.csv``: what ``of`` makes of the accuracies in the reader's file."""
    accuracies = hub_accuracies()
    if accuracies is None:
        raise FileNotFoundError(f"{paths.relative(hub_file())} is missing; data/README.md says where it comes from")
    text = of(accuracies).to_csv(index=False, float_format="%.10g", lineterminator="\n")
    artifacts.write(paths.published() / f"{name}.csv", text)
