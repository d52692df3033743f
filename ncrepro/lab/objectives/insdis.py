"""Instance discrimination: every image is a class of its own."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .base import PROJECTION, Objective, linear_head, projections, unit
from .views import WEAK


class InsDis(Objective):
    r"""Recognise the very image among all images of the training set.

    .. math::
        L = -\log P(i \mid v) + \lambda \lVert v - v_i \rVert^2, \qquad
        P(i \mid v) = \frac{\exp(v_i^\top v / \tau)}{\sum_{j=1}^{n} \exp(v_j^\top v / \tau)}

    v is the projected view of image i and v_j the memory of image j, from the last epoch; the second term keeps the
    memory from ageing too fast. Wu et al., *Unsupervised Feature Learning via Non-Parametric Instance Discrimination*,
    CVPR 2018, Eq. 2-3 and 10. With a few thousand images the sum over all of them is cheap; the paper, which has 1.3
    million, estimates it by sampling (noise-contrastive estimation).
    """

    views = (WEAK,)
    head = staticmethod(linear_head)
    temperature = 0.07
    proximity = 30.0  # lambda
    momentum = 0.5  # of the memory, as in the released code

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__(encoder, n_features, n_images)
        self.register_buffer("memory", torch.zeros(n_images, PROJECTION))

    def start_epoch(self, epoch: int, images: Tensor, draws: torch.Generator) -> None:
        if epoch == 0:
            self.memory = projections(self.network, images)

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        v = unit(self.network(views[0]))  # (b, p)
        loss = instance_loss(v, self.memory.clone(), indices, self.temperature, self.proximity)
        self.memory[indices] = unit(self.memory[indices].lerp(v.detach(), 1 - self.momentum))
        return loss


def instance_loss(v: Tensor, memory: Tensor, indices: Tensor, temperature: float, proximity: float) -> Tensor:
    """The mean loss of rows v (b, p) that are views of the images ``indices`` of ``memory`` (n, p); all of length 1."""
    discrimination = cross_entropy(v @ memory.T / temperature, indices)
    return discrimination + proximity * (v - memory[indices]).square().sum(1).mean()
