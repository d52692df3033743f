"""The demo's data: the same bytes always, every image worth looking at, no target class in a source."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from ncrepro.extraction.samples import Images
from ncrepro.figures import data_examples
from ncrepro.lab import datasets
from ncrepro.lab.datasets import builtin, scenes
from ncrepro.lab.datasets.builtin import glyphs, signs
from ncrepro.store import artifacts, fingerprint, paths

SPLITS = ("train", "test")
generated = cache(builtin.generate)


def digest(images: Images) -> str:
    return hashlib.sha256(images.images.tobytes() + images.labels.tobytes() + repr(images.classes).encode()).hexdigest()


def test_every_set_has_the_same_bytes_in_another_process_order_and_hash_seed():
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_datasets_builtin import builtin, digest\n"
        "for name in reversed(builtin.NAMES): print(name, digest(builtin.generate(name, 'test', 100)))"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": root}
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    elsewhere = dict(line.split() for line in printed.stdout.splitlines())
    assert elsewhere == {name: digest(generated(name, "test").take(slice(100))) for name in builtin.NAMES}


@pytest.mark.parametrize("name", ["digits", "signs"])
def test_the_first_images_are_those_of_the_whole(name):
    assert digest(builtin.generate(name, "test", 7)) == digest(generated(name, "test").take(slice(7)))


@pytest.mark.parametrize("name", ["digits", "signs", "photographs"])
def test_a_second_call_gives_the_same_bytes(name):
    assert digest(builtin.generate(name, "train")) == digest(generated(name, "train"))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", builtin.NAMES)
def test_images_are_8_bit_colour_of_32_pixels_and_every_class_has_as_many(name, split):
    data = generated(name, split)
    assert (data.name, data.split) == (name, split)
    assert data.images.shape == (len(data), 3, 32, 32) and data.images.dtype == np.uint8
    assert data.images.flags.c_contiguous
    counts = np.bincount(data.labels, minlength=data.n_classes)
    assert len(set(data.classes)) == len(counts) == data.n_classes
    if (name, split) != ("digits", "test"):  # scikit-learn has 174 to 183 of each digit
        assert len(set(counts)) == 1


def stated(kind: str) -> dict[str, tuple[int, ...]]:
    """Classes, training and test items of the images or the scenes that data/README.md says are drawn here."""
    part = (paths.root() / "data" / "README.md").read_text(encoding="utf-8").split("## Drawn here")[1].split("\n## ")[0]
    tables = dict(zip(("images", "scenes"), part.split("`ncrepro.lab.datasets.scenes`"), strict=True))
    rows = [row.strip("| ").split(" | ") for row in tables[kind].splitlines() if row.startswith("| ")]
    found = {}
    for names, _, *sizes in rows[1:]:
        for i, name in enumerate(names.split(", ")):
            of_each = (size.split(", ") for size in sizes)
            found[name] = tuple(int(of[min(i, len(of) - 1)].replace(",", "")) for of in of_each)
    return found


@pytest.mark.parametrize(
    ("generate", "name", "sizes"),
    [(generated, *row) for row in stated("images").items()]
    + [(scenes.generate, *row) for row in stated("scenes").items()],
)
def test_the_drawn_sets_have_the_sizes_that_the_readme_states(generate, name, sizes):
    train, test = (generate(name, split) for split in SPLITS)
    assert (train.n_classes, len(train), len(test)) == sizes
    assert train.classes == test.classes


def test_the_readme_states_every_supervised_set_and_every_scene():
    assert stated("images").keys() == {builtin.SOURCE, *builtin.TARGETS}
    assert stated("scenes").keys() == set(scenes.NAMES)


@pytest.mark.parametrize("name", builtin.SOURCES)
def test_the_multi_source_sources_are_of_like_size(name):
    train, test = (generated(name, split) for split in SPLITS)
    assert 1790 <= len(train) <= 1810
    assert 560 <= len(test) <= 620


@pytest.mark.parametrize("name", builtin.NAMES)
def test_no_image_is_blank_and_none_occurs_twice_within_or_across_splits(name):
    both = np.concatenate([generated(name, split).images for split in SPLITS])
    flat = both.reshape(len(both), -1)
    assert flat.std(axis=1).min() > 2.5  # grey levels; the sky of a photograph has 2.8, a drawn image 14 or more
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_every_character_has_ink_in_every_font_that_draws_it():
    texts = (builtin.LATIN, builtin.GREEK, builtin.GREEK_LOWER, builtin.ARMENIAN, builtin.GEORGIAN, builtin.SYLLABICS,
             builtin.PICTOGRAMS)  # fmt: skip
    painters = [glyphs.Glyphs(text, builtin.SANS) for text in texts]
    painters.append(glyphs.Glyphs(builtin.CYRILLIC, builtin.SERIF))
    painters.append(glyphs.Glyphs(builtin.MATH, builtin.STIX + builtin.SERIF))
    painters += [glyphs.Glyphs(builtin.FONT_LETTERS, [font]) for font in builtin.FONTS + builtin.SOURCE_FONTS]
    shares = {pair: np.asarray(glyphs.glyph(*pair)).mean() / 255 for painter in painters for pair in painter.pairs}
    assert min(shares.values()) > 0.01, min(shares, key=shares.get)
    assert max(shares.values()) < 0.5, max(shares, key=shares.get)


def test_different_characters_of_a_set_are_different_pictures_in_each_font():
    for text, fonts in [
        (builtin.CYRILLIC, builtin.SERIF), (builtin.MATH, ["STIXGeneral"]), (builtin.ARMENIAN, ["DejaVuSans"]),
        (builtin.GEORGIAN, ["DejaVuSans"]), (builtin.SYLLABICS, ["DejaVuSans"]), (builtin.PICTOGRAMS, ["DejaVuSans"]),
    ]:  # fmt: skip
        for font in fonts:
            assert len({glyphs.glyph(character, font).tobytes() for character in text}) == len(text)


def test_every_sign_is_a_different_picture():
    table = signs.SOURCE | signs.TARGET
    assert len({signs.draw(sign).tobytes() for sign in table.values()}) == len(signs.SOURCE) + len(signs.TARGET)


def test_no_class_of_a_source_is_a_class_of_a_target():
    of_targets = {c for name in builtin.TARGETS for c in generated(name, "test").classes}
    for name in (builtin.SOURCE, *builtin.SOURCES):
        assert not of_targets & set(generated(name, "test").classes)


def test_pictograms_of_source_signs_are_not_on_target_signs():
    assert not {sign[3] for sign in signs.SOURCE.values()} & {sign[3] for sign in signs.TARGET.values()}


def test_drawn_sets_go_through_their_classes_in_turn():
    data = generated("math", "train")
    np.testing.assert_array_equal(data.labels, np.arange(len(data)) % data.n_classes)


@pytest.mark.parametrize("name", ["imagenet", "", "Digits"])
def test_an_unknown_name_is_refused_with_the_list_of_names(name):
    with pytest.raises(ValueError, match="unknown data set .*: choose one of ") as refused:
        builtin.generate(name, "train")
    assert all(known in str(refused.value) for known in (repr(name), *builtin.NAMES))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'tran': choose one of test, train; did you mean 'train'"):
        builtin.generate("digits", "tran")


def test_a_file_that_keeps_its_classes_as_bytes_is_not_read_as_one_that_names_them(root):
    data = generated("digits", "test")
    spec = {"dataset": "digits", "split": "test", "code": fingerprint.of(builtin.__name__)}
    as_bytes = np.frombuffer(json.dumps(data.classes).encode(), np.uint8)
    arrays = {"images": data.images, "labels": data.labels, "classes": as_bytes}
    artifacts.save(paths.datasets() / "digits-test.safetensors", arrays, spec)
    for _ in range(2):  # made, then read
        datasets.load.cache_clear()
        assert digest(datasets.load("digits", "test")) == digest(data)
    datasets.load.cache_clear()


def test_a_character_that_no_font_has_is_refused_instead_of_drawn_blank():
    with pytest.raises(ValueError, match="cmr10 has 'Ж'"):
        glyphs.Glyphs("AЖ", ["cmr10"])


def small(labels: list[int]) -> Images:
    images = np.arange(len(labels) * 3 * 2 * 2, dtype=np.uint8).reshape(-1, 3, 2, 2)
    return Images("small", "train", images, np.array(labels), ("a", "b", "c"))


def test_limited_keeps_the_first_of_each_class_in_their_order():
    data = small([2, 0, 2, 2, 0, 0, 1])
    limited = data.limited(2)
    np.testing.assert_array_equal(limited.labels, [2, 0, 2, 0, 1])
    np.testing.assert_array_equal(limited.images, data.images[[0, 1, 2, 4, 6]])
    assert limited.classes == data.classes and limited.n_classes == 3 and len(limited) == 5


def test_take_takes_positions_in_their_order_or_a_mask():
    data = small([2, 0, 1])
    np.testing.assert_array_equal(data.take([2, 0]).labels, [1, 2])
    np.testing.assert_array_equal(data.take(data.labels > 0).images, data.images[[0, 2]])


@pytest.mark.parametrize("k", [0, -1])
def test_limiting_to_none_is_refused(k):
    with pytest.raises(ValueError, match=f"max_per_class is {k}; allowed is 1 or more"):
        small([0, 1]).limited(k)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 4, 4)), np.zeros(2, np.int64), "images are float64"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int64), r"of shape \(2, 4, 4, 3\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(3, np.int64), r"labels are int64 of shape \(3,\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2), "labels are float64"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 2]), "labels run from 0 to 2; allowed is 0 to 1"),
    ],
)
def test_images_that_are_not_what_they_should_be_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Images("odd", "train", images, labels, ("a", "b"))


def test_the_gallery_shows_images_of_the_sets_themselves():
    data = [generated(name, "test") for name in ("source", "digits", "signs")]
    figure = data_examples.images(data, per_row=16, source_rows=2, title="Examples")
    assert figure.get_figwidth() == 7.0
    strips = [axes.images[0].get_array() for axes in figure.axes]
    assert [strip.shape for strip in strips] == [(2 * 33, 16 * 33, 3), (33, 16 * 33, 3), (33, 16 * 33, 3)]
    np.testing.assert_array_equal(strips[2][:32, 33:65], data[2].images[data[2].labels == 1][0].transpose(1, 2, 0))
    texts = [text.get_text() for text in figure.texts]
    sizes = ["76 classes,\n30 images each", "10 classes,\nabout 160 images each", "20 classes,\n80 images each"]
    assert texts == ["source", sizes[0], "digits", sizes[1], "signs", sizes[2], "Examples"]
