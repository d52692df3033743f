"""Nineteen image networks of both papers, reduced to 32 x 32 pixels and seconds of training on one CPU core.

Every network is made of torchvision's own classes and blocks, an eighth to a half as wide and a few times shallower,
with a 3 x 3 stem where the original has a 7 x 7 one, and fewer strides. What sets families and sizes apart is kept:
residual, dense, inverted bottleneck, Inception, squeeze-and-excitation; the order of depths and widths within a family.
MobileNetV1, which torchvision lacks, is built from its ``Conv2dNormActivation``. No network uses dropout or stochastic
depth: a few epochs are too short for either. The shape comments are for images of 32 x 32 pixels.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.googlenet import GoogLeNet, Inception
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)
from torchvision.models.mnasnet import MNASNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers
from torchvision.ops import Conv2dNormActivation

NCTI_POOL = (
    "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet169", "densenet201",
    "mnasnet1_0", "mobilenet_v2", "googlenet", "inception_v3",
)  # fmt: skip
FACE_POOL = (
    "resnet50", "resnet101", "resnet152", "densenet121", "densenet169", "densenet201",
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "vgg16", "vgg19",
)  # fmt: skip

NARROW = 8  # ResNets, GoogLeNet and Inception have so many times fewer channels than torchvision's
N_LAST = 160  # features of the mobile networks: torchvision's 1,280 would be more than a target has images


class ReducedResNet(ResNet):
    """Residual network with a 3 x 3 stem of 16 channels, and stages of 8, 16, 32 and 64 (times four in bottlenecks)."""

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], layers: list[int], n_classes: int):
        super().__init__(block, layers)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)  # (n, 16, 32, 32)
        self.bn1 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(512 // NARROW * block.expansion, n_classes)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = 16  # what comes from the stem into the first stage
        return super()._make_layer(block, planes // NARROW, blocks, stride, dilate)


class ReducedMNASNet(MNASNet):
    """MNASNet, a quarter as wide, with at most two blocks per stack and one downsampling fewer."""

    _load_from_state_dict = nn.Module._load_from_state_dict  # torchvision's asks for a version that safetensors drops

    def __init__(self, n_classes: int):
        super().__init__(0.25, n_classes, dropout=0.0)
        for stack in range(8, 14):
            self.layers[stack] = self.layers[stack][:2]
        self.layers[10][0].layers[3].stride = (1, 1)  # (n, 24, 4, 4)
        self.layers[14] = nn.Conv2d(self.layers[14].in_channels, N_LAST, 1, bias=False)
        self.layers[15] = nn.BatchNorm2d(N_LAST)
        self.classifier[1] = nn.Linear(N_LAST, n_classes)


class ReducedVGG(VGG):
    """Plain stack of 3 x 3 convolutions with batch normalisation and one hidden linear layer."""

    def __init__(self, layers: list[int | str], n_classes: int):
        nn.Module.__init__(self)  # torchvision's own makes 120 million weights first
        self.features = make_layers(layers, batch_norm=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(layers[-1], 128), nn.ReLU(), nn.Linear(128, n_classes))


class ReducedMobileNetV1(nn.Module):
    """Depthwise separable convolutions without shortcuts (Howard et al., 2017)."""

    def __init__(self, blocks: list[tuple[int, int]], n_classes: int):
        super().__init__()
        channels = 16
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2)]  # (n, 16, 16, 16)
        for out_channels, stride in blocks:
            layers.append(Conv2dNormActivation(channels, channels, stride=stride, groups=channels))
            layers.append(Conv2dNormActivation(channels, out_channels, kernel_size=1))
            channels = out_channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, K) of images."""
        x = self.features(x).mean((2, 3))  # (n, channels)
        return self.classifier(x)


def _densenet(growth: int, blocks: tuple[int, ...], stem: int, n_classes: int) -> DenseNet:
    network = DenseNet(growth, blocks, num_init_features=stem, num_classes=n_classes)
    network.features.conv0 = nn.Conv2d(3, stem, 3, padding=1, bias=False)  # (n, stem, 32, 32)
    return network


def _mobilenet_v2(n_classes: int) -> MobileNetV2:
    # expansion, channels (to be halved), repeats, stride
    rows = [[1, 16, 1, 1], [6, 24, 1, 2], [6, 32, 2, 1], [6, 64, 2, 2], [6, 96, 1, 2]]
    network = MobileNetV2(n_classes, width_mult=0.5, inverted_residual_setting=rows, round_nearest=4, dropout=0.0)
    network.features[-1] = Conv2dNormActivation(48, N_LAST, kernel_size=1, activation_layer=nn.ReLU6)  # (n, 160, 2, 2)
    network.classifier[1] = nn.Linear(N_LAST, n_classes)
    return network


def _mobilenet_v3(n_classes: int) -> MobileNetV3:
    row = partial(InvertedResidualConfig, dilation=1, width_mult=1.0)
    rows = [  # channels in, kernel, channels inside and out, squeeze-and-excitation, activation, stride
        row(16, 3, 16, 16, False, "RE", 1),
        row(16, 3, 48, 24, False, "RE", 2),
        row(24, 3, 64, 24, False, "RE", 1),
        row(24, 5, 72, 32, True, "HS", 2),
        row(32, 5, 96, 32, True, "HS", 1),
    ]
    return MobileNetV3(rows, N_LAST, n_classes, norm_layer=nn.BatchNorm2d, dropout=0.0)


def _efficientnet(width: float, repeats: tuple[int, ...], n_classes: int) -> EfficientNet:
    # expansion, kernel, stride, channels in and out (to be multiplied by the width)
    rows = [(1, 3, 1, 32, 16), (4, 3, 2, 16, 24), (4, 5, 1, 24, 40), (4, 3, 2, 40, 80)]
    settings = [MBConvConfig(*row, n, width_mult=width) for row, n in zip(rows, repeats, strict=True)]
    return EfficientNet(settings, dropout=0.0, stochastic_depth_prob=0.0, num_classes=n_classes)


def _narrow_convolution(in_channels: int, out_channels: int, **kwargs) -> BasicConv2d:
    return BasicConv2d(in_channels if in_channels == 3 else in_channels // NARROW, out_channels // NARROW, **kwargs)


def _googlenet(n_classes: int) -> GoogLeNet:
    blocks = [_narrow_convolution, lambda *channels: Inception(*[n // NARROW for n in channels]), None]
    network = GoogLeNet(aux_logits=False, init_weights=False, blocks=blocks, dropout=0.0)
    network.conv1 = _narrow_convolution(3, 64, kernel_size=3, padding=1)  # (n, 8, 32, 32)
    network.inception4b = network.inception4c = nn.Identity()
    network.fc = nn.Linear(1024 // NARROW, n_classes)
    return network


def _inception_v3(n_classes: int) -> Inception3:
    kinds = (InceptionA, InceptionB, InceptionC, InceptionD, InceptionE)
    blocks = [_narrow_convolution, *(partial(kind, conv_block=_narrow_convolution) for kind in kinds), None]
    network = Inception3(aux_logits=False, init_weights=False, inception_blocks=blocks, dropout=0.0)
    network.maxpool1 = network.maxpool2 = nn.Identity()  # (n, 24, 11, 11) comes into the first mixed block
    for name in ("Mixed_5d", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7c"):  # with all of them it hardly trains
        setattr(network, name, nn.Identity())
    network.fc = nn.Linear(2048 // NARROW, n_classes)
    return network


ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {
    "resnet34": partial(ReducedResNet, BasicBlock, [1, 1, 2, 1]),
    "resnet50": partial(ReducedResNet, Bottleneck, [1, 1, 2, 1]),
    "resnet101": partial(ReducedResNet, Bottleneck, [1, 2, 3, 1]),
    "resnet152": partial(ReducedResNet, Bottleneck, [1, 2, 5, 2]),
    "densenet121": partial(_densenet, 12, (1, 2, 4, 3), 24),
    "densenet169": partial(_densenet, 12, (1, 2, 5, 5), 24),
    "densenet201": partial(_densenet, 12, (1, 2, 8, 5), 24),
    "mnasnet1_0": ReducedMNASNet,
    "mobilenet_v1": partial(ReducedMobileNetV1, [(32, 1), (48, 2), (48, 1), (64, 1), (96, 2), (96, 1), (128, 1)]),
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "googlenet": _googlenet,
    "inception_v3": _inception_v3,
    "efficientnet_b0": partial(_efficientnet, 0.5, (1, 1, 1, 1)),
    "efficientnet_b1": partial(_efficientnet, 0.5, (1, 1, 2, 2)),
    "efficientnet_b2": partial(_efficientnet, 0.625, (1, 1, 2, 2)),
    "efficientnet_b3": partial(_efficientnet, 0.75, (1, 2, 2, 2)),
    "vgg16": partial(ReducedVGG, [16, "M", 32, "M", 48, 48, "M", 64, 64]),
    "vgg19": partial(ReducedVGG, [16, "M", 32, 32, "M", 48, 48, 48, "M", 64, 64]),
}
