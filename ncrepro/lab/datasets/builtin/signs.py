"""Signs: a coloured shape with a border and a pictogram, somewhere on coloured ground."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from .drawing import CANVAS, Painter, Range, ground, pose
from .glyphs import fonts_with, glyph

COLOURS = {
    "red": "#c81e28", "white": "#f2f2f2", "blue": "#1e50b4", "yellow": "#f0be14", "black": "#141414",
    "green": "#1e8c46", "orange": "#f07814", "grey": "#8c8c8c", "purple": "#78329b",
}  # fmt: skip
SHAPES = {  # corners of a regular polygon, and its turn in degrees
    "circle": (0, 0), "square": (4, 45), "diamond": (4, 0), "triangle": (3, 0), "yield": (3, 180),
    "pentagon": (5, 0), "hexagon": (6, 0), "octagon": (8, 22.5),
}  # fmt: skip

# name: shape, border, face, pictogram, colour of the pictogram, height of a capital in 1/64 of the image
Sign = tuple[str, str, str, str, str, int]
SOURCE: dict[str, Sign] = {
    "circle A": ("circle", "green", "white", "A", "black", 22),
    "circle W": ("circle", "orange", "orange", "W", "black", 20),
    "circle ?": ("circle", "black", "white", "?", "black", 22),
    "square Z": ("square", "red", "white", "Z", "blue", 22),
    "square %": ("square", "purple", "yellow", "%", "black", 18),
    "square H": ("square", "green", "green", "H", "white", 22),
    "pentagon %": ("pentagon", "yellow", "white", "%", "purple", 18),
    "pentagon star": ("pentagon", "blue", "blue", "★", "white", 22),
    "pentagon A": ("pentagon", "black", "yellow", "A", "black", 20),
    "hexagon T": ("hexagon", "blue", "white", "T", "red", 22),
    "hexagon @": ("hexagon", "red", "yellow", "@", "black", 20),
    "hexagon star": ("hexagon", "purple", "white", "★", "purple", 22),
    "octagon ?": ("octagon", "blue", "white", "?", "blue", 22),
    "octagon Z": ("octagon", "grey", "white", "Z", "green", 22),
    "octagon &": ("octagon", "orange", "purple", "&", "white", 22),
    "diamond T": ("diamond", "black", "green", "T", "yellow", 18),
    "diamond W": ("diamond", "white", "purple", "W", "white", 16),
    "diamond @": ("diamond", "blue", "orange", "@", "blue", 16),
}
TARGET: dict[str, Sign] = {
    **{f"limit {n}": ("circle", "red", "white", n, "black", 20) for n in ("20", "30", "50", "60", "80", "90")},
    "no way left": ("circle", "red", "white", "←", "black", 24),
    "no way right": ("circle", "red", "white", "→", "black", 24),
    "go left": ("circle", "blue", "blue", "←", "white", 26),
    "go right": ("circle", "blue", "blue", "→", "white", 26),
    "go up": ("circle", "blue", "blue", "↑", "white", 26),
    "go round": ("circle", "blue", "blue", "↻", "white", 26),
    "warning danger": ("triangle", "red", "white", "!", "black", 18),
    "warning ahead": ("triangle", "red", "white", "↑", "black", 18),
    "warning crossing": ("triangle", "red", "white", "+", "black", 18),
    "warning bends": ("triangle", "red", "white", "↯", "black", 18),
    "no entry": ("circle", "red", "red", "▬", "white", 30),
    "no parking": ("circle", "red", "blue", "╲", "red", 40),
    "stop": ("octagon", "red", "red", "STOP", "white", 14),
    "give way": ("yield", "red", "white", "", "black", 0),
}


def _outline(shape: str, radius: float) -> list[tuple[float, float]]:
    """Corners of a shape around the middle of a canvas of four times the sprite's size."""
    corners, turn = SHAPES[shape]
    angles = np.radians(turn - 90) + 2 * np.pi * np.arange(corners or 72) / (corners or 72)
    return [(2 * CANVAS + radius * np.cos(a), 2 * CANVAS + radius * np.sin(a)) for a in angles]


def draw(sign: Sign, font: str = "DejaVuSans-Bold") -> Image.Image:
    """A sign as a 64 x 64 RGBA sprite, transparent around it."""
    shape, border, face, picture, ink, height = sign
    sprite = Image.new("RGBA", (4 * CANVAS, 4 * CANVAS), COLOURS[face] + "00")
    pen = ImageDraw.Draw(sprite)
    pen.polygon(_outline(shape, 104), COLOURS[border])
    pen.polygon(_outline(shape, 82 if SHAPES[shape][0] != 3 else 66), COLOURS[face])
    sprite = sprite.resize((CANVAS, CANVAS), Image.Resampling.BOX)
    if picture:
        mask = glyph(picture, *fonts_with(picture, [font]), height)
        sprite.paste(Image.new("RGBA", mask.size, COLOURS[ink]), (0, 0), mask)
    return sprite


def paint(rng: np.random.Generator, sprite: Image.Image, size: Range, haze: Range) -> np.ndarray:
    """Paint a sign, far or near (``size``, of the usual one), in changing light: a gain per channel and ``haze``."""
    layer = pose(sprite, rng, size)  # (32, 32, 4)
    opacity = layer[..., 3:]
    light = rng.uniform(0.5, 1.05) * rng.uniform(0.75, 1.25, 3)
    veil = rng.uniform(*haze)
    face = (1 - veil) * light * layer[..., :3] + veil * rng.uniform(0.2, 0.7)
    return (1 - opacity) * ground(rng) + opacity * face  # (32, 32, 3)


def signs(table: dict[str, Sign], size: Range = (0.85, 1.15), haze: Range = (0, 0.5)) -> dict[str, Painter]:
    """One class per sign."""
    return {name: partial(paint, sprite=draw(sign), size=size, haze=haze) for name, sign in table.items()}
