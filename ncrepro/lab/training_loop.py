"""The loop that trains every network that is made here: warm-up, a decay, clipped steps."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from .recipes import Constant, Descent

Recipe = Descent | Constant
Decay = Callable[[int, int], float]  # (step, number of steps) after the warm-up -> share of the peak


def cosine(step: int, n_steps: int) -> float:
    """Half a cosine from 1 down towards 0."""
    return (1 + math.cos(math.pi * step / n_steps)) / 2


def polynomial(power: float) -> Decay:
    """``(1 - t) ** power``, from 1 down towards 0."""
    return lambda step, n_steps: (1 - step / n_steps) ** power


def constant(step: int, n_steps: int) -> float:
    """No decay."""
    return 1.0


def learning_rates(recipe: Recipe, n_steps: int, decay: Decay) -> list[float]:
    """The learning rate of each step: a line up to the peak over the warm-up, then the decay."""
    n_warmup = math.ceil(recipe.warmup * n_steps)
    rising = [(step + 1) / n_warmup for step in range(n_warmup)]
    falling = [decay(step, n_steps - n_warmup) for step in range(n_steps - n_warmup)]
    return [recipe.learning_rate * factor for factor in rising + falling]


def batches(n: int, batch_size: int, draws: torch.Generator | None = None) -> Tensor:
    """The n examples of an epoch in random order, (batches, batch size); what does not fill a batch is left out."""
    batch_size = min(batch_size, n)
    return torch.randperm(n, generator=draws)[: n // batch_size * batch_size].view(-1, batch_size)


def descend(
    network: nn.Module,
    recipe: Recipe,
    n_batches: int,
    losses: Callable[[int], Iterable[Tensor]],
    optimiser: Callable[..., torch.optim.Optimizer],
    decay: Decay,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train ``network`` in place, and leave it in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
    recipe : Recipe
    n_batches : int
        Steps of an epoch.
    losses : function epoch -> iterable of Tensor
        The losses of an epoch, counted from 0, one for each step; the next is asked for after the step of the last.
    optimiser : function
        Makes the optimiser from weights, ``lr``, ``weight_decay`` and ``fused``.
    decay : function
    on_epoch : function (epoch, loss), optional
        Called as soon as an epoch is over, counted from 1, with its mean loss.

    Returns
    -------
    list of float
        The mean loss of each epoch.

    Raises
    ------
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    # Fused: faster, and it does without `torch.sqrt`, which MKL computes by other instructions on every CPU, whatever
    # `pinned_arithmetic` asks.
    stepper = optimiser(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    rates = learning_rates(recipe, recipe.epochs * n_batches, decay)
    history = []
    network.train()
    for epoch in range(recipe.epochs):
        total = torch.zeros((), device=weights[0].device)
        for loss, rate in zip(losses(epoch), rates[epoch * n_batches :][:n_batches], strict=True):
            stepper.param_groups[0]["lr"] = rate
            stepper.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip)
            stepper.step()
            total += loss.detach()
        history.append(total.item() / n_batches)
        if not math.isfinite(history[-1]):
            raise FloatingPointError(f"loss is {history[-1]} in epoch {epoch + 1}: lower the learning rate")
        if on_epoch is not None:
            on_epoch(epoch + 1, history[-1])
    network.eval()
    return history
