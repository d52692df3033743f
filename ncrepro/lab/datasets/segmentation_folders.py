"""The paper's segmentation data sets, read from the folders that their archives unpack to.

=========== ======= ============================================================================= ======================
ade20k      150     ``ADEChallengeData2016/{images,annotations}/{training,validation}``           test is validation
voc2012     21      ``VOCdevkit/VOC2012`` (torchvision)                                           test is val
voc_aug     21      ``benchmark_RELEASE/dataset``, the Semantic Boundaries Dataset (torchvision)  test is val
sbu_shadow  2       ``SBU-shadow/{SBUTrain4KRecoveredSmall,SBU-Test}/{ShadowImages,ShadowMasks}``
coco        21      ``coco/{train,val}2017``, ``coco/annotations``: VOC's classes, no crowds      test is val
lip         20      ``LIP/TrainVal_images``, ``LIP/TrainVal_parsing_annotations``                 test is val
kitti       19      ``data_semantics/training/{image_2,semantic}``                                test is every fifth
camvid      31      ``CamVid/{701_StillsRaw_full,LabeledApproved_full}``, ``label_colors.txt``    test is Seq05VD
cityscapes  19      ``cityscapes/{leftImg8bit,gtFine}`` (torchvision)                             test is val
=========== ======= ============================================================================= ======================

All folders lie below `paths.downloads`. Training images are scaled by 0.5 to 2, cropped to 480 x 480
pixels and flipped at random; for tests and features the shorter side is scaled to 480 and the middle is taken.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision import datasets as torchvision_datasets
from torchvision.models.segmentation import FCN_ResNet50_Weights
from torchvision.transforms import v2
from torchvision.tv_tensors import Mask

from ...extraction.decode import FORMATS
from ...extraction.folders import is_hidden
from ...store import paths
from ...store.file_digests import of_data
from . import train_test, unpacked_folders
from .scenes import IGNORE

SIZE = 480  # pixels, height and width of what a network sees

_FRAMING = {  # augmented or not -> what is done to an image and to its mask
    True: v2.Compose([
        v2.ScaleJitter((SIZE, SIZE), (0.5, 2.0)),
        v2.RandomCrop(SIZE, pad_if_needed=True, fill={Mask: IGNORE, "others": 0}),
        v2.RandomHorizontalFlip(),
    ]),
    False: v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE)]),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Folder:
    """Images with a label for every pixel, read when they are asked for.

    Parameters
    ----------
    name : str
    split : {"train", "test"}
    pairs : sequence of (image, mask)
        PIL images, or an image and an array; the mask as it is stored.
    decode : callable
        Stored mask -> (height, width) uint8, 0 to K - 1 or ``IGNORE``.
    classes : tuple of K str
    is_augmented : bool
        Whether images are scaled, cropped and flipped at random.
    indices : range, optional
        The pairs that count; None takes all.
    """

    name: str
    split: str
    pairs: Sequence
    decode: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...]
    is_augmented: bool = False
    indices: range | None = None

    loaders = 4  # processes that read it

    def __len__(self) -> int:
        return len(self.pairs) if self.indices is None else len(self.indices)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Image (3, 480, 480), uint8, and mask (480, 480), int64."""
        if i >= len(self):
            raise IndexError(i)
        image, mask = self.pairs[i]
        label = Mask(torch.from_numpy(self.decode(np.asarray(mask)))[None])  # (1, height, width)
        image, label = _FRAMING[self.is_augmented](v2.functional.to_image(image.convert("RGB")), label)
        return image.as_subclass(Tensor), label[0].as_subclass(Tensor).long()

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def limited(self, n: int) -> Folder:
        """The first ``n`` images."""
        return replace(self, indices=range(min(n, len(self))))

    def augmented(self) -> Folder:
        """The same images, scaled, cropped and flipped at random."""
        return replace(self, is_augmented=True)


# What the archives hold -----------------------------------------------------------------------------------------------


class Pairs(Sequence):
    """Images of one folder and the masks of another, in the order of their names."""

    def __init__(
        self,
        images: Path,
        masks: Path,
        mask_name: str = "{}.png",
        keep: Callable[[int, str], bool] = lambda i, name: True,
    ):
        found = sorted(
            path for path in images.iterdir() if path.suffix in (".jpg", ".png") and not is_hidden(path.name)
        )
        self.images = [path for i, path in enumerate(found) if keep(i, path.stem)]
        self.masks = [masks / mask_name.format(path.stem) for path in self.images]
        missing = [path for path in self.masks if not path.exists()]
        if missing:
            raise FileNotFoundError(f"{len(missing)} of {len(self.masks)} masks are missing, the first is {missing[0]}")
        if not self.images:
            raise FileNotFoundError(f"{images} has no .jpg or .png of this split")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int):
        return tuple(Image.open(path, formats=FORMATS) for path in (self.images[i], self.masks[i]))


class CocoMasks(Sequence):
    """COCO's photographs with their outlined objects of VOC's classes painted into a mask; crowds are left out."""

    # COCO's number of each of VOC's classes, in VOC's order
    NUMBERS = (5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)

    def __init__(self, folder: Path, part: str):
        written = json.loads((folder / "annotations" / f"instances_{part}2017.json").read_text())
        label = {number: i for i, number in enumerate(self.NUMBERS, 1)}
        self.objects = defaultdict(list)
        for entry in written["annotations"]:
            if entry["category_id"] in label and not entry["iscrowd"]:
                self.objects[entry["image_id"]].append((label[entry["category_id"]], entry["segmentation"]))
        shown = [entry for entry in written["images"] if entry["id"] in self.objects]
        self.images = [(folder / f"{part}2017" / entry["file_name"], entry["id"]) for entry in shown]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int):
        path, number = self.images[i]
        image = Image.open(path, formats=FORMATS)
        mask = Image.new("L", image.size)
        pen = ImageDraw.Draw(mask)
        for label, outlines in self.objects[number]:
            for outline in outlines:
                pen.polygon(outline, fill=label)
        return image, mask


def _open_lip(folder: Path, part: str) -> Pairs:
    images, masks = folder / "TrainVal_images", folder / "TrainVal_parsing_annotations"
    return Pairs(images / f"{part}_images", masks / f"{part}_segmentations")


def _open_kitti(folder: Path, part: str) -> Pairs:
    """The benchmark does not publish the labels of its test images, so every fifth training image is used for tests."""
    training = folder / "training"
    return Pairs(training / "image_2", training / "semantic", keep=lambda i, name: (i % 5 == 4) == (part == "test"))


def _open_camvid(folder: Path, part: str) -> Pairs:
    images, masks = folder / "701_StillsRaw_full", folder / "LabeledApproved_full"
    return Pairs(images, masks, "{}_L.png", lambda i, name: name.startswith("Seq05VD") == (part == "test"))


def _open_cityscapes(folder: Path, part: str):
    found = torchvision_datasets.Cityscapes(folder, part, "fine", "semantic")
    found.images.sort()  # it lists them in the file system's order
    found.targets.sort()
    return found


# What their masks mean ------------------------------------------------------------------------------------------------


def _table(label_of: dict[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Stored value -> label; any other value is ignored."""
    table = np.full(256, IGNORE, np.uint8)
    table[list(label_of)] = list(label_of.values())
    return lambda mask: table[mask]


def _camvid_colours(folder: Path) -> tuple[tuple[str, ...], Callable[[np.ndarray], np.ndarray]]:
    """Classes of ``label_colors.txt`` without Void, and the decoder of masks (height, width, 3) in their colours."""
    rows = [line.split(maxsplit=3) for line in (folder / "label_colors.txt").read_text().splitlines() if line.strip()]
    code_of = {name.strip(): int(r) << 16 | int(g) << 8 | int(b) for r, g, b, name in rows if name.strip() != "Void"}
    codes = np.array(sorted(code_of.values()))
    labels = np.array([list(code_of.values()).index(code) for code in codes], np.uint8)

    def decode(mask: np.ndarray) -> np.ndarray:
        code = mask[..., :3].astype(np.int64) @ [1 << 16, 1 << 8, 1]  # (height, width)
        at = np.searchsorted(codes, code).clip(max=len(codes) - 1)
        return np.where(codes[at] == code, labels[at], IGNORE).astype(np.uint8)

    return tuple(code_of), decode


VOC = ("background", *FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"][1:])
LIP = (
    "background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks", "trousers",
    "jumpsuit", "scarf", "skirt", "face", "left arm", "right arm", "left leg", "right leg", "left shoe", "right shoe",
)  # fmt: skip
_EVALUATED = [entry for entry in torchvision_datasets.Cityscapes.classes if 0 <= entry.train_id < IGNORE]
_CITY = tuple(entry.name for entry in sorted(_EVALUATED, key=lambda entry: entry.train_id))
_city_labels = _table({entry.id: entry.train_id for entry in _EVALUATED})
_voc_labels = _table({k: k for k in range(len(VOC))})


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk."""

    folder: str  # below the place of downloaded data
    url: str
    open: Callable[[Path, str], Sequence]  # (folder, which of ``parts``) -> pairs of an image and its mask
    classes: tuple[str, ...] = ()
    decode: Callable[[np.ndarray], np.ndarray] | None = None
    parts: tuple[str, str] = ("train", "val")  # what its files call what is train and test here


LAYOUTS = {
    "ade20k": Layout(
        "ADEChallengeData2016", "http://sceneparsing.csail.mit.edu",
        lambda folder, part: Pairs(folder / "images" / part, folder / "annotations" / part),
        tuple(f"class {k + 1}" for k in range(150)), _table({k + 1: k for k in range(150)}), ("training", "validation"),
    ),
    "voc2012": Layout(
        "VOCdevkit/VOC2012", "http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
        lambda folder, part: torchvision_datasets.VOCSegmentation(folder.parents[1], "2012", part), VOC, _voc_labels,
    ),
    "voc_aug": Layout(
        "benchmark_RELEASE/dataset", "http://home.bharathh.info/pubs/codes/SBD",
        lambda folder, part: torchvision_datasets.SBDataset(folder, part, "segmentation"), VOC, _voc_labels,
    ),
    "sbu_shadow": Layout(
        "SBU-shadow", "https://www3.cs.stonybrook.edu/~cvl/projects/shadow_noisy_label",
        lambda folder, part: Pairs(folder / part / "ShadowImages", folder / part / "ShadowMasks"),
        ("light", "shadow"), lambda mask: (mask > 127).astype(np.uint8), ("SBUTrain4KRecoveredSmall", "SBU-Test"),
    ),
    "coco": Layout("coco", "https://cocodataset.org", CocoMasks, VOC, _voc_labels),
    "lip": Layout("LIP", "http://sysu-hcp.net/lip", _open_lip, LIP, _table({k: k for k in range(len(LIP))})),
    "kitti": Layout(
        "data_semantics", "https://www.cvlibs.net/datasets/kitti/eval_semseg.php?benchmark=semantics2015", _open_kitti,
        _CITY, _city_labels, train_test.SPLITS,
    ),
    "camvid": Layout(
        "CamVid", "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid", _open_camvid, parts=train_test.SPLITS
    ),
    "cityscapes": Layout("cityscapes", "https://www.cityscapes-dataset.com", _open_cityscapes, _CITY, _city_labels),
}  # fmt: skip
NAMES = tuple(LAYOUTS)


def content(name: str) -> dict[str, str | None]:
    """What is in the data set's folder."""
    return of_data(paths.downloads() / LAYOUTS[name].folder)


def load(name: str, split: str) -> Folder:
    """One split of a downloaded data set.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    split : {"train", "test"}

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    FileNotFoundError
        If its folder, or part of it, is not there; the message says what, and where to get it.
    """
    train_test.check(name, LAYOUTS, split)
    layout = LAYOUTS[name]
    folder = unpacked_folders.require(layout.folder, name, layout.url)
    try:
        classes, decode = _camvid_colours(folder) if name == "camvid" else (layout.classes, layout.decode)
        pairs = layout.open(folder, layout.parts[train_test.SPLITS.index(split)])
    except (FileNotFoundError, RuntimeError) as error:  # torchvision's data sets raise either
        raise FileNotFoundError(f"{name} is incomplete: {error}; unpack all of it, from {layout.url}") from error
    return Folder(name, split, pairs, decode, classes)
