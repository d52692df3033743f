"""Image classification: pre-train on a labelled source, fine-tune on a target, take the target's features.

``build(name, n_classes, seed)`` gives a network with random weights; `full_size` has another one than `models.build`.
"""

from collections.abc import Callable

import numpy as np
import torch

from ...extraction import last_layer
from ...store.artifacts import Arrays
from .. import datasets, losses, models, small_network_features, training
from ..training import Recipe
from . import standard_error, steps

ARCHITECTURES = models.names()
LOSSES = tuple(losses.LOSSES)
DATASETS = datasets.names()

reader, load = datasets.reader, datasets.load

Build = Callable[[str, int, int], torch.nn.Module]


def pretrain(spec: dict, build: Build = models.build) -> Arrays:
    """A network trained on its source: its weights, sizes, and accuracy on the source's test split."""
    train, test = (datasets.load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = build(spec["architecture"], train.n_classes, spec["seed"])
    training.fit(network, train.images, train.labels, Recipe(**spec["recipe"]), spec["seed"], loss=spec["loss"])
    losses.adapt(network, spec["loss"])
    return {"accuracy": np.array(training.accuracy(network, test.images, test.labels)), **steps.network_arrays(network)}


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays, build: Build = models.build) -> Arrays:
    """The ground truth: accuracy on the target's test split after training the whole network on its train split."""
    train, test = (datasets.load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = restore(pretrained_spec, pretrained, build)
    last_layer.replace(network, train.n_classes, spec["seed"])
    history = training.fit(network, train.images, train.labels, Recipe(**spec["recipe"]), spec["seed"])
    accuracy = training.accuracy(network, test.images, test.labels)
    error = standard_error(accuracy, len(test))
    return {"accuracy": np.array(accuracy), "standard_error": np.array(error), "loss": np.array(history)}


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays, build: Build = models.build) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = datasets.load(spec["target"], spec["split"], spec["max_per_class"])
    network = losses.adapt(restore(pretrained_spec, pretrained, build), pretrained_spec["loss"])
    extracted = small_network_features.extract(network, data.images)
    return {"features": extracted.features, "labels": data.labels, "source_probs": extracted.source_probs}


def restore(spec: dict, arrays: Arrays, build: Build = models.build) -> torch.nn.Module:
    """The network that `pretrain` left in ``arrays``."""
    return steps.restore(build, spec, arrays)
