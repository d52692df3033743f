"""The demo's data: drawn or real images of 32 x 32 pixels, without a download, the same bytes every time.

The supervised pool is pre-trained on ``SOURCE``, the multi-source pool on each of ``SOURCES``; models are chosen for
``TARGETS``. No class of a source is a class of a target: they have different characters, textures, signs and fonts to
recognise. Greek letters that look Cyrillic are left out (similar characters such as O and 0 remain). ``photographs``
and ``hues`` are sources that teach little about shape, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....extraction.samples import Images
from .. import train_test
from . import glyphs, signs, sklearn_images, textures
from .drawing import Painter, generator, sensor
from .glyphs import SANS, SERIF, STIX

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abdefghmnqrty"
GREEK = "ΔΘΛΞΣΨΩ"
GREEK_LOWER = "βγζηθλμξσχψω"
ARMENIAN = "ԱԲԳԴԵԶԷԸԺԻԽԾԿՀՁՂՃՄ"
GEORGIAN = "აბგდევზთიკლმნოპჟრს"
SYLLABICS = "ᑫᑭᑯᑲᒉᒋᒍᒐᒣᒥᒧᒪᓀᓂᓄᓇᓭᓯᓱᓴᔦᔨᔪᔭ"
PICTOGRAMS = "☀☁☂☃☎☘☠☢☣☮☯☺❄✿♔♕♖♗♘♙♠♣♥♦♨♪⚓⚔⚖⚙✂✈✉✌✎✚"
CYRILLIC = "БГДЖИЛПФЦЧШЩЪЫЭЮЯ"
MATH = "∫∂∇∞∝∈∉∋∅∩∪⊂⊃≈±∓÷√∀∃≤≥⊕⊗"
FONTS = (*SERIF, *STIX, "cmr10", "cmss10", "cmtt10", "cmti10")
SOURCE_FONTS = (
    *SANS, "DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
    "DejaVuSerif-BoldItalic", "STIXGeneralBolIta", "cmb10", "cmmi10",
)  # fmt: skip
FONT_LETTERS = "aegkstABDGMRS"

# name: the painter of each class, and the images per class in train and in test. A test image costs a forward pass,
# and with few of them two fine-tunings of one model differ by chance: a target has 2.6 times as many as it trains on,
# or more.
_PAINTED: dict[str, tuple[Callable[[str], dict[str, Painter]], int, int]] = {
    "source": (
        lambda split: glyphs.alphabet(LATIN + GREEK, SANS)
        | textures.textures(textures.SOURCE)
        | signs.signs(signs.SOURCE), 45, 30,
    ),
    "cyrillic": (lambda split: glyphs.alphabet(CYRILLIC, SERIF), 36, 96),
    "math": (lambda split: glyphs.alphabet(MATH, STIX + SERIF), 25, 67),
    "fontid": (lambda split: glyphs.font_identity(FONTS, FONT_LETTERS), 60, 160),
    "textures": (lambda split: textures.textures(textures.TARGET), 50, 134),
    "signs": (lambda split: signs.signs(signs.TARGET, size=(0.5, 1), haze=(0.1, 0.8)), 30, 80),
    "latin": (lambda split: glyphs.alphabet(LATIN, SANS), 46, 15),
    "greek": (lambda split: glyphs.alphabet(GREEK + GREEK_LOWER, SANS), 95, 32),
    "armenian_georgian": (lambda split: glyphs.alphabet(ARMENIAN + GEORGIAN, SANS), 50, 16),
    "syllabics": (lambda split: glyphs.alphabet(SYLLABICS, SANS), 75, 25),
    "pictograms": (lambda split: glyphs.alphabet(PICTOGRAMS, SANS), 50, 16),
    "source_fonts": (lambda split: glyphs.font_identity(SOURCE_FONTS, FONT_LETTERS), 150, 50),
    "source_textures": (lambda split: textures.textures(textures.SOURCE), 150, 50),
    "source_signs": (lambda split: signs.signs(signs.SOURCE, size=(0.5, 1), haze=(0.1, 0.8)), 100, 33),
    "photographs": (sklearn_images.regions, 150, 50),
    "hues": (lambda split: glyphs.hues(12, LATIN, SANS), 150, 50),
}  # fmt: skip

SOURCE = "source"
TARGETS = (
    "digits", "cyrillic", "math", "fontid", "textures", "signs",
)  # fmt: skip
SOURCES = (
    "latin", "greek", "armenian_georgian", "syllabics", "pictograms",
    "source_fonts", "source_textures", "source_signs", "photographs", "hues",
)  # fmt: skip
NAMES = (SOURCE, *TARGETS, *SOURCES)


def generate(name: str, split: str, n: int | None = None) -> Images:
    """Draw one split of a data set (or load it, where the images are real).

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    split : {"train", "test"}
    n : int, optional
        Draw the first ``n`` images only.

    Returns
    -------
    Images
        (n, 3, 32, 32) uint8. Drawn sets go through their classes in turn, so that any start of them is balanced. The
        bytes depend on the two arguments alone.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    train_test.check(name, NAMES, split)
    if name == "digits":
        return sklearn_images.digits(split).take(slice(n))
    classes, n_train, n_test = _PAINTED[name]
    painters, rng = classes(split), generator(name, split)
    labels = np.tile(np.arange(len(painters)), n_train if split == "train" else n_test)[:n]
    painter_of = list(painters.values())
    images = np.stack([sensor(painter_of[k](rng), rng) for k in labels])  # (n, 3, 32, 32)
    return Images(name, split, images, labels.astype(np.int64), tuple(painters))
