"""The figure of `32_source_features`."""

import pandas as pd

from ..lab.analyses import read, source_features
from ..lab.experiment import Experiment
from ..metrics import registry
from ..ranking import resampling
from ..ranking.verdicts import Verdict, above, every
from . import charts, style
from .display_names import label
from .index import Checked, figure

SERIES = {"source": "measured on the source", "target": "measured on the target", "both": "on both"}
BLINDLY = "looks at no features"
LOOKS = {
    SERIES["source"]: (style.COLOURS[2], "s"),
    SERIES["target"]: charts.LOOKS["looks at the target"],
    SERIES["both"]: (style.COLOURS[3], "^"),
    BLINDLY: charts.LOOKS["never looks at the target"],
}
ROWS = [*source_features.TERMS, "ncti", "face", "logme", "otce", *registry.BLIND]


def _averages(profile: str) -> pd.DataFrame:
    return read(profile, "source_features", "correlations").query("target == 'average'")


def _fig7_holds(profile: str) -> tuple[str, Verdict]:
    table = _averages(profile).query("features == 'source'")
    table = table.pivot(index="metric", columns="pool", values="weighted_kendall")
    found = table.loc[["ncti_log_vc", "ncti_ncc"]]
    texts = [
        f"{pool}: variability {found.at['ncti_log_vc', pool]:.2f}, ncc {found.at['ncti_ncc', pool]:.2f}"
        for pool in found
    ]
    verdicts = []
    scores = read(profile, "source_features", "scores").query("features == 'source'")
    for pool, group in scores.groupby("pool", sort=False):
        terms = group[group["metric"].isin(found.index)]
        noise = Experiment(pool, profile).noise()
        draws = resampling.mean_over_targets(resampling.draws(terms, source_features.accuracies_of(group), noise))
        verdicts += [above(draws[term]) for term in draws]
    return "mean τ_w on source features, " + "; ".join(texts), every(*verdicts)


@figure(
    shows="how well terms measured on the source rank the models for the targets, beside the same terms measured on "
    "the target",
    claim="on the source's features both −S_vc, the within-class variability, and ncc rise with accuracy on the "
    "targets, on both pools",
)
def ncti_fig7(profile: str) -> Checked:
    table = charts.in_order(_averages(profile), "metric", ROWS).sort_values("pool", ascending=False, kind="stable")
    series = table["features"].map(SERIES).mask(table["metric"].isin(registry.BLIND), BLINDLY)
    rows = table["metric"].replace(source_features.TERMS)
    table = table.assign(panel=table["pool"].map(label), row=rows, series=series)
    below = (
        f"{charts.TAU} over targets; lines: {resampling.covers(resampling.NONE)}\n"
        "above 0: the higher the value, the better the transfer\n"
        "(log vc is the paper's $-S_{vc}$, with its plus sign here; NCTI subtracts it)"
    )
    title = "Terms measured on the source: do they predict how well a model transfers?"
    return charts.rows(table, title, below, columns=2, series=LOOKS), *_fig7_holds(profile)
