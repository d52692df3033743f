"""Scores against accuracies: scatters, intervals, the ground truth, and what the features look like."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style
from .names import label

TARGET_BLIND = ("static_baseline", "source_accuracy", "n_parameters")  # rankings that never look at the target


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
    columns = min(3, len(targets))
    rows = -(-len(targets) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(style.PAGE, 0.75 + 1.85 * rows), squeeze=False)
    styles = model_styles(dict.fromkeys(table["model"]))
    for ax, target in zip(axes.flat, targets, strict=False):
        group = table[table["target"] == target]
        _trend(ax, group)
        for model, row in group.set_index("model").iterrows():
            colour, marker = styles[model]
            ax.plot(row["score"], row["accuracy"], marker, color=colour, ms=5, mec="white", mew=0.4, label=label(model))
        found = correlations.set_index("target").loc[target]
        ax.set_title(f"{target}: $\\tau_w$ = {found['weighted_kendall']:.2f}, $\\rho_s$ = {found['spearman']:.2f}", size=7.5)
    for ax in axes.flat[len(targets) :]:
        ax.set_visible(False)
    figure.supxlabel(f"{score_name} score of the pre-trained model", size=8)
    figure.supylabel("accuracy after fine-tuning (%)", size=8)
    figure.suptitle(title, size=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", handletextpad=0.1)
    return figure


def method_scatter(table: pd.DataFrame, correlations: pd.DataFrame, methods: list[str], title: str) -> Figure:
    """Small multiples: targets in rows, metrics in columns, fine-tuned accuracy to the right and score upwards.

    Parameters
    ----------
    table : DataFrame (model, target, metric, score, accuracy)
    correlations : DataFrame (target, metric, weighted_kendall)
    methods : list of metrics, from left to right
    """
    targets = list(dict.fromkeys(table["target"]))
    figure, axes = plt.subplots(len(targets), len(methods), figsize=(style.PAGE, 0.7 + 1.05 * len(targets)), squeeze=False)
    found = correlations.set_index(["target", "metric"])["weighted_kendall"]
    for i, target in enumerate(targets):
        for j, method in enumerate(methods):
            ax = axes[i, j]
            group = table[(table["target"] == target) & (table["metric"] == method)]
            _trend(ax, group.rename(columns={"score": "accuracy", "accuracy": "score"}))
            ax.plot(group["accuracy"], group["score"], "o", ms=3.5, color=style.COLOURS[0], mec="white", mew=0.3)
            value = found[target, method]
            ax.set_title(f"$\\tau_w$ = {value:.2f}" if np.isfinite(value) else "no order", size=7.5, pad=2)
            ax.set_yticks([])
            ax.tick_params(axis="x", labelsize=6.5)
            if i == 0:
                ax.annotate(label(method), (0.5, 1.28), xycoords="axes fraction", ha="center", weight="bold", size=8)
        axes[i, 0].set_ylabel(target, weight="bold")
    figure.supxlabel("accuracy after fine-tuning (%)", size=8)
    figure.supylabel("score (each panel on its own scale)", size=8)
    figure.suptitle(title, size=9)
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
    blind = table["metric"].isin(TARGET_BLIND).to_numpy()
    for colour, marker, mask, name in (
        (style.COLOURS[0], "o", ~blind, "looks at the target"),
        (style.COLOURS[1], "D", blind, "never looks at the target"),
    ):
        y = np.flatnonzero(mask)
        middle, low, high = (table[column].to_numpy()[mask] for column in ("weighted_kendall", "low", "high"))
        ax.hlines(y, low, high, color=colour, lw=1.6, alpha=0.55)
        ax.plot(middle, y, marker, color=colour, ms=5, label=name)
    ax.axvline(0, color="0.8", lw=0.8, zorder=0)
    if np.isfinite(ceiling):
        ax.axvline(ceiling, color="0.35", lw=1, ls="--", zorder=0, label="two fine-tunings of the same models")
    ax.set_yticks(range(len(table)), [label(metric) for metric in table["metric"]])
    ax.set_xlabel(f"mean weighted Kendall $\\tau_w$ over targets; lines:\n{covered}")
    figure.suptitle(title, size=9)
    figure.legend(loc="outside lower center", ncols=3, columnspacing=0.8, handlelength=1.5, handletextpad=0.3)
    return figure


def accuracy_heatmap(accuracies: pd.DataFrame, title: str) -> Figure:
    """Accuracy after fine-tuning, models x targets, best model on top; each column is coloured on its own scale."""
    table = accuracies.loc[accuracies.mean(axis=1).sort_values(ascending=False).index]
    scaled = (table - table.min()) / (table.max() - table.min())
    figure, ax = plt.subplots(figsize=(style.PAGE * 0.72, 0.8 + 0.19 * len(table)))
    sns.heatmap(scaled, annot=table, fmt=".1f", cmap="cividis", cbar=False, linewidths=0.5, ax=ax, annot_kws={"size": 7.5})
    ax.set(xlabel="target", ylabel="")
    ax.tick_params(axis="x", rotation=0)
    figure.suptitle(title, size=9)
    return figure


def embedding(points: pd.DataFrame, captions: dict[str, str], title: str) -> Figure:
    """Features of several models in the plane, one panel per model, one colour per class.

    Parameters
    ----------
    points : DataFrame (model, label, x, y)
    captions : dict model -> what is written above its panel, in the order of the panels
    """
    figure, axes = plt.subplots(1, len(captions), figsize=(style.PAGE, 2.35), squeeze=False)
    for ax, (model, caption) in zip(axes[0], captions.items(), strict=True):
        group = points[points["model"] == model]
        ax.scatter(group["x"], group["y"], c=group["label"], cmap="tab20", s=5, lw=0)
        ax.set_title(caption, size=7.5)
        ax.set(xticks=[], yticks=[])
        ax.set_aspect("equal", adjustable="datalim")
        ax.spines[:].set_visible(False)
    figure.suptitle(title, size=9)
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
