"""The figures of `27_modalities`."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from .. import ranking
from ..lab.analyses import modalities as measured
from ..lab.analyses.modalities import FEATURES, POOL, SCALED, SCORED, SIDE_BY_SIDE, TRUTHS
from ..lab.experiment import Experiment
from ..lab.recipes import PAIR
from ..lab.tasks import modalities
from ..metrics.ncti import SHRINKAGE_FLOOR
from ..ranking import resampling
from ..ranking.normalised import varies
from ..ranking.verdicts import Verdict, above, every, exact, positive
from . import charts, data_examples, multi_source, style
from .display_names import label
from .findings import FACE_METHODS, OURS, beat_rivals, mean_text, ranking_table
from .index import Checked, figure

SHOWN = [*FACE_METHODS, "ncti", "linear_probe", "alone", "static_baseline", "source_accuracy", "n_parameters"]
COLUMNS = {"accuracy": "side by side", "late": "late"}  # of accuracies.csv -> way of fusing
_COLOURS = dict(zip(("images", "texts", *COLUMNS, "without_images", "without_texts"), style.COLOURS, strict=False))
LACKING = {"without_texts": "images", "without_images": "texts"}  # tested without one -> the modality that is left


# Tables ---------------------------------------------------------------------------------------------------------------


def accuracies(profile: str | None) -> pd.DataFrame:
    """Mean accuracies of each pair on each target, as ``accuracies.csv`` names them; ``images``, ``texts``: alone."""
    table = Experiment(POOL, profile).read("accuracies").groupby(["model", "target"], sort=False)
    means = table[[*COLUMNS, *LACKING]].mean()
    return means.join(measured.single_encoder_accuracies(profile).set_index(["model", "target"]))


def spread(profile: str | None) -> pd.DataFrame:
    """Lowest, mean and highest accuracy over pairs, by target and by what is tested, in per cent."""
    table = accuracies(profile).rename(columns=_column_label).groupby("target", sort=False).agg(["min", "mean", "max"])
    return table.stack(level=0, future_stack=True)[["min", "mean", "max"]]


def _column_label(column: str) -> str:
    return {**COLUMNS, "images": "images alone", "texts": "texts alone"}.get(column, column.replace("_", " "))


def encoders(profile: str | None) -> pd.DataFrame:
    """The image encoder and the text encoder of each pair, by model."""
    models = Experiment(POOL, profile).pool.models
    parts = {m.name: zip(m.architecture.split(PAIR), m.source.split(PAIR), strict=True) for m in models}
    return pd.DataFrame([["@".join(part) for part in of] for of in parts.values()], list(parts), modalities.PARTS)


def _mean_above(profile: str, difference: pd.Series) -> list[Verdict]:
    """That the mean of a difference over pairs (index: model) is above 0: one verdict for each modality."""
    parts, verdicts = encoders(profile), []  # pairs share encoders, so that the encoders of a modality are drawn
    for part in modalities.PARTS:
        by_encoder = difference.groupby(parts[part]).mean()
        verdicts += positive(by_encoder.mean(), by_encoder.sem(), len(by_encoder) - 1)
    return verdicts


# The figures ----------------------------------------------------------------------------------------------------------


@figure(shows="items of every target: class, image, and text")
def modalities_examples(profile: str) -> Figure:
    pool = Experiment(POOL, profile).pool
    title = "What is it? The class stands above the picture, the text below it"
    return data_examples.captioned([modalities.load(name, "train") for name in pool.targets], title)


def _helps(profile: str) -> tuple[str, Verdict]:
    table, found, verdicts = accuracies(profile), [], []
    better_alone = table[["images", "texts"]].max(axis=1)
    for column, fusion in COLUMNS.items():
        gain = (table[column] - better_alone).unstack("target")
        found.append(f"{fusion}: " + ", ".join(f"{gain[t].mean():+.1f} points on {t}" for t in gain))
        verdicts += _mean_above(profile, gain.mean(axis=1))
    return "; ".join(found), every(*verdicts)


@figure(
    shows="accuracy of each pair on each target, fine-tuned side by side and late, beside that of its encoders alone",
    claim="(ours) fused in either way, a pair is better than the better of its two encoders alone, on average over "
    "targets",
)
def modalities_accuracies(profile: str) -> Checked:
    title = "Is a pair better than its encoders alone?"
    return _strips(profile, ["images", "texts", *COLUMNS], title), *_helps(profile)


def _strips(profile: str, columns: list[str], title: str) -> Figure:
    """Accuracies of all pairs, a panel for each target and a strip for each column."""
    table, targets = accuracies(profile), Experiment(POOL, profile).pool.targets
    figure, axes = plt.subplots(1, len(targets), figsize=(style.PAGE, 2.3), squeeze=False, sharey=True)
    for ax, target in zip(axes[0], targets, strict=True):
        part = table.xs(target, level="target")[columns]
        shift = np.linspace(-0.18, 0.18, len(part))
        for x, column in enumerate(columns):
            ax.plot(x + shift, part[column], "o", ms=3.5, alpha=0.75, color=_COLOURS[column], mec="none")
        ax.plot(part.mean().to_numpy(), "D", color="0.25", ms=4, label="mean over pairs")
        n_classes = modalities.load(target, "test").n_classes
        ax.axhline(100 / n_classes, color="0.6", lw=0.9, ls=":", label="by chance")
        ax.set_xticks(range(len(columns)), [_column_label(column).replace(" ", "\n", 1) for column in columns])
        ax.set(title=target, xlim=(-0.5, len(columns) - 0.5), ylim=(0, 100))
    axes[0, 0].set_ylabel("accuracy on the test split (%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title)
    return figure


def _lacks(profile: str) -> tuple[str, Verdict]:
    table, found, verdicts = accuracies(profile), [], []
    for column, left in LACKING.items():
        loss = (table[left] - table[column]).unstack("target")
        text = ", ".join(f"{loss[t].mean():+.1f} points on {t}" for t in loss)
        found.append(f"{left} alone against a pair {column.replace('_', ' ')}: {text}")
        verdicts += _mean_above(profile, loss.mean(axis=1))
    return "; ".join(found), every(*verdicts)


@figure(
    shows="accuracy of pairs that were fine-tuned side by side and are tested on items without text, or without image, "
    "beside that of encoders that were fine-tuned alone",
    claim="(ours) where one modality is missing at the test, an encoder that was fine-tuned alone is better than a "
    "pair that was fine-tuned side by side, on average over targets",
)
def modalities_missing(profile: str) -> Checked:
    title = "What if every item of the test lacks its text, or its image?"
    return _strips(profile, ["accuracy", "without_texts", "images", "without_images", "texts"], title), *_lacks(profile)


def tables(profile: str | None) -> dict[str, pd.DataFrame]:
    """Weighted Kendall of each ranking (rows) on each target and on average, by way of fusing."""
    study = Experiment(POOL, profile)
    found, sums = {}, measured.single_encoder_accuracies(profile)
    added = sums.assign(score=sums["images"] + sums["texts"], metric="alone")[["model", "target", "metric", "score"]]
    for truth, subset in TRUTHS.items():
        _, accuracies = study.ranked(subset)
        extra = ranking.agreement(added, accuracies)
        average = extra.groupby("metric", as_index=False).mean(numeric_only=True).assign(target="average")
        own = study.read(f"correlations_{subset}" if subset else "correlations")
        found[truth] = ranking_table(pd.concat([own, extra, average]), SHOWN)
    return found


def _rank(profile: str) -> tuple[str, Verdict]:
    study, found, verdicts = Experiment(POOL, profile), [], []
    for truth, table in tables(profile).items():
        draws = study.draws(TRUTHS[truth])
        found.append(f"{truth}: {', '.join(mean_text(table, draws, m) for m in OURS)}")
        verdicts += [above(draws[m]) for m in OURS]
    return f"mean τ_w, {'; '.join(found)}", every(*verdicts)


@figure(
    shows="weighted Kendall of each ranking of pairs on each target, by the accuracies of both ways of fusing",
    claim="(ours) NCTI and FaCe of the features side by side rank pairs better than chance, in both ways of fusing",
)
def modalities_rankings(profile: str) -> Checked:
    n = len(Experiment(POOL, profile).pool.models)
    panels = {f"judged by pairs that are fused {truth}": table for truth, table in tables(profile).items()}
    return charts.correlation_heatmap(panels, f"How well is each ranking of {n} pairs?"), *_rank(profile)


@figure(
    shows="mean weighted Kendall of every ranking of pairs but PARC, ETran and kNN with its interval, fused side by "
    "side",
    claim="(ours) NCTI or FaCe ranks pairs better than the static baseline and than a linear probe",
)
def modalities_intervals(profile: str) -> Checked:
    return multi_source.intervals(POOL, profile), *beat_rivals(Experiment(POOL, profile))


def by_features(profile: str | None) -> dict[str, pd.DataFrame]:
    """Mean weighted Kendall over targets, metrics x the features that they are computed of, by way of fusing."""
    tables = {}
    for truth, group in measured.judge_scores(profile).groupby("truth", sort=False):
        means = group.pivot_table(index="metric", columns="features", values="weighted_kendall")
        tables[truth] = means.reindex(index=list(SCORED), columns=[*FEATURES, measured.ADDED])
    return tables


def _together(profile: str) -> tuple[str, Verdict]:
    study = Experiment(POOL, profile)
    ways = [SIDE_BY_SIDE, measured.ADDED]
    table = study.read("by_features").query("metric in @OURS and features in @ways")
    named = table.assign(metric=table["metric"] + "|" + table["features"]).drop(columns="features")
    found, verdicts = [], []
    for truth, subset in TRUTHS.items():
        _, accuracies = study.ranked(subset)
        draws = resampling.mean_over_targets(resampling.draws(named, accuracies, study.noise(subset)))
        means = by_features(profile)[truth]
        for metric in OURS:
            verdicts.append(above(*(draws[f"{metric}|{way}"] for way in ways)))
            found.append(f"{truth}, {label(metric)}: {', '.join(f'{means.at[metric, way]:.2f} {way}' for way in ways)}")
    return f"mean τ_w, {'; '.join(found)}", every(*verdicts)


@figure(
    shows="mean weighted Kendall of each metric, computed of the features of both encoders in several arrangements, "
    "of one encoder's, and with the scores of the two encoders added",
    claim="(ours) NCTI and FaCe of the features side by side rank pairs better than their scores of the images alone "
    "and of the texts alone, added",
)
def modalities_features(profile: str) -> Checked:
    tables = {truth: table.rename(columns=lambda name: fill(name, 9)) for truth, table in by_features(profile).items()}
    panels = {f"judged by pairs that are fused {truth}": table for truth, table in tables.items()}
    title = "Of which features should a score be computed?"
    return charts.correlation_heatmap(panels, title), *_together(profile)


def order_kept_by_scale(profile: str | None) -> pd.DataFrame:
    """How far the order of the pairs by a metric stays when the text features are scaled: metrics x scales.

    Weighted Kendall between the scores at a scale and those at scale 1, mean over targets.
    """
    study = Experiment(POOL, profile)
    scores, rows = study.read("by_features").query("metric in @SCORED"), {}
    for metric, group in scores.groupby("metric"):
        by_scale = {name: part.pivot(index="model", columns="target", values="score")
                    for name, part in group.groupby("features")}  # fmt: skip
        usual = by_scale[SIDE_BY_SIDE]
        rows[metric] = {
            scale: np.mean([ranking.weighted_kendall(by_scale[name][t], usual[t]) for t in usual if varies(usual[t])])
            for scale, name in SCALED.items()
        }
    return pd.DataFrame(rows).T.loc[list(SCORED)]


def alphas(profile: str | None) -> pd.DataFrame:
    """NCTI's shrinkage of each pair on each target (rows), by the scale of the text features (columns)."""
    table = Experiment(POOL, profile).read("by_features").query("metric == 'alpha'")
    table = table.pivot(index=["model", "target"], columns="features", values="score")
    return pd.DataFrame({scale: table[name] for scale, name in SCALED.items()})


def _scale_matters(profile: str) -> tuple[str, Verdict]:
    kept, alpha = order_kept_by_scale(profile).loc["ncti"].drop(1.0), alphas(profile)
    shares = ", ".join(f"{(alpha[scale] > SHRINKAGE_FLOOR).mean():.0%} at × {scale:g}" for scale in alpha)
    text = ", ".join(f"{value:.2f} at × {scale:g}" for scale, value in kept.items())
    changed = exact(bool((kept < 1).all()), "the same features, scaled")
    return f"τ_w of NCTI with its own order at scale 1: {text}; features that NCTI shrinks: {shares}", changed


@figure(
    shows="agreement of each metric's order of the pairs with its order at scale 1, and NCTI's shrinkage α, when the "
    "text features are multiplied by 0.1, 1 and 10",
    claim="(ours) NCTI orders the pairs differently as soon as the features of one modality are ten times larger, or "
    "ten times smaller",
)
def modalities_scale(profile: str) -> Checked:
    kept, alpha = order_kept_by_scale(profile), alphas(profile)
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.6), width_ratios=(1.3, 1))
    for i, metric in enumerate(kept.index):
        look = {"marker": style.MARKERS[i], "color": style.COLOURS[i], "ms": 4, "lw": 1.2}
        left.plot(range(len(kept.columns)), kept.loc[metric], label=label(metric), **look)
    left.set(ylabel="agreement with scale 1, $\\tau_w$", title="Does the order of the pairs stay?")
    for target, part in alpha.groupby("target", sort=False):
        y = part.to_numpy()
        x = np.arange(y.shape[1])[None] + np.linspace(-0.12, 0.12, len(y))[:, None]
        right.plot(x.ravel(), y.ravel(), "o", ms=3, alpha=0.7, mec="none", label=target)
    right.set(yscale="log", ylabel="shrinkage $\\alpha$", title="NCTI, a dot for each pair")
    for ax in (left, right):
        ax.set_xticks(range(len(SCALED)), [f"× {scale:g}" for scale in SCALED])
        ax.set_xlabel("scale of the text features")
    left.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=6.5)
    right.legend()
    return figure, *_scale_matters(profile)
