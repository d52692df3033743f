"""SwAV: predict from one view the cluster that the other view was put in, with clusters made online."""

import torch
from torch import Tensor, nn

from .base import PROJECTION, Objective, unit
from .clustering import sinkhorn
from .views import STRONG


class SwAV(Objective):
    r"""Swapped prediction: the code q of one view from the projection z of the other.

    .. math::
        L = \ell(z_t, q_s) + \ell(z_s, q_t), \qquad
        \ell(z, q) = -\sum_k q_k \log \frac{\exp(z^\top c_k / \tau)}{\sum_{k'} \exp(z^\top c_{k'} / \tau)}

    The codes are soft assignments of the batch to trained prototypes c_k, each prototype used equally often
    (`sinkhorn`). Caron et al., *Unsupervised Learning of Visual Features by Contrasting Cluster Assignments*, NeurIPS
    2020, Eq. 1-5. The paper adds small crops (multi-crop), which cost as much again; here there are two views as in the
    other objectives.
    """

    views = (STRONG, STRONG)
    temperature = 0.1
    epsilon = 0.03  # the paper's .05 ends with all images alike in a short training; its authors advise .03 then
    n_prototypes = 100

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__(encoder, n_features, n_images)
        self.prototypes = nn.Parameter(unit(torch.randn(self.n_prototypes, PROJECTION)))

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        z = unit(self.network(torch.cat(views)))  # (2b, p)
        scores = (z @ unit(self.prototypes).T).chunk(2)  # two of (b, k), cosines
        codes = [sinkhorn(s, self.epsilon, n_iterations=3) for s in scores]
        return sum(swapped_loss(s, q, self.temperature) for s, q in zip(scores, reversed(codes), strict=True))


def swapped_loss(scores: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """SwAV Eq. 2: the mean cross-entropy of softmax(scores / temperature) under the other view's codes, both (b, k)."""
    return -(codes * (scores / temperature).log_softmax(1)).sum(1).mean()
