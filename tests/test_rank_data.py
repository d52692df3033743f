"""Data as they lie on people's disks: odd folders, files, images, labels and tables are read right, or refused in a
sentence.
"""

import hashlib
import io
import json
import os
import resource
import shutil
import socket
import struct
import time
import warnings
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFile
from safetensors import safe_open

import ncrepro
from ncrepro.extraction import batches, decode, folders
from ncrepro.rank_your_own import labels, tables
from ncrepro.rank_your_own.data import open_target
from ncrepro.rank_your_own.given_features import are_features, open_features
from ncrepro.rank_your_own.rank import _cautions_of_data
from ncrepro.store import artifacts


def opened(data, *arguments, **options):
    on_error = options.pop("on_error", "raise")
    return open_target(data, *arguments, **options).checked(on_error, None, lambda work, *_: work)


def put(path, image=None, format="PNG"):
    """An image in a file, 8 x 8 pixels unless one is given; returns the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image or Image.fromarray(
        np.random.default_rng(zlib.crc32(str(path).encode())).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    )
    image.save(path, format)
    return path


@pytest.fixture
def cats(tmp_path):
    """A folder with three images of each of two classes."""
    for k in "ab":
        for i in range(3):
            put(tmp_path / "cats" / k / f"{i}.png")
    return tmp_path / "cats"


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "TEST"),
        ("training", "validation"),
        ("train_set", "test_set"),
        ("trainset", "devset"),
        ("images_train", "images_val"),
        ("train2017", "val2017"),
        ("train", "eval", "readme"),
        ("train", "unlabeled"),
        ("TrainVal", "test"),
        ("Train",),
        ("seg_train", "seg_test", "seg_pred"),
        ("flowers_train", "flowers_valid"),
        ("pets-train", "pets-test"),
        ("train_small", "val_small"),
        ("ImagesTrain", "ImagesTest"),
        ("RGBTrain", "RGBHeldOut"),
        ("train", "predict"),
    ],
)
def test_the_split_for_training_is_used_whatever_its_name(tmp_path, names):
    for name in names:
        for k in "ab":
            for i in range(2 + (name == names[0])):
                put(tmp_path / name / k / f"{i}.png")
    assert opened(tmp_path).counts.to_dict() == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    "names",
    [
        ("test", "val"),
        ("dev", "testing"),
        ("train", "train_2"),
        ("Valid", "Holdout", "test2"),
        ("fold1", "fold2", "fold3"),
        ("train_cv_1", "val_cv_1", "train_cv_2"),
    ],
)
def test_splits_without_one_to_take_are_refused(tmp_path, names):
    for name in names:
        for k in "ab":
            put(tmp_path / name / k / "0.png")
    with pytest.raises(ValueError, match=f"holds the splits {', '.join(sorted(names))}, which are not classes"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "names", [("train/a", "train/b", "masks"), ("train_small/a", "val/a"), ("backup", "test/a", "test/b")]
)
def test_splits_beside_other_folders_are_no_classes(tmp_path, names):
    for name in names:
        for i in range(2):
            put(tmp_path / name / f"{i}.png")
    with pytest.raises(ValueError, match="is called like a split of a data set and holds folders, so .* no classes"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("treino", "teste"),
        ("query", "gallery"),
        ("amazon/images", "dslr/images", "webcam/images"),
        ("amazon/train", "amazon/test", "dslr/train", "dslr/test"),
        ("train/original", "train/augmented", "test/original"),
    ],
)
def test_folders_of_the_same_classes_are_no_classes_whatever_they_are_called(tmp_path, names):
    for name in names:
        for k in ("a", "b", ".cache"):
            for i in range(2):
                put(tmp_path / name / k / f"{i}.png")
    with pytest.raises(
        ValueError, match=r"each of .* holds the same folders, a, b, which seem to be the classes: give"
    ):
        opened(tmp_path)
    assert opened(tmp_path / names[0]).data.classes == ("a", "b")


@pytest.mark.parametrize(
    "names",
    [
        ("cat/young", "cat/old", "dog/young", "dog/old", "dog/grey"),
        ("cat/train", "cat/test", "dog/train", "dog/test"),
        ("cat/images", "dog/images"),
        ("cat", "cat/young", "cat/old", "dog", "dog/young", "dog/old"),
    ],
)
def test_classes_may_hold_folders(tmp_path, names):
    for name in names:
        for i in range(2):
            put(tmp_path / name / f"{i}.png")
    assert opened(tmp_path).data.classes == ("cat", "dog") and len(opened(tmp_path)) == 2 * len(names)


@pytest.mark.parametrize(
    "names",
    [
        ("images", "annotations/trimaps"),
        ("train/images", "train/masks", "val/images"),
        ("JPEGImages", "SegmentationClass", "SegmentationObject"),
        ("images/a", "images/b", "segmentations/a", "segmentations/b"),
        ("lung/images", "lung/masks", "heart/images", "heart/masks"),
    ],
)
def test_images_and_what_belongs_to_them_are_no_classes(tmp_path, names):
    for name in names:
        for i in range(2):
            put(tmp_path / name / f"{i}.png")
    with pytest.raises(ValueError, match="holds .*, which are images and what belongs to them, not classes"):
        opened(tmp_path)


def test_what_is_called_like_a_mask_may_be_a_class(tmp_path):
    for name in ("mask", "no_mask"):
        for i in range(2):
            put(tmp_path / name / f"{i}.png")
    assert opened(tmp_path).data.classes == ("mask", "no_mask")


def test_names_of_images_are_no_texts(cats):
    files = [str(file) for file in sorted(cats.rglob("*.png"))]
    for data, given in ((files, [0, 1] * 3), (pd.DataFrame({"text": files, "label": [0, 1] * 3}), None)):
        with pytest.raises(
            ValueError, match="the 6 .* are names of images, such as .*0.png', not texts: give the folder"
        ):
            open_target(data, given)
    assert open_target([*files, "a cat.png and a dog"], [0, 1] * 3 + [0]).kind == "texts"


def test_a_class_may_be_called_like_a_split_and_splits_are_no_classes_of_a_data_set(tmp_path):
    for k in ("train", "bus", "test tube", "training shoes/new"):
        for i in range(2):
            put(tmp_path / k / f"{i}.png")
    assert set(opened(tmp_path).data.classes) == {"train", "bus", "test tube", "training shoes"}
    pictures = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="called test, train, which are splits of a data set"):
        opened(pictures, ["train", "test"] * 2)
    with pytest.raises(ValueError, match="called cats_test, cats_train, which are splits of a data set"):
        opened(pictures, ["cats_train", "cats_test"] * 2)
    with pytest.raises(ValueError, match="called test, train, which are splits"):
        ncrepro.rank({"a": np.eye(4), "b": np.eye(4)}, labels=["train", "test"] * 2)


@pytest.mark.parametrize(
    "path",
    [
        ".ipynb_checkpoints/0.png",
        ".cache/x/0.png",
        "a/.ipynb_checkpoints/0.png",
        "__MACOSX/a/._0.png",
        "a/._0.png",
        "@eaDir/0.png",
        "a/b/c/.hidden/0.png",
        "a/__MACOSX/0.png",
        "$RECYCLE.BIN/0.png",
        "a/.0.png.swp",
        "$Recycle.Bin/0.png",
        "@Recycle/0.png",
        "RECYCLER/0.png",
        "~snapshot/daily/0.png",
        "Network Trash Folder/0.png",
        "Temporary Items/0.png",
        "found.000/0.png",
        "a/__macosx/0.png",
        "b/~$0.png",
    ],
)
def test_what_a_system_hides_is_neither_class_nor_image(cats, path):
    put(cats / path)
    target = opened(cats)
    assert target.counts.to_dict() == {"a": 3, "b": 3} and target.data.ignored == ()


def test_hidden_files_beside_features_do_not_count_either(tmp_path):
    y = np.arange(12) % 2
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, features=np.random.default_rng(len(name)).normal(size=(12, 3)), labels=y)
    (tmp_path / "._a.npz").write_bytes(b"\0\5\x16\7")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert are_features(tmp_path) and [m.name for m in open_features(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("suffix", "format"),
    [
        (".JPG", "JPEG"),
        (".jfif", "JPEG"),
        (".tif", "TIFF"),
        (".TIFF", "TIFF"),
        (".gif", "GIF"),
        (".webp", "WEBP"),
        (".pgm", "PPM"),
        (".jp2", "JPEG2000"),
        (".tga", "TGA"),
        (".ico", "ICO"),
        (".dib", "DIB"),
        (".mpo", "MPO"),
        (".jpeg", "PNG"),
    ],
)
def test_every_raster_format_is_read_whatever_its_suffix(cats, suffix, format):
    put(cats / "a" / f"x{suffix}", Image.new("RGB", (16, 16), (9, 9, 9)), format)
    assert opened(cats).counts.to_dict() == {"a": 4, "b": 3}


def test_hidden_classes_of_a_data_set_deserve_a_caution(cats):
    from torchvision.datasets import ImageFolder

    for i in range(2):
        put(cats / ".ipynb_checkpoints" / f"{i}.png")
    target = opened(ImageFolder(cats))
    assert _cautions_of_data(target.data.classes, target) == [
        "class '.ipynb_checkpoints' looks like a hidden system folder: is it a class?"
    ]


def test_labels_beside_data_that_carry_theirs_are_refused(cats):
    from torchvision.datasets import ImageFolder

    for data in (cats, ImageFolder(cats), pd.DataFrame({"text": list("xyzw"), "label": list("abab")})):
        with pytest.raises(ValueError, match="labels=... are given, but the .* carries labels of its own"):
            opened(data, [0, 1] * 3)


def test_links_are_followed_but_never_in_a_circle(cats, tmp_path):
    elsewhere = put(tmp_path / "elsewhere" / "deep" / "x.png")
    (cats / "a" / "link.png").symlink_to(elsewhere)
    (cats / "b" / "folder").symlink_to(elsewhere.parent.parent)
    (cats / "c").symlink_to(elsewhere.parent)
    put(tmp_path / "elsewhere" / "deep" / "y.png")
    for place, to in (
        (cats / "self", "."),
        (cats / "a" / "self", "."),
        (cats / "a" / "up", ".."),
        (cats / "b" / "root", "/"),
        (elsewhere.parent / "loop", ".."),
    ):
        place.symlink_to(to)
    assert opened(cats).counts.to_dict() == {"a": 4, "b": 5, "c": 2}


def test_a_link_to_nothing_among_the_classes_is_refused(cats):
    (cats / ".cache").symlink_to("/nowhere")  # of a system
    (cats / "stray.png").symlink_to("/nowhere")  # an image, which lies in no class
    assert opened(cats).data.classes == ("a", "b")
    (cats / "fox").symlink_to("/unmounted/fox")
    with pytest.raises(ValueError, match="cats/fox is a link to /unmounted/fox, where there is nothing: mount or mend"):
        opened(cats)


def test_archives_and_hidden_folders_of_images_beside_the_classes_deserve_a_caution(cats):
    for name in ("gnu.zip", "elk.tar.gz", "a.zip", "labels.csv.gz", "README.md"):  # the third is unpacked
        (cats / name).write_bytes(b"x")
    for name in (".NET/x.png", ".config/x.json", ".git/x.png", ".Trash-1000/x.png", ".cache/deep/x.png"):
        put(cats / name)
    target = opened(cats)
    (caution,) = _cautions_of_data(target.data.classes, target)
    assert "may be one was left out: .NET, elk.tar.gz, gnu.zip; unpack" in caution


def test_the_same_samples_in_two_classes_deserve_a_caution(cats):
    target = opened(cats)
    assert not target.shared
    shutil.copytree(cats / "a", cats / "a - Copy")
    shutil.copy(cats / "b" / "0.png", cats / "b" / "1.png")  # twice in one class
    target = opened(cats)
    (caution,) = _cautions_of_data(target.data.classes, target)
    assert "3 images lie in more than one class, the first is " in caution and "a - Copy/0.png" not in caution
    target = opened(["x", "y", "x", "z"], [0, 0, 1, 1])
    assert "1 texts lie in more than one class" in _cautions_of_data(target.data.classes, target)[0]


def test_files_that_are_not_looked_at_are_counted(cats):
    for name in ("a/notes.txt", "b/x.heic", "stray.png", "b/vector.svg"):
        (cats / name).write_bytes(b"x")
    target = opened(cats)
    assert len(target) == 6 and [name.removeprefix(str(cats)) for name in target.data.ignored] == [
        "/stray.png",
        "/a/notes.txt",
        "/b/vector.svg",
        "/b/x.heic",
    ]
    cautions = _cautions_of_data(target.data.classes, target)
    assert (
        len(cautions) == 1
        and "4 files among the images were not looked at" in cautions[0]
        and "stray.png" in cautions[0]
    )


def test_pipes_sockets_devices_and_dangling_links_are_unreadable_images_and_do_not_hang(cats):
    os.mkfifo(cats / "a" / "pipe.png")
    (cats / "a" / "device.png").symlink_to("/dev/zero")
    (cats / "a" / "nothing.png").symlink_to("nowhere.png")
    (cats / "a" / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(cats / "b")
        listening.bind("socket.png")
        os.chdir(here)
        target = opened(cats, on_error="skip")
    assert target.counts.to_dict() == {"a": 3, "b": 3} and len(target.skipped) == 4
    with pytest.raises(
        ValueError, match="4 of 10 images cannot be read, the first is .*device.png .it is not a plain file"
    ):
        opened(cats)


# Images ---------------------------------------------------------------------------------------------------------------


def first(folder, image, format="PNG", name="x.png"):
    """What is read of an image that is saved."""
    return np.asarray(decode.read(put(folder / name, image, format))).astype(int)


def test_more_than_8_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (4, 1))
    for image, format, name in (
        (Image.fromarray(ramp), "PNG", "x.png"),
        (Image.fromarray(ramp), "TIFF", "x.tif"),
        (Image.fromarray(ramp.astype(">u2")), "TIFF", "y.tif"),
        (Image.fromarray(ramp.astype(np.int32)), "TIFF", "z.tif"),
    ):
        np.testing.assert_allclose(first(tmp_path, image, format, name)[..., 1], ramp // 257, atol=1)
    real = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    np.testing.assert_allclose(first(tmp_path, Image.fromarray(real), "TIFF", "x.tif")[..., 2], real * 255, atol=0.51)
    for values in (real * 300 - 7, real * np.nan, (ramp.astype(np.int32) - 9)):
        with pytest.raises(ValueError, match="its numbers .* run from .*; allowed is 0 to"):
            first(tmp_path, Image.fromarray(values), "TIFF", "x.tif")


@pytest.mark.parametrize(
    ("kind", "format", "name"),
    [
        (np.int32, "TIFF", "x.tif"),
        (np.uint16, "TIFF", "x.tif"),
        (np.uint16, "PNG", "x.png"),
        (np.int32, "PPM", "x.pgm"),
    ],
)
def test_8_bits_in_an_image_of_more_are_not_read_as_black(tmp_path, kind, format, name):
    ramp = np.arange(256).reshape(16, 16).astype(kind)
    with pytest.raises(ValueError, match="its numbers .* run from 0 to 255, which is black where 65535 is white: save"):
        first(tmp_path, Image.fromarray(ramp), format, name)
    assert not first(tmp_path, Image.fromarray(ramp * 0), format, name).any()


@pytest.mark.parametrize(("bits", "n_cautions"), [(10, 1), (12, 1), (14, 1), (15, 0), (16, 0)])
def test_fewer_bits_in_an_image_of_16_deserve_a_caution(cats, tmp_path, bits, n_cautions):
    assert not opened(cats).largest
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    for k, image in ("a", ramp), ("b", ramp.T):
        put(cats / k / "x.png", Image.fromarray(image))
    for _ in "first", "kept":
        target = open_target(cats).checked("raise", tmp_path / "kept", lambda work, *_: work)
        cautions = _cautions_of_data(target.data.classes, target)
        assert target.largest == 2**bits - 1 and len(cautions) == n_cautions
        assert all(f"no number in the images of 16 bits is above {2**bits - 1}, where" in line for line in cautions)


@pytest.mark.parametrize(("channels", "colour_type"), [(2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize(("bits", "largest"), [(9, 511), (12, 4095), (16, 65535)])
def test_dark_colours_of_16_bits_are_found_though_pillow_gives_8(tmp_path, channels, colour_type, bits, largest):
    pixels = np.random.default_rng(0).integers(0, 2**bits, (64, 64, channels)).astype(">u2")
    pixels[0, 0] = 2**bits - 1
    if channels % 2 == 0:
        pixels[..., -1] = 65535  # opaque, which is no colour
    header = struct.pack(">IIBBBBB", 64, 64, 16, colour_type, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        file += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    (tmp_path / "x.png").write_bytes(file)
    assert decode.read(tmp_path / "x.png").info[decode.LARGEST] == largest


def test_dark_images_of_a_data_set_deserve_a_caution_too():
    class Dark(Listed):
        def __getitem__(self, i):
            return Image.fromarray(np.full((8, 8), 4000 + i, np.uint16)), i % 2

    target = opened(Dark(None))
    assert target.largest == 4005
    assert any("no number in the images of 16 bits is above 4005" in x for x in _cautions_of_data(("0", "1"), target))


def test_transparency_is_dropped_in_the_same_way_from_palettes_and_colours(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 4), dtype=np.uint8)
    few = Image.fromarray(colours[..., :3]).quantize(8)
    expected = np.asarray(few.convert("RGB"))
    few.info["transparency"] = bytes([0, 128, 255, 7])
    np.testing.assert_array_equal(first(tmp_path, few), expected)
    np.testing.assert_array_equal(first(tmp_path, Image.fromarray(colours)), colours[..., :3])
    for mode in ("1", "L", "LA", "P", "CMYK", "RGBA"):
        assert first(tmp_path, Image.fromarray(colours[..., :3]).convert(mode), "TIFF", f"{mode}.tif").shape == (
            8,
            8,
            3,
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_the_right_way_up_from_a_file_and_from_a_data_set(tmp_path, orientation):
    from torchvision.datasets import ImageFolder

    stored = Image.fromarray(np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for k in "ab":
        for i in range(2):
            (tmp_path / k).mkdir(exist_ok=True)
            stored.save(tmp_path / k / f"{i}.png", exif=exif)
    turn = Image.Transpose
    undo = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    right = np.asarray(stored if orientation == 1 else stored.transpose(undo[orientation]))
    np.testing.assert_array_equal(np.asarray(opened(tmp_path).data.image(0)), right)
    np.testing.assert_array_equal(np.asarray(opened(ImageFolder(tmp_path)).data.image(0)), right)


def test_damaged_exif_data_say_nothing_against_the_pixels(cats):
    for name, exif in (
        ("0.png", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"),
        ("1.png", b"Exif\0\0nothing"),
        ("2.png", b"Exif\0\0"),
    ):
        Image.new("RGB", (8, 8), (200, 0, 0)).save(cats / "a" / name, "JPEG", exif=exif)
    assert opened(cats).counts.to_dict() == {"a": 3, "b": 3}


def test_no_other_format_is_opened_whatever_a_file_is_called(cats, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    Image.new("RGB", (8, 8)).save(cats / "a" / "x.eps")
    (cats / "a" / "x.eps").rename(cats / "a" / "x.png")
    (cats / "b" / "y.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (cats / "b" / "z.gif").write_text("/* XPM */")
    with pytest.raises(
        ValueError, match="3 of 9 images cannot be read, the first is .*x.png .its content is none of .*PNG"
    ):
        opened(cats)
    assert (
        not {"EPS", "WMF", "HDF5", "FITS", "PSD"} & set(decode.FORMATS)
        and not {".eps", ".pdf", ".wmf"} & decode.SUFFIXES
    )


def test_images_that_would_fill_the_memory_are_refused_before_they_do(cats, monkeypatch):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    put(cats / "a" / "long.png", Image.new("RGB", (60_000, 3)))
    put(cats / "b" / "high.png", Image.new("L", (3, 60_000)))
    with pytest.raises(
        ValueError, match="2 of 8 .*long.png .it has 60000 x 3 pixels; the longer side may be 100 times"
    ):
        opened(cats)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    with pytest.raises(ValueError, match="it has 900 x 8 pixels"):
        opened(np.zeros((4, 8, 900, 3), np.uint8), [0, 1, 0, 1])
    for name in ("a/long.png", "b/high.png"):
        (cats / name).unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (12, 99):  # what Pillow warns of, and what it refuses
        put(cats / "a" / "big.png", Image.new("RGB", (side, side)))
        with pytest.raises(
            ValueError, match="1 of 7 .*big.png .it claims more than 100 pixels.*raise PIL.Image.MAX_IMAGE_PIXELS"
        ):
            opened(cats)


@pytest.mark.parametrize(
    "error",
    [
        IndexError("x"),
        KeyError("x"),
        TypeError("x"),
        MemoryError(),
        AttributeError("x"),
        ZeroDivisionError(),
        AssertionError(),
    ],
)
def test_an_image_is_unreadable_whatever_pillow_raises(cats, monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(ValueError, match="6 of 6 images cannot be read"):
        opened(cats)


def test_which_images_cannot_be_decoded_is_kept_and_read_in_no_older_form(cats, tmp_path):
    torn, done = cats / "a" / "0.png", []
    torn.write_bytes(torn.read_bytes()[:60])

    def skipped():
        done.clear()
        target = open_target(cats).checked(
            "skip", tmp_path / "cache", lambda work, title, n: done.append(title) or work
        )
        return target.skipped

    assert skipped() == (str(torn),) and done == ["read", "decode"]
    assert skipped() == (str(torn),) and done == ["read"]
    (kept,) = (tmp_path / "cache").iterdir()
    with safe_open(kept, framework="numpy") as file:
        spec = json.loads(file.metadata()["spec"])
    kept.unlink()
    none_broken = np.frombuffer(json.dumps([""] * 6).encode(), np.uint8)
    artifacts.save(tmp_path / "cache" / f"decoded-{artifacts.digest(spec)}.safetensors", {"errors": none_broken}, spec)
    assert skipped() == (str(torn),) and done == ["read", "decode"]


def test_what_pillow_is_told_of_truncated_files_counts_in_what_is_kept(cats, tmp_path, monkeypatch):
    torn = put(cats / "a" / "0.jpg", Image.effect_noise((64, 64), 90), "JPEG")
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size * 2 // 3])

    def target(allowed):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed)
        return open_target(cats).checked("raise", tmp_path / "kept", lambda work, *_: work)

    for _ in "first", "kept":
        with pytest.raises(ValueError, match="1 of 7 images cannot be read"):
            target(False)
        assert len(target(True)) == 7
    torn.unlink()
    assert target(False).key != target(True).key  # a damaged file may be read, and turned, in another way


def test_the_next_image_takes_the_place_of_one_that_cannot_be_read(tmp_path):
    from torchvision.datasets import ImageFolder

    for k in "abc":
        for i in range(12):
            put(tmp_path / k / f"{i}.png")
    chosen = opened(tmp_path, max_per_class=3, seed=1)
    everything = opened(tmp_path)
    assert set(chosen.data.sources) == {everything.data.sources[i] for i in labels.subset(everything.data.labels, 3, 1)}
    for i in range(9):
        (tmp_path / "b" / f"{i}.png").write_text("not found")
    for data in (tmp_path, ImageFolder(tmp_path)):
        for most in (2, 3):
            target = opened(data, max_per_class=most, seed=1, on_error="skip")
            assert target.counts.to_dict() == dict.fromkeys("abc", most)
    less = opened(tmp_path, max_per_class=3, seed=1, on_error="skip").data.sources
    assert set(chosen.data.sources) - set(less) <= {tmp_path / "b" / f"{i}.png" for i in range(9)}


def test_every_cut_of_a_file_is_unreadable(cats, tmp_path):
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"):
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(buffer, format)
        content = buffer.getvalue()
        for share in (0, 0.02, 0.1, 0.5):
            (tmp_path / "cut.png").write_bytes(content[: int(share * len(content))])
            with pytest.raises(ValueError):
                decode.read(tmp_path / "cut.png", fast=True)


# Data sets ------------------------------------------------------------------------------------------------------------


class Listed(torch.utils.data.Dataset):
    """Images whose labels change on the way out; ``targets`` is what they were before."""

    def __init__(self, label_of, n=6, classes=None):
        self.label_of, self.targets = label_of, [0] * (n // 2) + [1] * (n - n // 2)
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return Image.new("RGB", (8, 8), (i, 0, 0)), self.label_of(i)


def test_the_label_of_an_item_is_what_the_item_says(tmp_path):
    from torchvision.datasets import ImageFolder

    assert opened(Listed(lambda i: i % 2)).data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert opened(Listed(lambda i: np.array([i % 2]))).data.labels.tolist() == [
        0,
        1,
        0,
        1,
        0,
        1,
    ]  # as MedMNIST has them
    assert opened(Listed(lambda i: torch.tensor(i % 2), classes=["x", "y"])).data.classes == ("x", "y")
    for k in "ab":
        for i in range(4):
            put(tmp_path / k / f"{i}.png")
    merged = ImageFolder(tmp_path, target_transform=lambda k: ["y", "x"][k])
    assert opened(merged).counts.to_dict() == {"x": 4, "y": 4}
    edited = ImageFolder(tmp_path)
    edited.samples = [(path, 1 - k) for path, k in edited.samples]
    assert opened(edited).data.labels.tolist() == [1] * 4 + [0] * 4


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (np.array(["x", "y"]), ("x", "y")),
        (pd.Index(["x", "y"]), ("x", "y")),
        ({"y": 1, "x": 0}, ("x", "y")),
        ({1: "y", 0: "x"}, ("x", "y")),
        *(
            (other, ("0", "1"))
            for other in (2, "xy", {"x", "y"}, iter("xy"), lambda: ["x", "y"], {"x": 3, "y": 5}, {"x": ["y"]})
        ),
    ],
)
def test_the_names_of_classes_come_from_lists_only(classes, expected):
    assert opened(Listed(lambda i: i % 2, classes=classes)).data.classes == expected


def test_data_sets_that_are_put_together_agree_what_a_label_means():
    def together(*listed, label_of=lambda i: i % 2):
        return torch.utils.data.ConcatDataset([Listed(label_of, classes=names) for names in listed])

    assert opened(together(["x", "y"], ["x", "y", "z"])).data.classes == ("x", "y")
    assert opened(together(["x", "y"], None)).data.classes == ("0", "1")
    assert opened(together(["x", "y"], ["y", "x"], label_of=lambda i: "xy"[i % 2])).data.classes == ("x", "y")
    with pytest.raises(
        ValueError, match="label 0 means '.' in one and '.' in another of the data sets in ConcatDataset"
    ):
        opened(together(["x", "y"], None, ["y", "x"]))


def test_part_of_a_data_set_has_its_classes():
    from torch.utils.data import ConcatDataset, Subset, random_split

    one, other = (Listed(lambda i: i % 2, classes=names) for names in (["x", "y"], ["y", "x"]))
    assert opened(Subset(one, range(4))).data.classes == opened(Subset(Subset(one, range(5)), range(4))).data.classes
    assert opened(Subset(one, range(4))).data.classes == ("x", "y")
    half = random_split(ConcatDataset([one, other]), [8, 4], torch.Generator().manual_seed(0))[0]
    for data in (Subset(ConcatDataset([one, other]), range(12)), half, ConcatDataset([one, Subset(other, range(4))])):
        with pytest.raises(ValueError, match="label 0 means '.' in one and '.' in another of the data sets in Concat"):
            opened(data)


def test_grey_arrays_are_images_and_a_tensor_of_images_takes_labels():
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 8), dtype=np.uint8)

    class Grey(Listed):
        def __getitem__(self, i):
            return ((pixels[i], pixels[i, ..., None], torch.tensor(pixels[i, None]))[i % 3]), i % 2

    data = opened(Grey(None)).data
    for i in range(6):
        np.testing.assert_array_equal(np.asarray(data.image(i)), np.repeat(pixels[i, ..., None], 3, 2))
    colours = torch.tensor(np.stack([pixels] * 3, 1))  # (n, 3, height, width)
    assert opened(colours, [0, 1] * 3).key == opened(colours.numpy(), [0, 1] * 3).key
    with pytest.raises(ValueError, match="images are float32 of shape"):
        opened(colours / 255, [0, 1] * 3)


def test_items_that_cannot_be_labelled_are_refused():
    for label_of, message in (
        (lambda i: None, "labels are missing: 6 of the 6 items of Listed have none"),
        (lambda i: {"boxes": []}, "sample 0 has the label {'boxes': ..}, a dict"),
        (lambda i: [0, 1], "a list; allowed is one integer or string per sample; labels.argmax"),
        (lambda i: i % 2 - 1, "have the label -1, which is none of its 2 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            opened(Listed(label_of, classes=["x", "y"]))


def test_items_that_cannot_be_read_are_counted_and_can_be_left_out():
    class Torn(Listed):
        def __getitem__(self, i):
            if i == 2:
                raise KeyError("lost")
            return super().__getitem__(i)

    data = Torn(lambda i: i % 2, n=8)
    with pytest.raises(ValueError, match="1 of 8 images cannot be read, the first is item 2 of Torn .KeyError: 'lost'"):
        opened(data)
    target = opened(data, on_error="skip")
    assert target.data.labels.tolist() == [0, 1, 1, 0, 1, 0, 1] and target.data.image(2).getpixel((0, 0)) == (3, 0, 0)


def test_a_data_set_may_read_all_its_items_from_one_open_file(tmp_path):
    class OneFile(Listed):
        def __init__(self, label_of, file):
            super().__init__(label_of, n=60)
            self.file = file

        def __getitem__(self, i):
            self.file.seek(192 * i)
            time.sleep(1e-4)  # lets other threads run
            return Image.frombytes("RGB", (8, 8), self.file.read(192).ljust(192, b"?")), self.label_of(i)

    pixels = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "all.bin").write_bytes(pixels.tobytes())
    with open(tmp_path / "all.bin", "rb") as file:
        data = opened(OneFile(lambda i: i % 2, file)).data
        read = list(batches.batches(lambda i: np.asarray(data.image(i)), range(60), 7, torch.device("cpu")))
    expected = [hashlib.sha256(b"(8, 8)" + image.tobytes()).hexdigest() for image in pixels]
    assert [digest for digest, *_ in data.read] == expected
    np.testing.assert_array_equal(torch.cat(read).permute(0, 2, 3, 1), pixels)


# Labels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ([None, *"ababa"], "labels are missing: 1 of the 6 rows have none, the first is number 1"),
        (["a", np.nan, *"abab"], "labels are missing: 1 .* number 2"),
        (pd.Series([0, 1, pd.NA, 0, 1, 1], dtype="Int64"), "labels are missing: 1 .* number 3"),
        (pd.Series(["a", "b", None, "a", "b", "b"], dtype="category"), "labels are missing: 1 .* number 3"),
        (np.ma.masked_array([0, 1, 0, 1, 0, 1], mask=[0, 0, 0, 1, 0, 0]), "labels are missing: 1 .* number 4"),
        (pd.to_datetime(["2020", None, "2021", "2020", "2021", "2020"]), "labels are missing: 1 .* number 2"),
        (["a", " ", *"abab"], "labels are missing: 1 .* number 2"),
        ([b"a", b"", *"abab"], "labels are missing: 1 .* number 2"),
        (None, "labels are missing: give labels="),
        ([0.5, 1, 2, 0.5, 1, 2], "labels are measured numbers .sample 0 has 0.5."),
        (np.linspace(0, 1, 6, dtype=np.float32), "measured numbers .sample 1 has 0.2"),
        (torch.linspace(0, 1, 6), "measured numbers"),
        ([np.inf, 1, 2, 0, 1, 2], "measured numbers .sample 0 has inf"),
        (np.eye(6), "labels.argmax.axis=1. if they are one-hot"),
        (torch.eye(6), "labels.argmax"),
        ([["a", "b"]] * 6, "sample 0 has the label .*a list; allowed is one integer or string"),
        ([1j] * 6, "a complex; allowed"),
        ([0, "a", 0, "a", 0, "a"], "partly numbers .0., partly strings .'a'."),
        ("ababab", "labels are a str; allowed is a list or an array"),
        ({0, 1, 2, 3, 4, 5}, "labels are a set"),
        (5, "labels are a int"),
        (np.array(5), "labels are a int"),
        ([0, 1], "6 rows but 2 labels"),
    ],
)
def test_what_is_no_label_of_a_class_is_refused(given_, message):
    with pytest.raises(ValueError, match=message):
        labels.encode(given_, 6, "rows")


@pytest.mark.parametrize(
    "given_",
    [
        [7, 9, 7],
        np.array([7.0, 9.0, 7.0]),
        torch.tensor([7, 9, 7]).bfloat16(),
        np.array([7, 9, 7], dtype=object),
        pd.Series([7, 9, 7], index=[5, 6, 7]),
        pd.Series([7, 9, 7], dtype="Int8"),
        [[7], [9], [7]],
        np.array([[7], [9], [7]]),
        pd.DataFrame({"y": [7, 9, 7]}),
        (np.int8(7), torch.tensor(9), 7),
        [[np.int64(7)], (np.int64(9),), [torch.tensor([7])]],
    ],
)
def test_labels_may_be_held_by_anything(given_):
    codes, classes = labels.encode(given_, 3, "rows")
    assert codes.tolist() == [0, 1, 0] and classes == ("7", "9")


def test_large_integers_stay_distinct():
    given_ = np.array([0, 2**63, 2**63 + 1, 0], dtype=np.uint64)
    codes, classes = labels.encode(given_, 4, "rows")
    assert codes.tolist() == [0, 1, 2, 0] and classes == ("0", str(2**63), str(2**63 + 1))


@pytest.mark.parametrize("value", ["5", 2.5, 1, True])
def test_a_limit_that_is_no_integer_of_two_or_more_is_refused(value):
    with pytest.raises(ValueError, match=f"max_per_class is {value!r}; it must be at least 2, an integer"):
        open_target(np.zeros((4, 8, 8, 3), np.uint8), [0, 1] * 2, max_per_class=value)


def test_labels_of_strings_bytes_and_truths_are_classes():
    assert labels.encode([2**63 + 1, 2**63, -1], 3, "rows")[1] == ("-1", str(2**63), str(2**63 + 1))
    assert labels.encode(np.array([b"x", b"y"]), 2, "rows")[1] == ("x", "y")
    assert labels.encode(["кот".encode(), "été".encode("latin-1")], 2, "rows")[1] == (r"\xe9t\xe9", "кот")
    assert labels.encode([True, False], 2, "rows")[1] == ("False", "True")
    assert labels.encode(["None", "nan", "10", "9"], 4, "rows")[1] == ("10", "9", "None", "nan")


def test_classes_called_almost_the_same_deserve_a_caution():
    assert labels.lookalikes(["a", "a ", "b", "B", "c", "caf\u00e9", "cafe\u0301"]) == [
        ("a", "a "),
        ("b", "B"),
        ("caf\u00e9", "cafe\u0301"),
    ]
    assert labels.lookalikes(
        ["0", "1", "0.0", "01", "1e0", "1_0", "10", str(2**53), str(2**53 + 1), "nan", "n", "1.0.0"]
    ) == [
        ("0", "0.0"),
        ("1", "01", "1e0"),
    ]
    H = np.random.default_rng(0).normal(size=(60, 4))
    table = ncrepro.rank(
        {"x": H, "y": H**2}, labels=["a", "a ", "b"] * 20, metrics="logme", n_bootstrap=0, progress=False
    )
    assert "classes 'a', 'a ' are called almost the same: are they one?" in table.attrs["cautions"]


def test_classes_called_like_a_missing_label_deserve_a_caution():
    assert labels.missing_lookalikes(["None", "NaN ", "<NA>", "N/A", "nano", "a", "nothing"]) == [
        "None",
        "NaN ",
        "<NA>",
        "N/A",
    ]
    y = np.array(["a", np.nan, "b"] * 4)  # strings, all of them
    H = np.random.default_rng(0).normal(size=(12, 4))
    table = ncrepro.rank({"x": H, "y": H**2}, labels=y, metrics="logme", n_bootstrap=0, progress=False)
    assert "class 'nan' looks like a missing label: is it a class?" in table.attrs["cautions"]


def test_classes_of_one_sample_are_refused_of_features_too():
    with pytest.raises(ValueError, match="class '0' of a has 1 sample"):
        ncrepro.rank({"a": np.eye(6), "b": np.eye(6)}, labels=np.arange(6), progress=False)


# Tables of texts ------------------------------------------------------------------------------------------------------


def table(folder, content, suffix="csv"):
    (folder / f"t.{suffix}").write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_target(folder / f"t.{suffix}").data


def test_rows_of_a_csv_are_never_shifted(tmp_path):
    rows = [("hello, world", "a"), ('say "hi"', "b"), ("two\nlines", "a"), ("x" * 200_000, "b")]
    text = "id,text,label\n" + "".join(
        f'{i},"{t.replace(chr(34), 2 * chr(34))}",{k}\n' for i, (t, k) in enumerate(rows)
    )
    for content in (
        text,
        "\ufeff" + text,
        text.replace("\n1,", "\n\n1,"),
        text.replace(",label\n", ",label,\n").replace(",a\n", ",a,\n").replace(",b\n", ",b,,\n"),
    ):
        data = table(tmp_path, content)
        assert data.texts == tuple(t for t, _ in rows) and data.labels.tolist() == [0, 1, 0, 1]
    for content, message in (
        ("text,label\nhello,a\nhello, world,b\n", "t.csv: line 3 has 3 fields, but the header names 2 columns"),
        ("text,label\nhello,a,1\nyou,b,2\n", "line 2 has 3 fields"),
        ("text,label\nhello\nyou,b\n", "1 of the 2 rows of .*t.csv have none, the first is number 1"),
        ("text,label,label\nx,a,b\n", "2 columns are called 'label'"),
        ('text,label\n"x,a\ny,b\n', "cannot be read as csv"),
        ("", "unknown text column 'text'"),
        (b"\xff\xfet\0e\0x\0t\0", "cannot be read as csv"),
        ("text;label\nx;a\n", "its columns are separated by ';'; save it with commas"),
        ("sep=;\ntext;label\nx;a\n", "its columns are separated by ';'"),
        ("text\tlabel\nx\ta\n", r"its columns are separated by '\\t'"),
    ):
        with pytest.raises(ValueError, match=message):
            table(tmp_path, content)


def test_measured_numbers_are_no_classes_of_a_csv_either(tmp_path):
    def rows(*names):
        return "text,label\n" + "".join(f"t{i},{name}\n" for i, name in enumerate(2 * names))

    for names in (("0.0", "0.2", "5.0"), ("1", " 2.5"), ("-1e-3", "+.5"), ("0.5", "1.5", "9" * 400)):
        with pytest.raises(
            ValueError, match="labels are measured numbers .sample . has .*: sort them into a few classes"
        ):
            table(tmp_path, rows(*names))
        with pytest.raises(ValueError, match="labels are measured numbers"):
            open_features({"a": np.eye(2 * len(names))}, tables.labels(tmp_path / "t.csv", "label"))
    for name in ("NA", "nan", " "):
        with pytest.raises(ValueError, match="labels are missing: 2 of the 6 rows"):
            table(tmp_path, rows("0.5", name, "1.5"))
    for names in (("0", "1.0"), ("01", "1"), ("0.5", "low"), ("1.2.1", "1.2"), ("1", "NA"), ("1_0", "1.5")):
        assert table(tmp_path, rows(*names)).classes == tuple(sorted(names))
    lines = "".join(json.dumps({"text": "t", "label": name}) + "\n" for name in ["0.5", "1.5"] * 2)
    assert table(tmp_path, lines, "jsonl").classes == ("0.5", "1.5")  # strings, since they are in quotes


def test_a_table_of_a_million_columns_costs_no_more_than_its_rows(tmp_path):
    n = 1_000_000
    row = "7," * (n - 2)
    content = (
        ",".join(f"c{i}" for i in range(n - 2))
        + ",text,label\n"
        + "".join(f"{row}hello {i},{'ab'[i % 2]}\n" for i in range(4))
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = table(tmp_path, content)
    assert data.texts == tuple(f"hello {i}" for i in range(4))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
    with pytest.raises(ValueError, match="unknown text column 'text'.*and 999950 more columns") as error:
        table(tmp_path, content.replace(",text,", ",txt,"))
    assert len(str(error.value)) < 2000


def test_json_lines_are_read_and_refused_line_by_line(tmp_path):
    lines = [{"text": f"t{i}", "label": "ab"[i % 2], "more": [i]} for i in range(4)]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    for form in (content, "\ufeff" + content, content.replace("\n", "\r\n"), "\n" + content):
        assert table(tmp_path, form, "jsonl").texts == ("t0", "t1", "t2", "t3")
    assert table(tmp_path, content.replace("t3", "\\ud800"), "jsonl").texts[3] == "?"
    for form, message in (
        (
            content.replace('"label": "a"', '"label": ["a"]').replace('"label": "b"', '"label": ["a", "b"]'),
            "a list; allowed is one integer or string",
        ),
        (
            content.replace('"label": "a", "more": [2]', '"more": [2]'),
            "labels are missing: 1 of the 4 rows of .*number 3",
        ),
        (content.replace('"b"', "null"), "labels are missing: 2 of the 4"),
        (content.replace('"b"', "0.25").replace('"a"', "0.5"), "labels are measured numbers"),
        (content.replace('"t1"', "null"), "number 2 of the 4 rows of .* has no text"),
        (content.replace('"t1"', '{"a": 1}'), "number 2 of the 4 rows of .* is a dict; allowed are texts"),
        (json.dumps(lines), "line 1 holds a list; allowed is one JSON object per line"),
        ("[" * 100_000, "cannot be read as jsonl"),
        (content.replace("label", "lable"), "unknown label column 'label'.*did you mean 'lable'"),
    ):
        with pytest.raises(ValueError, match=message):
            table(tmp_path, form, "jsonl")


def test_lists_and_frames_of_texts_are_held_to_the_same(tmp_path):
    texts, two = [f"text {i}" for i in range(4)], ["a", "b"] * 2
    for held in (np.array(texts), pd.Series(texts), pd.Index(texts), pd.array(texts), pd.Categorical(texts)):
        data = open_target(held, two).data
        assert data.texts == tuple(texts) and data.classes == ("a", "b")
    frame = pd.DataFrame({"text": texts, "label": pd.Series(two, dtype="category")})
    assert open_target(frame).data.texts == tuple(texts)
    for data, labels_, message in (
        (texts, [None, "b", "a", "b"], "labels are missing: 1 of the 4 texts"),
        (["x", None, "y", "z"], two, "number 2 of the 4 texts has no text"),
        (["x", 3 + 1j, "y", "z"], two, "number 2 of the 4 texts is a complex"),
        (pd.concat([frame, frame[["label"]]], axis=1), None, "2 columns are called 'label'"),
        (frame.assign(label=[np.nan, "a", "b", "a"]), None, "labels are missing: 1 of the 4 rows of the table"),
    ):
        with pytest.raises(ValueError, match=message):
            open_target(data, labels_)


# Features -------------------------------------------------------------------------------------------------------------


def test_features_give_the_same_table_whatever_holds_them():
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    both = {
        name: (rng.normal(size=(60, 9)) + spread * y[:, None]).astype(np.float32)
        for name, spread in (("x", 1.0), ("y", 0.5))
    }

    def go(hold, **options):
        options = {"labels": y, "metrics": ["logme"], "n_bootstrap": 5, "progress": False} | options
        return ncrepro.rank({name: hold(H) for name, H in both.items()}, **options)[
            ["model", "logme", "total", "low", "high"]
        ]

    for options in ({}, {"max_per_class": 10}):
        for hold in (
            pd.DataFrame,
            lambda H: pd.DataFrame(H, index=range(60, 0, -1)).add_prefix("f"),
            lambda H: H.tolist(),
            lambda H: list(map(tuple, H.tolist())),
            torch.tensor,
        ):
            pd.testing.assert_frame_equal(go(hold, **options), go(np.asarray, **options), rtol=1e-4)
    for hold in (lambda H: H[None], lambda H: H.astype(str), lambda H: pd.DataFrame(H).assign(name="x"), lambda H: 3):
        with pytest.raises(ValueError, match="x: features .*; they must be"):
            go(hold)


def test_labels_beside_features_that_carry_others_are_refused(tmp_path):
    H, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 2
    np.savez(tmp_path / "own.npz", features=H, labels=y)
    np.savez(tmp_path / "none.npz", features=H)
    statistics = ncrepro.metrics.ClassStatistics().update(H, y)
    for data in ([tmp_path / "own.npz"], {"a": (H, y)}, {"a": statistics}, {"a": [(H, y)], "b": statistics}):
        for others in (np.arange(12) % 3, y[:6], np.where(y, "cat", "dog")):
            with pytest.raises(ValueError, match="labels=... are given, but .* carries labels of its own, which are"):
                open_features(data, others)
        assert open_features(data, list(map(str, y)))[0].labels.tolist() == open_features(data)[0].labels.tolist()
    mixed = open_features([tmp_path / "own.npz", tmp_path / "none.npz"], iter(y))
    assert [model.labels.tolist() for model in mixed] == [y.tolist()] * 2


def test_features_and_labels_in_another_order_are_refused():
    names = [f"photo {i}" for i in range(12)]
    first = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)), index=names)
    y = pd.Series(np.arange(12) % 2, index=names)
    for data, given_, message in (
        ({"a": first, "b": first**2}, y[::-1], "a and labels name the same samples in another order"),
        ({"a": first, "b": first[::-1]}, y.to_numpy(), "a and b name the same samples in another order"),
        ({"a": (first, y[::-1])}, None, "features and labels of a name the same samples in another order"),
    ):
        with pytest.raises(ValueError, match=message):
            open_features(data, given_)
    assert open_features({"a": first, "b": (first, y)}, y)[1].labels.tolist() == y.tolist()


def test_texts_and_labels_in_another_order_are_refused():
    texts, y = pd.Series([*"stuvwxyz"]), pd.Series([0, 1] * 4)
    mixed = y.sample(frac=1, random_state=0)
    for one, other in (
        (texts.loc[mixed.index], mixed.sort_index()),
        (texts[1:], mixed[mixed.index > 0]),
        (texts[:0:-1], y[1:]),
    ):
        with pytest.raises(ValueError, match="texts and labels name the same samples in another order"):
            open_target(one, other)
    for one, other in ((texts.loc[mixed.index], mixed), (texts.tolist(), mixed), (texts[1:], y[1:].tolist())):
        assert len(open_target(one, other)) == len(one)


def test_statistics_of_other_data_are_refused_beside_features_and_statistics():
    H, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
    of = ncrepro.metrics.ClassStatistics.of
    for other in (of(H[:9], y[:9]), of(H, y + 1), (H[:9], y[:9])):
        with pytest.raises(ValueError, match="b and a have different labels"):
            open_features({"a": of(H, y), "b": other})
    order = np.argsort(y, kind="stable")
    assert len(open_features({"a": of(H, y), "b": of(H[order], y[order]), "c": (H[order], y[order].astype(str))})) == 3


def test_source_probabilities_of_several_models_in_one_file_are_refused(tmp_path):
    np.savez(tmp_path / "f.npz", one=np.eye(4), two=np.eye(4), labels=np.arange(4) % 2, source_probs=np.eye(4))
    with pytest.raises(
        ValueError, match="source_probs beside the features of 2 models: one, two; save a file for each"
    ):
        open_features([tmp_path / "f.npz"])


def test_a_folder_that_holds_the_folder_of_classes_is_answered_by_its_name(cats):
    inside = cats / "seg_train"
    inside.mkdir()
    for name in "ab":
        (cats / name).rename(inside / name)
    with pytest.raises(ValueError, match=f"holds one folder, which holds folders in its turn: name {inside} instead"):
        opened(cats)
    assert opened(inside).counts.to_dict() == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(11), np.arange(11).astype(str)),  # which sorts "10" before "2"
        (np.arange(11), np.arange(11.0)),
        (np.arange(11), [f"{i}.0" for i in range(11)]),
        (np.arange(11), np.arange(1, 12)),
        (list("abcdefghijk"), np.arange(11)),  # as an encoder of labels numbers them
        (list("abcdefghijk"), [f" {x.upper()}" for x in "abcdefghijk"]),
        (["caf\u00e9", *"bcdefghijk"], ["cafe\u0301", *"bcdefghijk"]),
    ],
)
def test_labels_may_be_written_in_several_ways(one, other):
    H, order = np.random.default_rng(0).normal(size=(44, 3)), np.random.default_rng(1).permutation(np.arange(44) % 11)
    left, right = (np.asarray(names)[order] for names in (one, other))
    assert len(open_features({"a": (H, left), "b": (H, right)})) == 2
    assert len(open_features({"b": (H, right), "a": (H, left)})) == 2
    other_samples = np.roll(right, 1)
    with pytest.raises(ValueError, match="b and a have different labels"):
        open_features({"a": (H, left), "b": (H, other_samples)})


@pytest.mark.parametrize("shards", [False, True])
def test_features_of_other_classes_in_the_same_order_are_refused(shards):
    H, y = np.random.default_rng(0).normal(size=(30, 3)), np.repeat(np.arange(3), 10)
    dogs, cars = np.array(["beagle", "boxer", "pug"])[y], np.array(["audi", "bmw", "fiat"])[y]
    pool = {name: [(H, y)] if shards else (H, y) for name, y in {"dogs": dogs, "cars": cars}.items()}
    with pytest.raises(ValueError, match="cars and dogs have different labels.*call their classes the same"):
        open_features(pool)
    with pytest.raises(ValueError, match="labels=... are given, but dogs carries labels of its own"):
        open_features({"dogs": pool["dogs"]}, cars)


def test_labels_beside_features_may_be_written_as_a_table_writes_them():
    H, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
    for given in ([f"{i}.0" for i in y], y.astype(float), [str(i) for i in y]):
        assert len(open_features({"a": (H, y), "b": (H, y)}, given)) == 2


def test_labels_of_shards_are_checked_as_all_labels_are():
    H, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
    names = np.array(["cat", "dog", "eel"])[y]
    for values, message in (
        (np.where(y, names, ""), "labels are missing: 4 of the 12 samples in a shard of a have none"),
        (np.where(y, names.astype(object), None), "labels are missing: 4 of the 12"),
        (y + 0.5, "labels are measured numbers"),
        (pd.Series(y, index=range(12, 0, -1)), "features and labels of a shard of a name the same samples"),
    ):
        features = pd.DataFrame(H, index=range(1, 13)) if isinstance(values, pd.Series) else H
        with pytest.raises(ValueError, match=message):
            open_features({"a": [(features, values)]})
    with pytest.raises(ValueError, match="labels of some samples of a are missing"):
        open_features({"a": ncrepro.metrics.ClassStatistics().update(H, np.where(y, names, ""))})
    for values, classes in ((y.astype(float), "012"), (torch.tensor(y), "012"), (names.astype(object), names[:3])):
        (model,) = open_features({"a": [(H, values), (H, values)]})
        assert model.classes == tuple(classes) and model.statistics.class_counts.tolist() == [8, 8, 8]


def test_data_taken_for_features_by_mistake_are_refused_with_a_remedy(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(4))
    for data in (tmp_path / "a.npy", [str(tmp_path / "a.npy")]):
        with pytest.raises(ValueError, match="a.npy is not a .npz file.*: save it with np.savez"):
            ncrepro.rank(data, labels=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="a table of texts, give pandas.DataFrame"):
        ncrepro.rank({"text": ["x", "y"], "label": [0, 1]}, ["bert-base-uncased", "gpt2"])


def test_logme_of_features_that_say_nothing_of_a_class_needs_no_caution():
    """Its evidence has come to its limit for an infinite prior precision, which no number of steps reaches."""
    H, y = np.random.default_rng(0).normal(size=(200, 4)), np.arange(200) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = ncrepro.metrics.logme(H, y)
        assert ncrepro.metrics.logme(H, y, iterations=20_000) == pytest.approx(few, abs=1e-9)


def test_logme_that_stopped_early_gets_a_caution(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(90) % 7
    H = rng.standard_normal((90, 30)) @ rng.standard_normal((30, 30)) + rng.standard_normal((7, 30))[y]
    pool = {"fires": H, "with_dead_units": np.pad(H, ((0, 0), (0, 2)))}
    table = ncrepro.rank(pool, labels=y, metrics=["logme"], n_bootstrap=5).set_index("model")["caution"]
    assert table["fires"] == "" and "LogME stopped before its maximum" in table["with_dead_units"]


def test_files_of_features_may_end_in_capitals(tmp_path):
    np.savez(tmp_path / "a.npz", features=np.eye(4), labels=np.arange(4) % 2)
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert are_features(tmp_path / "A.NPZ") and are_features(tmp_path)
    assert [model.name for model in open_features(tmp_path)] == ["A"]


def test_files_of_one_name_are_named_by_their_folders_and_models_of_one_name_refused(tmp_path):
    files = []
    for i, place in enumerate(("a/run/f.npz", "b/run/f.npz")):
        files.append(tmp_path / place)
        files[-1].parent.mkdir(parents=True)
        np.savez(files[-1], features=np.random.default_rng(i).normal(size=(12, 3)), labels=np.arange(12) % 2)
    assert [model.name for model in open_features(files)] == ["a/run/f", "b/run/f"]
    for data in ([files[0], files[0]], {1: files[0], "1": files[1]}):
        with pytest.raises(ValueError, match="2 models are called .*give each a name of its own"):
            open_features(data)
    np.savez(tmp_path / "all.npz", one=np.eye(12), labels=np.arange(12) % 2)
    np.savez(tmp_path / "more.npz", one=np.eye(12), labels=np.arange(12) % 2)
    with pytest.raises(ValueError, match="2 models are called 'one'"):
        open_features([tmp_path / "all.npz", tmp_path / "more.npz"])


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape, descr="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_archives_that_claim_more_than_they_hold_are_refused(tmp_path, monkeypatch):
    y = npy(np.arange(4) % 2)
    for content, message in (
        (header((1 << 40, 1 << 10)) + b"x" * 64, "claims .1099511627776, 1024. numbers .* which is not what is there"),
        (header((1 << 62, 1 << 62)), "which is not what is there"),
        (header((4, 3)) + b"x" * 8, "which is not what is there"),
        (npy(np.array([{}] * 4, dtype=object)), "features.npy holds Python objects"),
        (b"no array", "is not a .npz file of plain arrays"),
        (b"", "is not a .npz file of plain arrays"),
    ):
        with pytest.raises(ValueError, match=message):
            open_features([archive(tmp_path / "f.npz", features=content, labels=y)])
    monkeypatch.setattr("ncrepro.rank_your_own.given_features.BOMB", (100, 1 << 20))
    with pytest.raises(ValueError, match="features.npy would unpack .* bytes to"):
        open_features([archive(tmp_path / "f.npz", features=npy(np.zeros((4, 1 << 18))), labels=y)])
    np.save(tmp_path / "plain.npy", np.eye(4))
    (tmp_path / "plain.npy").rename(tmp_path / "plain.npz")
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("plain.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a .npz file of plain arrays"):
            open_features([tmp_path / name])
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="there is no file .*pipe.npz"):
        open_features([tmp_path / "pipe.npz"])


def test_source_probabilities_of_other_samples_are_refused(tmp_path):
    np.savez(tmp_path / "f.npz", features=np.eye(4), labels=np.arange(4) % 2, source_probs=np.eye(3))
    with pytest.raises(ValueError, match=r"source_probs have shape \(3, 3\); allowed is \(4, source classes\)"):
        open_features([tmp_path / "f.npz"])


def test_hidden_names_are_those_of_systems_only():
    assert [
        name
        for name in (".x", "__MACOSX", "Thumbs.db", "x.png", "_x", "x.", "recycler", "~x", "found.x")
        if folders.is_hidden(name)
    ] == [
        ".x",
        "__MACOSX",
        "Thumbs.db",
    ]
