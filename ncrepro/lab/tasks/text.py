"""Text classification: pre-train on a labelled source, fine-tune on a target, take the target's features.

Each architecture is trained by the loss that its variant asks for (``OBJECTIVES``), on the source and on the target.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...extraction import last_layer
from ...extraction.devices import cuda_or_cpu
from ...extraction.samples import Texts
from ...store.artifacts import Arrays
from ..datasets import clue, docstrings
from ..models import text as models
from ..models.text import TextClassifier
from . import steps
from .steps import NOTHING, Recipe

ARCHITECTURES = tuple(models.ARCHITECTURES)
LOSSES = ("cross_entropy",)  # of the pool; a variant's own objective comes with its architecture
DATASETS = (*docstrings.NAMES, *clue.NAMES, NOTHING)


def reader(name: str) -> ModuleType | None:
    """The module that makes or reads a data set."""
    return None if name == NOTHING else docstrings if name in docstrings.NAMES else clue


def load(name: str, split: str, max_per_class: int | None = None) -> Texts:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` texts of each class."""
    data = reader(name).load(name, split)
    if reader(name) is docstrings:
        models.corpus()  # whoever reads these texts needs the tokenizer, and it is trained on all sources
    return data if max_per_class is None else data.limited(max_per_class)


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    network = restore(pretrained_spec, pretrained).to(cuda_or_cpu()).eval()
    tokens = models.tokenize(network.name, data.texts)
    with torch.inference_mode():
        parts = (without_padding(part).to(cuda_or_cpu()) for part in tokens.split(64))
        features = torch.cat([network.features(part) for part in parts])  # (n, d)
        probs = network.classifier(features).softmax(1)  # (n, K_s)
    return {"features": features.cpu().numpy(), "labels": data.labels, "source_probs": probs.cpu().numpy()}


# Training and testing -------------------------------------------------------------------------------------------------


def fit(network: TextClassifier, data: Texts, recipe: Recipe, seed: int) -> list[float]:
    """`steps.fit` by the objective of the network's variant."""
    objective = OBJECTIVES[models.ARCHITECTURES[network.name].objective]
    examples = models.tokenize(network.name, data.texts), torch.from_numpy(data.labels)

    def loss(network: TextClassifier, tokens: Tensor, labels: Tensor) -> Tensor:
        return objective(network, without_padding(tokens), labels)

    return steps.fit(network, examples, loss, recipe, seed)


def evaluate(network: TextClassifier, data: Texts) -> Arrays:
    """``accuracy``: share of the texts that ``network``, in evaluation mode, puts in their class: per cent."""
    network.to(cuda_or_cpu()).eval()
    tokens = models.tokenize(network.name, data.texts)
    with torch.inference_mode():
        parts = (without_padding(part).to(cuda_or_cpu()) for part in tokens.split(64))
        answers = torch.cat([network(part).argmax(1).cpu() for part in parts])
    return {"accuracy": np.array(100 * np.mean(answers.numpy() == data.labels))}


def without_padding(tokens: Tensor) -> Tensor:
    """Tokens, (n, length), without the columns that are padding in every row."""
    return tokens[:, : int((tokens != models.PADDING).sum(1).max())]


# Objectives: (network in training mode, tokens, labels) -> loss -------------------------------------------------------


def cross_entropy(network: TextClassifier, tokens: Tensor, labels: Tensor) -> Tensor:
    """The loss of all variants but those with one of their own."""
    return F.cross_entropy(network(tokens), labels)


def multi_sample_dropout(
    network: TextClassifier, tokens: Tensor, labels: Tensor, n_samples: int = 5, rate: float = 0.5
) -> Tensor:
    """Mean cross-entropy of ``n_samples`` dropouts of the same features. Source: Inoue, 2019, Section 3."""
    features = network.features(tokens)  # (n, d)
    logits = [network.classifier(F.dropout(features, rate, network.training)) for _ in range(n_samples)]
    return torch.stack([F.cross_entropy(of_sample, labels) for of_sample in logits]).mean()


def r_drop(network: TextClassifier, tokens: Tensor, labels: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Cross-entropy of two passes P, Q with dropouts of their own, and how far the two are apart.

    .. math:: -\log P_y - \log Q_y + \frac{\alpha}{2} \left[ D(P \| Q) + D(Q \| P) \right]

    with the Kullback-Leibler divergence D, averaged over texts. Source: Liang et al., 2021, Eq. 4.
    """
    first, second = network(torch.cat([tokens, tokens])).log_softmax(1).chunk(2)  # (n, K) each, log P and log Q
    apart = ((first.exp() - second.exp()) * (first - second)).sum(1).mean()  # D(P || Q) + D(Q || P)
    return F.nll_loss(first, labels) + F.nll_loss(second, labels) + alpha / 2 * apart


def poly(network: TextClassifier, tokens: Tensor, labels: Tensor, epsilon: float = 1.0) -> Tensor:
    r"""Poly-1: :math:`-\log P_y + \epsilon (1 - P_y)`, averaged over texts. Source: Leng et al., 2022, Eq. 6."""
    log_p = network(tokens).log_softmax(1).gather(1, labels[:, None])  # (n, 1)
    return (-log_p + epsilon * (1 - log_p.exp())).mean()


OBJECTIVES: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    f.__name__: f for f in (cross_entropy, multi_sample_dropout, r_drop, poly)
}


# The steps ------------------------------------------------------------------------------------------------------------


def _replace(network: TextClassifier, data: Texts, seed: int) -> None:
    last_layer.replace(network, data.n_classes, seed)


restore = partial(steps.restore, models.build)
_TASK = steps.Task(load, models.build, restore, _replace, fit, evaluate)
pretrain, finetune = partial(steps.pretrain, _TASK), partial(steps.finetune, _TASK)
