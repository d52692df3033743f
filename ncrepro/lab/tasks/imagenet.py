"""Image classification at full size: networks that others pre-trained on ImageNet, and photographs as targets.

``pretrain`` loads published weights, and records what they are. A pool whose sources are other data sets trains the
ImageNet network on them first, as FaCe's second and third pool were made. With ``weights: authors`` the losses of a
pool name the self-supervised ResNet-50 that the authors of each objective published. The ground truth of a target is
``published`` (fine-tuned accuracies that others printed) or ``finetune`` (FaCe's recipe, run here).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...extraction import devices, features, last_layer, networks, weights
from ...extraction.batches import batches
from ...extraction.folders import Photos
from ...extraction.preprocessing import Transform
from ...store.artifacts import Arrays
from ...store.schema import unknown
from ...store.trace import is_there
from .. import losses, published, training_loop
from ..datasets import torchvision_datasets as datasets
from ..models import selfsupervised as releases
from ..objectives import representation_collapse
from ..profiles import Pool
from ..recipes import AUTHORS
from ..recipes import Constant as Recipe
from . import standard_error


class _Names(tuple):
    """Known names, and any that begin with ``prefix``: those are looked up when they are used."""

    def __new__(cls, names: Iterable[str], prefix: str) -> Self:
        known = super().__new__(cls, names)
        known.prefix = prefix
        return known

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or str(name).startswith(self.prefix)


RELEASED = {name.replace("-", "_"): name for name in releases.RELEASES}  # self-supervised objective -> its release

ARCHITECTURES = _Names(networks.names(), networks.TIMM)
LOSSES = (*losses.LOSSES, *RELEASED)
DATASETS = _Names(datasets.names(), datasets.FOLDER)


def reader(name: str) -> ModuleType | None:
    """The module that reads a data set."""
    return None if name == datasets.IMAGENET else datasets


def load(name: str, split: str, max_per_class: int | None = None) -> datasets.Photos:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` images of each class."""
    return datasets.load(name, split, max_per_class=max_per_class)


def unobtainable(names: Sequence[str]) -> dict[str, str]:
    """Of these data sets and objectives, those neither there nor downloadable, and what to do to have them."""
    converted = [n for n in names if n in RELEASED and releases.RELEASES[RELEASED[n]].converter]
    missing = {n: releases.remedy(RELEASED[n]) for n in converted if not is_there(releases.place(RELEASED[n]))}
    return datasets.unobtainable(tuple(names)) | missing


def check(pool: Pool) -> None:
    """Refuse a pool whose recipes name what is not known, before any work. (Which keys they have is known by then.)

    Raises
    ------
    ValueError
        If there are no such weights, transform, split or precision, or the weights do not go with the models.
    """
    if pool.pretrain["weights"] == AUTHORS:
        known = {"architecture": ["resnet50"], "source": [datasets.IMAGENET], "loss": RELEASED}
    else:
        known = {"loss": losses.LOSSES}
    for kind, allowed in known.items():
        for name in {"architecture": pool.architectures, "source": pool.sources, "loss": pool.losses}[kind]:
            if name not in allowed:
                raise ValueError(f"weights {pool.pretrain['weights']}: " + unknown(kind, name, allowed))
    for name in pool.architectures:
        networks.checkpoint(name, weights_of(pool), pool.pretrain["transform"])
    if pool.extract["split"] not in datasets.SPLITS:
        raise ValueError("extract: " + unknown("split", pool.extract["split"], datasets.SPLITS))
    recipes = {"pretrain": pool.pretrain, "extract": pool.extract, "finetune": pool.finetune}
    recipes |= {f"finetune_of.{target}": recipe for target, recipe in pool.finetune_of.items()}
    for step, recipe in recipes.items():
        if recipe.get("precision", "float32") not in features.PRECISIONS:
            raise ValueError(f"{step}: " + unknown("precision", recipe["precision"], features.PRECISIONS))


def weights_of(pool: Pool) -> str:
    """What `networks.checkpoint` is to be asked for: the authors' networks are built as torchvision's are."""
    return networks.WEIGHTS if pool.pretrain["weights"] == AUTHORS else pool.pretrain["weights"]


# The three steps ------------------------------------------------------------------------------------------------------


def pretrain(spec: dict) -> Arrays:
    """Published weights, checked and recorded; or those weights after training on another source.

    ``spec["recipe"]``: ``weights`` (or ``authors``) and ``transform`` as for `networks.checkpoint`; the rest
    is a `Recipe`, for sources other than ImageNet. ``accuracy`` is the published one, or that on the source's test
    images; NaN for self-supervised networks.
    """
    recipe = {key: value for key, value in spec["recipe"].items() if key not in ("weights", "transform")}
    network, transform, record = _load(spec)
    arrays = {}
    if spec["source"] != datasets.IMAGENET:
        train, test = (load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
        last_layer.replace(network, train.n_classes, spec["seed"])
        train_photos(network, transform, train, Recipe(**recipe), spec["seed"], spec["loss"])
        record["accuracy"], _ = measure(network, transform, test)
        record["weights"] += f", then {spec['source']}"
        record["n_classes"] = train.n_classes
        record["n_parameters"] = sum(p.numel() for p in network.parameters())
        arrays = weights.arrays(network)
    numbers = ("accuracy", "n_parameters", "n_features", "n_classes")
    return {**{key: np.array(record[key]) for key in numbers}, "provenance": record, **arrays}


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth of a model on a target, per cent: ``accuracy``, and ``published`` where the literature has one.

    ``spec["recipe"]["ground_truth"]`` decides what ``accuracy`` is: ``published``, or ``finetune`` with the `Recipe`
    that the other keys make: all weights trained on the target's images for training and validation, judged on its test
    images by the measure that the benchmarks use for it. ``top1`` is the plain accuracy. What is not known is NaN.
    """
    recipe = dict(spec["recipe"])
    truth = recipe.pop("ground_truth")
    printed = published_accuracy(*(pretrained_spec[key] for key in ("architecture", "source", "loss")), spec["target"])
    if truth == "published":
        return {"accuracy": np.array(printed), "published": np.array(printed), "top1": np.array(np.nan)}
    train, test = (load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network, transform = restore(pretrained_spec, pretrained)
    last_layer.replace(network, train.n_classes, spec["seed"])
    history = train_photos(network, transform, train, Recipe(**recipe), spec["seed"])
    accuracy, top1 = measure(network, transform, test)
    # Near enough for a mean over classes.
    error = np.nan if test.measure == "map" else standard_error(accuracy, len(test))
    return {
        "accuracy": np.array(accuracy),
        "standard_error": np.array(error),
        "published": np.array(printed),
        "top1": np.array(top1),
        "loss": np.array(history),
    }


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see of a target: features, labels, source probabilities, and where all of it comes from.

    ``spec["recipe"]``: ``split`` as for `datasets.torchvision_datasets.load`, ``precision`` as for
    `features.of_photos`. Self-supervised networks have no source classifier, so no source probabilities; how much of
    their feature space they use (see `objectives.representation_collapse`) is measured on the target instead of the
    source.
    """
    photos = datasets.load(spec["target"], spec["split"], spec["recipe"]["split"], spec["max_per_class"])
    network, transform = restore(pretrained_spec, pretrained)
    place, precision = devices.cuda_or_cpu(), spec["recipe"]["precision"]
    H, source_probs = features.of_photos(network, photos, transform, precision, place)
    record = {key: pretrained["provenance"][key] for key in ("weights", "sha256", "transform")}
    record |= {
        "split": spec["recipe"]["split"],
        "samples": photos.samples,
        "classes": photos.n_classes,
        **devices.versions(place, precision),
    }
    arrays = {"features": H, "labels": photos.labels}
    if pretrained_spec["loss"] in RELEASED:
        use = representation_collapse.measure(H)
        record |= {**use._asdict(), "collapsed": float(use.collapsed)}
    else:
        arrays["source_probs"] = source_probs
    if photos.present is not None:
        arrays["present"] = photos.present
    return {**arrays, "provenance": record}


def _load(spec: dict) -> tuple[nn.Module, Transform, dict]:
    """The network that others published, its preprocessing, and a record of it."""
    recipe = spec["recipe"]
    if recipe["weights"] == AUTHORS:
        return releases.load(RELEASED[spec["loss"]], recipe["transform"])
    return networks.load(spec["architecture"], recipe["weights"], recipe["transform"])


def restore(spec: dict, arrays: Arrays) -> tuple[nn.Module, Transform]:
    """The network that `pretrain` loaded or left in ``arrays``, and its preprocessing."""
    recipe, record = spec["recipe"], arrays["provenance"]
    if spec["source"] == datasets.IMAGENET:
        network, transform, now = _load(spec)
        if now["sha256"] != record["sha256"]:
            raise ValueError(
                f"the weights of {now['model']} have changed since 10_train_pool recorded them (SHA-256 "
                f"{record['sha256'][:8]}, now {now['sha256'][:8]}): remove data/cache/*/pretrained, and run it again"
            )
        return network, transform
    network = weights.restore(networks.build(spec["architecture"], int(arrays["n_classes"])), arrays)
    return network.eval(), networks.checkpoint(spec["architecture"], recipe["weights"], recipe["transform"]).transform


def published_accuracy(architecture: str, source: str, loss: str, target: str) -> float:
    """The fine-tuned accuracy that NCTI was judged by, per cent; NaN where it has none."""
    pool, model = ("selfsupervised", RELEASED[loss]) if loss in RELEASED else ("supervised", architecture)
    table = published.load(f"{pool}_finetuned_accuracy")
    known = source == datasets.IMAGENET and model in table.index and target in table.columns
    return float(table.at[model, target]) if known else np.nan


# Training and judging -------------------------------------------------------------------------------------------------


def train_photos(
    network: nn.Module, transform: Transform, photos: Photos, recipe: Recipe, seed: int, loss: str = "cross_entropy"
) -> list[float]:
    """Train all of ``network`` in place on randomly cropped and mirrored ``photos``; returns each epoch's mean loss.

    Where an image can show several classes the loss is the binary cross-entropy of each. The same seed gives the same
    order and crops; on a GPU results still differ in the last digits.

    Raises
    ------
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    single, *others = recipe.grid()
    chosen = _best(network, transform, photos, recipe, seed, loss) if others else single
    return _fit(network, transform, photos, chosen, seed, loss)


def _best(network: nn.Module, transform: Transform, photos: Photos, recipe: Recipe, seed: int, loss: str) -> Recipe:
    """The recipe of the grid that does best on a tenth of the images, trained on the others."""
    start = {key: value.clone() for key, value in network.state_dict().items()}
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out, others = np.sort(order[: len(order) // 10]), np.sort(order[len(order) // 10 :])
    grid, found = recipe.grid(), []
    for one in grid:
        _fit(network, transform, photos.take(others), one, seed, loss)
        found.append(measure(network, transform, photos.take(held_out))[0])
        network.load_state_dict(start)
    return grid[int(np.argmax(found))]


def _fit(network: nn.Module, transform: Transform, photos: Photos, recipe: Recipe, seed: int, loss: str) -> list[float]:
    place = devices.cuda_or_cpu()
    network.to(place, memory_format=torch.channels_last)
    truth = torch.from_numpy(photos.labels if photos.present is None else photos.present.astype(np.float32)).to(place)
    half = torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    n_batches = max(1, len(photos) // recipe.batch_size)  # what does not fill a batch at an epoch's end is left out

    def losses_of(epoch: int) -> Iterator[Tensor]:
        order = np.random.default_rng([seed, epoch]).permutation(len(photos))[: n_batches * recipe.batch_size]

        def prepare(i: int) -> np.ndarray:
            return transform.augmented(photos.image(i), np.random.default_rng([seed, epoch, i]), photos.flip)

        for step, batch in enumerate(batches(prepare, order, recipe.batch_size, place)):
            y = truth[torch.from_numpy(order[step * recipe.batch_size :][: len(batch)]).to(place)]
            with half:
                x, progress = transform.normalise(batch), (epoch + step / n_batches) / recipe.epochs
                if photos.present is None:
                    value = losses.get(loss)(network, x, y, progress)
                else:
                    value = functional.binary_cross_entropy_with_logits(network(x), y)
            yield value

    momentum = partial(torch.optim.SGD, momentum=recipe.momentum)
    with torch.random.fork_rng(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
        torch.manual_seed(seed)  # for losses that mix images
        return training_loop.descend(network, recipe, n_batches, losses_of, momentum, training_loop.constant)


def measure(network: nn.Module, transform: Transform, photos: Photos) -> tuple[float, float]:
    """How well ``network`` classifies, per cent, higher is better: by the benchmarks' measure, and by plain accuracy.

    The measure is ``photos.measure``: accuracy, the mean over classes of each class's accuracy, or
    `mean_average_precision`. Plain accuracy is NaN where images show several classes.
    """
    logits = features.of_photos(network, photos, transform, logits=True).source_probs  # (n, K)
    if photos.measure == "map":
        return mean_average_precision(logits, photos.present), np.nan
    right = logits.argmax(1) == photos.labels  # (n,)
    accuracy = 100 * float(right.mean())
    if photos.measure == "mean_per_class":
        return 100 * float(np.mean([right[photos.labels == k].mean() for k in np.unique(photos.labels)])), accuracy
    return accuracy, accuracy


def mean_average_precision(scores: np.ndarray, present: np.ndarray) -> float:
    r"""PASCAL VOC 2007's own measure: 11-point interpolated average precision, mean over classes, per cent.

    .. math:: \frac{1}{K} \sum_k \frac{1}{11} \sum_{r \in \{0, 0.1, \dots, 1\}} \max_{r' \ge r} p_k(r')

    with :math:`p_k(r')` the precision of class k among the images ranked so high that a share r' of its own is found.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Only their order within a class matters.
    present : ndarray of shape (n, K), bool
        Which classes each image shows. A class that none shows does not count.
    """
    shown = present.any(axis=0)
    scores, present = scores[:, shown], present[:, shown]
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(present, order, axis=0).cumsum(axis=0)  # (n, K)
    recall, precision = hits / hits[-1], hits / np.arange(1, len(hits) + 1)[:, None]
    points = [np.where(recall >= r - 1e-12, precision, 0).max(axis=0) for r in np.linspace(0, 1, 11)]  # 11 x (K,)
    return 100 * float(np.mean(points))
