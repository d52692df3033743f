"""Scenes with a label for every pixel: eight source domains and one target, drawn without a download.

A scene is painted from back to front with the textures, signs and characters of `builtin`, enlarged to 48 x 48 pixels.
Each domain stands for a kind of data that FaCe's segmentation models were trained on, and has its own classes, layout,
colours, light and number of scenes (printed source in brackets):

=========== ======= ============================================================================================
rooms       8       the whole scene in patches of stuff, no background (ADE20K)
signs       7       a few large signs, labelled by shape, on coloured ground (VOC 2012)
signs_more  7       the same, four times as many (VOC-aug)
shadows     2       lit or shaded ground (SBU shadow)
things      11      many large letters, pictograms and signs on textured ground (COCO)
figures     6       one figure: head, body, arms, legs, feet (LIP)
roads       5       the layout of the target with fewer classes; few scenes (KITTI)
drives      7       the layout of the target; other textures (CamVid)
street      7       the target (Cityscapes)
=========== ======= ============================================================================================

No texture, sign or character of a source is in the target. Only the layout can be the same: a road below the sky.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...store import fingerprint
from . import train_test
from .builtin import signs, textures
from .builtin.drawing import clouds, colour, generator, ground, pose
from .builtin.glyphs import glyph

SIZE = 48  # pixels, height and width of every scene
IGNORE = 255  # the label of a pixel that counts for nothing

_Y, _X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE  # (48, 48) each, 0..1


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images held in memory with a label for every pixel.

    Parameters
    ----------
    name : str
        Name of the data set.
    split : {"train", "test"}
    images : ndarray of shape (n, 3, height, width), uint8
    masks : ndarray of shape (n, height, width), uint8
        0 to K - 1, positions in ``classes``, or ``IGNORE``.
    classes : tuple of K str
    """

    name: str
    split: str
    images: np.ndarray
    masks: np.ndarray
    classes: tuple[str, ...]

    loaders = 0  # processes that read it: it is in memory

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Image (3, height, width), uint8, and mask (height, width), int64."""
        return torch.from_numpy(self.images[i]), torch.from_numpy(self.masks[i]).long()

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def augmented(self) -> Scenes:
        """The scenes as they are: there are enough of them."""
        return self

    def limited(self, n: int) -> Scenes:
        """The first ``n`` scenes."""
        return replace(self, images=self.images[:n], masks=self.masks[:n])


class Canvas:
    """A scene while it is painted: ``image`` (48, 48, 3) in 0..1 and ``mask`` (48, 48)."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.mask = np.zeros((SIZE, SIZE), np.uint8)

    def paint(self, opacity: np.ndarray, what: np.ndarray, label: int) -> None:
        """Lay ``what``, a colour or an image, over the scene; where it covers more than half, that is its ``label``."""
        opacity = np.asarray(opacity, float)  # (48, 48)
        self.image = (1 - opacity[..., None]) * self.image + opacity[..., None] * what
        self.mask[opacity > 0.5] = label

    def paste(self, layer: np.ndarray, light: float, label: int) -> None:
        """Lay a layer (48, 48, 4) of colours and opacity over the scene."""
        self.paint(layer[..., 3], light * layer[..., :3], label)


# What things are made of ----------------------------------------------------------------------------------------------


def enlarge(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """An image (32, 32) or (32, 32, channels) in 0..1, as (size, size, ...)."""
    pixels = Image.fromarray(np.rint(255 * image.clip(0, 1)).astype(np.uint8))
    return np.asarray(pixels.resize((size, size), Image.Resampling.BILINEAR)) / 255


@dataclass(frozen=True)
class Look:
    """What a class looks like: a texture, in a hue around ``hue`` in six cases of ten and in any hue otherwise."""

    texture: str
    hue: float
    value: tuple[float, float] = (0.4, 1.0)

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """Paint a surface (48, 48, 3)."""
        field = textures.paint(rng, _FIELDS[self.texture]).mean(-1)  # (32, 32)
        hue = (self.hue + 0.94, self.hue + 1.06) if rng.random() < 0.6 else (0, 1)
        return colour(rng, (0.4, 0.9), self.value, hue) * (0.5 + 0.7 * enlarge(field))[..., None]  # (48, 48, 3)


_FIELDS = textures.SOURCE | textures.TARGET


def place(sprite: Image.Image, rng: np.random.Generator, side: float, x: float, y: float) -> np.ndarray:
    """A 64 x 64 sprite, turned and sheared a little, ``side`` pixels wide and centred at (x, y): (48, 48, channels)."""
    small = pose(sprite, rng, (1.1, 1.3))  # (32, 32[, channels])
    layer = np.zeros((3 * SIZE, 3 * SIZE, small.shape[2] if small.ndim == 3 else 1))
    side = round(side)
    top, left = round(SIZE + y - side / 2), round(SIZE + x - side / 2)
    layer[top : top + side, left : left + side] = enlarge(small, side).reshape(side, side, -1)
    return layer[SIZE : 2 * SIZE, SIZE : 2 * SIZE]


def blob(rng: np.random.Generator, share: float) -> np.ndarray:
    """A random region with smooth borders that covers ``share`` of the scene: (48, 48), boolean."""
    field = enlarge(0.5 + clouds(rng, 2.2) / 8)
    return field > np.quantile(field, 1 - share)


def spots(rng: np.random.Generator, n: int) -> np.ndarray:
    """Centres of n objects, in pixels, that keep their distance: (n, 2)."""
    candidates = rng.uniform(8, SIZE - 8, (1, 2))
    while len(candidates) < n:
        new = rng.uniform(8, SIZE - 8, (20, 2))
        distance = np.linalg.norm(new[:, None] - candidates, axis=-1).min(1)
        candidates = np.vstack([candidates, new[distance.argmax()]])
    return candidates


# The domains: each paints one scene -----------------------------------------------------------------------------------

ROOMS = tuple(textures.SOURCE)[:8]
SHAPES = ("circle", "square", "pentagon", "hexagon", "octagon", "diamond")
LETTERS = "BHMSXK"
PICTOGRAMS = "☂♣♥⚑"


def rooms(rng: np.random.Generator) -> Canvas:
    """Surfaces that meet at straight borders."""
    canvas = Canvas(np.zeros((SIZE, SIZE, 3)))
    centres = rng.uniform(0, 1, (rng.integers(4, 8), 2))
    nearest = np.linalg.norm(np.stack([_X, _Y], -1)[:, :, None] - centres, axis=-1).argmin(-1)  # (48, 48)
    for cell, label in enumerate(rng.permutation(len(ROOMS))[: len(centres)]):
        canvas.paint(nearest == cell, Look(ROOMS[label], label / len(ROOMS))(rng), label)
    return canvas


@cache
def _signs(table: str) -> dict[str, list[Image.Image]]:
    """Sprites by shape."""
    found: dict[str, list[Image.Image]] = {}
    for sign in getattr(signs, table).values():
        found.setdefault(sign[0], []).append(signs.draw(sign))
    return found


def signs_on_ground(rng: np.random.Generator) -> Canvas:
    """Shapes on a ground."""
    canvas = Canvas(enlarge(ground(rng)))
    for x, y in spots(rng, rng.integers(2, 5)):
        label = rng.integers(len(SHAPES))
        sprites = _signs("SOURCE")[SHAPES[label]]
        layer = place(sprites[rng.integers(len(sprites))], rng, rng.uniform(18, 28), x, y)
        canvas.paste(layer, rng.uniform(0.6, 1.05), label + 1)
    return canvas


def shadows(rng: np.random.Generator) -> Canvas:
    """A surface with a shadow on it."""
    texture = ROOMS[rng.integers(len(ROOMS))]
    canvas = Canvas(Look(texture, rng.random(), (0.6, 1.0))(rng))
    shade = blob(rng, rng.uniform(0.2, 0.6))
    canvas.paint(shade, canvas.image * rng.uniform(0.3, 0.6), 1)
    return canvas


def things(rng: np.random.Generator) -> Canvas:
    """Small objects on a surface."""
    texture = ROOMS[rng.integers(len(ROOMS))]
    canvas = Canvas(0.6 * Look(texture, rng.random())(rng))
    for x, y in spots(rng, rng.integers(3, 6)):
        label = rng.integers(len(LETTERS + PICTOGRAMS))
        sprite = glyph((LETTERS + PICTOGRAMS)[label], "DejaVuSans-Bold", 50)
        hue = label / len(LETTERS + PICTOGRAMS)
        opacity = place(sprite, rng, rng.uniform(24, 36), x, y)[..., 0]
        ink = colour(rng, (0.4, 0.9), (0.7, 1.0), (hue, hue + 0.15) if rng.random() < 0.6 else (0, 1))
        canvas.paint((1.6 * opacity).clip(0, 1), ink, label + 1)
    return canvas


def figures(rng: np.random.Generator) -> Canvas:
    """A person: skin, cloth, trousers and shoes."""
    canvas = Canvas(enlarge(ground(rng)))
    x, y, width = rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.3), rng.uniform(0.16, 0.26)
    skin, cloth, trousers, shoes = (rng.random() for _ in range(4))
    lean = rng.normal(0, 0.08) * (_Y - y)
    u, v = (_X - x - lean) / width, (_Y - y) / 0.7  # 0, 0 is the neck; 1 is half a body's width, and a body's height
    canvas.paint((np.abs(np.abs(u) - 0.45) < 0.4) & (v > 0.5) & (v < 1), Look("stripes", trousers)(rng), 4)
    canvas.paint((np.abs(np.abs(u) - 0.5) < 0.5) & (v > 0.92) & (v < 1.1), Look("grain", shoes, (0.1, 0.5))(rng), 5)
    canvas.paint((np.abs(np.abs(u) - 1.3) < 0.35) & (v > 0.02) & (v < 0.5), Look("clouds", skin)(rng), 3)
    canvas.paint((np.abs(u) < 1) & (v > 0) & (v < 0.55), Look("checkers", cloth)(rng), 2)
    canvas.paint(np.hypot(u / 0.75, (v + 0.13) / 0.16) < 1, Look("clouds", skin)(rng), 1)
    return canvas


@dataclass(frozen=True)
class Street:
    """Paints a road below a sky, with what ``looks`` names beside and on it; labels are positions in ``looks``."""

    looks: dict[str, Look | None]
    table: str  # of signs

    def __call__(self, rng: np.random.Generator) -> Canvas:
        """Paint a street."""
        canvas = Canvas(np.zeros((SIZE, SIZE, 3)))

        def paint(name: str, where: np.ndarray) -> None:
            if name in self.looks:
                canvas.paint(where, self.looks[name](rng), list(self.looks).index(name))

        horizon, vanishing = rng.uniform(0.35, 0.55), rng.uniform(0.3, 0.7)
        below = _Y > horizon
        depth = (_Y - horizon) / (1 - horizon)  # 0 at the horizon, 1 at the lower border
        side = (_X - vanishing) / (0.08 + 0.6 * depth)  # -1 and 1 at the borders of the road
        paint("sky", _Y <= 1)
        left, right = rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)
        roofs = np.where(_X < left, rng.uniform(0, 0.3), rng.uniform(0, 0.3))
        paint("building", ((_X < left) | (_X > right)) & (_Y > roofs) & (_Y <= horizon + 0.05))
        paint("pavement", below)
        paint("road", below & (np.abs(side) < 1))
        x, size = rng.uniform(0.1, 0.9), rng.uniform(0.18, 0.3)
        crown = np.hypot((_X - x) / size, (_Y - horizon + 0.6 * size) / (1.1 * size))  # 1 at its edge, which is rough
        paint("tree", crown < 1 + 0.25 * enlarge(clouds(rng, 1) / 3))
        for _ in range(rng.integers(1, 3)):
            x, y, size = rng.uniform(0.2, 0.8), rng.uniform(horizon + 0.15, 0.9), rng.uniform(0.12, 0.22)
            u, v = np.abs(_X - x) / size, (_Y - y) / (0.8 * size)
            paint("vehicle", (u < 1) & (v > -0.3) & (v < 0.7) | (u < 0.65) & (v > -1) & (v < 0))
        if "sign" in self.looks:
            sprites = [sprite for of_shape in _signs(self.table).values() for sprite in of_shape]
            sprite, side = sprites[rng.integers(len(sprites))], rng.uniform(14, 20)
            x, y = rng.uniform(7, SIZE - 7), rng.uniform(10, SIZE * horizon + 6)
            layer = place(sprite, rng, side, x, y)
            canvas.paste(layer, rng.uniform(0.6, 1.05), list(self.looks).index("sign"))
        return canvas


ROADS = Street(
    {
        "sky": Look("clouds", 0.58, (0.7, 1.0)),
        "road": Look("grain", 0.7, (0.3, 0.6)),
        "pavement": Look("dots", 0.3),
        "tree": Look("cells", 0.3, (0.3, 0.7)),
        "vehicle": Look("stripes", 0.0),
    },
    "SOURCE",
)
DRIVES = Street(
    {
        "sky": Look("clouds", 0.58, (0.7, 1.0)),
        "building": Look("checkers", 0.08),
        "tree": Look("bubbles", 0.3, (0.3, 0.7)),
        "pavement": Look("cells", 0.12),
        "road": Look("grain", 0.7, (0.3, 0.6)),
        "vehicle": Look("stripes", 0.0),
        "sign": None,
    },
    "SOURCE",
)
STREET = Street(
    {
        "sky": Look("marble", 0.58, (0.7, 1.0)),
        "building": Look("bricks", 0.04),
        "tree": Look("camouflage", 0.33, (0.3, 0.7)),
        "pavement": Look("cracks", 0.12),
        "road": Look("brushed", 0.7, (0.3, 0.6)),
        "vehicle": Look("lattice", 0.95),
        "sign": None,
    },
    "TARGET",
)


@dataclass(frozen=True)
class Domain:
    """One data set: its classes, its painter, its number of scenes, and how noisy its camera is."""

    classes: Sequence[str]
    paint: Callable[[np.random.Generator], Canvas]
    n_train: int
    n_test: int = 80
    noise: float = 0.03
    gain: tuple[float, float] = (0.7, 1.1)  # of the light


DOMAINS = {
    "rooms": Domain(ROOMS, rooms, 600),
    "signs": Domain(("ground", *SHAPES), signs_on_ground, 150),
    "signs_more": Domain(("ground", *SHAPES), signs_on_ground, 600),
    "shadows": Domain(("light", "shadow"), shadows, 400),
    "things": Domain(("ground", *LETTERS, *PICTOGRAMS), things, 600),
    "figures": Domain(("ground", "head", "body", "arms", "legs", "feet"), figures, 400),
    "roads": Domain(tuple(ROADS.looks), ROADS, 120, noise=0.06),
    "drives": Domain(tuple(DRIVES.looks), DRIVES, 320, gain=(0.4, 0.8)),
    "street": Domain(tuple(STREET.looks), STREET, 60, 200),
}
NAMES = tuple(DOMAINS)


def generate(name: str, split: str, n: int | None = None) -> Scenes:
    """Draw one split of a domain, or its first ``n`` scenes; the bytes depend on name and split alone.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    train_test.check(name, DOMAINS, split)
    domain, rng = DOMAINS[name], generator(name, split)
    images, masks = [], []
    for _ in range(domain.n_train if split == "train" else domain.n_test)[:n]:
        canvas = domain.paint(rng)
        light = rng.uniform(*domain.gain) * rng.uniform(0.9, 1.1, 3)
        seen = light * canvas.image + domain.noise * rng.standard_normal(canvas.image.shape)
        images.append(np.rint(255 * seen.clip(0, 1)).astype(np.uint8).transpose(2, 0, 1))
        masks.append(canvas.mask)
    images = np.ascontiguousarray(np.stack(images))  # (n, 3, 48, 48)
    return Scenes(name, split, images, np.stack(masks), tuple(domain.classes))


@lru_cache(maxsize=16)
def load(name: str, split: str) -> Scenes:
    """What `generate` gives, drawn once and then read from the cache."""
    code = fingerprint.of(__name__)
    return train_test.cached(Scenes, f"scenes-{name}", name, split, lambda: generate(name, split), code=code)
