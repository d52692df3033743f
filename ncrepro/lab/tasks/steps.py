"""The steps of the tasks with a small network and a `Polynomial` recipe, and what every task keeps of a network."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...extraction import last_layer, weights
from ...extraction.devices import cuda_or_cpu
from ...store.artifacts import Arrays
from .. import training_loop
from ..recipes import Polynomial as Recipe
from . import standard_error

NOTHING = "nothing"  # as a source: the network keeps its first weights


class Task(NamedTuple):
    """The functions that differ from task to task. Data have ``n_classes`` and a length."""

    load: Callable[[str, str, int | None], Any]  # (name, split, max_per_class) -> data
    build: Callable[[str, int, int], nn.Module]  # (architecture, n_classes, seed)
    restore: Callable[[dict, Arrays], nn.Module]  # what `pretrain` left
    replace: Callable[[nn.Module, Any, int], None]  # (network, data, seed): a new last layer for these data
    fit: Callable[[nn.Module, Any, Recipe, int], list[float]]  # in place; the mean loss of each epoch
    evaluate: Callable[[nn.Module, Any], Arrays]  # ``accuracy``, and what else is measured


def pretrain(task: Task, spec: dict) -> Arrays:
    """A network trained on its source: its weights, sizes, and what `evaluate` says on the source's test split."""
    if spec["source"] == NOTHING:
        network, measured = task.build(spec["architecture"], 2, spec["seed"]), {"accuracy": np.array(np.nan)}
    else:
        train, test = (task.load(spec["source"], split, spec["max_per_class"]) for split in ("train", "test"))
        network = task.build(spec["architecture"], train.n_classes, spec["seed"])
        task.fit(network, train, Recipe(**spec["recipe"]), spec["seed"])
        measured = task.evaluate(network, test)
    return measured | network_arrays(network)


def finetune(task: Task, spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth: what `evaluate` says on the target's test split after training on its train split."""
    train, test = (task.load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = task.restore(pretrained_spec, pretrained)
    task.replace(network, train, spec["seed"])
    history = task.fit(network, train, Recipe(**spec["recipe"]), spec["seed"])
    measured = task.evaluate(network, test)
    error = standard_error(float(measured["accuracy"]), len(test))  # where the task does not know better
    return {"standard_error": np.array(error), **measured, "loss": np.array(history)}


def network_arrays(network: nn.Module) -> Arrays:
    """What an artefact keeps of a network: its sizes and its weights."""
    return {
        "n_parameters": np.array(sum(p.numel() for p in network.parameters() if p.requires_grad)),
        "n_features": np.array(last_layer.width(network)),
        "n_classes": np.array(last_layer.n_outputs(network)),
        **weights.arrays(network),
    }


def restore(build: Callable[[str, int, int], nn.Module], spec: dict, arrays: Arrays) -> nn.Module:
    """The network of which `network_arrays` left ``arrays``."""
    return weights.restore(build(spec["architecture"], int(arrays["n_classes"]), spec["seed"]), arrays)


def fit(
    network: nn.Module, examples: Iterable[Tensor], loss: Callable[..., Tensor], recipe: Recipe, seed: int
) -> list[float]:
    """Train ``network`` in place by ``loss`` of it and of a batch of each tensor; the mean loss of each epoch.

    The seed is that of the order of the examples and of the dropout, see `descend`.
    """
    network.to(cuda_or_cpu())
    examples = [tensor.to(cuda_or_cpu()) for tensor in examples]
    n = len(examples[0])

    def losses(epoch: int) -> Iterator[Tensor]:
        for batch in training_loop.batches(n, recipe.batch_size).to(cuda_or_cpu()):
            yield loss(network, *(tensor[batch] for tensor in examples))

    return descend(network, recipe, seed, max(1, n // recipe.batch_size), losses)


def descend(
    network: nn.Module, recipe: Recipe, seed: int, n_batches: int, losses: Callable[[int], Iterable[Tensor]]
) -> list[float]:
    """`training_loop.descend` by the recipe; the losses draw from the global random state, which is left as it was.

    The same network, data, recipe and seed give the same bits on one thread.
    """
    optimiser = {"adamw": torch.optim.AdamW, "sgd": partial(torch.optim.SGD, momentum=0.9)}[recipe.optimiser]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return training_loop.descend(
            network, recipe, n_batches, losses, optimiser, training_loop.polynomial(recipe.power)
        )
