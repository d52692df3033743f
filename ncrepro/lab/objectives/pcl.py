"""Prototypical contrast: recognise the image, and the cluster that it belongs to."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import projections
from .clustering import spherical_kmeans
from .moco import MoCoV1, MoCoV2


class PCLV1(MoCoV1):
    r"""InfoNCE as in MoCo, plus the same contrast against the centres of M clusterings.

    .. math::
        L = L_\text{InfoNCE} - \frac{1}{M} \sum_{m=1}^{M}
            \log \frac{\exp(q^\top c^m_s / \phi^m_s)}{\sum_{j=1}^{k_m} \exp(q^\top c^m_j / \phi^m_j)}

    c_s is the centre of the image's own cluster and phi the concentration of a cluster, see `concentration`. Before
    each epoch the keys of all images are clustered (E-step), then it trains (M-step); the first epoch goes without. Li
    et al., *Prototypical Contrastive Learning of Unsupervised Representations*, ICLR 2021, Eq. 11.
    """

    temperature = 0.2
    n_clusters = (50, 100, 150)  # the paper's 25,000 to 100,000 for 1.3 million images: about as many images each
    clusterings: Sequence[tuple[Tensor, Tensor, Tensor]] = ()  # centres (k, p), assignment (n,), phi (k,) of each

    def start_epoch(self, epoch: int, images: Tensor, draws: torch.Generator) -> None:
        if epoch == 0:
            return
        keys = projections(self.key_network, self.views[1](images, draws))  # (n, p)
        self.clusterings = []
        for n_clusters in self.n_clusters:
            centres, assignment = spherical_kmeans(keys, min(n_clusters, self.n_images), draws)
            self.clusterings.append((centres, assignment, concentration(keys, centres, assignment, self.temperature)))

    def contrast(self, query: Tensor, indices: Tensor) -> Tensor:
        loss = super().contrast(query, indices)
        for centres, assignment, spread in self.clusterings:
            loss = loss + prototype_loss(query, centres, spread, assignment[indices]) / len(self.clusterings)
        return loss


class PCLV2(PCLV1):
    """PCL with the head and the views of MoCo v2. Li et al., ICLR 2021, Eq. 11 as in `PCLV1`; released beside it."""

    views = MoCoV2.views
    head = staticmethod(MoCoV2.head)


def prototype_loss(query: Tensor, centres: Tensor, spread: Tensor, own: Tensor) -> Tensor:
    """The second term of PCL Eq. 11 for one clustering: queries (b, p), centres (k, p), phi (k,), own cluster (b,)."""
    return cross_entropy(query @ centres.T / spread, own)


def concentration(
    x: Tensor, centres: Tensor, assignment: Tensor, temperature: float, smoothing: float = 10.0
) -> Tensor:
    r"""How wide each cluster is (PCL Eq. 12), scaled so that the mean over clusters is the temperature.

    .. math:: \phi_k = \frac{\sum_{z=1}^{Z} \lVert x_z - c_k \rVert}{Z \log(Z + \alpha)}

    Z is the number of members. A wide cluster gets a high temperature, which keeps it from drawing everything in.
    Clusters with fewer than two members take the widest value, and all values are limited to the middle 80 % of them,
    as in the released code: a cluster of near-duplicates would have a temperature near 0.
    """
    n_clusters = len(centres)
    distance = (x - centres[assignment]).norm(dim=1)  # (n,)
    members = torch.bincount(assignment, minlength=n_clusters)  # (k,)
    total = torch.zeros(n_clusters, device=x.device).index_add_(0, assignment, distance)
    phi = total / members.clamp(min=1) / (members + smoothing).log()
    phi = torch.where(members > 1, phi, phi.max())
    phi = phi.clamp(phi.quantile(0.1), phi.quantile(0.9))
    return temperature * phi / phi.mean()
