"""Image classification by networks of full size (`models.full_size`), on a GPU where there is one."""

from functools import partial

from torch import nn

from ...extraction.devices import cuda_or_cpu
from ..models import full_size
from . import classification
from .classification import ARCHITECTURES, DATASETS, LOSSES, load, reader

__all__ = ["ARCHITECTURES", "DATASETS", "LOSSES", "extract", "finetune", "load", "pretrain", "reader", "restore"]


def _build(name: str, n_classes: int, seed: int) -> nn.Module:
    return full_size.build(name, n_classes, seed).to(cuda_or_cpu())


pretrain, finetune, extract, restore = (
    partial(step, build=_build)
    for step in (classification.pretrain, classification.finetune, classification.extract, classification.restore)
)
