"""Text classification: pre-train on a labelled source, fine-tune on a target, take the target's features.

Each architecture is trained by the loss that its variant asks for (``OBJECTIVES``), on the source and on the target.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...extraction import last_layer, weights
from ...extraction.devices import cuda_or_cpu
from ...extraction.samples import Texts
from ...store.artifacts import Arrays
from ..datasets import clue, docstrings
from ..models import text as models
from ..models.text import TextClassifier
from . import standard_error
from .optimise import Recipe, descend

NOTHING = "nothing"  # as a source: the network keeps its first weights
ARCHITECTURES = tuple(models.ARCHITECTURES)
LOSSES = ("cross_entropy",)  # of the pool; a variant's own objective comes with its architecture
DATASETS = (*docstrings.NAMES, *clue.NAMES, NOTHING)


def reader(name: str) -> ModuleType | None:
    """The module that makes or reads a data set."""
    return None if name == NOTHING else docstrings if name in docstrings.NAMES else clue


def load(name: str, split: str, max_per_class: int | None = None) -> Texts:
    """A data set's split ("train" or "test"), with at most ``max_per_class`` texts of each class."""
    data = reader(name).load(name, split)
    return data if max_per_class is None else data.limited(max_per_class)


def pretrain(spec: dict) -> Arrays:
    """A network trained on its source: its weights, sizes, and accuracy on the source's test split."""
    if spec["source"] == NOTHING:
        n_classes, reached = 2, np.nan
        network = models.build(spec["architecture"], n_classes, spec["seed"])
    else:
        train, test = (load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
        n_classes = train.n_classes
        network = models.build(spec["architecture"], n_classes, spec["seed"])
        fit(network, spec["architecture"], train, Recipe(**spec["recipe"]), spec["seed"])
        reached = accuracy(network, spec["architecture"], test)
    return {
        "accuracy": np.array(reached),
        "n_parameters": np.array(sum(p.numel() for p in network.parameters() if p.requires_grad)),
        "n_features": np.array(last_layer.width(network)),
        "n_classes": np.array(n_classes),
        **weights.arrays(network),
    }


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth: accuracy on the target's test split after training the whole network on its train split."""
    train, test = (load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network, architecture = restore(pretrained_spec, pretrained), pretrained_spec["architecture"]
    last_layer.replace(network, train.n_classes, spec["seed"])
    history = fit(network, architecture, train, Recipe(**spec["recipe"]), spec["seed"])
    share = accuracy(network, architecture, test)
    error = standard_error(share, len(test.labels))
    return {"accuracy": np.array(share), "standard_error": np.array(error), "loss": np.array(history)}


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see: features, labels and source probabilities of one split of the target."""
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    network = restore(pretrained_spec, pretrained).to(cuda_or_cpu()).eval()
    tokens = models.tokenize(pretrained_spec["architecture"], data.texts)
    with torch.inference_mode():
        features = torch.cat([network.features(_cut(part).to(cuda_or_cpu())) for part in tokens.split(64)])  # (n, d)
        probs = network.classifier(features).softmax(1)  # (n, K_s)
    return {"features": features.cpu().numpy(), "labels": data.labels, "source_probs": probs.cpu().numpy()}


def restore(spec: dict, arrays: Arrays) -> TextClassifier:
    """The network that `pretrain` left in ``arrays``."""
    return weights.put(models.build(spec["architecture"], int(arrays["n_classes"]), spec["seed"]), arrays)


# Training and testing -------------------------------------------------------------------------------------------------


def fit(network: TextClassifier, architecture: str, data: Texts, recipe: Recipe, seed: int) -> list[float]:
    """Train ``network`` in place by its variant's objective; returns the mean loss of each epoch.

    The same network, data, recipe and seed give the same bits on one thread. The global random state is left as it was.
    """
    network.to(cuda_or_cpu())
    objective = OBJECTIVES[models.ARCHITECTURES[architecture].objective]
    tokens, labels = (
        models.tokenize(architecture, data.texts).to(cuda_or_cpu()),
        torch.from_numpy(data.labels).to(cuda_or_cpu()),
    )
    batch_size = min(recipe.batch_size, len(data))
    n_batches = len(data) // batch_size

    def losses() -> Iterator[Tensor]:
        for _ in range(recipe.epochs):
            for batch in (
                torch.randperm(len(data))[: n_batches * batch_size].view(n_batches, batch_size).to(cuda_or_cpu())
            ):
                yield objective(network, _cut(tokens[batch]), labels[batch])

    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the order of the texts, and the dropout
        return descend(network, losses(), recipe.epochs * n_batches, recipe)


def accuracy(network: TextClassifier, architecture: str, data: Texts) -> float:
    """Share of the texts that ``network``, in evaluation mode, puts in their class: per cent, higher is better."""
    network.to(cuda_or_cpu()).eval()
    tokens = models.tokenize(architecture, data.texts)
    with torch.inference_mode():
        answers = torch.cat([network(_cut(part).to(cuda_or_cpu())).argmax(1).cpu() for part in tokens.split(64)])
    return 100 * float(np.mean(answers.numpy() == data.labels))


def _cut(tokens: Tensor) -> Tensor:
    """Tokens without the columns that are padding in every row."""
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
