"""Random views of images: what two pictures of the same thing may differ in, and an objective should not care about."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = torch.tensor([0.299, 0.587, 0.114])  # how much each colour channel adds to the brightness that eyes see
BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # a Gaussian blur of one pixel


@dataclass(frozen=True)
class View:
    """A random crop with rotation, then random colours, grey and blur: another draw for every image.

    There are no flips: a mirrored glyph is another glyph.

    Parameters
    ----------
    area : float
        Smallest share of the image that a crop may keep; the largest is 1.
    degrees : float
        Largest rotation to either side.
    colour : float
        Strength of the colour jitter, 0 to 1: brightness, contrast and saturation change by up to this share, hue by up
        to half of it in turns of the colour circle (1 allows any hue: here colours say little about what is seen). Four
        images in five are jittered.
    grey : float
        Probability that an image loses its colour.
    blur : float
        Probability that an image is blurred, by up to one pixel.
    size : int
        Pixels, height and width of the view. At 24 a crop shows things about as large as the whole image does at 32,
        and costs half as much.
    """

    area: float = 0.6
    degrees: float = 15.0
    colour: float = 0.4
    grey: float = 0.2
    blur: float = 0.0
    size: int = 24

    def __call__(self, images: Tensor, draws: torch.Generator) -> Tensor:
        """One view of each image.

        Parameters
        ----------
        images : Tensor of shape (b, 3, height, width)
            As `ncrepro.lab.training.prepare` gives them: 0 is mid-grey.
        draws : torch.Generator
            On the CPU; the same state gives the same views.

        Returns
        -------
        Tensor of shape (b, 3, size, size)
        """
        views = self._cropped(images, draws)
        views = self._recoloured(views, draws)
        views = self._blurred(views, draws) if self.blur else views
        return views.contiguous(memory_format=torch.channels_last)  # as `prepare` lays images out

    def _cropped(self, images: Tensor, draws: torch.Generator) -> Tensor:
        b = len(images)
        width, height = (_uniform(b, self.area**0.5, 1, draws) for _ in range(2))  # shares of the image's
        x, y = (1 - width) * _uniform(b, -1, 1, draws), (1 - height) * _uniform(b, -1, 1, draws)
        angle = _uniform(b, -1, 1, draws) * math.radians(self.degrees)
        cos, sin = angle.cos(), angle.sin()
        rows = torch.stack([width * cos, -height * sin, x, width * sin, height * cos, y], 1)  # (b, 6)
        grid = F.affine_grid(rows.view(b, 2, 3).to(images), [b, 3, self.size, self.size], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _recoloured(self, images: Tensor, draws: torch.Generator) -> Tensor:
        """Brightness, contrast, saturation, hue and grey are all one affine map of the colours of each image."""
        b = len(images)
        jittered = _uniform(b, 0, 1, draws) < 0.8
        strength = torch.where(jittered, self.colour, 0.0)
        brightness, contrast, saturation = (1 + strength * _uniform(b, -1, 1, draws) for _ in range(3))
        hue = strength / 2 * _uniform(b, -1, 1, draws)
        saturation = torch.where(_uniform(b, 0, 1, draws) < self.grey, 0.0, saturation)
        grey = LUMA.expand(3, 3)  # a colour -> its brightness in all three channels
        mix = saturation.view(b, 1, 1) * (_hue_rotation(hue) - grey) + grey  # (b, 3, 3)
        mix = (mix * (brightness * contrast).view(b, 1, 1)).to(images)
        brightest = (images.mean((2, 3)) @ LUMA.to(images)) * (brightness * (1 - contrast)).to(images)  # (b,)
        offset = brightest + (brightness.to(images) - 1) * 2  # black is -2: what is brightened is the distance from it
        flat = torch.baddbmm(offset.view(b, 1, 1), mix, images.reshape(b, 3, -1))  # (b, 3, height * width)
        return flat.clamp(-2, 2).view(images.shape)

    def _blurred(self, images: Tensor, draws: torch.Generator) -> Tensor:
        b = len(images)
        chosen = _uniform(b, 0, 1, draws) < self.blur
        amount = torch.where(chosen, _uniform(b, 0, 1, draws), 0.0).view(b, 1, 1, 1).to(images)
        kernel = (BINOMIAL[:, None] * BINOMIAL).to(images).expand(3, 1, 5, 5)
        blurred = F.conv2d(F.pad(images, (2,) * 4, mode="reflect"), kernel, groups=3)
        return images.lerp(blurred, amount)


def _uniform(b: int, low: float, high: float, draws: torch.Generator) -> Tensor:
    return torch.rand(b, generator=draws) * (high - low) + low


def _hue_rotation(turns: Tensor) -> Tensor:
    """Rotations of the colour space about its grey axis, (b,) -> (b, 3, 3)."""
    angle = 2 * math.pi * turns.view(-1, 1, 1)
    axis = 3**-0.5
    across = torch.tensor([[0.0, -axis, axis], [axis, 0.0, -axis], [-axis, axis, 0.0]])  # cross product with the axis
    return angle.cos() * torch.eye(3) + angle.sin() * across + (1 - angle.cos()) / 3


WEAK = View()  # crops, colours and grey: InsDis, MoCo v1, PCL v1
STRONG = View(colour=0.8, grey=0.4, blur=0.5)  # what SimCLR found to matter: stronger colours, and blur
