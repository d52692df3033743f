"""The training loop that all objectives share."""

import math
import time

import numpy as np
import torch
from torch import Tensor, nn

from .. import training
from ..recipes import Unlabelled as Recipe
from .base import Objective


def fit(objective: Objective, images: np.ndarray | Tensor, recipe: Recipe, seed: int) -> list[dict]:
    """Train ``objective``, and with it its encoder, in place; no label is seen.

    Parameters
    ----------
    objective : Objective
        On any device; the images go where it is.
    images : array of shape (n, 3, 32, 32), uint8
        n must be the ``n_images`` that the objective was built with.
    recipe : Recipe
    seed : int
        Orders the images and draws their views. The same objective, images, recipe and seed give the same bits on one
        thread.

    Returns
    -------
    list of dict
        One entry per epoch: ``epoch`` from 1, mean ``loss``, ``seconds``.

    Raises
    ------
    ValueError
        If the images are others than the objective was built for.
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    if len(images) != objective.n_images:
        raise ValueError(f"{len(images)} images, but the objective was built for {objective.n_images}; build it anew")
    weights = [p for p in objective.parameters() if p.requires_grad]
    x = training.prepare(images).to(weights[0].device)
    batch_size = min(recipe.batch_size, len(x))
    n_batches = len(x) // batch_size
    rates = training.learning_rates(recipe, recipe.epochs * n_batches)
    optimiser = torch.optim.AdamW(weights, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    draws = torch.Generator().manual_seed(seed)
    history = []
    objective.train()
    for epoch in range(recipe.epochs):
        started = time.perf_counter()
        objective.start_epoch(epoch, x, draws)
        order = torch.randperm(len(x), generator=draws)[: n_batches * batch_size].to(x.device)
        loss_sum = torch.zeros((), device=x.device)
        for batch, indices in enumerate(order.view(n_batches, batch_size)):
            step = epoch * n_batches + batch
            optimiser.param_groups[0]["lr"] = rates[step]
            views = [view(x[indices], draws) for view in objective.views]  # each (batch_size, 3, 32, 32)
            loss = objective(views, indices)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip)
            optimiser.step()
            objective.after_step((step + 1) / len(rates))
            loss_sum += loss.detach()
        loss = loss_sum.item() / n_batches
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} in epoch {epoch + 1}: lower the learning rate or clip")
        history.append({"epoch": epoch + 1, "loss": loss, "seconds": time.perf_counter() - started})
    objective.eval()
    return history
