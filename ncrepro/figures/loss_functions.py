"""The figures of `23_loss_functions`."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..extraction.folders import Photos
from ..extraction.samples import Images
from ..lab import datasets, losses, models, published, training
from ..lab.experiment import Experiment
from ..ranking.verdicts import Verdict, every
from . import charts, data_examples, style
from .display_names import label
from .findings import FACE_METHODS, above_0, better_than_static, comparison_panels, is_best, ranking_table
from .index import Checked, figure
from .multi_source import ALL, EXTRA, cells_of, draws_within, intervals, matrices, questions, rank_shades

SAME_SOURCE = "same source: which loss?"
SAME_LOSS = "same loss: which source?"


@figure(shows="one batch as each of the losses that alter images shows it to the network")
def loss_functions_images(profile: str) -> Figure:
    study = Experiment("loss_functions", profile)
    batch = datasets.load(study.pool.sources[0], "train", 1)
    network = models.build("mobilenet_v1", batch.n_classes, seed=0)
    shown = [_as_seen(network, name, batch) for name in ("cross_entropy", "mixup", "cutmix", "cutout")]
    title = "What the network is shown; cross-entropy and the losses not shown do not change images"
    return data_examples.images(shown, source_rows=1, title=title)


def _as_seen(network: torch.nn.Module, loss: str, batch: Images | Photos) -> Images:
    images = batch.images[np.arange(len(batch))]  # (n, 3, h, w)
    step, seen = images.shape[-1] // training.SIZE, []
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        losses.get(loss)(network, training.prepare(images[..., ::step, ::step]), torch.from_numpy(batch.labels), 0.0)
    hook.remove()
    images = (seen[0] * 63.75 + 127.5).round().to(torch.uint8).numpy()  # undoes training.prepare
    return Images(loss, batch.split, images, batch.labels, batch.classes)


@figure(shows="the margin of large-margin softmax, and the polynomial of Taylor softmax")
def loss_functions_curves(profile: str) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.3))
    angles, z = np.linspace(0, np.pi, 181), np.linspace(-4, 3, 141)
    for m in (1, 2, 3, 4):
        name = f"m = {m}" + ("  (softmax)" if m == 1 else "")
        left.plot(np.degrees(angles), _margin(angles, m), label=name, lw=1.4)
    left.set(title="large-margin softmax", xlabel="angle to the true class's weights (degrees)")
    left.set_ylabel(r"$\psi$, in place of the cosine")
    right.plot(z, np.exp(z), label="exp(z)", lw=1.4)
    right.plot(z, 1 + z + z**2 / 2, label="1 + z + z²/2", lw=1.4)
    right.set(title="Taylor softmax", xlabel="logit z", ylabel="unnormalised probability")
    for ax in (left, right):
        ax.legend()
    figure.suptitle("Two losses that change the softmax")
    return figure


def _margin(angles: np.ndarray, m: int) -> np.ndarray:
    """The true class's logit for features and weights of length 1 at these angles."""
    x = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1))  # (n, 2)
    weight, labels = torch.eye(2, dtype=x.dtype), torch.zeros(len(x), dtype=torch.int64)
    return losses.with_margin(x @ weight.T, x, weight, labels, annealing=0.0, m=m)[:, 0].numpy()


def _face_table3_holds(profile: str) -> tuple[str, Verdict]:
    study = Experiment("loss_functions", profile)
    found, texts = [], []
    for statistic, symbol in published.SYMBOLS.items():
        average = study.averages().loc[FACE_METHODS, statistic].sort_values(ascending=False)
        best = ", ".join(f"{label(metric)} {value:.2f}" for metric, value in average.iloc[:3].items())
        draws = study.draws(statistic=statistic)
        first, logme = is_best(draws, "logme", FACE_METHODS)
        second, face = is_best(draws, "face", [m for m in FACE_METHODS if m != "logme"])
        found += [logme, face]
        texts.append(f"mean {symbol}: {best}; LogME {first}, FaCe without LogME {second}")
    return "; ".join(texts), every(*found)


@figure(
    shows="weighted Kendall and Pearson correlation of each metric and target, seven losses: printed, and here",
    claim="of six metrics LogME ranks best on average and FaCe second, by τ_w and by ρ",
)
def face_table3(profile: str) -> Checked:
    study = Experiment("loss_functions", profile)
    ours, n = study.read("correlations"), len(study.pool.models)
    panels, sources = {}, ("printed: 21 models", f"here: {n} models, profile {profile}", "here − printed")
    for statistic, symbol in (("weighted_kendall", "$\\tau_w$"), ("pearson", "ρ")):
        here = ranking_table(ours, FACE_METHODS + EXTRA, statistic)
        titles = tuple(f"{symbol}, {source}" for source in sources)
        panels |= comparison_panels(published.wide("face_table3", statistic), here, titles)
    title = "FaCe Table 3: how well each metric ranks models trained by several losses"
    return charts.correlation_heatmap(panels, title, "correlation"), *_face_table3_holds(profile)


@figure(shows="accuracy (%) of each loss on its source and on each target")
def loss_functions_matrix(profile: str) -> Figure:
    study = Experiment("loss_functions", profile)
    _, accuracies = study.ranked()
    accuracies.insert(0, "the source", study.read("pretraining").set_index("model")["source_accuracy"])
    cells = []
    for source, group in pd.DataFrame(study.pool.models).set_index("name").groupby("source", sort=False):
        table = accuracies.loc[group.index].rename(index=group["loss"])
        cells.append(cells_of(table, 0, table.apply(rank_shades)).assign(panel=f"pre-trained on\n{source}"))
    title = "Does the loss of pre-training matter after fine-tuning? Accuracy (%)"
    return matrices(pd.concat(cells), title, "rank of the loss")


@figure(
    shows="mean weighted Kendall of every ranking but PARC, ETran and kNN with its interval, several losses",
    claim="(ours) some metric ranks better than the static baseline",
)
def loss_functions_intervals(profile: str) -> Checked:
    return intervals("loss_functions", profile), *better_than_static(Experiment("loss_functions", profile))


def _questions_hold(profile: str) -> tuple[str, Verdict]:
    study = Experiment("loss_functions", profile)
    table = study.read("questions").set_index(["question", "metric"])
    text, verdict = above_0(table.loc[(SAME_SOURCE, "face")], draws_within(study, "source")["face"])
    return f"FaCe among losses: {text}; among all models {table.loc[(ALL, 'face'), 'weighted_kendall']:.2f}", verdict


@figure(
    shows="mean weighted Kendall among all models, among models with one source, and among models with one loss",
    claim="(ours) FaCe ranks models that differ only in their loss: its mean lies above 0",
)
def loss_functions_questions(profile: str) -> Checked:
    title = "Is it the loss or the source that a metric sees?"
    study = Experiment("loss_functions", profile)
    return questions(study.read("questions"), title, study.covered()), *_questions_hold(profile)
