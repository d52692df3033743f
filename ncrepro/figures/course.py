"""The pictures of the course, and controls above them: each change of a control draws one picture, on fixed axes."""

from functools import cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from .. import metrics, ranking
from ..lab import course, point_clouds
from ..metrics import collapse, registry
from . import style
from .display_names import label
from .feature_spaces import draw_space
from .findings import random_taus
from .sliders import Live

SIZES = (4, 5, 6, 8, 10, 12, 15, 19)  # of pools


class Picture(Figure):
    """A figure of the page's width that pyplot does not know, so that a notebook shows it once."""

    def __init__(self, height: float):
        super().__init__(figsize=(style.PAGE, height), layout="constrained")

    def _repr_png_(self) -> bytes:
        return style.png(self)


# Session 1: the terms of a feature space ------------------------------------------------------------------------------

BIAS, SPREAD = (0.0, 1.0), (0.15, 0.75)  # what the sliders reach
TERMS = ("NC1", "seli", "ncc", "log vc", "class fairness")


def collapse_slider() -> Live:
    """Three toy classes whose centres and spread can be moved, and their terms."""
    options = {"step": 0.05, "continuous_update": False, "style": {"description_width": "9em"}}
    bias = widgets.FloatSlider(0.0, min=BIAS[0], max=BIAS[1], description="bias of centres", **options)
    spread = widgets.FloatSlider(0.35, min=SPREAD[0], max=SPREAD[1], description="spread", **options)
    return Live(lambda: space_with_terms(bias.value, spread.value), bias, spread)


def space_with_terms(bias: float, spread: float) -> Picture:
    """A toy feature space, and each term between its smallest and its largest value that the sliders reach."""
    features, labels = point_clouds.draw(bias, spread)
    figure = Picture(2.7)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    draw_space(left, pd.DataFrame({"label": labels, "x": features[:, 0], "y": features[:, 1]}))
    left.set(xlim=(-3, 3), ylim=(-3, 3), title=f"bias {bias:.2f}, spread {spread:.2f}")
    low, high = _reached()
    values = _terms(bias, spread)
    places = (values - low) / (high - low)
    right.hlines(range(len(TERMS)), 0, 1, color="0.85", lw=6)
    right.plot(places, range(len(TERMS)), "o", color=style.COLOURS[0], ms=8)
    right.set_yticks(range(len(TERMS)), [f"{name} = {value:.3g}".replace("-", "−") for name, value in values.items()])
    right.set_xticks([0, 1], ["smallest", "largest"])
    right.set(xlim=(-0.05, 1.05), ylim=(len(TERMS) - 0.5, -0.5), title="each term between its extremes")
    return figure


def _terms(bias: float, spread: float) -> pd.Series:
    space = point_clouds.draw(bias, spread)
    fairness = metrics.face(*space, n_components=2).class_fairness
    return pd.Series([collapse.nc1(*space), *metrics.ncti(*space), fairness], index=TERMS)


@cache
def _reached() -> tuple[pd.Series, pd.Series]:
    corners = [(bias, spread) for bias in np.linspace(*BIAS, 5) for spread in np.linspace(*SPREAD, 5)]
    table = pd.DataFrame([_terms(*corner) for corner in corners])
    return table.min(), table.max()


def same_size(one: np.ndarray, other: np.ndarray, names: tuple[str, str]) -> Picture:
    """Two matrices of samples in the plane, each with its singular values."""
    figure = Picture(2.4)
    for ax, matrix, name in zip(figure.subplots(1, 2, sharex=True, sharey=True), (one, other), names, strict=True):
        ax.plot(*matrix.T, "o", color=style.COLOURS[0], ms=3, alpha=0.6, mew=0)
        size = abs(np.concatenate([one, other])).max() * 1.1
        ax.set(xlim=(-size, size), ylim=(-size, size), aspect="equal", xticks=[], yticks=[], title=name)
        values = np.linalg.svd(matrix, compute_uv=False)
        ax.set_xlabel("singular values " + ", ".join(f"{value:.1f}" for value in values))
    return figure


# Session 2: the order of six models -----------------------------------------------------------------------------------


def order_buttons(accuracies: pd.Series) -> Live:
    """Models in their true order, each with a button that moves it one place up, and the weighted Kendall."""
    best_first = accuracies.sort_values(ascending=False)
    order = list(best_first.index)
    buttons = [widgets.Button(layout={"width": "14em"}) for _ in order]
    live = Live(lambda: crossing_lines(best_first, order), widgets.HBox(buttons, layout={"flex_flow": "row wrap"}))

    def name() -> None:
        for place, (button, model) in enumerate(zip(buttons, order, strict=True), start=1):
            button.description, button.disabled = f"▲ {place}. {model}", place == 1

    def up(button: widgets.Button) -> None:
        place = buttons.index(button)
        order[place - 1 : place + 1] = order[place], order[place - 1]
        name()
        live.redraw()

    for button in buttons:
        button.on_click(up)
    name()
    return live


def crossing_lines(accuracies: pd.Series, order: list[str]) -> Picture:
    """The true order at the left, another at the right: lines that cross are pairs that the other gets wrong."""
    truth = list(accuracies.sort_values(ascending=False).index)
    places = pd.Series(range(len(order), 0, -1), index=order)  # as scores: higher is better
    tau = ranking.weighted_kendall(places, accuracies)
    plain = kendalltau(places[accuracies.index], accuracies).statistic  # all pairs alike
    figure = Picture(2.6)
    ax = figure.subplots()
    for i, model in enumerate(truth):
        moved = order.index(model) != i
        ax.plot([0, 1], [i, order.index(model)], "-o", color=style.COLOURS[1 if moved else 0], lw=1.5, ms=4)
        ax.text(-0.04, i, f"{model}  {accuracies[model]:.1f} %", ha="right", va="center")
    for i, model in enumerate(order):
        ax.text(1.04, i, model, va="center")
    ax.set(xlim=(-0.7, 1.7), ylim=(len(order) - 0.5, -0.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    title = rf"weighted Kendall $\tau_w$ = {tau:.2f}     (all pairs alike: {plain:.2f})"
    ax.set_title(title.replace("-", "−"))
    return figure


def intervals(table: pd.DataFrame, title: str) -> Picture:
    """A value with its interval per row: (value, low, high), rows named by the index."""
    figure = Picture(0.9 + 0.24 * len(table))
    ax = figure.subplots()
    rows = range(len(table))
    ax.hlines(rows, table["low"], table["high"], color=style.COLOURS[0], lw=2)
    ax.plot(table["value"], rows, "o", color=style.COLOURS[0])
    _correlation_axis(ax)
    ax.set_yticks(rows, [label(name) for name in table.index])
    ax.set(ylim=(len(table) - 0.5, -0.5), title=title)
    return figure


# Session 3: how wide is an interval? ----------------------------------------------------------------------------------


def pool_slider() -> Live:
    """A metric and a size of the supervised pool, and how wide the interval of the weighted Kendall is then."""
    options = {"style": {"description_width": "9em"}}
    names = {label(name): name for name in registry.METRICS}
    metric = widgets.Dropdown(options=names, value="ncti", description="metric", **options)
    size = widgets.SelectionSlider(
        options=SIZES, value=SIZES[2], description="models in the pool", continuous_update=False, **options
    )
    return Live(lambda: widths(metric.value, size.value), metric, size)


def widths(metric: str, size: int) -> Picture:
    """The interval of a metric's weighted Kendall and that of a random order, by the number of models."""
    figure = Picture(2.9)
    ax = figure.subplots()
    for i, n in enumerate(SIZES):
        (value, low, high), band = _interval(metric, n), np.quantile(random_taus(n), [0.025, 0.975])
        chosen = n == size
        ax.fill_betweenx((i - 0.4, i + 0.4), *band, color="0.6" if chosen else "0.88", lw=0)
        look = {"color": style.COLOURS[0], "alpha": 1 if chosen else 0.3}
        ax.hlines(i, low, high, lw=4 if chosen else 2, **look)
        ax.plot(value, i, "o", ms=7 if chosen else 4, **look)
        if chosen:
            text = f"{size} models: {value:.2f} ({low:.2f} to {high:.2f}), width {high - low:.2f}"
    _correlation_axis(ax)
    ax.set_yticks(range(len(SIZES)), [f"{n} models" for n in SIZES])
    ax.set(ylim=(len(SIZES) - 0.5, -0.5), title=f"{label(metric)} on digits, {text}".replace("-", "−"))
    ax.set_xlabel(r"weighted Kendall $\tau_w$; grey: 95 % of random orders; lines: 95 % of draws of other models")
    return figure


@cache
def _interval(metric: str, n_models: int) -> tuple[float, float, float]:
    """The weighted Kendall of a metric in a part of the pool, and its interval; smaller parts lie in larger ones."""
    scores, accuracies = course.scores("supervised", metric)["digits"], course.accuracies("supervised")["digits"]
    chosen = np.random.default_rng(1).permutation(accuracies.index.to_numpy())[:n_models]
    s, a = scores[chosen], accuracies[chosen]
    return ranking.weighted_kendall(s, a), *ranking.bootstrap_interval(ranking.weighted_kendall, s, a, n=1000)


def _correlation_axis(ax: Axes) -> None:
    ax.axvline(0, color="0.6", lw=0.8)
    ax.set(xlim=(-1.05, 1.05), xlabel=r"weighted Kendall $\tau_w$")
