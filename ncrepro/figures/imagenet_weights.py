"""The figures of `42_imagenet_weights`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..rank_your_own.imagenet_experiment import IMAGENET, TEXTS, table
from ..rank_your_own.rank import LEVEL
from ..ranking.verdicts import Verdict, every, positive
from . import charts, style
from .display_names import label
from .index import Checked, figure

LOOKS = {  # family -> colour, marker, and name on the page
    "ImageNet": (style.COLOURS[0], "o", "ImageNet or MiniLM"),
    "MiniLM": (style.COLOURS[0], "o", "ImageNet or MiniLM"),
    "untrained": (style.COLOURS[6], "X", "untrained"),
    "demo": (style.COLOURS[1], "s", "of the demo, 32 pixels"),
}


def lead_over_others(scores: pd.DataFrame, first: str) -> pd.DataFrame:
    """How far the lowest total of the family ``first`` is above all others, by target: (difference, error)."""
    rows = {}
    for target, group in scores.groupby("target", sort=False):
        ours, others = group[group["family"] == first], group[group["family"] != first]
        low, high = ours.loc[ours["total"].idxmin()], others.loc[others["total"].idxmax()]
        errors = [(row["high"] - row["low"]) / 2 / LEVEL for row in (low, high)]
        rows[target] = {"difference": low["total"] - high["total"], "error": float(np.hypot(*errors))}
    return pd.DataFrame(rows).T


def _stands_apart(profile: str) -> tuple[str, Verdict]:
    scores = table("scores")
    found = lead_over_others(scores[scores["target"] != TEXTS], "ImageNet")
    text = f"on {(found['difference'] > 0).sum()} of {len(found)} targets, by {found['difference'].min():.2f} at least"
    return text, every(*positive(found["difference"], found["error"]))


@figure(
    shows="totals of ImageNet's networks, an untrained one and the demo's on photographs, and of MiniLM with fewer and "
    "fewer layers on texts, against the accuracy of a linear probe on held-out samples",
    claim="(ours) on photographs every network that was trained on ImageNet has a higher total than any other network",
)
def imagenet_weights_ranking(profile: str) -> Checked:
    scores = table("scores")
    targets = scores["target"].unique()
    figure, axes = charts.grid(len(targets), 3, 2.0, 0.6, sharey=True)
    for ax, target in zip(axes.flat, targets, strict=False):
        for family, group in scores[scores["target"] == target].groupby("family", sort=False):
            colour, marker, name = LOOKS[family]
            low, high = (group[end].clip(0, 1) for end in ("low", "high"))
            ax.vlines(group["probe"], low, high, color=colour, lw=1.2, alpha=0.5)
            ax.plot(group["probe"], group["total"], marker, ls="", ms=4.5, color=colour, label=name)
        ax.set_title(label(target).replace("_", " "))
        ax.set_xlabel("held-out accuracy of the probe (%)")
        ax.margins(x=0.1)
    for ax in axes[:, 0]:
        ax.set_ylabel("total")
    handles = dict(pair for ax in axes.flat for pair in zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.suptitle("What the ranking says, and what a linear probe reaches")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure, *_stands_apart(profile)


@figure(shows="the terms of NCTI for real ImageNet weights at d = 1,280 beside those of small and untrained networks")
def imagenet_weights_terms(profile: str) -> Figure:
    terms = table("terms").query("target != @TEXTS")
    families = table("scores").drop_duplicates("model").set_index("model")["family"]
    terms = terms.assign(family=terms["model"].map(families))
    names = terms["term"].unique()
    others = terms.sort_values("family", ascending=False, kind="stable")["model"]
    models = [model for model in dict.fromkeys([*IMAGENET, *others]) if model in set(others)]
    size = (style.PAGE, 1.0 + 0.2 * len(models))
    figure, axes = plt.subplots(1, len(names), figsize=size, sharey=True, squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        for target, colour, marker in zip(terms["target"].unique(), style.COLOURS, style.MARKERS, strict=False):
            part = terms[(terms["term"] == name) & (terms["target"] == target)]
            look = {"ls": "", "ms": 4, "mfc": "none", "color": colour, "label": label(target).replace("_", " ")}
            ax.plot(part["value"], part["model"].map(models.index), marker, **look)
        ax.set_yticks(range(len(models)), models)
        ax.set_xlabel(name.replace("_", " "))
    axes[0, 0].invert_yaxis()
    figure.suptitle("NCTI's terms with real weights")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
