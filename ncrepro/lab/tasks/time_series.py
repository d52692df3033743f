"""Classification of time series: pre-train on a labelled source, fine-tune on a target, take the target's features.

A network reads one channel. Of several, the features stand side by side; the source's probabilities are averaged.
"""

from collections.abc import Iterator
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...extraction.devices import cuda_or_cpu
from ...extraction.samples import Series
from ...store.artifacts import Arrays
from ..datasets import time_series as datasets
from ..models import time_series as models
from ..models.time_series import Classifier
from . import steps
from .steps import NOTHING, Recipe

ARCHITECTURES = tuple(models.ARCHITECTURES)
LOSSES = ("cross_entropy",)
DATASETS = (*datasets.NAMES, NOTHING)


def reader(name: str) -> ModuleType | None:
    """The module that draws or reads a data set."""
    return None if name == NOTHING else datasets


def load(name: str, split: str, max_per_class: int | None = None) -> Series:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` series of each class."""
    data = datasets.load(name, split)
    return data if max_per_class is None else data.limited(max_per_class)


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    network = restore(pretrained_spec, pretrained).to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        features = torch.cat([network.channels(*part) for part in _parts(data)])  # (n, channels, d)
        probs = network.classifier(features).softmax(-1).mean(1)  # (n, K_s)
    return {"features": features.flatten(1).cpu().numpy(), "labels": data.labels, "source_probs": probs.cpu().numpy()}


# Training and testing -------------------------------------------------------------------------------------------------


def fit(network: Classifier, data: Series, recipe: Recipe, seed: int) -> list[float]:
    """`steps.fit` by the cross-entropy."""
    n_channels = network.classifier.in_features // models.WIDTH
    if data.values.shape[1] != n_channels:
        raise ValueError(f"{data.name} has {data.values.shape[1]} channels; allowed is {n_channels}: a source has one")

    def loss(network: Classifier, values: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(network(values, lengths), labels)

    return steps.fit(network, map(torch.from_numpy, (data.values, data.lengths, data.labels)), loss, recipe, seed)


def evaluate(network: Classifier, data: Series) -> Arrays:
    """``accuracy``: share of the series that ``network``, in evaluation mode, puts in their class: per cent."""
    network.to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        answers = torch.cat([network(*part).argmax(1).cpu() for part in _parts(data)])
    return {"accuracy": np.array(100 * np.mean(answers.numpy() == data.labels))}


def _parts(data: Series, size: int = 128) -> Iterator[tuple[Tensor, Tensor]]:
    """Values and lengths of a few series at a time."""
    for start in range(0, len(data), size):
        part = data.take(slice(start, start + size))
        yield torch.from_numpy(part.values).to(cuda_or_cpu()), torch.from_numpy(part.lengths).to(cuda_or_cpu())


# The steps ------------------------------------------------------------------------------------------------------------


def _replace(network: Classifier, data: Series, seed: int) -> None:
    models.replace_classifier(network, data.values.shape[1], data.n_classes, seed)


restore = partial(steps.restore, models.build)
_TASK = steps.Task(load, models.build, restore, _replace, fit, evaluate)
pretrain, finetune = partial(steps.pretrain, _TASK), partial(steps.finetune, _TASK)
