"""DeepCluster-v2: cluster the features by k-means, learn the clusters as if they were labels, and again."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import Objective, projections, unit
from .clustering import spherical_kmeans
from .views import STRONG


class DeepClusterV2(Objective):
    r"""The cluster of the last epoch, predicted from every view.

    .. math:: L = -\frac{1}{H} \sum_{h=1}^{H} \log \frac{\exp(z^\top c^h_{a^h_i} / \tau)}{\sum_k \exp(z^\top c^h_k /
    \tau)}

    Before each epoch spherical k-means clusters the projections z that the last epoch saw, H times; its centres c are
    the classifier of this epoch, and are not trained. Caron et al., NeurIPS 2020 (SwAV), appendix on DeepCluster-v2,
    which improves Caron et al., *Deep Clustering for Unsupervised Learning of Visual Features*, ECCV 2018, Eq. 1-2.
    """

    views = (STRONG, STRONG)
    temperature = 0.1
    n_clusters = (300, 300, 300)

    def start_epoch(self, epoch: int, images: Tensor, draws: torch.Generator) -> None:
        z = projections(self.network, self.views[0](images, draws))  # (n, p)
        # centres (k, p) and assignment (n,) of each
        self.clusterings = [spherical_kmeans(z, min(k, self.n_images), draws) for k in self.n_clusters]

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        z = unit(self.network(torch.cat(views)))  # (2b, p)
        losses = [
            cross_entropy(z @ centres.T / self.temperature, assignment[indices].repeat(len(views)))
            for centres, assignment in self.clusterings
        ]
        return torch.stack(losses).mean()
