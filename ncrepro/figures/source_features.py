"""The figure of `32_source_features`."""

import pandas as pd

from ..lab.analyses import read, source_features
from ..lab.experiment import Experiment
from ..metrics import registry
from ..ranking import resampling
from ..ranking.verdicts import Verdict, above, every
from . import charts
from .index import Checked, figure
from .names import label

ROWS = [*source_features.TERMS, "ncti", "face", "logme", *registry.BLIND]


def _averages(profile: str) -> pd.DataFrame:
    return read(profile, "source_features", "correlations").query("target == 'average'")


def _fig7_holds(profile: str) -> tuple[str, Verdict]:
    table = _averages(profile).query("features == 'source'").pivot(index="metric", columns="pool", values="weighted_kendall")
    found = table.loc[["ncti_log_vc", "ncti_ncc"]]
    texts = [f"{pool}: variability {found.at['ncti_log_vc', pool]:.2f}, ncc {found.at['ncti_ncc', pool]:.2f}" for pool in found]
    asked = []
    for pool, group in read(profile, "source_features", "scores").query("features == 'source'").groupby("pool", sort=False):
        terms = group[group["metric"].isin(found.index)]
        noise = Experiment(pool, profile).noise()
        drawn = resampling.mean_over_targets(resampling.draws(terms, source_features.accuracies_of(group), noise))
        asked += [above(drawn[term]) for term in drawn]
    return "mean τ_w on source features, " + "; ".join(texts), every(*asked)


@figure(
    shows="how well terms measured on the source rank the models for the targets, beside the same terms measured on the target",
    claim="on the source's features both −S_vc, the within-class variability, and ncc rise with accuracy on the targets, on both pools",
)
def ncti_fig7(profile: str) -> Checked:
    table = _averages(profile)
    names = source_features.TERMS | {name: label(name) for name in ROWS if name not in source_features.TERMS}
    table = pd.concat([table[table["metric"] == metric] for metric in ROWS])
    panel = table["pool"] + ", " + table["features"].map({"source": "on the source", "target": "on the target"})
    table = table.assign(panel=panel, row=table["metric"].map(names).str.replace("−S_vc", "$-S_{vc}$")).sort_values(["pool", "features"], ascending=[False, True], kind="stable")
    return charts.rows(table, "Terms measured on the source: do they predict how well a model transfers?",
                       f"{charts.TAU} over targets; lines: {resampling.covers(resampling.NONE)}", columns=2), *_fig7_holds(profile)
