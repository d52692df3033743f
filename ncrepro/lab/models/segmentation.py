"""Pyramid scene parsing networks (PSPNet, Zhao et al., CVPR 2017) of segmentation-models-pytorch.

``pspnet_resnet50`` is the paper's network: a dilated ResNet-50 (stride 8) that starts from ImageNet weights, which are
downloaded. ``pspnet_resnet18`` is the demo's: the stem and first stage of a ResNet-18 (stride 4) and a narrower
pyramid, from random weights.
"""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from ...extraction import last_layer
from ...store.schema import refuse_unknown

ARCHITECTURES: dict[str, dict] = {  # the arguments of smp.PSPNet
    "pspnet_resnet18": {
        "encoder_name": "resnet18", "encoder_weights": None, "encoder_depth": 2, "upsampling": 4,
        "psp_out_channels": 64,
    },
    "pspnet_resnet50": {
        "encoder_name": "resnet50", "encoder_weights": "imagenet", "encoder_depth": 5, "upsampling": 8,
        "output_stride": 8,
    },
}  # fmt: skip

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue


def build(name: str, n_classes: int, seed: int, **changed) -> nn.Module:
    """A PSPNet with seeded random weights where it does not start from others.

    Parameters
    ----------
    name : str
        One of ``ARCHITECTURES``.
    n_classes : int
        Outputs per pixel.
    seed : int
        Draws the weights. The global random state is left as it was.
    **changed
        Arguments of ``smp.PSPNet`` other than the architecture's own, as ``encoder_weights=None``.

    Returns
    -------
    torch.nn.Module
        Takes what `prepare` returns, float32 of shape (n, 3, h, w), h and w multiples of its stride; gives logits of
        shape (n, n_classes, h, w).

    Raises
    ------
    ValueError
        If there is no such architecture, or ``n_classes`` is under 2.
    """
    refuse_unknown("model", name, ARCHITECTURES)
    with last_layer.seeded_weights(n_classes, seed):
        network = smp.PSPNet(classes=n_classes, **ARCHITECTURES[name] | changed)
    if network.encoder.output_stride == 4:  # smp makes every stage, also those that a shallow encoder never uses
        del network.encoder.layer2, network.encoder.layer3, network.encoder.layer4
    return network


def initialise(last: nn.Conv2d) -> None:
    """Random weights of a new last convolution, as smp's own begins with."""
    nn.init.xavier_uniform_(last.weight)
    nn.init.zeros_(last.bias)


def prepare(images: Tensor) -> Tensor:
    """uint8 images (n, 3, h, w) as float32, standardised by ImageNet's mean and deviation, laid out channels-last."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (_MEAN, _STD))
    return (images.contiguous(memory_format=torch.channels_last).float() / 255 - mean) / std
