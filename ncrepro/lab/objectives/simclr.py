"""SimCLR: the two views of an image find each other among all views of a batch."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import Objective, mlp_head, unit
from .views import STRONG


class SimCLRV1(Objective):
    r"""For each of the 2b views of a batch, its partner against the 2b - 2 others (NT-Xent).

    .. math::
        \ell_{i,j} = -\log \frac{\exp(\operatorname{sim}(z_i, z_j) / \tau)}
                                {\sum_{k \ne i} \exp(\operatorname{sim}(z_i, z_k) / \tau)}

    sim is the cosine; the loss is the mean over all (i, partner of i). No queue and no second network: the negatives
    come from a large batch. Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML
    2020, Eq. 1.
    """

    views = (STRONG, STRONG)
    temperature = 0.2

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        z = unit(self.network(torch.cat(views)))  # (2b, p)
        return nt_xent(*z.chunk(2), self.temperature)


class SimCLRV2(SimCLRV1):
    """SimCLR with a deeper head of three layers.

    Chen et al., *Big Self-Supervised Models are Strong Semi-Supervised Learners*, NeurIPS 2020, Eq. 1 as in `SimCLRV1`.
    The paper fine-tunes from the head's first layer; here, as in NCTI's pool, the head is dropped as all others are.
    """

    head = staticmethod(partial(mlp_head, n_hidden_layers=2))


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The mean NT-Xent loss of b pairs of views, (b, p) and (b, p), rows of length 1."""
    z = torch.cat([first, second])  # (2b, p)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)  # (2b, 2b), no view is compared with itself
    partner = torch.arange(len(z), device=z.device).roll(len(first))  # i <-> i + b
    return cross_entropy(logits, partner)
