"""SeLa-v2: label the whole training set by optimal transport, every label equally often, and learn these labels."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .base import PROJECTION, Objective, projections, unit
from .clustering import sinkhorn
from .views import STRONG


class SeLaV2(Objective):
    r"""Labels and network minimise the same cross-entropy in turn, the labels under equal shares.

    .. math::
        \min_{p, q} -\frac{1}{n} \sum_{i=1}^{n} \sum_{k=1}^{K} q(k \mid x_i) \log p(k \mid x_i)
        \quad \text{subject to} \quad q(k \mid x_i) \in \{0, 1\}, \ \sum_i q(k \mid x_i) = \frac{n}{K}

    Before each epoch the labels q of all images are found by optimal transport (`sinkhorn`) from the scores that the
    last epoch saw; during it the network and its K trained prototypes learn them. Asano et al., *Self-labelling via
    Simultaneous Clustering and Representation Learning*, ICLR 2020, Section 3.1, with the head, views and cosine
    prototypes of Caron et al., NeurIPS 2020 (SwAV), appendix on SeLa-v2.
    """

    views = (STRONG, STRONG)
    temperature = 0.1
    epsilon = 0.05
    n_prototypes = 300

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__(encoder, n_features, n_images)
        self.prototypes = nn.Parameter(unit(torch.randn(self.n_prototypes, PROJECTION)))
        self.register_buffer("labels", torch.zeros(n_images, dtype=torch.int64))

    def start_epoch(self, epoch: int, images: Tensor, draws: torch.Generator) -> None:
        z = projections(self.network, self.views[0](images, draws))  # (n, p)
        scores = z @ unit(self.prototypes.detach()).T  # (n, K)
        self.labels = sinkhorn(scores, self.epsilon, n_iterations=30).argmax(1)  # (n,)

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        z = unit(self.network(torch.cat(views)))  # (2b, p)
        logits = z @ unit(self.prototypes).T / self.temperature  # (2b, K)
        return cross_entropy(logits, self.labels[indices].repeat(len(views)))
