"""The figure of `33_cost`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..lab import profiles
from ..lab.cost import OURS, PLAIN, TOGETHER
from ..lab.experiment import Experiment
from ..ranking.verdicts import Verdict, every, positive
from . import figure, is_best
from .plots import cost, label

RIVALS = ["nce", "leep", "logme", "nleep", "sfda"]  # of NCTI in its Fig. 4
TIMES = 10  # "more than 10x more time"


def pools(profile: str) -> list[str]:
    """The pools of NCTI's Fig. 4 that the profile has."""
    return [name for name in ("supervised", "selfsupervised") if name in profiles.load(profile).pools]


def _table(profile: str) -> pd.DataFrame:
    return pd.concat([Experiment(pool, profile).read("seconds_cost").assign(pool=pool) for pool in pools(profile)])


def _holds(profile: str) -> tuple[str, Verdict]:
    found = []
    for pool, group in _table(profile).groupby("pool", sort=False):
        seconds = group.set_index(["implementation", "metric"])["seconds"]
        ranked = group[group["implementation"] == OURS].set_index("metric")["weighted_kendall"]
        better = ranked.index[ranked.index.isin(RIVALS) & (ranked > ranked["ncti"])]
        ratios = [seconds[way, "sfda"] / seconds[way, "ncti"] for way in (OURS, PLAIN)]
        in_time = group[group["implementation"] == OURS].set_index("metric")["error"]  # of the logarithm
        text = f"{label(pool)}: ranking better: {', '.join(map(label, better)) or 'none'}"
        text += f"; SFDA / NCTI in time {ratios[0]:.1f}, plain {ratios[1]:.1f}"
        more, verdict = is_best(Experiment(pool, profile).draws(), "ncti", [m for m in RIVALS if m in ranked])
        slower = positive(np.log(ratios[0] / TIMES), np.hypot(in_time["sfda"], in_time["ncti"]))
        found.append((f"{text}; NCTI {more}", every(verdict, *slower)))
    return "; ".join(text for text, _ in found), every(*(verdict for _, verdict in found))


@figure(
    shows="mean weighted Kendall against the time to score the whole pool, this package and a plain evaluation",
    notebook="33_cost",
    claim="NCTI ranks best of its six metrics within a small budget, and SFDA takes more than ten times as long",
    holds=_holds,
)
def ncti_fig4(profile: str) -> Figure:
    table = _table(profile)
    together = table[table["metric"] == TOGETHER].assign(what="all metrics at once")
    stages = {"extract": "extracting the features (CPU)", "finetune": "fine-tuning every model (CPU)"}
    others = pd.DataFrame([
        {"pool": pool, "what": what, "seconds": Experiment(pool, profile).read(f"seconds_{stage}")["seconds"].sum()}
        for pool in pools(profile)
        for stage, what in stages.items()
    ])  # fmt: skip
    points = table[table["metric"] != TOGETHER]
    title = "What a ranking costs, and how good it is"
    return cost.time_against_ranking(points, pd.concat([together, others]), title)
