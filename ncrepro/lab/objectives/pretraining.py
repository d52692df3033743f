"""How every objective is trained."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .. import training, training_loop
from ..recipes import Unlabelled as Recipe
from .base import Objective


def fit(objective: Objective, images: np.ndarray | Tensor, recipe: Recipe, seed: int) -> list[float]:
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
    list of float
        The mean loss of each epoch.

    Raises
    ------
    ValueError
        If the images are others than the objective was built for.
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    if len(images) != objective.n_images:
        raise ValueError(f"{len(images)} images, but the objective was built for {objective.n_images}; build it again")
    x = training.prepare(images).to(next(objective.parameters()).device)
    n_batches = max(1, len(x) // recipe.batch_size)
    draws = torch.Generator().manual_seed(seed)

    def losses(epoch: int) -> Iterator[Tensor]:
        objective.start_epoch(epoch, x, draws)
        order = training_loop.batches(len(x), recipe.batch_size, draws).to(x.device)
        for step, indices in enumerate(order, epoch * n_batches):
            yield objective([view(x[indices], draws) for view in objective.views], indices)
            objective.after_step((step + 1) / (recipe.epochs * n_batches))

    return training_loop.descend(objective, recipe, n_batches, losses, torch.optim.AdamW, training_loop.cosine)
