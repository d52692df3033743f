"""The real images that scikit-learn brings: handwritten digits, and two photographs."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image

from ....extraction.samples import Images
from .drawing import SIZE, Painter, generator


def digits(split: str, per_class: int = 20) -> Images:
    """Scanned digits (8 x 8 pixels), enlarged; ``per_class`` of each in train, the others in test."""
    from sklearn.datasets import load_digits  # here, so that processes that only train do not wait for scikit-learn

    scans, labels = load_digits(return_X_y=True)
    order = generator("digits", "both").permutation(len(labels))
    scans, labels = scans[order].reshape(-1, 8, 8), labels[order].astype(np.int64)
    pixels = np.rint(scans * 255 / 16).astype(np.uint8)  # (n, 8, 8)
    large = np.stack([np.asarray(Image.fromarray(p).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for p in pixels])
    both = Images("digits", split, np.repeat(large[:, None], 3, axis=1), labels, tuple("0123456789"))
    train = np.zeros(len(both), bool)
    for k in range(both.n_classes):
        train[np.flatnonzero(labels == k)[:per_class]] = True
    return both.take(train if split == "train" else ~train)


def patch(rng: np.random.Generator, region: Image.Image) -> np.ndarray:
    """Cut out a square of 32 to 48 pixels, as (32, 32, 3) in 0..1."""
    side = rng.uniform(SIZE, 1.5 * SIZE)
    x, y = rng.uniform(0, np.subtract(region.size, side))
    return np.asarray(region.resize((SIZE, SIZE), Image.Resampling.BILINEAR, (x, y, x + side, y + side))) / 255


def regions(split: str, rows: int = 2, columns: int = 3) -> dict[str, Painter]:
    """One class per tile of a photograph: train has the left three quarters of the tile, test the rest."""
    from sklearn.datasets import load_sample_image

    classes = {}
    for name in ("china", "flower"):
        photograph = Image.fromarray(load_sample_image(f"{name}.jpg"))
        width, height = photograph.width // columns, photograph.height // rows
        cut = 3 * width // 4
        left, right = (0, cut) if split == "train" else (cut, width)
        for row, column in np.ndindex(rows, columns):
            x, y = column * width, row * height
            region = photograph.crop((x + left, y, x + right, y + height))
            classes[f"{name} {row + 1}.{column + 1}"] = partial(patch, region=region)
    return classes
