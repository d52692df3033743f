"""Image classification as in `classification`, by networks of full size (`models.full_size`): on a GPU where there is one."""

import numpy as np
import torch
from torch import nn

from .. import datasets, features, losses, models, training
from ..artifacts import Arrays
from ..models import full_size
from .classification import ARCHITECTURES, DATASETS, LOSSES
from .optimise import device

__all__ = ["ARCHITECTURES", "CODE", "DATASETS", "LOSSES", "extract", "finetune", "pretrain", "restore"]

CODE = ("models/full_size", "models/torchvision_models", "training", "losses", "tasks/full_size")
_WEIGHTS = "weights."  # what the names of a network's arrays begin with


def pretrain(spec: dict) -> Arrays:
    """A network trained on its source: its weights, sizes, and accuracy on the source's test split."""
    train, test = (datasets.load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = full_size.build(spec["architecture"], train.n_classes, spec["seed"]).to(device())
    training.fit(network, train.images, train.labels, training.Recipe(**spec["recipe"]), spec["seed"], loss=spec["loss"])
    losses.adapt(network, spec["loss"])
    return {
        "accuracy": np.array(training.accuracy(network, test.images, test.labels)),
        "n_parameters": np.array(sum(p.numel() for p in network.parameters())),
        "n_features": np.array(models.classifier(network).in_features),
        "n_classes": np.array(train.n_classes),
        **{_WEIGHTS + key: value.cpu().numpy() for key, value in network.state_dict().items()},
    }


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth: accuracy on the target's test split after training the whole network on its train split."""
    train, test = (datasets.load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = restore(pretrained_spec, pretrained)
    models.replace_classifier(network, train.n_classes, spec["seed"])
    history = training.fit(network, train.images, train.labels, training.Recipe(**spec["recipe"]), spec["seed"])
    return {
        "accuracy": np.array(training.accuracy(network, test.images, test.labels)),
        "loss": np.array([epoch["loss"] for epoch in history]),
    }


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = datasets.load(spec["target"], spec["split"], spec["max_per_class"])
    network = losses.adapt(restore(pretrained_spec, pretrained), pretrained_spec["loss"])
    extracted = features.extract(network, data.images)
    return {"features": extracted.features, "labels": data.labels, "source_probs": extracted.source_probs}


def restore(spec: dict, arrays: Arrays) -> nn.Module:
    """The network that `pretrain` left in ``arrays``, on its device."""
    network = full_size.build(spec["architecture"], int(arrays["n_classes"]), spec["seed"])
    weights = {key.removeprefix(_WEIGHTS): value for key, value in arrays.items() if key.startswith(_WEIGHTS)}
    own = network.state_dict()
    for key, value in weights.items():
        own[key].copy_(torch.from_numpy(value.copy()))
    return network.to(device())
