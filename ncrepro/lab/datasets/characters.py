"""Characters as pictures, each with what its Unicode name says of it: items of two modalities, offline.

========= ======= ====================================================================================================
alphabets 6       which alphabet a letter is of; A is a letter of three of them, and so are its names
symbols   7       which kind of symbol a character is: arrow, operator, technical, box drawing, shape, sign, dingbat
========= ======= ====================================================================================================

The words of a name that say the class are left out of the text. No character is in both splits, and each is drawn once,
in one of the fonts that have it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...extraction.samples import Captioned
from ...store import artifacts, fingerprint, paths
from ...store.schema import unknown
from .builtin.glyphs import Glyphs, characters_of
from .builtin.scene import generator, sensor

FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral")
N_TRAIN, N_TEST = 20, 54  # of each class; Hebrew has 74 characters

ALPHABETS = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW")
BLOCKS = {  # of the Unicode standard: first and last code point
    "arrows": (0x2190, 0x21FF),
    "operators": (0x2200, 0x22FF),
    "technical": (0x2300, 0x23FF),
    "box drawing": (0x2500, 0x257F),
    "shapes": (0x25A0, 0x25FF),
    "signs": (0x2600, 0x26FF),
    "dingbats": (0x2700, 0x27BF),
}


def alphabet(character: str) -> str | None:
    """The alphabet of a letter, by the first word of its name."""
    first = unicodedata.name(character, "").partition(" ")[0]
    return first.capitalize() if first in ALPHABETS and character.isalpha() else None


def block(character: str) -> str | None:
    """The block of Unicode that a character stands in, of those that are a kind of symbol."""
    return next((name for name, (first, last) in BLOCKS.items() if first <= ord(character) <= last), None)


class Question(NamedTuple):
    """What is asked of a character."""

    of: Callable[[str], str | None]  # its class; None where it has none of them
    telling: str  # a pattern of the words that say the class


QUESTIONS = {
    "alphabets": Question(alphabet, "|".join(ALPHABETS)),
    "symbols": Question(block, "ARROWS?|BOX DRAWINGS|APL FUNCTIONAL|OPERATOR|DINGBAT|SIGN|SYMBOL"),
}
NAMES = tuple(QUESTIONS)


def caption(character: str, telling: str) -> str:
    """What the name of a character says, in lower case, without the words that say its class."""
    words = re.sub(rf"\b({telling})\b", " ", unicodedata.name(character, ""))
    return " ".join(words.lower().split())


def collect(name: str) -> dict[str, list[str]]:
    """Class -> its characters in a seeded order: those that a font has, and of whose name something is left."""
    question, found = QUESTIONS[name], {}
    for character in map(chr, sorted(frozenset().union(*map(characters_of, FONTS)))):
        kind = question.of(character)
        if kind and caption(character, question.telling):
            found.setdefault(kind, []).append(character)
    order = generator(name, "both")
    return {kind: [found[kind][i] for i in order.permutation(len(found[kind]))] for kind in sorted(found)}


def split_of(name: str, split: str) -> Captioned:
    """One split: each class begins with its test characters, those for training follow."""
    collected, rng = collect(name), generator(name, split)
    part = slice(N_TEST) if split == "test" else slice(N_TEST, N_TEST + N_TRAIN)
    items = [(character, k) for k, of_class in enumerate(collected.values()) for character in of_class[part]]
    items = [items[i] for i in rng.permutation(len(items))]
    return Captioned(
        name,
        split,
        np.stack([sensor(Glyphs(character, FONTS)(rng), rng) for character, _ in items]),  # (n, 3, 32, 32)
        np.array([k for _, k in items], np.int64),
        tuple(collected),
        tuple(caption(character, QUESTIONS[name].telling) for character, _ in items),
    )


@lru_cache(maxsize=8)
def load(name: str, split: str) -> Captioned:
    """One split of a target, drawn once and then taken from the cache.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    if name not in QUESTIONS:
        raise ValueError(unknown("data set", name, QUESTIONS))
    if split not in ("train", "test"):
        raise ValueError(unknown("split", split, ("train", "test")))
    spec = {"dataset": name, "split": split, "code": fingerprint.of(__name__)}
    path = paths.datasets() / f"{name}-{split}.safetensors"
    arrays = artifacts.cached(path, spec, lambda: _arrays(split_of(name, split)))
    texts, classes = json.loads(arrays["texts"].tobytes())
    return Captioned(name, split, arrays["images"], arrays["labels"], tuple(classes), tuple(texts))


def _arrays(data: Captioned) -> artifacts.Arrays:
    texts = np.frombuffer(json.dumps([data.texts, data.classes]).encode(), np.uint8)
    return {"images": data.images, "labels": data.labels, "texts": texts}
