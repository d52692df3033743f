"""The figures of `01_neural_collapse`."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ..lab import point_clouds
from ..lab.trajectories import MEASURES, TERMINAL, Trajectories, order_kept, pairs_kept, terminal_epoch
from ..ranking.verdicts import UNKNOWN, Verdict, above, every, exact, probability
from . import style
from .charts import model_styles
from .feature_spaces import draw_space
from .index import Checked, figure

KEPT = 0.75  # "mostly": three of four pairs of models


def _face_fig1_holds(profile: str) -> tuple[str, Verdict]:
    following = Trajectories(profile).read("following")
    kept, draws = order_kept(following).groupby("target", sort=False)["pairs_kept"].last(), pairs_kept(following)
    chances = {target: probability(draws[target], KEPT) for target in draws}
    text = ", ".join(
        f"{target} {100 * share:.0f} % (enough in {chances[target]:.0%} of draws)" for target, share in kept.items()
    )
    return f"pairs kept: {text}", every(*(above(draws[target], KEPT) for target in draws))


@figure(
    shows="variance collapse of one model of each family, before and after every epoch of fine-tuning on two targets",
    claim="fine-tuning mostly keeps the order of the models by collapse (here: at least 75 % of the pairs on both "
    "targets)",
)
def face_fig1(profile: str) -> Checked:
    following = Trajectories(profile).read("following")
    order, targets = order_kept(following), following["target"].unique()
    styles = model_styles(following["model"].unique())
    figure, axes = plt.subplots(2, len(targets), figsize=(style.PAGE, 4.3), sharex=True, squeeze=False)
    for (upper, lower), target in zip(axes.T, targets, strict=True):
        group = following[following["target"] == target]
        table = group.pivot(index="epoch", columns="model", values="variance_collapse")
        ranks = table.rank(axis=1, ascending=False)
        for model in table.columns:
            colour, marker = styles[model]
            look = {"color": colour, "marker": marker, "ms": 4, "lw": 1.2, "mec": "white", "mew": 0.4, "label": model}
            upper.plot(table.index, -table[model], **look)
            lower.plot(ranks.index, ranks[model], **look)
        end = order[order["target"] == target].iloc[-1]
        kept = f"{100 * end['pairs_kept']:.0f} % of pairs keep their order, $\\tau_w$ = {end['weighted_kendall']:.2f}"
        upper.set(yscale="log", title=f"{target}\n{kept}")
        upper.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        upper.yaxis.set_major_formatter("{x:g}")
        upper.yaxis.set_minor_formatter(NullFormatter())
        lower.set(xlabel="epochs of fine-tuning", ylim=(len(table.columns) + 0.5, 0.5))
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1]))
    axes[0, 0].set_ylabel("NC1 = −variance collapse C\n(lower: more collapsed)")
    axes[1, 0].set_ylabel("rank (1: most collapsed)")
    figure.suptitle("Does fine-tuning keep the order of the pre-trained models by collapse?")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", handletextpad=0.4)
    return figure, *_face_fig1_holds(profile)


def _face_fig2_holds(profile: str) -> tuple[str, Verdict]:
    measures = Trajectories(profile).read("terminal_phase")
    begins = terminal_epoch(measures)
    if begins is None:
        return "the terminal phase was not reached", UNKNOWN
    start, end = measures.set_index("epoch").loc[begins], measures.iloc[-1]
    rising = [name for name in MEASURES if end[name] > start[name]]
    text = f"from epoch {begins} to {len(measures)}: NC1 {start['nc1']:.3f} to {end['nc1']:.3f}"
    text += f", NC3 {start['nc3']:.2f} to {end['nc3']:.2f}"
    return f"{text}; not falling: {', '.join(rising) or 'none'}; one network, trained once", UNKNOWN


@figure(
    shows="three classes in the plane while a network is trained far beyond its last training mistake, and NC1 to "
    "NC4 by epoch",
    claim="in the terminal phase all four measures go towards 0 (here: none is larger at the end than at the start)",
)
def face_fig2(profile: str) -> Checked:
    points, measures = (Trajectories(profile).read(name) for name in ("terminal_plane", "terminal_phase"))
    begins, snapshots = terminal_epoch(measures), points["epoch"].unique()
    figure = plt.figure(figsize=(style.PAGE, 3.8))
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    for ax, epoch in zip(upper.subplots(1, len(snapshots), sharex=True, sharey=True), snapshots, strict=True):
        _plane(ax, points[points["epoch"] == epoch])
        ax.set_title(f"after epoch {epoch}")
    panels = {  # title of a panel -> its measures and what each is called in it
        "NC1: classes shrink": {"nc1": "within / between"},
        "NC2: means equally far": {"nc2_equinorm": "lengths", "nc2_equiangularity": "angles equal",
                                   "nc2_maximal_angle": "angles largest"},
        "NC3: weights are means": {"nc3": "distance"},
        "NC4: nearest mean wins": {"nc4": "answers that differ"},
    }  # fmt: skip
    for ax, (panel, names) in zip(lower.subplots(1, len(panels)), panels.items(), strict=True):
        for (name, text), line in zip(names.items(), ("-", "--", ":"), strict=False):
            ax.plot(measures["epoch"], measures[name], line, color=style.COLOURS[0], lw=1.2, label=text)
        if begins is not None:
            ax.axvspan(begins, measures["epoch"].max(), color=style.COLOURS[4], alpha=0.15, lw=0)
        ax.set(xscale="log", xlabel="epoch")
        ax.set_title(panel, size=7.5)
        ax.xaxis.set_major_formatter("{x:g}")
        if len(names) > 1:
            ax.set_ylim(0, 2.2 * measures[list(names)].max().max())
            ax.legend(loc="upper right", fontsize=6.5, handlelength=1.6)
        elif "nc1" in names:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=0)
    lower.supylabel("0 is collapse")
    what = "three classes become a triangle (arrows: the classifier's weights)"
    figure.suptitle(f"{TERMINAL['architecture']} on {TERMINAL['dataset']}: {what}")
    return figure, *_face_fig2_holds(profile)


def _face_fig3_holds(profile: str) -> tuple[str, Verdict]:
    ends = Trajectories(profile).read("equal_collapse").iloc[[0, -1]]
    (even, biased), terms = ends.to_dict("records"), ("variance_collapse", "class_fairness")
    text = f"C {even[terms[0]]:.3f} and {biased[terms[0]]:.3f}, F {even[terms[1]]:.2f} and {biased[terms[1]]:.2f}"
    equal = abs(even["variance_collapse"] / biased["variance_collapse"] - 1) < 0.01
    return text, exact(equal and even["class_fairness"] > biased["class_fairness"], "built feature spaces")


@figure(
    shows="two constructed feature spaces of equal variance collapse, and those in between",
    claim="feature spaces of equal variance collapse can differ in class fairness, which is larger where no class "
    "stands alone",
)
def face_fig3(profile: str) -> Checked:
    sweep = Trajectories(profile).read("equal_collapse")
    ends = {"even": sweep.iloc[0], "biased": sweep.iloc[-1]}
    points = point_clouds.as_table({name: point_clouds.draw(row["bias"], row["spread"]) for name, row in ends.items()})
    figure, (*spaces, ax) = plt.subplots(1, 3, figsize=(style.PAGE, 2.6), width_ratios=(1, 1, 1.25))
    for panel, (name, row) in zip(spaces, ends.items(), strict=True):
        draw_space(panel, points[points["space"] == name])
        text = f"C = {row['variance_collapse']:.3f},  F = {row['class_fairness']:.2f}"
        caption = f"{text}\nworst class {100 * row['worst']:.0f} % right".replace("-", "−")
        panel.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), xlabel=caption)
        panel.set_title(name, weight="bold")
    curves = {"variance_collapse": "variance collapse C", "class_fairness": "class fairness F",
              "right": "nearest mean right, all", "worst": "nearest mean right, worst class"}  # fmt: skip
    for (column, text), colour, marker in zip(curves.items(), style.COLOURS, style.MARKERS, strict=False):
        ax.plot(sweep["bias"], sweep[column], color=colour, marker=marker, ms=3, lw=1.2, label=text)
    ax.set(xlabel="bias: 0 even, 1 one class far away", title="equal collapse throughout")
    ax.legend(loc=(0.22, 0.1), fontsize=6.5)
    figure.suptitle("Equally collapsed, not equally fair")
    return figure, *_face_fig3_holds(profile)


def _plane(ax: Axes, points: pd.DataFrame) -> None:
    """Samples (kind ``sample``) and weights of three classes; collapsed means lie on the corners of the triangle."""
    draw_space(ax, points[points["kind"] == "sample"], size=5)
    ax.spines[:].set_visible(False)
    triangle = np.array([[0.0, 1.0], [-np.sqrt(0.75), -0.5], [np.sqrt(0.75), -0.5], [0.0, 1.0]])
    ax.plot(*triangle.T, color="0.5", lw=0.8, zorder=0)
    for arrow in points[points["kind"] == "weight"].itertuples():
        head = {"arrowstyle": "-|>", "color": style.COLOURS[arrow.label], "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (arrow.x, arrow.y), (0, 0), arrowprops=head)
    ax.set(xlim=(-1.8, 1.8), ylim=(-1.4, 2))
