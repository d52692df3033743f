"""Scenes with pixel labels: the same bytes always, every class there, nothing of the target in a source."""

import hashlib
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from ncrepro.lab.datasets import scenes
from ncrepro.lab.datasets.builtin import signs

SPLITS = ("train", "test")
FEW = ("rooms", "shadows", "things", "figures", "street")  # domains that together use every way of painting
generated = cache(scenes.generate)


def digest(data: scenes.Scenes) -> str:
    return hashlib.sha256(data.images.tobytes() + data.masks.tobytes() + repr(data.classes).encode()).hexdigest()


def test_scenes_have_the_same_bytes_in_another_process_order_and_hash_seed():
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_scenes import FEW, scenes, digest\n"
        "for name in reversed(FEW): print(name, digest(scenes.generate(name, 'test')))"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": root}
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    elsewhere = dict(line.split() for line in printed.stdout.splitlines())
    assert elsewhere == {name: digest(generated(name, "test")) for name in FEW}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", scenes.NAMES)
def test_images_and_labels_have_the_stated_types_shapes_and_range(name, split):
    data = generated(name, split)
    n = scenes.DOMAINS[name].n_train if split == "train" else scenes.DOMAINS[name].n_test
    assert len(data) == n and data.n_classes == len(set(data.classes))
    assert data.images.shape == (n, 3, 48, 48) and data.images.dtype == np.uint8 and data.images.flags.c_contiguous
    assert data.masks.shape == (n, 48, 48) and data.masks.dtype == np.uint8
    assert set(np.unique(data.masks)) == set(range(data.n_classes))  # every class occurs, and nothing else


@pytest.mark.parametrize("name", scenes.NAMES)
def test_objects_are_large_and_no_class_is_hardly_seen(name):
    masks = generated(name, "train").masks
    share = np.bincount(masks.ravel()) / masks.size
    assert share.max() <= 0.65
    assert share.min() >= 0.02


@pytest.mark.parametrize("name", scenes.NAMES)
def test_no_scene_is_blank_and_none_occurs_twice_within_or_across_splits(name):
    both = np.concatenate([generated(name, split).images for split in SPLITS])
    flat = both.reshape(len(both), -1)
    assert flat.std(axis=1).min() > 5  # grey levels
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_the_first_scenes_are_those_of_the_whole():
    assert digest(scenes.generate("street", "train", 5)) == digest(generated("street", "train").limited(5))


def test_signs_more_is_signs_with_more_scenes():
    few, many = scenes.DOMAINS["signs"], scenes.DOMAINS["signs_more"]
    assert (few.classes, few.paint, few.noise, few.gain) == (many.classes, many.paint, many.noise, many.gain)
    assert many.n_train == 4 * few.n_train


def test_no_texture_of_the_target_is_in_a_source():
    used = {
        look.texture for street in (scenes.ROADS, scenes.DRIVES) for look in street.looks.values() if look is not None
    } | set(scenes.ROOMS) | {"stripes", "grain", "clouds", "checkers"}  # fmt: skip
    assert not used & {look.texture for look in scenes.STREET.looks.values() if look is not None}


def test_no_sign_of_the_target_is_in_a_source():
    assert (scenes.STREET.table, scenes.DRIVES.table) == ("TARGET", "SOURCE")
    source, target = ({signs.draw(sign).tobytes() for sign in table.values()} for table in (signs.SOURCE, signs.TARGET))
    assert not source & target


def test_paint_labels_what_covers_more_than_half_and_mixes_the_rest():
    canvas = scenes.Canvas(np.zeros((48, 48, 3)))
    opacity = np.zeros((48, 48))
    opacity[0, :3] = 1.0, 0.6, 0.4
    canvas.paint(opacity, np.array([1.0, 0.5, 0.0]), 3)
    np.testing.assert_array_equal(canvas.mask[0, :4], [3, 3, 0, 0])
    np.testing.assert_allclose(canvas.image[0, :4, 1], [0.5, 0.3, 0.2, 0.0])


def test_a_blob_covers_its_share():
    rng = np.random.default_rng(0)
    for share in (0.2, 0.5):
        assert abs(scenes.blob(rng, share).mean() - share) < 0.01


def test_an_item_is_an_image_and_its_labels_for_torch():
    data = generated("street", "test")
    image, mask = data[3]
    assert (image.dtype, mask.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(image.numpy(), data.images[3])
    np.testing.assert_array_equal(mask.numpy(), data.masks[3])


def test_limited_keeps_the_first_scenes():
    data = generated("roads", "train")
    assert len(data.limited(7)) == 7 and len(data.limited(10**6)) == len(data)
    np.testing.assert_array_equal(data.limited(7).masks, data.masks[:7])


def test_the_cache_gives_back_what_was_drawn(root):
    scenes.load.cache_clear()
    data = scenes.load("roads", "test")
    scenes.load.cache_clear()
    assert digest(scenes.load("roads", "test")) == digest(data) == digest(generated("roads", "test"))
    assert (root / "data" / "cache" / "datasets" / "scenes-roads-test.safetensors").exists()
    scenes.load.cache_clear()


@pytest.mark.parametrize("load", [scenes.generate, scenes.load])
def test_an_unknown_domain_is_answered_with_the_nearest_name(load):
    with pytest.raises(ValueError, match="unknown data set 'steet'.*did you mean 'street'"):
        load("steet", "train")


@pytest.mark.parametrize("load", [scenes.generate, scenes.load])
def test_an_unknown_split_is_refused(load, root):
    with pytest.raises(ValueError, match="unknown split 'val': choose one of test, train"):
        load("street", "val")
