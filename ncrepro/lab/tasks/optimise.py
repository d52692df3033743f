"""Warm-up, polynomial decay, clipped steps: how the networks of the segmentation and of the text pool are trained."""

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ..recipes import Polynomial as Recipe


def learning_rates(recipe: Recipe, n_steps: int) -> list[float]:
    """The learning rate of each step: a line up to the peak over the warm-up, then ``(1 - t) ** power`` down to 0."""
    n_warmup = math.ceil(recipe.warmup * n_steps)
    rising = [(step + 1) / n_warmup for step in range(n_warmup)]
    falling = [(1 - step / (n_steps - n_warmup)) ** recipe.power for step in range(n_steps - n_warmup)]
    return [recipe.learning_rate * factor for factor in rising + falling]


def descend(network: nn.Module, losses: Iterable[Tensor], n_steps: int, recipe: Recipe) -> list[float]:
    """Train ``network`` in place, one step for each of ``n_steps`` losses, and leave it in evaluation mode.

    ``losses`` is asked for the next loss only after the step that the last one led to. Returns the mean loss of each
    epoch.

    Raises
    ------
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    make = {"adamw": torch.optim.AdamW, "sgd": partial(torch.optim.SGD, momentum=0.9)}[recipe.optimiser]
    # Fused: faster, and it does without `torch.sqrt`, which MKL computes by other instructions on every CPU, whatever
    # `arithmetic` asks.
    optimiser = make(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    seen = []
    network.train()
    for rate, loss in zip(learning_rates(recipe, n_steps), losses, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimiser.step()
        seen.append(loss.detach())
    network.eval()
    history = torch.stack(seen).view(recipe.epochs, -1).mean(1).tolist()
    if not all(map(math.isfinite, history)):
        raise FloatingPointError(f"the loss of the epochs is {history}: lower the learning rate or clip")
    return history
