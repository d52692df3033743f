"""The nineteen networks at full size, with a stem for images of 32 x 32 pixels.

Depths and widths are torchvision's (of MobileNetV1 timm's). What is changed is what would leave nothing of a small
image: the strides and pooling before the first stage. The VGGs, which have neither, keep their five poolings, and a
head for one position in place of 49; they are the variants with batch normalisation, since the plain ones hardly train
from random weights.
"""

from collections.abc import Callable

from torch import nn

from ...extraction import last_layer, networks
from ...store.schema import refuse_unknown
from .vision import ARCHITECTURES

_OTHER_NAMES = {"vgg16": "vgg16_bn", "vgg19": "vgg19_bn"}  # ours -> torchvision's, or timm's


def build(name: str, n_classes: int, seed: int) -> nn.Module:
    """A network of `vision.ARCHITECTURES` at full size, with seeded random weights; arguments and result as for
    `models.build`.
    """
    refuse_unknown("model", name, ARCHITECTURES)
    with last_layer.seeded_weights(n_classes, seed):
        network = networks.build(_OTHER_NAMES.get(name, name), n_classes)
        stem = next(change for beginning, change in _STEMS.items() if name.startswith(beginning))
        stem(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # MNASNet's own .0003 leaves running statistics near their start
    network.name = name
    return network


def _resnet(network: nn.Module) -> None:
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)  # (n, 64, 32, 32)
    network.maxpool = nn.Identity()


def _densenet(network: nn.Module) -> None:
    network.features.conv0 = nn.Conv2d(3, network.features.conv0.out_channels, 3, padding=1, bias=False)
    network.features.pool0 = nn.Identity()


def _googlenet(network: nn.Module) -> None:
    network.transform_input = False  # images come as `training.prepare` gives them
    network.conv1.conv = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool1 = nn.Identity()


def _inception(network: nn.Module) -> None:
    network.transform_input = False
    network.Conv2d_1a_3x3.conv.stride = (1, 1)
    network.maxpool1 = network.maxpool2 = nn.Identity()  # (n, 192, 26, 26) comes into the first mixed block


def _vgg(network: nn.Module) -> None:
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[0] = nn.Linear(512, 4096)


def _first_stride(path: str) -> Callable[[nn.Module], None]:
    """For networks whose first convolution alone comes before the first stage: at full resolution."""

    def change(network: nn.Module) -> None:
        network.get_submodule(path).stride = (1, 1)

    return change


_STEMS: dict[str, Callable[[nn.Module], None]] = {  # by how the name begins; the first that fits
    "resnet": _resnet,
    "densenet": _densenet,
    "googlenet": _googlenet,
    "inception": _inception,
    "vgg": _vgg,
    "mnasnet": _first_stride("layers.0"),
    "mobilenet_v1": _first_stride("conv_stem"),
    "mobilenet": _first_stride("features.0.0"),
    "efficientnet": _first_stride("features.0.0"),
}
