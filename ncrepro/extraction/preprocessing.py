"""Preprocessing: from an image of any size to what a network sees; torchvision's, timm's, or any callable."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pixels


@dataclass(frozen=True)
class Transform:
    """From an image to what a network sees: resized, the centre cropped, colours normalised.

    Parameters
    ----------
    resize, crop : int
        Pixels: what is resized to, and the side of the square that is kept.
    interpolation : str
        ``bilinear`` or ``bicubic``, with antialiasing.
    mean, std : tuple of 3 floats
        Of red, green and blue, for pixels of 0 to 1.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: str = "center"  # as timm calls it: it resizes the shorter side, "squash" both, "border" the longer, and fills

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The resized and cropped image, uint8 of shape (crop, crop, 3)."""
        return np.asarray(pixels.center_crop(self._resized(image), [self.crop, self.crop]))

    def augmented(self, image: Image.Image, draws: np.random.Generator, flip: bool) -> np.ndarray:
        """As `__call__`, but cropped anywhere and, if ``flip`` is set, mirrored every other time: for training."""
        image = self._resized(image)
        top, left = (draws.integers(max(side - self.crop, 0), endpoint=True) for side in (image.height, image.width))
        image = pixels.crop(image, top, left, self.crop, self.crop)
        return np.asarray(pixels.hflip(image) if flip and draws.random() < 0.5 else image)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, 3, crop, crop), on any device -> float32 of the same shape, what the network takes."""
        mean, std = (torch.tensor(x, device=images.device).view(3, 1, 1) for x in (self.mean, self.std))
        return images.float().sub_(255 * mean).div_(255 * std)

    def _resized(self, image: Image.Image) -> Image.Image:
        size = [self.resize]
        if self.mode == "squash":
            size = [self.resize, self.resize]
        elif self.mode == "border":
            ratio = max(image.size) / self.resize
            size = [max(1, round(image.height / ratio)), max(1, round(image.width / ratio))]
        image = pixels.resize(image, size, InterpolationMode(self.interpolation), antialias=True)
        if self.mode == "border":
            width, height = (max(0, self.crop - side) for side in image.size)
            edges = [width // 2, height // 2, (width + 1) // 2, (height + 1) // 2]
            image = pixels.pad(image, edges, fill=[round(255 * value) for value in self.mean])
        return image


@dataclass(frozen=True)
class Wrapped:
    """Any callable from a PIL image to a float tensor (3, h, w), in the place of a `Transform`."""

    transform: Callable

    remedy = (
        "give a function of a PIL image that returns a float tensor (3, height, width), such as torchvision's Compose "
        "that ends in ToTensor and Normalize, or lambda image: processor(image, return_tensors='pt')['pixel_values'][0]"
    )

    def __call__(self, image) -> np.ndarray:
        """Prepare one image: (h, w, 3)."""
        try:
            made = self.transform(image)
        except Exception as error:  # a transform is anybody's code
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ValueError(
                f"the transform cannot take a PIL image of {image.width} x {image.height} pixels "
                f"({type(error).__name__}: {reason}): {self.remedy}"
            ) from error
        if not isinstance(made, (Tensor, np.ndarray)) or isinstance(made, np.ndarray) and made.dtype == object:
            raise ValueError(f"the transform gives a {type(made).__name__}; allowed is a tensor: {self.remedy}")
        tensor = torch.as_tensor(made).detach()
        if not tensor.is_floating_point():
            raise ValueError(f"the transform gives numbers of type {tensor.dtype}; allowed are float: {self.remedy}")
        if tensor.ndim != 3:
            raise ValueError(f"the transform gives shape {tuple(tensor.shape)}; allowed is (3, height, width)")
        return tensor.permute(1, 2, 0).float().cpu().numpy()  # (h, w, 3)

    def normalise(self, images: Tensor) -> Tensor:
        """Leave a batch as it is: the transform has done it."""
        return images


IMAGENET = Transform(256, 224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
REDUCED = Transform(32, 32, "bilinear", (0.5,) * 3, (0.25,) * 3)  # what `training.prepare` does


def describe(transform: Transform) -> str:
    """A transform in one line."""
    side = {"center": "shorter side", "squash": "both sides", "border": "longer side"}[transform.mode]
    return f"{side} to {transform.resize} px, {transform.interpolation}, centre {transform.crop} px"


def transform_of(network: nn.Module) -> Transform | None:
    """The preprocessing that a network of timm carries with it, alone or inside another; None for any other network."""
    for module in network.modules():
        config = getattr(module, "pretrained_cfg", None)
        if isinstance(config, dict) and "input_size" in config:
            return of_timm(config, getattr(network, "name", type(network).__name__))
    return None


def of_timm(config: dict, name: str) -> Transform:
    """The preprocessing that timm's configuration of a model asks for."""
    import timm

    found = timm.data.resolve_data_config(pretrained_cfg=config)
    channels, height, width = found["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"{name} reads {height} x {width} pixels of {channels} colours; allowed are squares of three: give the "
            "module itself, with a transform of your own"
        )
    found["interpolation"] = found["interpolation"].replace("random", "bilinear")  # as timm does but for training
    resize, colours = math.floor(height / found["crop_pct"]), (tuple(found["mean"]), tuple(found["std"]))
    return Transform(resize, height, found["interpolation"], *colours, found["crop_mode"])
