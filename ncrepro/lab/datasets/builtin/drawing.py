"""What every drawn image is made of: a random generator, colours, ground, pose and light."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

SIZE = 32  # pixels, height and width of every image
CANVAS = 64  # pixels, height and width of a sprite before it is posed

Range = tuple[float, float]  # uniform between the two
Painter = Callable[[np.random.Generator], np.ndarray]  # gives an image (32, 32, 3) in 0..1

_FREQUENCY = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))  # (32, 17), cycles per pixel
_FREQUENCY[0, 0] = np.inf  # clouds have mean zero


def generator(name: str, split: str) -> np.random.Generator:
    """The random numbers of one split of one data set, the same in every process."""
    digest = hashlib.sha256(f"{name}/{split}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def colour(rng: np.random.Generator, saturation: Range, value: Range, hue: Range = (0, 1)) -> np.ndarray:
    """Red, green, blue in 0..1, with hue (0..1 around the colour circle), saturation and value from the ranges."""
    return np.array(colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)))


def clouds(rng: np.random.Generator, exponent: float = 1.5) -> np.ndarray:
    """Noise with amplitude frequency ** -exponent, shape (32, 32), mean 0 and standard deviation 1."""
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * _FREQUENCY**-exponent, s=(SIZE, SIZE))
    return field / field.std()


def ground(rng: np.random.Generator, hue: Range = (0, 1)) -> np.ndarray:
    """A dark coloured ground with light clouds, shape (32, 32, 3)."""
    shade = 1 + rng.uniform(0.1, 0.3) * clouds(rng)  # (32, 32)
    return colour(rng, (0.3, 0.9), (0.15, 0.55), hue) * shade[..., None]


def pose(sprite: Image.Image, rng: np.random.Generator, size: Range = (0.85, 1.15)) -> np.ndarray:
    """``sprite`` (64 x 64, mode L or RGBA) turned, sheared, scaled, shifted, blurred: (32, 32) or (32, 32, 4), 0..1.

    At ``size`` 1 the sprite's 64 pixels become the image's 32.
    """
    angle, shear = rng.normal(0, 0.12), rng.normal(0, 0.12)  # radians, and pixels per pixel
    scale = CANVAS / SIZE / rng.uniform(*size)  # sprite pixels per image pixel
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, sin + shear * cos], [-sin, cos - shear * sin]])
    centre = np.full(2, SIZE / 2) + rng.uniform(-3, 3, 2)
    offset = CANVAS / 2 - matrix @ centre
    affine = (*matrix[0], offset[0], *matrix[1], offset[1])
    image = sprite.transform((SIZE, SIZE), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    return np.asarray(image) / 255


def sensor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera makes of an image (32, 32, 3) in 0..1: noise, then 8 bits; shape (3, 32, 32), uint8."""
    noisy = image + rng.uniform(0.01, 0.06) * rng.standard_normal(image.shape)
    return np.rint(255 * noisy.clip(0, 1)).astype(np.uint8).transpose(2, 0, 1).copy()
