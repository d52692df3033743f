"""Characters drawn with the fonts that matplotlib brings: which character, or which font."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from .drawing import CANVAS, Range, colour, ground, pose

SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold")
SERIF = ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic")
STIX = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic")

CAP_HEIGHT = 36  # sprite pixels, the height of an E in every font
LARGEST = 54  # sprite pixels, the height and width that no glyph exceeds


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def characters_of(font: str) -> frozenset[int]:
    """Code points for which a font has a glyph; drawing another one gives a blank or a box."""
    return frozenset(FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf"))).get_charmap())


def fonts_with(text: str, fonts: Sequence[str]) -> tuple[str, ...]:
    """Those of ``fonts`` that have a glyph for every character of ``text``."""
    found = tuple(font for font in fonts if set(map(ord, text)) <= characters_of(font))
    if not found:
        raise ValueError(f"none of the fonts {', '.join(fonts)} has {text!r}; choose other fonts")
    return found


@cache
def glyph(text: str, font: str, height: int = CAP_HEIGHT) -> Image.Image:
    """``text`` as white ink in the middle of a black 64 x 64 sprite; a capital is ``height`` pixels high."""
    left, top, right, bottom = _font(font, 100).getbbox("E")
    size = 100 * height / (bottom - top)
    left, top, right, bottom = _font(font, 100).getbbox(text)
    size = int(min(size, 100 * LARGEST / max(right - left, bottom - top)))
    left, top, right, bottom = _font(font, size).getbbox(text)
    sprite = Image.new("L", (CANVAS, CANVAS))
    corner = ((CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2)
    ImageDraw.Draw(sprite).text(corner, text, fill=255, font=_font(font, size))
    return sprite


class Glyphs:
    """Paints one of ``characters`` in one of ``fonts``, light on dark ground; ``hue`` is the ground's range of hues."""

    def __init__(self, characters: str, fonts: Sequence[str], hue: Range = (0, 1)) -> None:
        self.hue = hue
        self.pairs = [(character, font) for character in characters for font in fonts_with(character, fonts)]

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """Paint an image (32, 32, 3) in 0..1."""
        ink = pose(glyph(*self.pairs[rng.integers(len(self.pairs))]), rng)[..., None]  # (32, 32, 1)
        return (1 - ink) * ground(rng, self.hue) + ink * colour(rng, (0.1, 0.6), (0.7, 1.0))  # (32, 32, 3)


def alphabet(characters: str, fonts: Sequence[str]) -> dict[str, Glyphs]:
    """One class per character."""
    return {character: Glyphs(character, fonts) for character in characters}


def font_identity(fonts: Sequence[str], characters: str) -> dict[str, Glyphs]:
    """One class per font; the characters are the same in all of them."""
    return {font: Glyphs(characters, [font]) for font in fonts}


def hues(n: int, characters: str, fonts: Sequence[str]) -> dict[str, Glyphs]:
    """One class per hue of the ground, n around the colour circle; the character on it says nothing."""
    return {f"hue {k}": Glyphs(characters, fonts, (k / n, (k + 1) / n)) for k in range(n)}
