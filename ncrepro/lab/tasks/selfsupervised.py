"""Image classification without labels in the pre-training: the loss is a self-supervised objective.

Fine-tuning and features are those of `classification`; without a source classifier there are no LEEP and NCE.
"""

from functools import lru_cache

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from ...extraction import last_layer
from ...store.artifacts import Arrays
from .. import datasets, models, objectives, small_network_features
from ..objectives import representation_collapse
from . import classification, standard_error, steps
from .classification import ARCHITECTURES, DATASETS, finetune, load, reader

__all__ = ["ARCHITECTURES", "DATASETS", "LOSSES", "extract", "finetune", "load", "pretrain", "reader"]

LOSSES = tuple(objectives.OBJECTIVES)

_HEAD = 2  # outputs of the head that a network must have to be restored; never trained, and replaced before fine-tuning


def pretrain(spec: dict) -> Arrays:
    """A network trained on its source without labels; ``accuracy`` is that of a linear probe (see `probe`).

    ``random_accuracy`` is the probe of the same network with its random weights; ``feature_std``, ``effective_rank``,
    ``live_features`` and ``collapsed``, 1 or 0, say how much of the feature space is used
    (`objectives.representation_collapse`).
    """
    train, test = (datasets.load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = models.build(spec["architecture"], _HEAD, spec["seed"])
    place, head = last_layer.path(network), last_layer.find(network)
    network.set_submodule(place, nn.Identity())
    objective = objectives.build(spec["loss"], network, head.in_features, len(train), spec["seed"])
    objectives.fit(objective, train.images, objectives.Recipe(**spec["recipe"]), spec["seed"])
    network.set_submodule(place, head)
    accuracy, use = probe(network, train, test)
    untrained = random_probe(spec["architecture"], spec["source"], spec["max_per_class"], spec["seed"])
    return {
        "accuracy": np.array(accuracy),
        "standard_error": np.array(standard_error(accuracy, len(test))),
        "random_accuracy": np.array(untrained),
        **{name: np.array(value) for name, value in use._asdict().items()},
        "collapsed": np.array(float(use.collapsed)),
        **steps.network_arrays(network),
    }


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features and labels of one split of the target."""
    data = datasets.load(spec["target"], spec["split"], spec["max_per_class"])
    network = classification.restore(pretrained_spec, pretrained)
    return {"features": small_network_features.extract(network, data.images).features, "labels": data.labels}


def probe(
    network: nn.Module, train: datasets.Images, test: datasets.Images
) -> tuple[float, representation_collapse.Collapse]:
    """How well a linear classifier separates the classes by a frozen network's features, and how much of its feature
    space the network uses.

    Returns
    -------
    accuracy : float
        Per cent of the test images that logistic regression on the features of the labelled training images gets right.
    use : Collapse
        Of the features of the training images.
    """
    H_train, H_test = (
        small_network_features.extract(network, split.images).features for split in (train, test)
    )  # (n, d)
    scale = StandardScaler().fit(H_train)
    readout = LogisticRegression(C=0.1, max_iter=1000, tol=1e-3).fit(scale.transform(H_train), train.labels)
    return 100 * readout.score(scale.transform(H_test), test.labels), representation_collapse.measure(H_train)


@lru_cache
def random_probe(architecture: str, source: str, max_per_class: int | None, seed: int) -> float:
    """The accuracy of `probe` for a network with random weights: what it sees before it has learnt anything."""
    train, test = (datasets.load(source, split, max_per_class) for split in ("train", "test"))
    return probe(models.build(architecture, _HEAD, seed), train, test)[0]
