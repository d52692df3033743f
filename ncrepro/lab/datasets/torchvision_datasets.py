"""The papers' data sets, as torchvision reads them: what each is, which of its images are used, and how to get it.

Every data set lies below one folder (``NCREPRO_DATA``, else ``data/cache/downloads``), laid out as torchvision lays it
out, so that what was downloaded with torchvision is found. What is not there is downloaded, checked by its MD5 and
unpacked; an archive put into ``archives/`` by hand is taken instead of a download.

``split="released"`` takes those images that NCTI's released code used, as far as it is known; ``split="trainval"`` all
that the data set has for training and validation. Neither contains test images.
"""

import fcntl
import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision.datasets as tv
from torchvision.datasets.utils import extract_archive
from torchvision.models import ResNet50_Weights
from torchvision.models.segmentation import FCN_ResNet50_Weights

from ...extraction import folders
from ...extraction.folders import Photos
from ...store import artifacts, paths
from ...store.file_digests import of_data
from ...store.schema import refuse_unknown, unknown
from ...store.trace import is_there
from ..recipes import IMAGENET

FOLDER = "folder/"  # ``folder/NAME``: images of your own, in NAME/train/CLASS/ and NAME/test/CLASS/
SPLITS = ("released", "trainval")
NINE_TENTHS = ("cifar10", "cifar100")  # of whose training images the released code used 90 %
Reader = Callable[[Path, str, str], Photos]  # (root, name, "train" or "test") -> all images of that split


@dataclass(frozen=True)
class Archive:
    """A file to be downloaded, and where it is unpacked (or put, if it is no archive)."""

    url: str
    md5: str
    to: str = "."

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Entry:
    """What is known of a data set before it is there."""

    title: str
    read: Reader
    n_classes: int
    n_train: int  # images for training and validation
    n_test: int
    megabytes: int  # of the download
    marker: str  # a path that exists if the data set is there
    licence: str
    page: str
    archives: tuple[Archive, ...] = ()  # none: the official download is gone
    by_hand: str = ""  # then: what to put where
    measure: str = "accuracy"
    flip: bool = True

    @property
    def there(self) -> bool:
        """Whether the data set is in its place."""
        return is_there(paths.downloads() / self.marker)


def names() -> tuple[str, ...]:
    """Every name that `load` knows, but for those of your own folders."""
    return (IMAGENET, *ENTRIES)


def load(name: str, part: str = "train", split: str = "trainval", max_per_class: int | None = None) -> Photos:
    """One data set's images for training or for testing.

    Parameters
    ----------
    name : str
        One of `names`, or ``folder/NAME`` for a folder of your own.
    part : {"train", "test"}
    split : {"released", "trainval"}
        Which images ``train`` means. The two differ for CIFAR only, where the released code used 45,000 of 50,000;
        ``samples`` says which are used.
    max_per_class : int, optional
        At most so many images of each class.

    Raises
    ------
    ValueError
        If the name or a split is unknown, or files of the data set are missing or too many.
    OSError
        If it is not there and cannot be downloaded; the message says what to put where.
    """
    for kind, given, known in (("part", part, ("train", "test")), ("split", split, SPLITS)):
        refuse_unknown(kind, given, known)
    if name == IMAGENET:
        return Unshown(name, part)
    if name.startswith(FOLDER):
        photos = folders.tree(paths.downloads() / name.removeprefix(FOLDER), name, part)
    else:
        photos = _of_entry(name, part, split)
    return photos if max_per_class is None else photos.limited(max_per_class)


def content(name: str) -> dict[str, str | None]:
    """What is in a folder of your own; a published archive is checked by its MD5 when it is unpacked."""
    return of_data(paths.downloads() / name.removeprefix(FOLDER)) if name.startswith(FOLDER) else {}


def _of_entry(name: str, part: str, split: str) -> Photos:
    if name not in ENTRIES:
        raise ValueError(unknown("data set", name, names()) + f"; for a folder of your own write {FOLDER}NAME")
    entry = ENTRIES[name]
    fetch(name)
    try:
        photos = entry.read(paths.downloads(), name, part)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:  # torchvision's, of an incomplete folder
        raise ValueError(f"{name} is incomplete or damaged ({str(error).splitlines()[0]}): {_remedy(entry)}") from None
    expected = entry.n_train if part == "train" else entry.n_test
    n_images = len(photos) if photos.present is None else len({str(source) for source in photos.sources})
    if n_images != expected or photos.n_classes != entry.n_classes:
        raise ValueError(
            f"{name}, {part}: {n_images:,} images of {photos.n_classes} classes, it should have {expected:,} of "
            f"{entry.n_classes}: {_remedy(entry)}"
        )
    missing = [file for file in photos.sources if isinstance(file, Path) and not file.exists()]
    if missing:
        raise ValueError(f"{name}: {len(missing)} images are missing, the first is {missing[0]}: {_remedy(entry)}")
    photos = replace(photos, measure=entry.measure, flip=entry.flip)
    if part == "train" and split == "released" and name in NINE_TENTHS:
        kept = np.sort(np.random.default_rng(0).permutation(len(photos))[: len(photos) * 9 // 10])
        samples = f"{len(kept):,} of the {len(photos):,} training images (drawn with seed 0)"
        photos = replace(photos.take(kept), samples=samples)
    return photos


def _remedy(entry: Entry) -> str:
    if not entry.archives:
        return f"{entry.by_hand} (in {paths.downloads()})"
    return f"remove {paths.downloads() / Path(entry.marker).parts[0]}, and it is downloaded again"


class Unshown(Photos):
    """ImageNet-1k, of which only the classes are known here: the weights are published, its images are not needed."""

    def __init__(self, name: str, part: str):
        classes = tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
        blank = np.full((len(classes), 1, 1, 3), 255, dtype=np.uint8)
        super().__init__(name, part, blank, np.arange(len(classes)), classes, "not read: the weights are published")

    def __len__(self) -> int:
        return {"train": 1_281_167, "test": 50_000}[self.split]


# Getting it -----------------------------------------------------------------------------------------------------------


def unobtainable(targets: tuple[str, ...]) -> dict[str, str]:
    """Of these data sets, those that are neither there nor downloadable, and what to put where to have them."""
    missing = {name: ENTRIES[name] for name in targets if name in ENTRIES and not ENTRIES[name].archives}
    return {name: _remedy(entry) for name, entry in missing.items() if not entry.there}


def fetch(name: str) -> None:
    """Download, check and unpack a data set, unless it is there.

    Raises
    ------
    FileNotFoundError
        If the official download is gone.
    OSError
        If a download fails.
    ValueError
        If an archive is damaged or only half there.
    """
    entry, root = ENTRIES[name], paths.downloads()
    if entry.there:
        return
    if not entry.archives:
        raise FileNotFoundError(f"{name}: the official download is gone; {_remedy(entry)}")
    root.mkdir(parents=True, exist_ok=True)
    with open(artifacts.plain_file(root / ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process at a time gets data sets; the others wait here
        if entry.there:
            return  # another process was faster
        unpacked = root / f".{name}.unpacking"
        shutil.rmtree(unpacked, ignore_errors=True)
        for archive in entry.archives:
            _unpack(archive, root / "archives" / archive.name, unpacked / archive.to)
        shutil.copytree(unpacked, root, copy_function=shutil.move, dirs_exist_ok=True)
        shutil.rmtree(unpacked)
        for archive in entry.archives:
            (root / "archives" / archive.name).unlink()


def _unpack(archive: Archive, file: Path, to: Path) -> None:
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        try:
            torch.hub.download_url_to_file(archive.url, str(file))
        except OSError as error:
            raise OSError(f"could not download {archive.url} ({error}): put it at {file} by hand") from None
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != archive.md5:
        raise ValueError(
            f"{file} is damaged or only half there: its MD5 is {digest}, it should be {archive.md5}; remove it, and "
            "it is downloaded again"
        )
    to.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".mat":
        shutil.copy(file, to)
        return
    try:
        extract_archive(str(file), str(to))
        for inner in to.glob("*/101_ObjectCategories.tar.gz"):  # Caltech's archive holds archives
            extract_archive(str(inner), str(to))
            shutil.rmtree(inner.parent)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be unpacked ({error}): remove it, and it is downloaded again") from None


# Reading it -----------------------------------------------------------------------------------------------------------


def _official(part: str, train: str = "train") -> str:
    return f"the official {train if part == 'train' else part} split"


def _by_split(
    root: Path,
    name: str,
    part: str,
    kind: Callable,
    train: tuple[str, ...] = ("train",),
    note: str = "",
    classes: tuple[str, ...] = (),
) -> Photos:
    """A ``kind`` of torchvision's that is made for one split at a time; ``train`` are those with images to train on."""
    data = [kind(root, split) for split in (train if part == "train" else (part,))]
    items = [item for one in data for item in _items(one)]
    files, labels = [Path(file) for file, _ in items], np.array([k for _, k in items], dtype=np.int64)
    samples = _official(part, " and ".join(train)) + note
    return Photos(name, part, files, labels, tuple(classes or data[0].classes), samples)


def _items(data: tv.VisionDataset) -> list[tuple[str | Path, int]]:
    """Files and their labels, which torchvision's classes keep in pairs or in two lists."""
    kept = vars(data)
    if "_labels" not in kept:
        return kept["samples"] if "samples" in kept else kept["_samples"]
    files = kept["_image_files"] if "_image_files" in kept else kept["_images"]
    return list(zip(files, kept["_labels"], strict=True))


def _caltech101(root: Path, name: str, part: str, per_class: int = 30) -> Photos:
    data = tv.Caltech101(root)
    folder, draws, sources, labels = Path(data.root) / "101_ObjectCategories", np.random.default_rng(0), [], []
    for k, category in enumerate(data.categories):
        files = sorted((folder / category).glob("*.jpg"))
        order = draws.permutation(len(files))
        n_train = min(per_class, len(files) - 1)
        chosen = np.sort(order[:n_train] if part == "train" else order[n_train:])
        sources += [files[i] for i in chosen]
        labels += [k] * len(chosen)
    train = f"{per_class} images of each class, drawn with seed 0"
    samples = (train if part == "train" else f"all but {train}") + "; without the background class"
    return Photos(name, part, sources, np.array(labels), tuple(data.categories), samples)


def _cifar(root: Path, name: str, part: str) -> Photos:
    data = {"cifar10": tv.CIFAR10, "cifar100": tv.CIFAR100}[name](root, train=part == "train")
    return Photos(name, part, data.data, np.array(data.targets), tuple(data.classes), _official(part))


def _stl10(root: Path, name: str, part: str) -> Photos:
    data = tv.STL10(root, part)
    pixels, labels = data.data.transpose(0, 2, 3, 1), data.labels.astype(np.int64)
    return Photos(name, part, pixels, labels, tuple(data.classes), _official(part))


def _sun397(root: Path, name: str, part: str) -> Photos:
    folder = root / "SUN397"
    classes = (folder / "ClassName.txt").read_text().split()  # /a/abbey
    listed = (folder / {"train": "Training_01.txt", "test": "Testing_01.txt"}[part]).read_text().split()
    position = {title: k for k, title in enumerate(classes)}
    labels = np.array([position[line.rsplit("/", 1)[0]] for line in listed])
    files = [folder / line.removeprefix("/") for line in listed]
    return Photos(name, part, files, labels, tuple(k[3:] for k in classes), _official(part) + ", partition 1")


def _svhn(root: Path, name: str, part: str) -> Photos:
    data = tv.SVHN(root / "svhn", part)
    return Photos(name, part, data.data.transpose(0, 2, 3, 1), data.labels, tuple("0123456789"), _official(part))


def _voc2007(root: Path, name: str, part: str) -> Photos:
    """An image shows a class if an object of it is annotated and not "difficult"; if all are difficult, these count."""
    official = "trainval" if part == "train" else part
    data = tv.VOCDetection(root, "2007", official)
    lists = root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    written = [(lists / f"{k}_{official}.txt").read_text().splitlines() for k in VOC_CLASSES]
    marks = np.array([[int(line.split()[1]) for line in lines] for lines in written]).T  # (n, 20)
    present = marks == marks.max(axis=1, keepdims=True)  # 1 shown, 0 difficult, -1 not shown
    samples = (
        f"the official {official} split, label: the first class shown, in alphabetical order (arg max, as released)"
    )
    files = [Path(file) for file in data.images]
    return Photos(name, part, files, present.argmax(axis=1), VOC_CLASSES, samples, present)


def _voc2007_multilabel(root: Path, name: str, part: str) -> Photos:
    """For training, each image once for every class it shows; for testing, once."""
    photos = _voc2007(root, name, part)
    if part == "test":
        return photos
    images, labels = np.nonzero(photos.present)
    samples = "the official trainval split, each image once for every class it shows"
    return replace(photos.take(images), labels=labels, samples=samples)


# What there is --------------------------------------------------------------------------------------------------------

VOC_CLASSES = tuple(FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"][1:])  # without background
_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_CALTECH101 = "https://data.caltech.edu/records/mzrjq-6wc02"
_CIFAR = "https://www.cs.toronto.edu/~kriz"
_CUB = "https://data.caltech.edu/records/65de6-vp158"
_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_SVHN = "http://ufldl.stanford.edu/housenumbers"
_PASCAL = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007"
_VOC = Entry(
    "PASCAL VOC 2007", _voc2007, 20, 5_011, 4_952, 911, "VOCdevkit/VOC2007", "Flickr's terms of use",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
    (Archive(f"{_PASCAL}/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
     Archive(f"{_PASCAL}/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f")),
    measure="map",
)  # fmt: skip

ENTRIES: dict[str, Entry] = {
    "aircraft": Entry(
        "FGVC Aircraft", partial(_by_split, kind=tv.FGVCAircraft, train=("trainval",), note=", by variant"),
        100, 6_667, 3_333, 2_750, "fgvc-aircraft-2013b", "non-commercial research", f"{_VGG}/fgvc-aircraft/",
        (Archive(f"{_VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz", "d4acdd33327262359767eeaa97a4f732"),),
        measure="mean_per_class",
    ),
    "caltech101": Entry(
        "Caltech 101", _caltech101, 101, 3_030, 5_647, 137, "caltech101/101_ObjectCategories", "CC BY 4.0", _CALTECH101,
        (Archive(f"{_CALTECH101}/files/caltech-101.zip", "3138e1922a9193bfa496528edbbc45d0", "caltech101"),),
        measure="mean_per_class",
    ),
    "cars": Entry(
        "Stanford Cars", partial(_by_split, kind=tv.StanfordCars), 196, 8_144, 8_041, 1_957, "stanford_cars/devkit",
        "non-commercial research", "https://github.com/pytorch/vision/issues/7545",
        by_hand="put stanford_cars/cars_train/*.jpg, stanford_cars/cars_test/*.jpg, stanford_cars/devkit/*.mat and "
        "stanford_cars/cars_test_annos_withlabels.mat there; https://github.com/pytorch/vision/issues/7545 names "
        "copies",
    ),
    "cifar10": Entry(
        "CIFAR-10", _cifar, 10, 50_000, 10_000, 171, "cifar-10-batches-py", "none stated; cite Krizhevsky, 2009",
        f"{_CIFAR}/cifar.html", (Archive(f"{_CIFAR}/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
    ),
    "cifar100": Entry(
        "CIFAR-100", _cifar, 100, 50_000, 10_000, 169, "cifar-100-python", "none stated; cite Krizhevsky, 2009",
        f"{_CIFAR}/cifar.html", (Archive(f"{_CIFAR}/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
    ),
    "country211": Entry(
        "Country211", partial(_by_split, kind=tv.Country211, train=("train", "valid")), 211, 42_200, 21_100, 11_345,
        "country211", "Creative Commons, by image", "https://github.com/openai/CLIP/blob/main/data/country211.md",
        (Archive("https://openaipublic.azureedge.net/clip/data/country211.tgz", "84988d7644798601126c29e9877aab6a"),),
    ),
    "cub": Entry(
        "Caltech-UCSD Birds 200-2011", lambda root, name, part: folders.cub(root / "CUB_200_2011", name, part),
        200, 5_994, 5_794, 1_151, "CUB_200_2011", "non-commercial research", _CUB,
        (Archive(f"{_CUB}/files/CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"),),
    ),
    "dtd": Entry(
        "Describable Textures", partial(_by_split, kind=tv.DTD, train=("train", "val"), note=", partition 1"),
        47, 3_760, 1_880, 625, "dtd/dtd", "research", f"{_VGG}/dtd/",
        (Archive(f"{_VGG}/dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1", "dtd"),),
    ),
    "flowers": Entry(
        "Oxford 102 Flowers", partial(_by_split, kind=tv.Flowers102, train=("train", "val")), 102, 2_040, 6_149, 345,
        "flowers-102/jpg", "none stated", f"{_VGG}/flowers/102/",
        (Archive(f"{_VGG}/flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", "flowers-102"),
         Archive(f"{_VGG}/flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", "flowers-102"),
         Archive(f"{_VGG}/flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", "flowers-102")),
        measure="mean_per_class",
    ),
    "food": Entry(
        "Food-101", partial(_by_split, kind=tv.Food101), 101, 75_750, 25_250, 4_996, "food-101",
        "scientific fair use; images of foodspotting.com",
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        (Archive("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "85eeb15f3717b99a5da872d97d918f87"),),
    ),
    "gtsrb": Entry(  # whose signs have numbers only
        "German Traffic Sign Recognition Benchmark",
        partial(_by_split, kind=tv.GTSRB, classes=tuple(f"{k:02d}" for k in range(43))),
        43, 26_640, 12_630, 277, "gtsrb/GTSRB", "none stated", "https://benchmark.ini.rub.de/gtsrb_dataset.html",
        (Archive(f"{_GTSRB}/GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478", "gtsrb"),
         Archive(f"{_GTSRB}/GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", "gtsrb"),
         Archive(f"{_GTSRB}/GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", "gtsrb")),
        flip=False,
    ),
    "pets": Entry(
        "Oxford-IIIT Pets", partial(_by_split, kind=tv.OxfordIIITPet, train=("trainval",)), 37, 3_680, 3_669, 811,
        "oxford-iiit-pet/images", "CC BY-SA 4.0", f"{_VGG}/pets/",
        (Archive(f"{_VGG}/pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", "oxford-iiit-pet"),
         Archive(f"{_VGG}/pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", "oxford-iiit-pet")),
        measure="mean_per_class",
    ),
    "stl10": Entry(
        "STL-10", _stl10, 10, 5_000, 8_000, 2_640, "stl10_binary", "none stated; images from ImageNet",
        "https://cs.stanford.edu/~acoates/stl10/",
        (Archive("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb"),),
    ),
    "sun397": Entry(
        "SUN397", _sun397, 397, 19_850, 19_850, 39_000, "SUN397", "research",
        "https://github.com/pytorch/vision/issues/9348",
        by_hand="put SUN397/ClassName.txt, SUN397/a/abbey/*.jpg ... and, from Partitions.zip, SUN397/Training_01.txt "
        "and SUN397/Testing_01.txt there; https://github.com/pytorch/vision/issues/9348 follows the search for copies",
    ),
    "svhn": Entry(
        "Street View House Numbers", _svhn, 10, 73_257, 26_032, 246, "svhn", "non-commercial research",
        f"{_SVHN}/",
        (Archive(f"{_SVHN}/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", "svhn"),
         Archive(f"{_SVHN}/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", "svhn")),
        flip=False,
    ),
    "voc2007": _VOC,
    "voc2007_multilabel": replace(_VOC, title="PASCAL VOC 2007, all labels", read=_voc2007_multilabel),
}  # fmt: skip
