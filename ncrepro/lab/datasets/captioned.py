"""Pictures with a text each, offline: items of two modalities, in which neither says everything.

======= ======= ======================================================================================================
numbers 10      a handwritten digit (scikit-learn's), and two facts about the number, each true of three or more
symbols 5       which kind of symbol: arrow, box drawing, operator, shape, sign; a character, and one word of its
                Unicode name, none of those that say the kind
======= ======= ======================================================================================================

No digit and no character is in both splits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ...extraction.samples import Captioned
from ...store import fingerprint
from . import train_test
from .builtin import sklearn_images
from .builtin.drawing import generator, sensor
from .builtin.glyphs import Glyphs, characters_of

# Digits, and facts about numbers --------------------------------------------------------------------------------------

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FACTS = {  # what is said -> the numbers of which it is true, three or more
    "an even number": {0, 2, 4, 6, 8},
    "an odd number": {1, 3, 5, 7, 9},
    "a prime number": {2, 3, 5, 7},
    "a square number": {0, 1, 4, 9},
    "a multiple of three": {0, 3, 6, 9},
    "a power of two": {1, 2, 4, 8},
    **{f"less than {DIGITS[k]}": set(range(k)) for k in (3, 5, 7)},
    **{f"more than {DIGITS[k]}": set(range(k + 1, 10)) for k in (2, 4, 6)},
}


def _numbers(split: str) -> Captioned:
    digits, rng = sklearn_images.digits(split).limited(12 if split == "train" else 60), generator("numbers", split)
    texts = []
    for k in digits.labels:
        true = [fact for fact, numbers in FACTS.items() if k in numbers]
        texts.append(", ".join(true[i] for i in rng.choice(len(true), 2, replace=False)))
    return Captioned("numbers", split, digits.images, digits.labels, DIGITS, tuple(texts))


# Characters, and their names ------------------------------------------------------------------------------------------

FONTS = ("DejaVuSans", "DejaVuSansMono")
BLOCKS = {  # of the Unicode standard: first and last code point, and the words of names that say the block
    "arrow": (0x2190, 0x21FF, "ARROWS?"),
    "box drawing": (0x2500, 0x257F, "BOX DRAWINGS"),
    "operator": (0x2200, 0x22FF, "OPERATOR"),
    "shape": (0x25A0, 0x25FF, "SHAPE"),
    "sign": (0x2600, 0x26FF, "SIGN|SYMBOL"),
}
TELLING = re.compile(rf"\b({'|'.join(words for *_, words in BLOCKS.values())})\b")
N_TRAIN, N_TEST = 20, 60  # of each class


def words(character: str) -> list[str]:
    """The words of a character's name, in lower case, without those that say its block."""
    return TELLING.sub(" ", unicodedata.name(character, "")).lower().split()


def collect() -> dict[str, list[str]]:
    """Block -> the characters that all ``FONTS`` have and of whose names something is left, in a seeded order."""
    drawable, order = frozenset.intersection(*map(characters_of, FONTS)), generator("symbols", "both")
    found = {}
    for block, (first, last, _) in BLOCKS.items():
        known = [chr(code) for code in range(first, last + 1) if code in drawable and words(chr(code))]
        found[block] = [known[i] for i in order.permutation(len(known))]
    return found


def _symbols(split: str) -> Captioned:
    rng = generator("symbols", split)
    characters, labels = train_test.split_texts(collect(), split, N_TRAIN, N_TEST, rng)
    images = np.stack([sensor(Glyphs(character, FONTS)(rng), rng) for character in characters])  # (n, 3, 32, 32)
    texts = tuple(str(rng.choice(words(character))) for character in characters)
    return Captioned("symbols", split, images, labels, tuple(BLOCKS), texts)


# By name --------------------------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[str], Captioned]] = {"numbers": _numbers, "symbols": _symbols}
NAMES = tuple(MAKERS)


@lru_cache(maxsize=8)
def load(name: str, split: str) -> Captioned:
    """One split of a target, made once and then taken from the cache.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    train_test.check(name, MAKERS, split)
    code = fingerprint.of(__name__)
    return train_test.cached(Captioned, name, name, split, lambda: MAKERS[name](split), code=code)
