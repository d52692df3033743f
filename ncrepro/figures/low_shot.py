"""The figures of `31_low_shot`."""

import pandas as pd

from .. import ranking
from ..lab.analyses import read
from ..lab.analyses.low_shot import nearest_to_ten
from ..ranking.verdicts import Verdict, every, positive
from . import charts
from .display_names import label
from .findings import NCTI_METHODS
from .index import Checked, figure

OTHERS = [method for method in NCTI_METHODS if method != "ncti"]
MEAN = "mean over targets"


def _curves(profile: str) -> pd.DataFrame:
    """Mean and range over draws, for each target and their mean: (target, per_class, images, metric, y, low, high)."""
    table = read(profile, "low_shot", "rankings")
    means = ranking.mean_agreement(table, ["per_class", "draw", "metric"]).assign(target=MEAN)
    groups = pd.concat([means, table]).groupby(["target", "per_class", "metric"], sort=False, as_index=False)
    found = groups["weighted_kendall"].agg(y="mean", low="min", high="max")
    sizes = read(profile, "low_shot", "regimes")
    images = sizes.assign(images=sizes["n_samples"] / sizes["n_classes"])[["target", "per_class", "images"]]
    mean = images.groupby("per_class", as_index=False)["images"].mean().assign(target=MEAN)
    return found.merge(pd.concat([images, mean]), on=["target", "per_class"])


def _moves(profile: str, *what: str) -> pd.DataFrame:
    """`low_shot.effects_of_few_images` as the notebook wrote them."""
    return read(profile, "low_shot", "moves").query("what in @what")


def _fig6_holds(profile: str) -> tuple[str, Verdict]:
    table = _curves(profile).query("target == @MEAN").pivot(index="per_class", columns="metric", values="y")
    margin = table["ncti"] - table[OTHERS].max(axis=1)
    few = nearest_to_ten(margin.index)
    text = (
        f"NCTI minus the best of the others, mean τ_w: {margin[few]:.2f} with {few} images per class, "
        f"{margin[0]:.2f} with all"
    )
    moves = _moves(profile, "above", "margin")
    return text, every(*positive(moves["difference"], moves["error"]))


@figure(
    shows="how well six metrics rank with a few images per class, mean and range over draws",
    claim="with 10 images per class NCTI ranks best of six methods, by more than with all images",
)
def ncti_fig6_low_shot(profile: str) -> Checked:
    table = charts.in_order(_curves(profile), "metric", ("ncti", *OTHERS))
    table = table.assign(panel=table["target"], line=table["metric"], x=table["images"].round().astype(int))
    table = table.sort_values("target", key=lambda t: t != MEAN, kind="stable")
    title = "How many images does a ranking need? Bands: range over draws"
    return charts.curves(table, title, "images per class", log=True, columns=2), *_fig6_holds(profile)


def _table(profile: str) -> pd.DataFrame:
    """Mean weighted Kendall: metrics x images per class."""
    table = _curves(profile).query("target == @MEAN").pivot(index="metric", columns="per_class", values="y")
    table = table[[*sorted(size for size in table if size), 0]]
    return table.rename(columns=lambda size: f"{size} per class" if size else "all").sort_values("all", ascending=False)


def _metrics_hold(profile: str) -> tuple[str, Verdict]:
    table = _table(profile)
    few = f"{nearest_to_ten(read(profile, 'low_shot', 'rankings')['per_class'])} per class"
    lost = (table["all"] - table[few]).sort_values()
    text = (
        f"with {few} instead of all images: least affected {label(lost.index[0])} ({-lost.iloc[0]:+.2f}), most "
        f"affected {label(lost.index[-1])} ({-lost.iloc[-1]:+.2f})"
    )
    moves = _moves(profile, "lost").dropna().sort_values("difference")
    middle = moves.iloc[(len(moves) - 1) // 2 : len(moves) // 2 + 1]  # half of the metrics lose no more
    text = f"{text}; the median metric loses {middle['difference'].mean():.2f}"
    return text, every(*positive(0.1 - middle["difference"], middle["error"]))


@figure(
    shows="mean weighted Kendall of every metric but PARC, ETran, kNN and the linear probe, by the number of images "
    "per class",
    claim="(ours) most metrics lose less than 0.1 in mean τ_w with 10 images per class",
)
def low_shot_metrics(profile: str) -> Checked:
    title = "Metrics with a few images per class: mean weighted Kendall. Blank: one score for all models"
    return charts.correlation_heatmap(_table(profile), title), *_metrics_hold(profile)


def _regimes_hold(profile: str) -> tuple[str, Verdict]:
    table, same = read(profile, "low_shot", "regimes"), _moves(profile, "same")
    few = table.query("n_samples < 64")["consistency"].mean()
    many = table.query("n_samples >= 64 and per_class > 0")["consistency"].mean()
    text = f"{few:.2f} below 64 samples, {many:.2f} from 64 on"
    text = f"agreement (τ_w) of NCTI with its own ranking on all images: {text}"
    return text, every(*positive(same["difference"], same["error"]))


@figure(
    shows="NCTI's ncc, its spread over the models, and whether NCTI still ranks as on the whole target, by the "
    "number of samples",
    claim="(ours) below 64 samples, the dimensions of its PCA, NCTI agrees less with its own ranking on all images",
)
def low_shot_regimes(profile: str) -> Checked:
    table = read(profile, "low_shot", "regimes")
    shown = {
        "ncc": "mean of ncc over models",
        "spread": "standard deviation of ncc",
        "consistency": r"$\tau_w$ with NCTI on all images",
    }
    table = table.assign(line=table["target"], x=table["n_samples"])
    table = pd.concat([table.assign(panel=panel, y=table[column]) for column, panel in shown.items()])
    title = "What happens to NCTI with few samples? (dashed: n = 64, the dimensions of its PCA)"
    return charts.curves(table, title, "samples n", "", log=True, mark=64), *_regimes_hold(profile)
