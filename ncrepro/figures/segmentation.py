"""The figures of `24_segmentation`."""

import pandas as pd
from matplotlib.figure import Figure

from .. import ranking
from ..lab.experiment import Experiment, correlations, seed_noise, with_accuracies
from ..lab.models.segmentation import ARCHITECTURES
from ..lab.tasks import segmentation
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..ranking.verdicts import Verdict, above, every
from ..store import artifacts
from . import charts, data_examples, small_pools
from .findings import FACE_METHODS, SHOWN, any_above, best_of, by_chance, is_best
from .index import Checked, figure

MEASURES = {"accuracy": "pixel accuracy", "mean_iou": "mean IoU"}  # columns of accuracies.csv -> the two ground truths


def scores_and_accuracies(profile: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `Experiment.ranked` gives, with the two measures of the one target in the place of targets."""
    study = Experiment("segmentation", profile)
    scores, _ = study.ranked()
    scores = scores[scores["metric"] != "n_parameters"]  # the networks differ in their heads alone
    measured = study.read("accuracies").groupby("model")[list(MEASURES)].mean().rename(columns=MEASURES)
    return pd.concat([scores.assign(target=measure) for measure in measured]), measured


def accuracy_noise(profile: str | None) -> Noise:
    """How far both measures vary over fine-tunings. How far mean IoU varies over test images is not known."""
    study = Experiment("segmentation", profile)
    seeds = [study.noise(truth=column).seeds for column in MEASURES]
    if any(table is None for table in seeds):
        return resampling.NONE
    return Noise(seeds=pd.concat(seeds, axis=1).set_axis(MEASURES.values(), axis=1))


def covered_in_words(profile: str | None) -> str:
    """What the intervals by both measures include, in words."""
    return resampling.covers(accuracy_noise(profile))


def _draws(profile: str | None) -> pd.DataFrame:
    """What every ranking could have been worth by each measure: draws x (measure, metric)."""
    return resampling.draws(*scores_and_accuracies(profile), accuracy_noise(profile)).swaplevel(axis=1)


def judge(profile: str | None) -> pd.DataFrame:
    """How well each metric ranks by pixel accuracy and by mean IoU: `correlations` of `scores_and_accuracies`."""

    def of_measures() -> pd.DataFrame:
        return (
            correlations(*scores_and_accuracies(profile), accuracy_noise(profile))
            .query("target != 'average'")
            .reset_index(drop=True)
        )

    return artifacts.table(Experiment("segmentation", profile).results / "correlations_by_measure.csv", of_measures)


def judgements(profile: str | None) -> pd.DataFrame:
    """The table that `judge` wrote."""
    return Experiment("segmentation", profile).read("correlations_by_measure")


def ceilings(profile: str | None) -> pd.DataFrame:
    """How far two fine-tunings of the same models agree: `experiment.seed_noise`, with measures for targets."""
    table = Experiment("segmentation", profile).read("accuracies")
    noise = [seed_noise(table.assign(accuracy=table[column], target=name)) for column, name in MEASURES.items()]
    return pd.concat(noise, ignore_index=True)


def agreement(profile: str | None) -> float:
    """The weighted Kendall between the two ground truths: 1 where they rank all networks alike."""
    _, measured = scores_and_accuracies(profile)
    return ranking.weighted_kendall(measured["pixel accuracy"], measured["mean IoU"])


def start(profile: str | None) -> str:
    """What the networks begin their pre-training with, and what `segmentation_scratch` is fine-tuned from."""
    begun = {ARCHITECTURES[name]["encoder_weights"] for name in Experiment("segmentation", profile).pool.architectures}
    return "random weights" if begun == {None} else "ImageNet's weights"


def results(profile: str | None) -> tuple[pd.DataFrame, dict[str, float]]:
    """Every fine-tuning (model, measure, value), and what training without a source reaches by each measure."""
    table = Experiment("segmentation", profile).read("accuracies").rename(columns=MEASURES)
    scratch = Experiment("segmentation_scratch", profile).read("accuracies").rename(columns=MEASURES)
    long = table.melt(["model"], list(MEASURES.values()), "measure", "value")
    return long, {name: scratch[name].mean() for name in MEASURES.values()}


def claims(profile: str | None) -> list[tuple[str, str, Verdict]]:
    """What FaCe Section 4.4 says of its Figure 5, what is found here, and whether it holds."""
    table = judgements(profile).pivot(index="metric", columns="target", values="weighted_kendall").loc[FACE_METHODS]
    by_pixels, by_iou = table["pixel accuracy"], table["mean IoU"]
    drop, luck = by_pixels - by_iou, by_chance(len(scores_and_accuracies(profile)[1]))
    good, fallen = int((by_pixels > luck).sum()), int((drop > 0.1).sum())
    worse = f"{fallen} of {len(drop)} lose more than 0.1; mean loss {drop.mean():.2f}"
    declines = f"NCE loses {drop['nce']:.2f}, H-score {drop['h_score']:.2f}"
    enough = f"{good} of {len(drop)} above {luck:.2f}"
    draws = _draws(profile)
    pixels, iou = (draws[measure][FACE_METHODS] for measure in MEASURES.values())
    lost = pixels - iou
    return [
        ("by pixel accuracy most methods do well", enough, above(pixels.median(axis=1), luck)),
        ("by mean IoU most methods do obviously worse", worse, above(lost.median(axis=1), 0.1)),
        ("FaCe is best by mean IoU", *_best_by_iou(profile)),
        ("LogME fails by mean IoU", f"τ_w {by_iou['logme']:.2f}", above(-iou["logme"])),
        ("NCE and H-score decline to some degree", declines, every(above(lost["nce"]), above(lost["h_score"]))),
        ("LEEP, GBC and FaCe rank similarly well by both", *_alike(profile)),
    ]


def _alike(profile: str | None) -> tuple[str, Verdict]:
    table = judgements(profile).pivot(index="metric", columns="target", values="weighted_kendall")
    change = (table["pixel accuracy"] - table["mean IoU"])[["leep", "gbc", "face"]].abs()
    text = f"largest difference {change.max():.2f}; the two measures themselves agree at τ_w {agreement(profile):.2f}"
    draws = _draws(profile)
    moved = (draws["pixel accuracy"] - draws["mean IoU"])[change.index]
    return text, every(*(above(0.1 - sign * moved[metric]) for metric in moved for sign in (1, -1)))


def _best_by_iou(profile: str | None) -> tuple[str, Verdict]:
    text = best_of(judgements(profile).query("target == 'mean IoU'").set_index("metric"), "face", FACE_METHODS)
    more, verdict = is_best(_draws(profile)["mean IoU"], "face", FACE_METHODS)
    return f"{text.replace('mean τ_w', 'τ_w by mean IoU')}; {more}", verdict


@figure(shows="scenes of the eight sources and of the target, with their labels")
def segmentation_scenes(profile: str) -> Figure:
    pool = Experiment("segmentation", profile).pool
    shown = [segmentation.load(name, "train") for name in (*sorted(pool.sources), *pool.targets)]
    return data_examples.scenes(shown, title="Eight sources and the target (last row): scenes and their labels")


@figure(shows="accuracy after fine-tuning, beside training without a source")
def segmentation_accuracies(profile: str) -> Figure:
    return small_pools.gain_of_pretraining(*results(profile), start(profile), "Which source is best for the target?")


@figure(
    shows="τ_w and ρ of each metric by pixel accuracy and by mean IoU",
    claim="by mean IoU, FaCe ranks best of six metrics",
)
def face_fig5(profile: str) -> Checked:
    table, n = judgements(profile), len(scores_and_accuracies(profile)[1])
    title = f"FaCe Fig. 5, here: {n} segmentation networks, profile {profile}"
    return small_pools.correlation_bars(table, SHOWN, by_chance(n), title, covered_in_words(profile)), *_best_by_iou(
        profile
    )


@figure(
    shows="score against pixel accuracy and mean IoU, six metrics",
    claim="LEEP, GBC and FaCe rank similarly well by pixel accuracy and by mean IoU",
)
def face_fig5_scatter(profile: str) -> Checked:
    scores, measured = scores_and_accuracies(profile)
    points = with_accuracies(scores[scores["metric"].isin(FACE_METHODS)], measured)
    title = "Do networks with higher scores label more pixels right, and more of each class?"
    if agreement(profile) == 1:
        title += "\n(both measures put the networks in the same order, so $\\tau_w$ is the same)"
    xlabel = "after fine-tuning (%): pixel accuracy in the upper row, mean IoU in the lower"
    return charts.method_scatter(points, judgements(profile), FACE_METHODS, title, xlabel), *_alike(profile)


@figure(
    shows="weighted Kendall of every ranking but PARC, ETran and kNN by pixel accuracy, with its bootstrap interval",
    claim="(ours) eight models are enough to show that some metric ranks better than chance",
)
def segmentation_intervals(profile: str) -> Checked:
    table = judgements(profile).query("target == 'pixel accuracy'").dropna(subset="weighted_kendall")
    ceiling = ceilings(profile).query("target == 'pixel accuracy'")["weighted_kendall"].mean()
    title = f"How certain is the ranking by pixel accuracy? {len(scores_and_accuracies(profile)[1])} models"
    figure, draws = (
        charts.interval_plot(table, ceiling, title, covered_in_words(profile)),
        _draws(profile)["pixel accuracy"],
    )
    return figure, *any_above(draws, [m for m in draws if m != "source_accuracy"], 0.0)
