"""Real photographs of 32 x 32 pixels: CIFAR-100 as sources and targets that share no class, CIFAR-10 as a sixth target.

CIFAR-100 comes in twenty superclasses of five; `THEMES` puts them into five themes of four. In each superclass, sorted
by name, the classes at positions 1 and 3, or 0, 2 and 4, belong to the theme's target, the others to its source. So a
theme has a target of ten classes, named after it, and a source of ten, ``<theme>_source``; ``all_themes`` is the five
sources together.

The images are looked for below `paths.downloads` as folders, ``cifar100/train/apple/*`` and so on; where there are
none, torchvision's files are read, and downloaded if need be.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd

from ...extraction.samples import Images
from ...store import artifacts, fingerprint, paths
from ...store.trace import is_there
from . import torchvision_datasets, train_test

# theme -> its superclasses, as a list of classes in alphabetical order, and the positions of those that are targets
_FEW, _MANY = (1, 3), (0, 2, 4)
THEMES: dict[str, list[tuple[str, tuple[int, ...]]]] = {
    "mammals": [
        ("bear leopard lion tiger wolf", _FEW), ("fox porcupine possum raccoon skunk", _FEW),
        ("camel cattle chimpanzee elephant kangaroo", _MANY), ("hamster mouse rabbit shrew squirrel", _MANY),
    ],
    "aquatic": [
        ("beaver dolphin otter seal whale", _FEW), ("crab lobster snail spider worm", _FEW),
        ("aquarium_fish flatfish ray shark trout", _MANY), ("crocodile dinosaur lizard snake turtle", _MANY),
    ],
    "garden": [
        ("orchid poppy rose sunflower tulip", _FEW), ("maple_tree oak_tree palm_tree pine_tree willow_tree", _FEW),
        ("apple mushroom orange pear sweet_pepper", _MANY), ("bee beetle butterfly caterpillar cockroach", _MANY),
    ],
    "outdoor": [
        ("bicycle bus motorcycle pickup_truck train", _FEW), ("bridge castle house road skyscraper", _FEW),
        ("lawn_mower rocket streetcar tank tractor", _MANY), ("cloud forest mountain plain sea", _MANY),
    ],
    "home": [
        ("bottle bowl can cup plate", _FEW), ("bed chair couch table wardrobe", _FEW),
        ("clock keyboard lamp telephone television", _MANY), ("baby boy girl man woman", _MANY),
    ],
}  # fmt: skip
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _classes(theme: str, target: bool) -> tuple[str, ...]:
    return tuple(k for names, chosen in THEMES[theme] for i, k in enumerate(names.split()) if (i in chosen) == target)


_SOURCES = {f"{theme}_source": _classes(theme, target=False) for theme in THEMES}
_TARGETS = {theme: _classes(theme, target=True) for theme in THEMES}
# name -> archive, classes, images per class in train and in test (None: all)
SETS: dict[str, tuple[str, tuple[str, ...], int | None, int | None]] = {
    "all_themes": ("cifar100", tuple(chain(*_SOURCES.values())), None, None),
    **{name: ("cifar100", classes, None, None) for name, classes in _SOURCES.items()},
    **{name: ("cifar100", classes, 80, 100) for name, classes in _TARGETS.items()},
    "cifar10_subset": ("cifar10", CIFAR10_CLASSES, 100, 200),
}
NAMES = tuple(SETS)
ARCHIVES = ("cifar100", "cifar10")
# root mean square difference, of 16 x 16 pixels from 0 to 1, below which two images of a class are near-duplicates
ALIKE = 0.04


def load(name: str, split: str) -> Images:
    """One split of a data set in `NAMES`, (n, 3, 32, 32) uint8: read and divided once, then taken from the cache.

    The first call makes all of them, and writes two tables below ``data/photographs``: ``splits.csv`` says how many
    images of which origin each data set has, ``near_duplicates.csv`` which ones were left out.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    train_test.check(name, SETS, split)
    arrays = artifacts.load(_path(name, split), _spec(name, split))
    if arrays is None:
        _make_all()
        arrays = artifacts.load(_path(name, split), _spec(name, split))
    return Images(name, split, arrays["images"], arrays["labels"], tuple(arrays["classes"]))


def content(name: str) -> dict[str, str | None]:
    """Where the pixels of a data set come from, and a digest of the folder where it is one."""
    archive = SETS[name][0]
    folder = f"{torchvision_datasets.FOLDER}{archive}"
    return {"origin": origin(), **(torchvision_datasets.content(folder) if origin() == "image folders" else {})}


def origin() -> str:
    """Where the pixels come from: ``"image folders"`` or ``"torchvision"``."""
    return "image folders" if is_there(paths.downloads() / "cifar100" / "train") else "torchvision"


def near_duplicates(train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Pairs of images that differ by less than `ALIKE`: (train, test, difference), positions in the two.

    Parameters
    ----------
    train, test : ndarray of shape (n, 3, 32, 32), uint8
        Of one class. They are compared at 16 x 16 pixels, so that a pixel's shift or the noise of a JPEG counts little.
    """
    a, b = (_halved(images) for images in (train, test))  # (n, 768)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T  # (n_train, n_test)
    difference = np.sqrt(np.maximum(squared, 0) / a.shape[1])
    i, j = np.nonzero(difference < ALIKE)
    return pd.DataFrame({"train": i, "test": j, "difference": difference[i, j].round(4)})


def _halved(images: np.ndarray) -> np.ndarray:
    n = len(images)
    return images.reshape(n, 3, 16, 2, 16, 2).mean((3, 5)).reshape(n, -1) / 255


# Reading and dividing -------------------------------------------------------------------------------------------------


def _path(name: str, split: str):
    return paths.datasets() / f"photographs-{name}-{split}.safetensors"


def _spec(name: str, split: str) -> dict:
    return {"dataset": name, "split": split, "code": fingerprint.of(__name__), "content": content(name)}


def _make_all() -> None:
    rows, left_out = [], []
    for archive in ARCHIVES:
        train, test = (_read(archive, split) for split in ("train", "test"))
        kept, pairs = _apart(train, test)
        left_out.append(pairs)
        for name, (of, classes, n_train, n_test) in SETS.items():
            if of != archive:
                continue
            for split, images, n in (("train", train.take(kept), n_train), ("test", test, n_test)):
                chosen = _of_classes(images, classes, n, name)
                arrays = {"images": chosen.images, "labels": chosen.labels, "classes": chosen.classes}
                artifacts.save(_path(name, split), arrays, _spec(name, split))
                rows.append(
                    {"data_set": name, "split": split, "from": archive, "classes": len(classes), "images": len(chosen)}
                )
    _write("near_duplicates", pd.concat(left_out))
    _write("splits", pd.DataFrame(rows).assign(origin=origin()))


def _write(table: str, rows: pd.DataFrame) -> None:
    artifacts.write(paths.photographs() / f"{table}.csv", rows.to_csv(index=False, lineterminator="\n"))


def _read(archive: str, split: str) -> Images:
    name = f"{torchvision_datasets.FOLDER}{archive}" if origin() == "image folders" else archive
    photos = torchvision_datasets.load(name, split)
    pixels = np.stack([np.asarray(photos.image(i)) for i in range(len(photos))])  # (n, 32, 32, 3)
    return Images(archive, split, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), photos.labels, photos.classes)


def _apart(train: Images, test: Images) -> tuple[np.ndarray, pd.DataFrame]:
    """Which training images no test image of their class nearly repeats, and a table of the pairs that are too near."""
    tables, kept = [], np.ones(len(train), bool)
    for k, name in enumerate(train.classes):
        of_train, of_test = (np.flatnonzero(images.labels == k) for images in (train, test))
        found = near_duplicates(train.images[of_train], test.images[of_test])
        kept[of_train[found["train"]]] = False
        tables.append(found.assign(data_set=train.name, kind=name)[["data_set", "kind", "train", "test", "difference"]])
    return kept, pd.concat(tables).rename(columns={"kind": "class"})


def _of_classes(images: Images, classes: tuple[str, ...], per_class: int | None, name: str) -> Images:
    absent = [k for k in classes if k not in images.classes]
    if absent:
        raise ValueError(
            f"{images.name}, {images.split}: there are no images of {', '.join(absent)}; is the copy complete?"
        )
    position = {title: k for k, title in enumerate(classes)}
    labels = np.array([position.get(title, -1) for title in images.classes])[images.labels]
    chosen = Images(name, images.split, images.images[labels >= 0], labels[labels >= 0], classes)
    return chosen if per_class is None else chosen.limited(per_class)
