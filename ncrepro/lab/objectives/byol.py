"""BYOL: predict what a slowly moving copy of oneself sees in the other view, with no negatives at all."""

import math

import torch
from torch import Tensor, nn

from .base import PROJECTION, Objective, follow, momentum_copy
from .views import View

BLURRED, SHARP = View(colour=0.8, grey=0.4, blur=1.0), View(colour=0.8, grey=0.4, blur=0.1)


class BYOL(Objective):
    r"""The prediction q of one view against the target's projection z' of the other, both scaled to length 1.

    .. math:: L = \lVert \bar q(z) - \bar z' \rVert^2 = 2 - 2 \cos(q(z), z')

    summed over both orders of the views. Nothing pushes images apart: equal outputs for all images would minimise the
    loss. The predictor and the target, whose weights follow slowly, avoid this. Grill et al., *Bootstrap Your Own
    Latent*, NeurIPS 2020, Eq. 1 (target) and Eq. 2 (loss).
    """

    views = (BLURRED, SHARP)
    momentum = 0.98  # at the start; it rises to 1. The paper's .996 is for trainings of 300,000 steps

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__(encoder, n_features, n_images)
        self.target = momentum_copy(self.network)
        self.predictor = nn.Sequential(
            nn.Linear(PROJECTION, n_features, bias=False),
            nn.BatchNorm1d(n_features),
            nn.ReLU(),
            nn.Linear(n_features, PROJECTION),
        )

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        predictions = [self.predictor(self.network(view)) for view in views]  # two of (b, p)
        with torch.no_grad():
            targets = [self.target(view) for view in views]
        return byol_loss(predictions[0], targets[1]) + byol_loss(predictions[1], targets[0])

    def after_step(self, progress: float) -> None:
        momentum = 1 - (1 - self.momentum) * (math.cos(math.pi * progress) + 1) / 2
        follow(self.target, self.network, momentum)


def byol_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """BYOL Eq. 2, the mean over rows (b, p) of any length: from 0 (parallel) to 4 (opposite)."""
    return 2 - 2 * nn.functional.cosine_similarity(prediction, target).mean()
