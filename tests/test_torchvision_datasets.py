"""Every data set of the paper's scale, on a few painted images in the layout in which it is published.

An image of class k is painted in shade 12 k + 6, so that a test can see whether image and label belong together.
"""

import hashlib
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from PIL import Image
from scipy.io import savemat

from ncrepro.extraction import folders
from ncrepro.lab.datasets import torchvision_datasets as datasets
from ncrepro.store import paths


def paint(path: Path, k: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (12 * k + 6,) * 3).save(path)


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def squares(labels: list[int], side: int) -> np.ndarray:
    """uint8 of shape (n, 3, side, side)."""
    return np.stack([np.full((3, side, side), 12 * k + 6, dtype=np.uint8) for k in labels])


# The layouts. Each takes the root, and returns the labels in the order in which they must come: train, test. ----------


def aircraft(root, patch):
    data = root / "fgvc-aircraft-2013b" / "data"
    write(data / "variants.txt", ["707-320", "A340-500", "DHC-1"])
    lists = {"trainval": [2, 0, 1, 0], "test": [1, 2, 0]}
    for split, labels in lists.items():
        write(
            data / f"images_variant_{split}.txt",
            [f"{split}{i} {['707-320', 'A340-500', 'DHC-1'][k]}" for i, k in enumerate(labels)],
        )
        for i, k in enumerate(labels):
            paint(data / "images" / f"{split}{i}.jpg", k)
    return lists["trainval"], lists["test"]


def caltech101(root, patch):
    place = root / "caltech101" / "101_ObjectCategories"
    for k, (name, n) in enumerate({"Faces": 33, "accordion": 31, "yin_yang": 32}.items()):
        for i in range(1, n + 1):
            paint(place / name / f"image_{i:04d}.jpg", k)
    paint(place / "BACKGROUND_Google" / "image_0001.jpg", 9)
    return [0] * 30 + [1] * 30 + [2] * 30, [0, 0, 0, 1, 2, 2]


def cars(root, patch):
    place, names = root / "stanford_cars", ["AM General Hummer", "Acura RL", "Acura TL"]
    lists = {"train": [1, 0, 2], "test": [2, 2, 0, 1]}
    (place / "devkit").mkdir(parents=True)
    savemat(place / "devkit" / "cars_meta.mat", {"class_names": np.array(names, dtype=object)})
    for split, labels in lists.items():
        rows = np.array(
            [(f"{i:05d}.jpg", k + 1) for i, k in enumerate(labels)], dtype=[("fname", object), ("class", object)]
        )
        file = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}[split]
        savemat(place / file, {"annotations": rows})
        for i, k in enumerate(labels):
            paint(place / f"cars_{split}" / f"{i:05d}.jpg", k)
    return lists["train"], lists["test"]


def cifar10(root, patch):
    return _cifar(root, patch, tv.CIFAR10, "labels", "label_names", 10, 8)


def cifar100(root, patch):
    return _cifar(root, patch, tv.CIFAR100, "fine_labels", "fine_label_names", 100, 40)


def _cifar(root, patch, kind, key, names, n_classes, per_file):
    place, made = root / kind.base_folder, {}
    place.mkdir()
    for part, files in (("train", kind.train_list), ("test", kind.test_list)):
        patch.setattr(kind, f"{part}_list", [[name, None] for name, _ in files])
        made[part] = []
        for name, _ in files:
            labels = [(len(made[part]) + 3 * i) % min(n_classes, 20) for i in range(per_file)]
            made[part] += labels
            (place / name).write_bytes(pickle.dumps({"data": squares(labels, 32).reshape(per_file, -1), key: labels}))
    patch.setattr(kind, "meta", {**kind.meta, "md5": None})
    (place / kind.meta["filename"]).write_bytes(pickle.dumps({names: [f"class {k}" for k in range(n_classes)]}))
    return made["train"], made["test"]


def country211(root, patch):
    for split, n in (("train", 3), ("valid", 1), ("test", 2)):
        for k, country in enumerate(("AD", "AE", "ZW")):
            for i in range(n):
                paint(root / "country211" / split / country / f"{i}.jpg", k)
    return [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]


def cub(root, patch):
    place, labels = root / "CUB_200_2011", [0, 0, 0, 1, 1, 2, 2]
    classes = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
    write(place / "classes.txt", [f"{k + 1} {title}" for k, title in enumerate(classes)])
    write(place / "images.txt", [f"{i + 1} {classes[k]}/bird_{i}.jpg" for i, k in enumerate(labels)])
    write(place / "image_class_labels.txt", [f"{i + 1} {k + 1}" for i, k in enumerate(labels)])
    write(place / "train_test_split.txt", [f"{i + 1} {i % 2}" for i in range(len(labels))])  # 1 is train
    for i, k in enumerate(labels):
        paint(place / "images" / classes[k] / f"bird_{i}.jpg", k)
    return [0, 1, 2], [0, 0, 1, 2]


def dtd(root, patch):
    place, classes = root / "dtd" / "dtd", ["banded", "blotchy", "zigzagged"]
    lists = {"train": [0, 1, 2], "val": [2, 1, 0], "test": [1, 1, 0, 2]}
    for split, labels in lists.items():
        write(
            place / "labels" / f"{split}1.txt",
            [f"{classes[k]}/{classes[k]}_{split}{i}.jpg" for i, k in enumerate(labels)],
        )
        for i, k in enumerate(labels):
            paint(place / "images" / classes[k] / f"{classes[k]}_{split}{i}.jpg", k)
    return lists["train"] + lists["val"], lists["test"]


def flowers(root, patch):
    place, labels = root / "flowers-102", [0, 1, 2, 0, 1, 2, 2]
    for i, k in enumerate(labels, 1):
        paint(place / "jpg" / f"image_{i:05d}.jpg", k)
    savemat(place / "imagelabels.mat", {"labels": np.array(labels) + 1})
    savemat(place / "setid.mat", {"trnid": [[2, 1]], "valid": [[3, 5]], "tstid": [[4, 6, 7]]})
    patch.setattr(
        tv.Flowers102, "_file_dict", {key: (name, None) for key, (name, _) in tv.Flowers102._file_dict.items()}
    )
    return [1, 0, 2, 1], [0, 2, 2]


def food(root, patch):
    place = root / "food-101"
    lists = {"train": {"apple_pie": 2, "waffles": 2}, "test": {"apple_pie": 1, "waffles": 3}}
    for split, counts in lists.items():
        listing = {name: [f"{name}/{split}{i}" for i in range(n)] for name, n in counts.items()}
        write(place / "meta" / f"{split}.json", [json.dumps(listing)])
        for k, files in enumerate(listing.values()):
            for file in files:
                paint(place / "images" / f"{file}.jpg", k)
    return [0, 0, 1, 1], [0, 1, 1, 1]


def gtsrb(root, patch):
    place, test = root / "gtsrb" / "GTSRB", [7, 0, 7]
    for k in (0, 7):
        for i in range(2):
            paint(place / "Training" / f"{k:05d}" / f"00000_{i:05d}.ppm", k if k else 0)
    for k in range(1, 7):
        paint(place / "Training" / f"{k:05d}" / "00000_00000.ppm", k)
    rows = [f"{i:05d}.ppm;29;30;5;6;24;25;{k}" for i, k in enumerate(test)]
    write(root / "gtsrb" / "GT-final_test.csv", ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId", *rows])
    for i, k in enumerate(test):
        paint(place / "Final_Test" / "Images" / f"{i:05d}.ppm", k)
    return [0, 0, 1, 2, 3, 4, 5, 6, 7, 7], test


def pets(root, patch):
    place, names = root / "oxford-iiit-pet", ["Abyssinian", "american_bulldog", "yorkshire_terrier"]
    lists = {"trainval": [0, 0, 1, 2], "test": [2, 1, 0]}
    for split, labels in lists.items():
        lines = [f"{names[k]}_{split}{i} {k + 1} 1 1" for i, k in enumerate(labels)]
        write(place / "annotations" / f"{split}.txt", lines)
        for line, k in zip(lines, labels, strict=True):
            paint(place / "images" / f"{line.split()[0]}.jpg", k)
    return lists["trainval"], lists["test"]


def stl10(root, patch):
    place, made = root / "stl10_binary", {"train": [9, 0, 4], "test": [1, 1]}
    place.mkdir()
    for part, labels in made.items():
        (place / f"{part}_X.bin").write_bytes(squares(labels, 96).tobytes())
        (place / f"{part}_y.bin").write_bytes(bytes(k + 1 for k in labels))
    (place / "unlabeled_X.bin").write_bytes(b"")
    write(place / "class_names.txt", [f"class {k}" for k in range(10)])
    for kept in ("train_list", "test_list"):
        patch.setattr(tv.STL10, kept, [[name, None] for name, _ in getattr(tv.STL10, kept)])
    return made["train"], made["test"]


def sun397(root, patch):
    place = root / "SUN397"
    classes = ["/a/abbey", "/a/apartment_building/outdoor", "/z/zoo"]
    write(place / "ClassName.txt", classes)
    lists = {"Training_01.txt": [2, 0, 1], "Testing_01.txt": [0, 1, 2, 2]}
    for file, labels in lists.items():
        named = [f"{classes[k]}/sun_{file[:5]}{i}.jpg" for i, k in enumerate(labels)]
        write(place / file, named)
        for name, k in zip(named, labels, strict=True):
            paint(place / name[1:], k)
    return lists["Training_01.txt"], lists["Testing_01.txt"]


def svhn(root, patch):
    (root / "svhn").mkdir()
    made = {"train": [1, 0, 9], "test": [0, 5]}
    for part, labels in made.items():
        pixels = squares(labels, 32).transpose(2, 3, 1, 0)
        savemat(
            root / "svhn" / f"{part}_32x32.mat", {"X": pixels, "y": np.array([[k or 10] for k in labels])}
        )  # 10 is a zero
    patch.setattr(tv.SVHN, "split_list", {k: [url, name, None] for k, (url, name, _) in tv.SVHN.split_list.items()})
    return made["train"], made["test"]


VOC_SHOWN = {
    "trainval": {"000005": {14: 1, 4: 1}, "000007": {6: 1, 0: 0}, "000009": {3: 0}},
    "test": {"000001": {11: 1, 14: 1}},
}


def voc2007(root, patch):
    place = root / "VOCdevkit" / "VOC2007"
    for split, shown in VOC_SHOWN.items():
        write(place / "ImageSets" / "Main" / f"{split}.txt", list(shown))
        for k, name in enumerate(datasets.VOC_CLASSES):
            write(
                place / "ImageSets" / "Main" / f"{name}_{split}.txt",
                [f"{i} {marks.get(k, -1):2d}" for i, marks in shown.items()],
            )
        for i, marks in shown.items():
            paint(place / "JPEGImages" / f"{i}.jpg", min(k for k, v in marks.items() if v == max(marks.values())))
    return [4, 6, 3], [11]


LAYOUTS = {
    f.__name__: f
    for f in (
        aircraft,
        caltech101,
        cars,
        cifar10,
        cifar100,
        country211,
        cub,
        dtd,
        flowers,
        food,
        gtsrb,
        pets,
        stl10,
        sun397,
        svhn,
        voc2007,
    )
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder that data sets lie in."""
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def layout(root, monkeypatch):
    """Write a data set in its own layout, and let as many images and classes as were written be all of it."""

    def make(name: str, n_classes: int | None = None) -> tuple[list[int], list[int]]:
        train, test = LAYOUTS[name](root, monkeypatch)
        monkeypatch.setitem(
            datasets.ENTRIES,
            name,
            replace(
                datasets.ENTRIES[name],
                n_train=len(train),
                n_test=len(test),
                n_classes=n_classes
                or {
                    "aircraft": 3,
                    "caltech101": 3,
                    "cars": 3,
                    "country211": 3,
                    "cub": 3,
                    "dtd": 3,
                    "food": 2,
                    "pets": 3,
                    "sun397": 3,
                }.get(name, datasets.ENTRIES[name].n_classes),
            ),
        )
        return train, test

    return make


def shades(photos) -> list[int]:
    """The class that each image was painted as."""
    return [round((np.asarray(photos.image(i)).mean() - 6) / 12) for i in range(len(photos))]


# What is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_reads_the_layout_in_which_it_is_published(name, layout):
    for part, labels in zip(("train", "test"), layout(name), strict=True):
        photos = datasets.load(name, part)
        assert photos.labels.tolist() == labels == shades(photos)
        assert photos.n_classes == datasets.ENTRIES[name].n_classes == len(set(photos.classes))
        assert photos.samples.strip()


def test_every_data_set_but_two_views_of_one_has_its_layout_tested():
    assert {*LAYOUTS, "voc2007_multilabel"} == set(datasets.ENTRIES)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("aircraft", ("707-320", "A340-500", "DHC-1")),
        ("caltech101", ("Faces", "accordion", "yin_yang")),
        ("cub", ("Black footed Albatross", "Laysan Albatross", "Sooty Albatross")),
        ("sun397", ("abbey", "apartment_building/outdoor", "zoo")),
        ("pets", ("Abyssinian", "American Bulldog", "Yorkshire Terrier")),
    ],
)
def test_classes_keep_the_order_in_which_they_are_published(name, classes, layout):
    layout(name)
    assert datasets.load(name).classes == classes


@pytest.mark.parametrize("name", ["caltech101", "dtd", "flowers", "country211", "cub", "sun397"])
def test_no_image_is_for_training_and_for_testing(name, layout):
    layout(name)
    train, test = (set(datasets.load(name, part).sources) for part in ("train", "test"))
    assert train and test and not train & test


def test_the_facts_agree_with_torchvision_where_it_knows_them():
    assert datasets.ENTRIES["flowers"].n_classes == len(tv.Flowers102.classes)
    own = {archive.md5 for entry in datasets.ENTRIES.values() for archive in entry.archives}
    assert {
        tv.CIFAR10.tgz_md5,
        tv.CIFAR100.tgz_md5,
        tv.STL10.tgz_md5,
        tv.DTD._MD5,
        tv.Food101._MD5,
        tv.Country211._MD5,
    } <= own
    assert {md5 for _, md5 in tv.OxfordIIITPet._RESOURCES} | {
        md5 for _, md5 in tv.Flowers102._file_dict.values()
    } <= own
    assert {md5 for _, _, md5 in tv.SVHN.split_list.values()} - own == {tv.SVHN.split_list["extra"][2]}


def test_the_released_split_of_cifar_leaves_out_a_tenth_and_says_so(layout):
    n = len(layout("cifar10")[0])
    released, whole = datasets.load("cifar10", split="released"), datasets.load("cifar10", split="trainval")
    assert (len(released), len(whole)) == (n * 9 // 10, n)
    assert released.labels.tolist() == shades(released)
    assert released.samples == f"{n * 9 // 10} of the {n} training images (drawn with seed 0)"
    assert len(datasets.load("cifar10", "test", split="released")) == len(datasets.load("cifar10", "test"))


def test_voc_can_be_read_with_the_first_class_of_an_image_or_with_all(layout, monkeypatch):
    layout("voc2007")
    sizes = {"n_train": 3, "n_test": 1}
    monkeypatch.setitem(
        datasets.ENTRIES, "voc2007_multilabel", replace(datasets.ENTRIES["voc2007_multilabel"], **sizes)
    )
    one, every = datasets.load("voc2007"), datasets.load("voc2007_multilabel")
    assert [np.flatnonzero(row).tolist() for row in one.present] == [
        [4, 14],
        [6],
        [3],
    ]  # difficult ones only where alone
    assert one.labels.tolist() == [4, 6, 3] and "arg max" in one.samples
    assert every.labels.tolist() == [4, 14, 6, 3]
    assert [Path(file).stem for file in every.sources] == ["000005", "000005", "000007", "000009"]
    assert len(datasets.load("voc2007_multilabel", "test")) == 1
    assert one.measure == every.measure == "map"


def test_signs_and_digits_are_never_mirrored():
    assert sorted(name for name, entry in datasets.ENTRIES.items() if not entry.flip) == ["gtsrb", "svhn"]


def test_at_most_so_many_images_per_class_are_loaded_in_order(layout):
    layout("dtd")
    photos = datasets.load("dtd", max_per_class=1)
    assert photos.labels.tolist() == [0, 1, 2] == shades(photos)
    assert photos.samples.endswith("at most 1 per class")


def test_thumbnails_are_small_squares_of_the_requested_images(layout):
    layout("dtd")
    photos = datasets.load("dtd")
    small = photos.images[np.array([2, 0])]
    assert small.shape == (2, 3, 64, 64) and small.dtype == np.uint8 and photos.images.shape == (6, 3, 64, 64)
    assert [round((image.mean() - 6) / 12) for image in small] == [2, 0]


def test_of_imagenet_only_the_classes_are_known():
    imagenet = datasets.load("imagenet")
    assert (imagenet.n_classes, len(imagenet), imagenet.classes[0]) == (1000, 1_281_167, "tench")
    assert (imagenet.images[[5]] == 255).all()


# Folders of your own --------------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_a_data_set(root):
    for part, n in (("train", 3), ("test", 1)):
        for k, name in enumerate(("cat", "dog")):
            for i in range(n):
                paint(root / "mine" / part / name / f"{i}.png", k)
    photos = datasets.load("folder/mine")
    assert photos.classes == ("cat", "dog")
    assert photos.labels.tolist() == [0, 0, 0, 1, 1, 1] == shades(photos)
    assert len(datasets.load("folder/mine", "test")) == 2


def test_a_folder_without_classes_says_what_is_missing(root):
    with pytest.raises(ValueError, match=r"mine/train holds 0 folders; allowed are two or more, one per class"):
        datasets.load("folder/mine")
    (root / "mine/train/cat").mkdir(parents=True)
    paint(root / "mine/train/dog/0.png", 1)
    with pytest.raises(ValueError, match="mine/train/cat holds no images"):
        datasets.load("folder/mine")


def test_photos_refuse_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels are int64 of shape \(1,\); allowed is int64 of shape \(2,\)"):
        folders.Photos("a", "train", [Path("x"), Path("y")], np.array([0]), ("k",), "all")
    with pytest.raises(ValueError, match="labels run from 0 to 3; allowed is 0 to 1"):
        folders.Photos("a", "train", [Path("x"), Path("y")], np.array([0, 3]), ("k", "l"), "all")


# What can be wrong ----------------------------------------------------------------------------------------------------


def test_a_mistyped_name_is_answered_with_the_nearest_one():
    with pytest.raises(
        ValueError, match="unknown data set 'fod'.*did you mean 'food'.*for a folder of your own write folder/NAME"
    ):
        datasets.load("fod")
    with pytest.raises(ValueError, match="unknown split 'relased'.*did you mean 'released'"):
        datasets.load("food", split="relased")


def test_a_corrupt_image_is_named_with_the_remedy(root, layout):
    layout("dtd")
    file = datasets.load("dtd").sources[1]
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(
        ValueError, match=rf"{file} of dtd cannot be read as an image .*: take that image, or the whole archive"
    ):
        datasets.load("dtd").image(1)


def test_a_missing_image_is_named_with_the_remedy(root, layout):
    layout("pets")
    file = root / "oxford-iiit-pet" / "images" / "american_bulldog_trainval2.jpg"
    file.unlink()
    with pytest.raises(
        ValueError, match=rf"pets: 1 images are missing, the first is {file}: remove .*oxford-iiit-pet, and it is downl"
    ):
        datasets.load("pets")


def test_a_missing_list_is_named_with_the_remedy(root, layout):
    layout("dtd")
    (root / "dtd/dtd/labels/val1.txt").unlink()
    with pytest.raises(
        ValueError, match=r"dtd is incomplete or damaged .*labels/val1.txt.*: remove .*dtd, and it is downloaded"
    ):
        datasets.load("dtd")


@pytest.mark.parametrize("name", ["cifar10", "stl10", "flowers"])
def test_a_damaged_file_of_a_checked_data_set_is_refused(name, root, layout, monkeypatch):
    layout(name)
    monkeypatch.undo()  # the published checksums again
    monkeypatch.setenv("NCREPRO_DATA", str(root))
    with pytest.raises(ValueError, match=f"{name} is incomplete or damaged"):
        datasets.load(name)


def test_a_data_set_with_too_few_images_is_refused(root, layout):
    layout("country211")
    (root / "country211/train/AE/1.jpg").unlink()
    with pytest.raises(ValueError, match="country211, train: 11 images of 3 classes, it should have 12 of 3: remove"):
        datasets.load("country211")


def test_a_data_set_without_a_download_says_what_to_put_where(root):
    with pytest.raises(
        FileNotFoundError, match=rf"cars: the official download is gone; put stanford_cars/cars_train/.*\(in {root}\)"
    ):
        datasets.load("cars")
    assert set(datasets.unobtainable(tuple(datasets.ENTRIES))) == {"cars", "sun397"}
    assert "SUN397/Training_01.txt" in datasets.unobtainable(("food", "sun397"))["sun397"]


def test_a_data_set_put_there_by_hand_is_obtainable(layout):
    layout("cars")
    assert datasets.unobtainable(("cars", "folder/mine")) == {}


# Downloads ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(root, tmp_path, layout, monkeypatch):
    """DTD as an archive that can be downloaded; nothing of it is in the data folder yet."""
    layout("dtd")
    file = tmp_path / "published" / "dtd-r1.0.1.tar.gz"
    file.parent.mkdir()
    with tarfile.open(file, "w:gz") as packed:
        packed.add(root / "dtd" / "dtd", "dtd")
    shutil.rmtree(root / "dtd")
    entry = datasets.ENTRIES["dtd"]

    def offer(content: bytes = file.read_bytes(), md5: str | None = None) -> None:
        file.write_bytes(content)
        md5 = md5 or hashlib.md5(content).hexdigest()
        offered = datasets.Archive(file.as_uri(), md5, "dtd")
        monkeypatch.setitem(datasets.ENTRIES, "dtd", replace(entry, archives=(offered,)))

    offer()
    return file, offer


def test_what_is_missing_is_downloaded_checked_and_unpacked(root, archive):
    photos = datasets.load("dtd")
    assert photos.labels.tolist() == [0, 1, 2, 2, 1, 0] == shades(photos)
    assert sorted(path.name for path in root.iterdir()) == [".lock", "archives", "dtd"]
    assert not list((root / "archives").iterdir())  # unpacked, and gone


def test_an_archive_put_there_by_hand_is_used_instead_of_a_download(root, archive):
    file, _ = archive
    (root / "archives").mkdir()
    file.rename(root / "archives" / file.name)
    assert len(datasets.load("dtd")) == 6


def test_what_is_there_is_not_downloaded_again(root, archive):
    datasets.load("dtd")
    archive[0].unlink()
    assert len(datasets.load("dtd")) == 6


def test_a_half_downloaded_archive_is_named_with_the_remedy(root, archive):
    file, _ = archive
    (root / "archives").mkdir()
    half = root / "archives" / file.name
    half.write_bytes(file.read_bytes()[:500])
    with pytest.raises(
        ValueError, match=rf"{half} is damaged or only half there: its MD5 is .*; remove it, and it is downloaded again"
    ):
        datasets.load("dtd")
    half.unlink()
    assert len(datasets.load("dtd")) == 6


@pytest.mark.parametrize("content", ["half", "text"])
def test_an_archive_that_cannot_be_unpacked_leaves_nothing_behind_that_passes_for_data(root, archive, content):
    file, offer = archive
    offer(file.read_bytes()[:500] if content == "half" else b"<html>not found</html>")
    with pytest.raises(ValueError, match="dtd-r1.0.1.tar.gz cannot be unpacked"):
        datasets.load("dtd")
    assert not (root / "dtd").exists()


def test_a_download_that_fails_says_where_to_put_the_archive(root, archive):
    archive[0].unlink()
    with pytest.raises(
        OSError, match=rf"could not download file://.*: put it at {root}/archives/dtd-r1.0.1.tar.gz by hand"
    ):
        datasets.load("dtd")


def test_archives_inside_an_archive_are_unpacked_too(root, tmp_path, monkeypatch):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as packed:
        for name in ("BACKGROUND_Google", "Faces", "accordion"):
            for i in (1, 2):
                paint(tmp_path / "x.jpg", 0)
                packed.add(tmp_path / "x.jpg", f"101_ObjectCategories/{name}/image_{i:04d}.jpg")
    file = tmp_path / "caltech-101.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("caltech-101/101_ObjectCategories.tar.gz", inner.getvalue())
    offered = datasets.Archive(file.as_uri(), hashlib.md5(file.read_bytes()).hexdigest(), "caltech101")
    entry = replace(datasets.ENTRIES["caltech101"], archives=(offered,), n_classes=2, n_train=2, n_test=2)
    monkeypatch.setitem(datasets.ENTRIES, "caltech101", entry)
    assert datasets.load("caltech101").classes == ("Faces", "accordion")
    assert [path.name for path in (paths.downloads() / "caltech101").iterdir()] == ["101_ObjectCategories"]
