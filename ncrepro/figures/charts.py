"""Charts that several notebooks share: scores against accuracies, tables of correlations, a question to many pools."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, StrMethodFormatter

from ..metrics import registry
from . import style
from .display_names import label

TAU = r"mean weighted Kendall $\tau_w$"
CELL = 0.24  # inches, height of a row of a table
GAP = 0.35  # of a cell, between the targets and their average
MARK, BAND = 3.2, 5  # points: a value's mark is smaller than its interval is high, so that it cannot hide a short one
LOOKS = {  # what a ranking looks at -> colour and marker, the same in every figure
    "looks at the target": (style.COLOURS[0], "o"),
    "never looks at the target": (style.COLOURS[1], "D"),
}


def number(value: float, decimals: int = 2) -> str:
    """A number as the page shows it, with a minus sign and not a hyphen."""
    return f"{value:.{decimals}f}".replace("-", "−")


def look_names(metrics: pd.Series) -> np.ndarray:
    """For each ranking, the name in `LOOKS`."""
    sees, never = LOOKS
    return np.where(metrics.isin(registry.BLIND), never, sees)


def intervals(ax: Axes, y, table: pd.DataFrame, colour: str, marker: str, name: str | None = None) -> None:
    """A value and its interval at each height: (weighted_kendall, low, high)."""
    ax.hlines(y, table["low"], table["high"], color=colour, lw=BAND, alpha=0.35)
    ax.plot(table["weighted_kendall"], y, marker, color=colour, ms=MARK, label=name)


def in_order(table: pd.DataFrame, column: str, order: Sequence) -> pd.DataFrame:
    """The rows whose ``column`` is in ``order``, sorted by it; rows with the same value keep their order."""
    place = {value: i for i, value in enumerate(order)}
    return table[table[column].isin(place)].sort_values(column, key=lambda values: values.map(place), kind="stable")


def grid(n: int, columns: int, height: float, more: float, **options) -> tuple[Figure, np.ndarray]:
    """A page-wide figure and its axes (lines x columns) for ``n`` panels, at most ``columns`` side by side.

    A line of panels is ``height`` inches high, the rest of the figure ``more``; places that are left over stay empty.
    ``options`` are those of `matplotlib.pyplot.subplots`.
    """
    columns = min(n, columns)
    lines = -(-n // columns)
    size = (style.PAGE, more + height * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, **options)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return figure, axes


def model_styles(models) -> dict[str, tuple[str, str]]:
    """A colour and marker for each model: one colour per family, one marker per member of it."""
    families: dict[str, list[str]] = {}
    for model in models:
        families.setdefault(model.rstrip("0123456789").split("_")[0], []).append(model)
    n = len(style.COLOURS)
    return {
        model: (style.COLOURS[i % n], style.MARKERS[(j + 4 * (i // n)) % len(style.MARKERS)])
        for i, members in enumerate(families.values())
        for j, model in enumerate(sorted(members, key=lambda name: (len(name), name)))
    }


def score_scatter(table: pd.DataFrame, correlations: pd.DataFrame, score_name: str, title: str) -> Figure:
    """A metric's score against the fine-tuned accuracy, one panel per target, one marker per model.

    Parameters
    ----------
    table : DataFrame (model, target, score, accuracy)
    correlations : DataFrame (target, weighted_kendall, spearman), written into the panels
    """
    targets = list(dict.fromkeys(table["target"]))
    figure, axes = grid(len(targets), 3, 1.85, 0.75)
    styles = model_styles(dict.fromkeys(table["model"]))
    for ax, target in zip(axes.flat, targets, strict=False):
        group = table[table["target"] == target]
        _trend(ax, group)
        for model, row in group.set_index("model").iterrows():
            colour, marker = styles[model]
            ax.plot(row["score"], row["accuracy"], marker, color=colour, ms=5, mec="white", mew=0.4, label=label(model))
        found = correlations.set_index("target").loc[target]
        tau, rho = number(found["weighted_kendall"]), number(found["spearman"])
        ax.set_title(f"{target}: $\\tau_w$ = {tau}, $\\rho_s$ = {rho}", size=7.5)
    figure.supxlabel(f"{score_name} score of the pre-trained model")
    figure.supylabel("accuracy after fine-tuning (%)")
    figure.suptitle(title)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside right center", handletextpad=0.1)
    return figure


def method_scatter(
    table: pd.DataFrame,
    correlations: pd.DataFrame,
    methods: list[str],
    title: str,
    xlabel: str = "accuracy after fine-tuning (%)",
) -> Figure:
    """Small multiples: targets in rows, metrics in columns, fine-tuned accuracy to the right and score upwards.

    Parameters
    ----------
    table : DataFrame (model, target, metric, score, accuracy)
    correlations : DataFrame (target, metric, weighted_kendall)
    methods : list of metrics, from left to right
    """
    targets = table["target"].unique()
    size = (style.PAGE, 0.7 + 1.05 * len(targets))
    figure, axes = plt.subplots(len(targets), len(methods), figsize=size, squeeze=False)
    found = correlations.set_index(["target", "metric"])["weighted_kendall"]
    for row, target in zip(axes, targets, strict=True):
        for ax, method in zip(row, methods, strict=True):
            group = table[(table["target"] == target) & (table["metric"] == method)]
            _trend(ax, group.rename(columns={"score": "accuracy", "accuracy": "score"}))
            ax.plot(group["accuracy"], group["score"], "o", ms=3.5, color=style.COLOURS[0], mec="white", mew=0.3)
            value = found[target, method]
            ax.set_title(f"$\\tau_w$ = {number(value)}" if np.isfinite(value) else "no order", size=7.5, pad=2)
            ax.xaxis.set_major_locator(MaxNLocator(2))
            ax.yaxis.set_major_locator(MaxNLocator(2))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}".replace("-", "−")))
            ax.tick_params(labelsize=6.5, pad=1.5, length=2)
        row[0].set_ylabel(target, weight="bold")
    for ax, method in zip(axes[0], methods, strict=True):
        ax.annotate(label(method), (0.5, 1.28), xycoords="axes fraction", ha="center", weight="bold", size=8)
    figure.supxlabel(xlabel)
    figure.supylabel("score (each panel on its own scale)")
    figure.suptitle(title)
    return figure


def _trend(ax, group: pd.DataFrame) -> None:
    """The least-squares line through (score, accuracy), as a guide for the eye."""
    x, y = group["score"].to_numpy(), group["accuracy"].to_numpy()
    if np.ptp(x) > 0:
        slope, intercept = np.polyfit(x - x.mean(), y, 1)
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, intercept + slope * (ends - x.mean()), color="0.75", lw=1.2, zorder=0)


def interval_plot(correlations: pd.DataFrame, ceiling: float, title: str, covered: str) -> Figure:
    """Mean weighted Kendall of every ranking with its interval, best first.

    Parameters
    ----------
    correlations : DataFrame (metric, weighted_kendall, low, high), one row per metric
    ceiling : float
        The weighted Kendall between two fine-tunings of the same models: no score can be expected to do better.
    covered : str
        What the intervals include, in words: `resampling.covers`.
    """
    table = correlations.sort_values("weighted_kendall")
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.72, 0.9 + 0.21 * len(table)))
    seen = look_names(table["metric"])
    for name, (colour, marker) in LOOKS.items():
        y = np.flatnonzero(seen == name)
        intervals(ax, y, table.iloc[y], colour, marker, name)
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    if np.isfinite(ceiling):
        ax.axvline(ceiling, color="0.35", lw=1, ls="--", zorder=0, label="two fine-tunings of the same models")
    ends = [*table[["weighted_kendall", "low", "high"]].to_numpy().ravel(), ceiling, 0]
    low, high = np.nanmin(ends), np.nanmax(ends)
    ax.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))  # nothing lies at the edge
    ax.set_yticks(range(len(table)), [label(metric) for metric in table["metric"]])
    ax.set_xlabel(f"mean weighted Kendall $\\tau_w$ over targets; lines:\n{covered}")
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=3, columnspacing=0.8, handlelength=1.5, handletextpad=0.3)
    return figure


def accuracy_heatmap(accuracies: pd.DataFrame, title: str) -> Figure:
    """Accuracy after fine-tuning, models x targets, best model on top; each column is coloured on its own scale."""
    table = accuracies.loc[accuracies.mean(axis=1).sort_values(ascending=False).index]
    scaled = (table - table.min()) / (table.max() - table.min())
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.72, 0.8 + 0.19 * len(table)))
    numbers = {"annot": table, "fmt": ".1f", "annot_kws": {"size": 7.5}}
    sns.heatmap(scaled, cmap=style.SEQUENTIAL, cbar=False, linewidths=0.5, ax=ax, **numbers)
    ax.set(xlabel="target (colour: from the lowest to the highest accuracy of its column)", ylabel="")
    ax.tick_params(axis="x", rotation=0)
    figure.suptitle(title)
    return figure


LEGIBLE = 24  # with more classes than this, nobody can read the legend


def embedding(points: pd.DataFrame, captions: dict[str, str], title: str) -> Figure:
    """Features of several models in the plane, one panel per model, one colour per class.

    Parameters
    ----------
    points : DataFrame (model, label, x, y)
    captions : dict model -> what is written above its panel, in the order of the panels
    """
    classes = sorted(points["label"].unique())
    figure, axes = plt.subplots(1, len(captions), figsize=(style.PAGE, 2.45), squeeze=False)
    for ax, (model, caption) in zip(axes[0], captions.items(), strict=True):
        group = points[points["model"] == model]
        for i, name in enumerate(classes):
            members = group[group["label"] == name]
            turn, place = divmod(i, len(style.COLOURS))
            colour, marker = style.COLOURS[place], style.MARKERS[turn % len(style.MARKERS)]
            ax.plot(members["x"], members["y"], marker, color=colour, ms=2.5, mew=0, label=f"{name}")
        ax.set_title(caption, size=7.5)
        ax.set(xticks=[], yticks=[])
        ax.set_aspect("equal", adjustable="datalim")
        ax.spines[:].set_visible(False)
    if len(classes) <= LEGIBLE:
        what = {"title": "class (axes: t-SNE, without units)", "title_fontsize": 7.5, "loc": "outside lower center"}
        spacing = {"ncols": 12, "handletextpad": 0.1, "columnspacing": 1, "markerscale": 1.6}
        figure.legend(*axes[0, 0].get_legend_handles_labels(), **what, **spacing)
    else:
        figure.supxlabel(f"{len(classes)} classes, one colour and marker each (axes: t-SNE, without units)", size=7.5)
    figure.suptitle(title)
    return figure


def feature_matrix(features: np.ndarray, labels: np.ndarray, title: str) -> Figure:
    """A feature matrix as an image, rows sorted by label, each column scaled to [0, 1]."""
    order = np.argsort(labels, kind="stable")
    low, high = features.min(axis=0), features.max(axis=0)
    scaled = (features - low) / np.maximum(high - low, 1e-12)
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.72, 2.6))
    image = ax.imshow(scaled[order], aspect="auto", cmap=style.SEQUENTIAL, interpolation="nearest")
    borders = np.flatnonzero(np.diff(labels[order])) + 0.5
    ax.hlines(borders, -0.5, features.shape[1] - 0.5, color="white", lw=0.4)
    ax.set(xlabel="feature", ylabel="sample", title=title)
    figure.colorbar(image, label="activation, scaled per feature")
    return figure


# Tables of correlations -----------------------------------------------------------------------------------------------


def correlation_heatmap(
    panels: pd.DataFrame | dict[str, pd.DataFrame], title: str, statistic: str = "weighted_kendall", decimals: int = 2
) -> Figure:
    """Correlations of metrics (rows) with accuracies on targets (columns), the values written in the cells.

    Parameters
    ----------
    panels : DataFrame (metrics x targets), or dict panel title -> DataFrame
        Panels stand one above the other, for instance ``{"printed": ..., "ours": ...}``; their rows and columns may
        differ. A column ``average`` is set apart at the right. Missing values stay blank; a row of
        nothing else says that its metric is not applicable.
    title : str
        What is seen.
    statistic : str
        Names the colour bar; the colours run from -1 to 1.
    decimals : int
        Digits after the point. The highest value of each column is bold.

    Returns
    -------
    Figure
        As wide as a page.
    """
    panels = {"": panels} if isinstance(panels, pd.DataFrame) else panels
    # rows, tick labels, title
    heights = [len(table) + (2.6 if name else 1.6) + 0.7 * _crowded(table) for name, table in panels.items()]
    size = (style.PAGE, CELL * sum(heights) + 0.35)
    figure, axes = plt.subplots(len(panels), 1, figsize=size, squeeze=False, height_ratios=heights)
    for ax, (name, table) in zip(axes[:, 0], panels.items(), strict=True):
        mesh = _table(ax, table, decimals)
        ax.set_title(name, loc="left", pad=4)
    figure.suptitle(title, fontsize=plt.rcParams["axes.titlesize"])
    place = {"ax": axes[:, 0], "fraction": 0.03, "pad": 0.015, "aspect": 30}
    bar = figure.colorbar(mesh, label=label(statistic), ticks=[-1, -0.5, 0, 0.5, 1], **place)
    bar.outline.set_visible(False)
    return figure


def _crowded(table: pd.DataFrame) -> bool:
    """Whether the names of the columns would touch if they were written side by side."""
    return table.shape[1] > 9


def _table(ax: Axes, table: pd.DataFrame, decimals: int):
    left = np.arange(table.shape[1]) + GAP * (table.columns == "average")  # left edge of each column
    within = {"ha": "center", "va": "center", "fontsize": 7}
    for x, name in zip(left, table, strict=False):
        values = table[name].to_numpy(float)[:, None]  # (metrics, 1)
        colours = {"cmap": style.DIVERGING, "vmin": -1, "vmax": 1, "edgecolors": "white", "linewidth": 1}
        mesh = ax.pcolormesh([x, x + 1], np.arange(len(table) + 1), values, **colours)
        for row, value in enumerate(values[:, 0]):
            if np.isfinite(value):
                weight = "bold" if value == np.nanmax(values) else "normal"
                ax.text(x + 0.5, row + 0.5, number(value, decimals), fontweight=weight, **within)
    for row in np.flatnonzero(table.isna().all(axis=1)):
        ax.text((left[-1] + 1) / 2, row + 0.5, "not applicable", color="0.4", **within)
    ax.set(xlim=(0, left[-1] + 1), ylim=(len(table), 0))
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if _crowded(table) else {}
    ax.set_xticks(left + 0.5, [label(name) for name in table], **slanted)
    ax.set_yticks(np.arange(len(table)) + 0.5, [label(name) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return mesh


# One panel per pool ---------------------------------------------------------------------------------------------------


def legend_below(figure: Figure, handles: list, labels: list[str], above: str) -> None:
    """A legend in one row at the bottom, under the label of the axes: each in its own place would cover the other."""
    options = {"title": above, "title_fontsize": 8, "ncols": len(labels), "handletextpad": 0.4}
    legend = figure.legend(handles, labels, loc="outside lower center", **options)
    legend.get_title().set_multialignment("center")


def rows(
    table: pd.DataFrame, title: str, xlabel: str, columns: int = 3, series: dict[str, tuple[str, str]] = LOOKS
) -> Figure:
    """One row per method, one panel per pool, a value and its interval.

    Parameters
    ----------
    table : DataFrame (panel, row, weighted_kendall, low, high[, series])
        Rows and panels come in the order in which they first occur, the first on top. A row without a value in any
        panel is left out; a row without a value in one panel is marked there. Several series of a row stand one below
        the other.
    series : dict series -> (colour, marker)
        By default, rankings that never look at the target have a colour and a mark of their own.
    """
    table = table if "series" in table else table.assign(series=look_names(table["row"]))
    table = table[table.groupby("row")["weighted_kendall"].transform("count") > 0]
    panels, names = (list(dict.fromkeys(table[column])) for column in ("panel", "row"))
    shown = {name: look for name, look in series.items() if name in set(table["series"])}
    in_row = {name: [s for s in shown if s in set(group["series"])] for name, group in table.groupby("row")}
    height = 0.17 if max(map(len, in_row.values())) == 1 else 0.24  # inches, of a row
    figure, axes = _with_common_axes(len(panels), columns, 0.55 + height * len(names))
    for ax, panel in zip(axes, panels, strict=False):
        group = table[table["panel"] == panel]
        for name, (colour, marker) in shown.items():
            rows_of = [row for row in names if name in in_row[row]]
            members = group[group["series"] == name].set_index("row").reindex(rows_of)
            below = [in_row[row].index(name) - (len(in_row[row]) - 1) / 2 for row in rows_of]
            y = [names.index(row) + 0.4 * shift for row, shift in zip(rows_of, below, strict=True)]
            intervals(ax, y, members, colour, marker, name)
        known = set(group.dropna(subset="weighted_kendall")["row"])
        for i in (i for i, row in enumerate(names) if row not in known):
            ax.text(0.03, i, "n/a", transform=ax.get_yaxis_transform(), va="center", size=6.5, color="0.5")
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_yticks(range(len(names)), [label(name) for name in names])
        ax.set(title=panel, ylim=(len(names) - 0.5, -0.5))
    if len(shown) > 1:  # below the axis and its label
        legend_below(figure, *axes[0].get_legend_handles_labels(), xlabel)
    else:
        figure.supxlabel(xlabel)
    figure.suptitle(title)
    return figure


def curves(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str = TAU,
    *,
    columns: int = 3,
    log: bool = False,
    mark: float | None = None,
    names: str | None = None,
) -> Figure:
    """Lines along a setting, one panel per pool or term, with a band where there is one.

    Parameters
    ----------
    table : DataFrame (panel, line, x, y[, low, high])
    log : bool
        Whether x has a logarithmic axis.
    mark : float, optional
        The setting to be marked: the paper's.
    names : str, optional
        What the lines are, written above the legend.
    """
    panels, lines = (list(dict.fromkeys(table[column])) for column in ("panel", "line"))
    figure, axes = _with_common_axes(len(panels), columns, 1.75)
    for ax, panel in zip(axes, panels, strict=False):
        for line, colour, marker in zip(lines, cycle(style.COLOURS[:7]), style.MARKERS, strict=False):
            points = table[(table["panel"] == panel) & (table["line"] == line)].sort_values("x")
            ax.plot(points["x"], points["y"], marker=marker, ms=3.5, lw=1.2, color=colour, label=label(line))
            if "low" in table:
                ax.fill_between(points["x"], points["low"], points["high"], color=colour, alpha=0.15, lw=0)
        if mark is not None:
            ax.axvline(mark, color="0.6", lw=0.9, ls="--", zorder=0)
        if log:
            _logarithmic(ax, table["x"])
        ax.axhline(0, color="0.85", lw=0.8, zorder=0)
        ax.set_title(panel)
    figure.supylabel(ylabel)
    options = {"title": names, "title_fontsize": 7.5, "handlelength": 1.4}
    legend = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", **options)
    tall = legend.get_window_extent().height / figure.dpi + 0.1  # inches; many lines need a higher page
    figure.set_figheight(max(figure.get_figheight(), tall))
    figure.supxlabel(xlabel)
    figure.suptitle(title)
    return figure


def _with_common_axes(n: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """The figure and the ``n`` axes of a `grid` whose panels have the same axes."""
    figure, axes = grid(n, columns, height, 0.65, sharex=True, sharey=True)
    for ax in axes[-2:, :].flat if len(axes) > 1 else ():  # a panel above an empty place needs the axis itself
        ax.tick_params(labelbottom=True)
    return figure, axes.ravel()[:n]


def _logarithmic(ax: Axes, x: pd.Series) -> None:
    ax.set_xscale("log")
    ticks = sorted(set(x))
    ax.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // 5)]))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
