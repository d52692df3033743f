"""Classification of time series: pre-train on a labelled source, fine-tune on a target, take the target's features.

A network reads one channel. Of a target with several, the features of all channels stand side by side, and the source's
probabilities are their mean over channels.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...extraction import last_layer, weights
from ...extraction.devices import cuda_or_cpu
from ...extraction.samples import Series
from ...store.artifacts import Arrays
from ..datasets import time_series as datasets
from ..models import time_series as models
from ..models.time_series import Classifier
from . import standard_error
from .optimise import Recipe, descend

NOTHING = "nothing"  # as a source: the network keeps its first weights
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


def pretrain(spec: dict) -> Arrays:
    """A network trained on its source: its weights, sizes, and accuracy on the source's test split."""
    if spec["source"] == NOTHING:
        n_classes, reached = 2, np.nan
        network = models.build(spec["architecture"], n_classes, spec["seed"])
    else:
        train, test = (load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
        if train.values.shape[1] > 1:
            raise ValueError(f"{spec['source']} has {train.values.shape[1]} channels; allowed is a source with one")
        n_classes = train.n_classes
        network = models.build(spec["architecture"], n_classes, spec["seed"])
        fit(network, train, Recipe(**spec["recipe"]), spec["seed"])
        reached = accuracy(network, test)
    return {
        "accuracy": np.array(reached),
        "n_parameters": np.array(sum(p.numel() for p in network.parameters())),
        "n_features": np.array(last_layer.width(network)),
        "n_classes": np.array(n_classes),
        **weights.arrays(network),
    }


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth: accuracy on the target's test split after training the whole network on its train split."""
    train, test = (load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = restore(pretrained_spec, pretrained)
    models.replace_classifier(network, train.values.shape[1], train.n_classes, spec["seed"])
    history = fit(network, train, Recipe(**spec["recipe"]), spec["seed"])
    share = accuracy(network, test)
    error = standard_error(share, len(test))
    return {"accuracy": np.array(share), "standard_error": np.array(error), "loss": np.array(history)}


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    network = restore(pretrained_spec, pretrained).to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        features = torch.cat([network.channels(*part) for part in _parts(data)])  # (n, channels, d)
        probs = network.classifier(features).softmax(-1).mean(1)  # (n, K_s)
    return {"features": features.flatten(1).cpu().numpy(), "labels": data.labels, "source_probs": probs.cpu().numpy()}


def restore(spec: dict, arrays: Arrays) -> Classifier:
    """The network that `pretrain` left in ``arrays``."""
    return weights.put(models.build(spec["architecture"], int(arrays["n_classes"]), spec["seed"]), arrays)


# Training and testing -------------------------------------------------------------------------------------------------


def fit(network: Classifier, data: Series, recipe: Recipe, seed: int) -> list[float]:
    """Train ``network`` in place by the cross-entropy; returns the mean loss of each epoch.

    The same network, data, recipe and seed give the same bits on one thread. The global random state is left as it was.
    """
    network.to(cuda_or_cpu())
    values, lengths, labels = (
        torch.from_numpy(array).to(cuda_or_cpu()) for array in (data.values, data.lengths, data.labels)
    )
    batch_size = min(recipe.batch_size, len(data))
    n_batches = len(data) // batch_size

    def losses() -> Iterator[Tensor]:
        for _ in range(recipe.epochs):
            for batch in torch.randperm(len(data))[: n_batches * batch_size].view(n_batches, -1).to(cuda_or_cpu()):
                yield F.cross_entropy(network(values[batch], lengths[batch]), labels[batch])

    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the order of the series
        return descend(network, losses(), recipe.epochs * n_batches, recipe)


def accuracy(network: Classifier, data: Series) -> float:
    """Share of the series that ``network``, in evaluation mode, puts in their class: per cent, higher is better."""
    network.to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        answers = torch.cat([network(*part).argmax(1).cpu() for part in _parts(data)])
    return 100 * float(np.mean(answers.numpy() == data.labels))


def _parts(data: Series, size: int = 128) -> Iterator[tuple[Tensor, Tensor]]:
    """Values and lengths of a few series at a time."""
    for start in range(0, len(data), size):
        part = data.take(slice(start, start + size))
        yield torch.from_numpy(part.values).to(cuda_or_cpu()), torch.from_numpy(part.lengths).to(cuda_or_cpu())
