"""The figure of `03_published_numbers`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab import published
from ..ranking.verdicts import Verdict, exact
from . import style
from .display_names import label
from .index import Checked, figure


def _adds_up(profile: str) -> tuple[str, Verdict]:
    checks = published.audit()
    return f"{(~checks['holds']).sum()} of {len(checks)} checks fail", exact(checks["holds"].all(), "printed numbers")


@figure(
    shows="what the papers print, and what follows from their own numbers",
    claim="(both) the printed tables and sentences agree with each other",
)
def published_audit(profile: str) -> Checked:
    return audit(published.audit(), published.averages(), published.benchmark()), *_adds_up(profile)


# Drawing --------------------------------------------------------------------------------------------------------------


PRINTED, COMPUTED = style.COLOURS[6], style.COLOURS[1]  # what the page says, what its own numbers give


def audit(checks: pd.DataFrame, averages: pd.DataFrame, benchmark: pd.DataFrame) -> Figure:
    """What is printed against what the printed numbers give, one page wide.

    The three tables of `ncrepro.lab.published`: `audit`, `averages` and `benchmark`.
    """
    broken = checks[~checks["holds"]]
    listed = broken[~broken["kind"].isin(["average", "ranking"])]  # those have a panel of their own
    height = 0.155 * (len(listed) + 3)  # inches
    figure = plt.figure(figsize=(style.PAGE, 3.3 + height))
    top, bottom = figure.subfigures(2, 1, height_ratios=[3.3, height])
    left, right = top.subplots(1, 2, width_ratios=[1, 1.1])
    static_ranking(benchmark, left)
    printed_averages(averages, right)
    broken_claims(listed, bottom.subplots())
    top.suptitle(f"{len(broken)} of {len(checks)} checks of the published numbers do not hold", fontsize=10)
    return figure


def static_ranking(benchmark: pd.DataFrame, ax: Axes) -> None:
    """Mean weighted Kendall of each printed method, and of the ranking that never sees the target, with interval."""
    rows = benchmark.sort_values(["pool", "printed", "weighted_kendall"], ascending=[True, False, True])
    y = np.arange(len(rows)) + 1.2 * (rows["pool"] == "supervised").to_numpy()  # a gap between the pools
    for at, row in zip(y, rows.itertuples(), strict=False):
        colour = PRINTED if row.printed else COMPUTED
        ax.plot([row.low, row.high], [at, at], color=colour, linewidth=1.2)
        ax.plot(row.weighted_kendall, at, "o" if row.printed else "D", color=colour, markersize=4.5)
        end, beside = (np.fmax(row.weighted_kendall, row.high), at), {"textcoords": "offset points", "va": "center"}
        ax.annotate(f"{row.weighted_kendall:.3f}", end, (5, 0), fontsize=7, color=colour, **beside)
    for pool, group in pd.Series(y, index=rows["pool"]).groupby(level=0):
        ax.text(0.31, group.max() + 0.95, f"{label(pool)} models", fontsize=7.5, fontweight="bold", va="center")
    ax.set_yticks(y, [label(metric) for metric in rows["metric"]])
    ax.set(xlim=(0.3, 1.05), ylim=(-0.6, y[-1] + 1.5), xlabel=r"mean weighted Kendall $\tau_w$ over targets")
    ax.set_title("(a) A ranking that ignores the target", loc="left")


def printed_averages(averages: pd.DataFrame, ax: Axes) -> None:
    """How far each printed average lies from the mean of its row, in units of the last printed digit."""
    tables = list(averages["table"].unique())
    off = averages["units"].abs() > 0.5 + 1e-6
    ax.axvspan(-0.5, 0.5, color="0.9", linewidth=0)
    ax.text(0, -0.72, "rounding", ha="center", va="center", fontsize=7, color="0.35")
    for at, table in enumerate(tables):
        rows = averages[averages["table"] == table].sort_values("units")
        y, colours = at + np.linspace(-0.3, 0.3, len(rows)), np.where(off[rows.index], COMPUTED, PRINTED)
        ax.scatter(rows["units"], y, s=14, linewidth=0, c=colours)
        wrong = rows[off[rows.index]].groupby(["metric", "units", "printed", "computed"])["statistic"]
        for line, ((metric, _, printed, computed), statistics) in enumerate(wrong):
            symbols = ", ".join(label(statistic).split()[-1] for statistic in statistics)
            text = f"{label(metric)} {symbols}: {printed:g}, not {computed:.3f}"
            ax.text(1.2, at + 0.32 * (line - (wrong.ngroups - 1) / 2), text, fontsize=6.5, color=COMPUTED, va="center")
    ax.set_yticks(range(len(tables)), [label(table) for table in tables])
    ax.set(xlim=(-1.1, 4.2), ylim=(len(tables) - 0.5, -1), xticks=[-1, 0, 1])
    ax.set_xlabel("printed − mean of the row, in last digits", loc="left")
    ax.set_title(f"(b) {off.sum()} of {len(averages)} averages do not match their row", loc="left")


def broken_claims(checks: pd.DataFrame, ax: Axes) -> None:
    """A list of checks that do not hold: where, what, the printed value and the one that the numbers give."""
    columns = {"where": 0, "what": 0.235, "printed": 0.86, "computed": 0.97}
    for y, row in enumerate(checks.itertuples()):
        if y % 2 == 0:
            ax.axhspan(y - 0.5, y + 0.5, color="0.95", linewidth=0)
        for column, x in columns.items():
            value, look = getattr(row, column), {"color": COMPUTED if column == "computed" else PRINTED, "fontsize": 7}
            if isinstance(value, str):
                ax.text(x, y, value.replace("τ_w", r"$\tau_w$"), ha="left", va="center", **look)
            else:
                ax.text(x, y, f"{value:.3g}".replace("-", "−"), ha="right", va="center", **look)
    for column, x in columns.items():
        ax.text(x, -1, column, va="center", fontsize=7, fontweight="bold", ha="right" if x > 0.5 else "left")
    ax.set(xlim=(-0.01, 1), ylim=(len(checks) - 0.4, -1.6))
    ax.set_axis_off()
    ax.set_title("(c) Counts, claims and tables that do not agree", loc="left")
