"""Self-supervised objectives: what a network can learn from images that nobody has labelled.

One module per method, each with the loss of its paper as a small function of its own.
"""

import torch
from torch import nn

from ...store.schema import refuse_unknown
from .base import Objective
from .byol import BYOL
from .deepcluster import DeepClusterV2
from .infomin import InfoMin
from .insdis import InsDis
from .moco import MoCoV1, MoCoV2
from .pcl import PCLV1, PCLV2
from .pretraining import Recipe, fit
from .sela import SeLaV2
from .simclr import SimCLRV1, SimCLRV2
from .swav import SwAV

__all__ = ["OBJECTIVES", "Objective", "Recipe", "build", "fit"]

OBJECTIVES: dict[str, type[Objective]] = {
    "insdis": InsDis,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "pcl_v1": PCLV1,
    "pcl_v2": PCLV2,
    "simclr_v1": SimCLRV1,
    "simclr_v2": SimCLRV2,
    "infomin": InfoMin,
    "byol": BYOL,
    "swav": SwAV,
    "deepcluster_v2": DeepClusterV2,
    "sela_v2": SeLaV2,
}


def build(name: str, encoder: nn.Module, n_features: int, n_images: int, seed: int) -> Objective:
    """An objective around ``encoder``, its head and memory drawn from ``seed``.

    Parameters
    ----------
    name : str
        One of `OBJECTIVES`.
    encoder : torch.nn.Module
        Images -> features of shape (b, n_features); trained in place by `fit`.
    n_features, n_images : int
    seed : int
        The global random state is left as it was.

    Raises
    ------
    ValueError
        If there is no such objective.
    """
    refuse_unknown("objective", name, OBJECTIVES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OBJECTIVES[name](encoder, n_features, n_images)
