"""Momentum contrast: recognise the other view of an image among views of other images that a queue remembers."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .base import PROJECTION, Objective, follow, linear_head, mlp_head, momentum_copy, unit
from .views import STRONG, WEAK


class MoCoV1(Objective):
    r"""A query q looks for the key k+ of its own image among the keys of other images.

    .. math:: L = -\log \frac{\exp(q^\top k_+ / \tau)}{\sum_{i=0}^{K} \exp(q^\top k_i / \tau)}

    Keys come from a slowly moving copy of the network (Eq. 2), so that a queue of the last of them stays consistent. He
    et al., *Momentum Contrast for Unsupervised Visual Representation Learning*, CVPR 2020, Eq. 1 (InfoNCE). The keys of
    a batch enter the queue first, so that its other images are among the negatives: with a queue of old keys only, a
    short training lowers the loss by moving all images away from where they were.
    """

    views = (WEAK, WEAK)
    head = staticmethod(linear_head)
    temperature = 0.07
    momentum = 0.99  # the paper's .999 would leave the copy behind in a training of some hundred steps
    queue_length = 256

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__(encoder, n_features, n_images)
        self.key_network = momentum_copy(self.network)
        self.register_buffer("queue", unit(torch.randn(self.queue_length, PROJECTION)))

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        query = unit(self.network(views[0]))  # (b, p)
        with torch.no_grad():
            key = unit(self.key_network(views[1]))  # (b, p)
        self.queue = torch.cat([key, self.queue])[: self.queue_length]  # a new tensor: the loss holds on to the old one
        return self.contrast(query, indices)

    def contrast(self, query: Tensor, indices: Tensor) -> Tensor:
        return info_nce(query, self.queue, self.temperature)

    def after_step(self, progress: float) -> None:
        follow(self.key_network, self.network, self.momentum)


class MoCoV2(MoCoV1):
    """MoCo with a hidden layer in the head, stronger views and a softer temperature.

    Chen et al., *Improved Baselines with Momentum Contrastive Learning*, 2020, Eq. 1 as in `MoCoV1`.
    """

    views = (STRONG, STRONG)
    head = staticmethod(partial(mlp_head, normalised=False))
    temperature = 0.2


def info_nce(query: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The mean InfoNCE loss of queries (b, p) among keys (K, p), rows of length 1; key i is that of query i."""
    own = torch.arange(len(query), device=query.device)
    return cross_entropy(query @ keys.T / temperature, own)
