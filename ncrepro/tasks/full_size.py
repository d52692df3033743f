"""Image classification as in `classification`, by networks of full size (`models.full_size`): on a GPU where there is one."""

from functools import partial

from torch import nn

from ..models import full_size
from . import classification
from .classification import ARCHITECTURES, DATASETS, LOSSES
from .optimise import device

__all__ = ["ARCHITECTURES", "CODE", "DATASETS", "LOSSES", "extract", "finetune", "pretrain", "restore"]

CODE = ("models/full_size", "models/torchvision_models", "training", "losses", "tasks/classification", "tasks/full_size", "tasks/recipes")


def _build(name: str, n_classes: int, seed: int) -> nn.Module:
    return full_size.build(name, n_classes, seed).to(device())


pretrain, finetune, extract, restore = (
    partial(step, build=_build)
    for step in (classification.pretrain, classification.finetune, classification.extract, classification.restore)
)
