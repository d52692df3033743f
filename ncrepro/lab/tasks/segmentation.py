"""Semantic segmentation: pre-train on a source with pixel labels, fine-tune on a target, take features of its pixels.

A sample is a pixel. Its feature is the input of the network's last convolution at that place, and as there are too many
pixels for any metric, `sample_pixels` draws the same number from every class.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ...extraction import last_layer
from ...extraction.devices import cuda_or_cpu
from ...store.artifacts import Arrays
from ..datasets import scenes, segmentation_folders
from ..datasets.scenes import IGNORE, Scenes
from ..datasets.segmentation_folders import Folder
from ..models import segmentation as models
from . import steps
from .steps import NOTHING, Recipe

Data = Scenes | Folder

ARCHITECTURES = tuple(models.ARCHITECTURES)
LOSSES = ("cross_entropy",)
DATASETS = (*scenes.NAMES, *segmentation_folders.NAMES, NOTHING)

PIXELS_PER_CLASS = 250  # that the metrics see


def reader(name: str) -> ModuleType | None:
    """The module that draws or reads a data set."""
    return None if name == NOTHING else scenes if name in scenes.NAMES else segmentation_folders


def load(name: str, split: str, max_per_class: int | None = None) -> Data:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` images for each of its classes."""
    data = reader(name).load(name, split)
    return data if max_per_class is None else data.limited(max_per_class * data.n_classes)


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of pixels of one split of the target."""
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    places = sample_pixels([mask.byte().numpy() for _, mask in data], data.n_classes, PIXELS_PER_CLASS, seed=0)
    return pixel_features(restore(pretrained_spec, pretrained), data, places)


# Training and testing -------------------------------------------------------------------------------------------------


def fit(network: nn.Module, data: Data, recipe: Recipe, seed: int) -> list[float]:
    """Train ``network`` in place by the mean cross-entropy of all pixels; returns the mean loss of each epoch.

    The seed is that of the order of the images and of the dropout, see `steps.descend`.
    """
    network.to(cuda_or_cpu())
    batches = DataLoader(
        data.augmented(), min(recipe.batch_size, len(data)), shuffle=True, drop_last=True, num_workers=data.loaders
    )

    def losses(epoch: int) -> Iterator[Tensor]:
        for images, masks in batches:
            logits = network(models.prepare(images.to(cuda_or_cpu())))  # (batch_size, K, h, w)
            yield F.cross_entropy(logits, masks.to(cuda_or_cpu()), ignore_index=IGNORE)

    return steps.descend(network, recipe, seed, len(batches), losses)


def evaluate(network: nn.Module, data: Data) -> Arrays:
    """Per cent, in evaluation mode: ``accuracy`` of all pixels, its ``standard_error`` over images, ``mean_iou``."""
    n_classes = last_layer.n_outputs(network)
    of_images = []
    network.to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        for images, masks in DataLoader(data, 32, num_workers=data.loaders):
            answers = network(models.prepare(images.to(cuda_or_cpu()))).argmax(1).cpu()  # (n, h, w)
            pairs = zip(masks.numpy(), answers.numpy(), strict=True)
            of_images += [confusion(mask, answer, n_classes) for mask, answer in pairs]
    counts, error = np.sum(of_images, axis=0), pixel_error(of_images)
    found = {"accuracy": pixel_accuracy(counts), "standard_error": error, "mean_iou": mean_iou(counts)}
    return {name: np.array(value) for name, value in found.items()}


def confusion(truth: np.ndarray, answer: np.ndarray, n_classes: int) -> np.ndarray:
    """Pixels by true class (rows) and answer (columns), (K, K); those with the label ``IGNORE`` do not count."""
    counted = truth != IGNORE
    pairs = truth[counted].astype(np.int64) * n_classes + answer[counted]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def pixel_accuracy(counts: np.ndarray) -> float:
    """Share of all pixels that are given their class: per cent, higher is better."""
    return 100 * counts.trace() / counts.sum()


def pixel_error(of_images: Sequence[np.ndarray]) -> float:
    """Standard error, in points, of `pixel_accuracy`, a ratio, by the choice of images, each with its counts (K, K)."""
    right, total = (np.array([f(counts) for counts in of_images], float) for f in (np.trace, np.sum))
    strays = right - right.sum() / total.sum() * total
    return 100 * float(np.sqrt(strays @ strays / (1 - 1 / len(strays)))) / total.sum() if len(strays) > 1 else np.nan


def mean_iou(counts: np.ndarray) -> float:
    r"""Mean over classes of :math:`|A_k \cap B_k| / |A_k \cup B_k|`, of the pixels in and put in class k: per cent.

    Higher is better. A class with neither true nor claimed pixels does not count.
    """
    both = counts.diagonal()
    either = counts.sum(0) + counts.sum(1) - both
    return 100 * float(np.mean(both[either > 0] / either[either > 0]))


# Pixels as samples ----------------------------------------------------------------------------------------------------


def sample_pixels(masks: Sequence[np.ndarray], n_classes: int, per_class: int, seed: int) -> np.ndarray:
    """Draw ``per_class`` pixels of every class, spread over the images that show it.

    Each of the n_k images with class k gives the same number of its pixels, ceil(per_class / n_k), or all it has; of
    those, ``per_class`` are kept. So no image and no large object dominates, and every class weighs alike.

    Parameters
    ----------
    masks : sequence of n arrays of shape (h, w), integers
        0 to K - 1, or ``IGNORE``: such pixels are never drawn.
    n_classes : int
        K.
    per_class : int
        The budget. Fewer are drawn if a class has fewer pixels to draw from.
    seed : int
        The same masks, budget and seed give the same pixels.

    Returns
    -------
    ndarray of shape (m, 3), int64
        Image, row and column of each pixel, in this order; no pixel occurs twice.

    Raises
    ------
    ValueError
        If the budget is under 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class is {per_class}; allowed is 1 or more pixels")
    draws = np.random.default_rng(seed)
    shown = np.array([np.bincount(mask[mask != IGNORE], minlength=n_classes) > 0 for mask in masks])  # (n, K)
    quota = -(-per_class // np.maximum(shown.sum(0), 1))  # (K,)
    pixels: list[list[np.ndarray]] = [[] for _ in range(n_classes)]
    for i, mask in enumerate(masks):
        for k in np.flatnonzero(shown[i]):
            places = np.argwhere(mask == k)  # (pixels of the class, 2)
            places = draws.choice(places, min(quota[k], len(places)), replace=False)
            pixels[k].append(np.insert(places, 0, i, axis=1))
    kept = np.concatenate([draws.permutation(np.concatenate(parts))[:per_class] for parts in pixels if parts])
    return kept[np.lexsort(kept.T[::-1])]


def pixel_features(network: nn.Module, data: Data, places: np.ndarray) -> Arrays:
    """Features, labels and source probabilities of single pixels.

    The input of the last convolution is coarser than the image. A pixel's feature is interpolated between its four
    nearest places, as the network interpolates its logits after that convolution.

    Parameters
    ----------
    network : torch.nn.Module
        A PSPNet with the head it was pre-trained with.
    data : Scenes or Folder
    places : ndarray of shape (m, 3)
        Image, row and column, sorted by image, as `sample_pixels` gives them.

    Returns
    -------
    dict
        ``features`` (m, d) and ``source_probs`` (m, K_s), float32; ``labels`` (m,), int64.
    """
    network.to(cuda_or_cpu()).eval()
    features, probs, labels = [], [], []
    with last_layer.watch(last_layer.find(network)) as seen, torch.inference_mode():
        for i in np.unique(places[:, 0]):
            image, mask = data[int(i)]
            row, column = torch.from_numpy(places[places[:, 0] == i, 1:].T)  # (pixels,) each
            logits = network(models.prepare(image[None].to(cuda_or_cpu())))  # (1, K_s, h, w)
            height, width = mask.shape
            where = torch.stack([2 * column / (width - 1), 2 * row / (height - 1)], -1).float() - 1  # (pixels, 2)
            grid = where[None, None].to(cuda_or_cpu())
            here = F.grid_sample(seen.pop().inputs, grid, align_corners=True)  # (1, d, 1, pixels)
            features.append(here[0, :, 0].T.cpu())  # (pixels, d)
            probs.append(logits[0, :, row, column].T.softmax(1).cpu())  # (pixels, K_s)
            labels.append(mask[row, column])
    found = {"features": torch.cat(features), "labels": torch.cat(labels), "source_probs": torch.cat(probs)}
    return {key: value.numpy() for key, value in found.items()}


# The steps ------------------------------------------------------------------------------------------------------------


def _replace(network: nn.Module, data: Data, seed: int) -> None:
    last_layer.replace(network, data.n_classes, seed, models.initialise)


restore = partial(steps.restore, partial(models.build, encoder_weights=None))
_TASK = steps.Task(load, models.build, restore, _replace, fit, evaluate)
pretrain, finetune = partial(steps.pretrain, _TASK), partial(steps.finetune, _TASK)
