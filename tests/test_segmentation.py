"""The segmentation pool: networks, measures, the drawing of pixels, training, and the paper's data sets on disk."""

import json
import re
from functools import cache

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from scipy.io import savemat
from torch import nn
from torch.nn import functional as F
from torchvision import datasets as torchvision_datasets
from torchvision.transforms import v2

from ncrepro import ranking
from ncrepro.commands import cli as pipeline
from ncrepro.extraction import last_layer
from ncrepro.figures import index
from ncrepro.figures import segmentation as figures
from ncrepro.lab import profiles, recipes, training_loop
from ncrepro.lab.datasets import scenes, segmentation_folders, unpacked_folders
from ncrepro.lab.experiment import Experiment
from ncrepro.lab.models import segmentation as models
from ncrepro.lab.tasks import segmentation, steps
from ncrepro.store import paths

matplotlib.use("agg")

generated = cache(scenes.generate)
RECIPE = {"epochs": 2, "batch_size": 4, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def street():
    return generated("street", "train").limited(12)


@pytest.fixture
def few_scenes(monkeypatch):
    """Scenes without a cache on disk, few of them."""
    monkeypatch.setattr(scenes, "load", lambda name, split: generated(name, split).limited(12))


def spec(source="roads", **changed):
    given = {"architecture": "pspnet_resnet18", "source": source, "max_per_class": None, "recipe": RECIPE, "seed": 0}
    return given | changed


def on_target(seed=0, **changed):
    return {"target": "street", "max_per_class": None, "recipe": RECIPE, "seed": seed} | changed


# Measures -------------------------------------------------------------------------------------------------------------

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 2, 255]])
ANSWER = np.array([[0, 0, 1, 1], [1, 0, 0, 2]])


def test_confusion_counts_pixels_by_truth_and_answer_without_the_ignored():
    np.testing.assert_array_equal(segmentation.confusion(TRUTH, ANSWER, 3), [[2, 1, 0], [1, 2, 0], [1, 0, 0]])


def test_pixel_accuracy_and_mean_iou_are_what_their_formulas_say():
    counts = segmentation.confusion(TRUTH, ANSWER, 3)
    assert segmentation.pixel_accuracy(counts) == 100 * 4 / 7
    assert segmentation.mean_iou(counts) == pytest.approx(100 * (2 / 5 + 2 / 4 + 0 / 1) / 3)


def test_a_class_that_is_nowhere_does_not_count_for_the_mean_iou():
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert segmentation.mean_iou(counts) == pytest.approx(100 * (3 / 4 + 4 / 5) / 2)


def test_perfect_answers_score_100():
    counts = segmentation.confusion(TRUTH, TRUTH, 3)
    assert segmentation.pixel_accuracy(counts) == segmentation.mean_iou(counts) == 100


# Pixels ---------------------------------------------------------------------------------------------------------------


def labels_at(masks, places):
    return np.array([masks[i][row, column] for i, row, column in places])


def test_every_class_gives_its_budget_however_rare_it_is(street):
    places = segmentation.sample_pixels(street.masks, 7, 30, seed=0)
    np.testing.assert_array_equal(np.bincount(labels_at(street.masks, places), minlength=7), [30] * 7)


def test_a_budget_is_spread_over_the_images_that_show_the_class():
    masks = np.zeros((4, 10, 10), np.uint8)
    masks[0, :, :5] = masks[1, :, :9] = masks[2, 0, :] = 1  # 50, 90, 10 and 0 pixels of class 1
    places = segmentation.sample_pixels(masks, 2, 12, seed=0)
    images = places[labels_at(masks, places) == 1, 0]
    np.testing.assert_array_equal(np.bincount(images, minlength=4), [4, 4, 4, 0])  # 12 / 3 each
    assert set(places[labels_at(masks, places) == 0, 0]) == {0, 1, 2, 3}


def test_a_class_with_too_few_pixels_gives_all_of_them():
    masks = np.zeros((1, 6, 6), np.uint8)
    masks[0, 2, 1:4] = 1
    places = segmentation.sample_pixels(masks, 2, 10, seed=0)
    found = places[labels_at(masks, places) == 1]
    np.testing.assert_array_equal(found, [[0, 2, 1], [0, 2, 2], [0, 2, 3]])
    assert len(places) == 13


def test_no_pixel_is_drawn_twice_and_all_lie_in_order(street):
    places = segmentation.sample_pixels(street.masks, 7, 200, seed=0)
    assert len(np.unique(places, axis=0)) == len(places)
    assert places.tolist() == sorted(places.tolist())


def test_ignored_pixels_are_never_drawn(street):
    masks = street.masks.copy()
    masks[:, :, 24:] = scenes.IGNORE
    places = segmentation.sample_pixels(masks, 7, 50, seed=0)
    assert places[:, 2].max() < 24


def test_a_class_that_no_image_shows_gives_none(street):
    places = segmentation.sample_pixels(street.masks, 9, 20, seed=0)
    assert np.bincount(labels_at(street.masks, places), minlength=9).tolist() == [20] * 7 + [0, 0]


def test_the_seed_decides_which_pixels_are_drawn(street):
    first, again, other = (segmentation.sample_pixels(street.masks, 7, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_budget_of_nothing_is_refused(street):
    with pytest.raises(ValueError, match="per_class is 0; allowed is 1 or more pixels"):
        segmentation.sample_pixels(street.masks, 7, 0, seed=0)


def test_features_are_the_interpolated_input_of_the_last_convolution(street):
    network = models.build("pspnet_resnet18", 3, seed=0).eval()
    seen = []
    last_layer.find(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    two = street.limited(2)
    with torch.no_grad():
        logits = network(models.prepare(torch.from_numpy(two.images)))
    coarse = seen[0]
    assert coarse.shape == (2, 64, 12, 12)
    fine = F.interpolate(coarse, (48, 48), mode="bilinear", align_corners=True)
    places = np.argwhere(np.ones((2, 48, 48)))  # every pixel of both scenes
    found = segmentation.pixel_features(network, two, places)
    np.testing.assert_allclose(found["features"], fine.permute(0, 2, 3, 1).reshape(-1, 64), atol=1e-5)
    np.testing.assert_allclose(found["source_probs"], logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, 3), atol=1e-5)
    np.testing.assert_array_equal(found["labels"], two.masks.ravel())


def test_what_the_metrics_see_has_as_many_pixels_of_every_class(few_scenes):
    pretrained = segmentation.pretrain(spec("nothing"))
    settings = {"target": "street", "split": "train", "max_per_class": None}
    arrays = segmentation.extract(settings, spec("nothing"), pretrained)
    assert arrays["features"].shape == (7 * 250, 64) and arrays["features"].dtype == np.float32
    assert np.bincount(arrays["labels"]).tolist() == [250] * 7
    np.testing.assert_allclose(arrays["source_probs"].sum(1), 1, atol=1e-5)


# Networks -------------------------------------------------------------------------------------------------------------


def test_the_seed_draws_the_weights_and_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (models.build("pspnet_resnet18", 4, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(last_layer.find(first).weight, last_layer.find(again).weight)
    assert not torch.equal(last_layer.find(first).weight, last_layer.find(other).weight)


def test_logits_have_the_size_of_the_image():
    network = models.build("pspnet_resnet18", 5, seed=0).eval()
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, 5, 48, 48)


def test_the_papers_network_is_a_dilated_resnet50_of_stride_8():
    network = models.build("pspnet_resnet50", 19, seed=0, encoder_weights=None).eval()
    seen = []
    last_layer.find(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 19, 64, 64)
    assert seen == [(1, 512, 8, 8)]
    assert sum(isinstance(m, nn.Conv2d) and m.dilation == (4, 4) for m in network.encoder.modules()) > 0


def test_a_new_head_leaves_all_other_weights():
    network = models.build("pspnet_resnet18", 3, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    last_layer.replace(network, 7, 0, models.initialise)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"segmentation_head.0.weight", "segmentation_head.0.bias"}
    assert last_layer.find(network).out_channels == 7


def test_images_are_standardised_by_imagenets_statistics():
    grey = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    expected = [(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(models.prepare(grey)[0, :, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_classes", "message"),
    [("pspnet", 3, "unknown model 'pspnet'"), ("pspnet_resnet18", 1, "n_classes is 1; allowed is 2 or more")],
)
def test_what_cannot_be_built_is_refused(name, n_classes, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, n_classes, seed=0)


# Training -------------------------------------------------------------------------------------------------------------


def test_the_learning_rate_rises_to_its_peak_and_falls_by_a_power():
    recipe = recipes.Polynomial(epochs=1, batch_size=1, learning_rate=0.5, warmup=0.2, power=0.9)
    rates = training_loop.learning_rates(recipe, 10, training_loop.polynomial(recipe.power))
    np.testing.assert_allclose(rates, [0.25, 0.5] + [0.5 * (1 - t / 8) ** 0.9 for t in range(8)])


@pytest.mark.parametrize("optimiser", recipes.OPTIMISERS)
def test_steps_go_down_and_the_next_loss_is_computed_after_the_step(optimiser):
    line = nn.Linear(1, 1, bias=False)
    nn.init.ones_(line.weight)
    seen = []

    def losses(epoch):
        for _ in range(4):
            seen.append(line.weight.item())
            yield (line.weight**2).sum()

    recipe = recipes.Polynomial(epochs=2, batch_size=1, learning_rate=0.05, optimiser=optimiser)
    history = steps.descend(line, recipe, 0, 4, losses)
    assert seen == sorted(seen, reverse=True) and len(set(seen)) == 8
    assert history == pytest.approx([np.mean(np.square(seen[:4])), np.mean(np.square(seen[4:]))], rel=1e-5)
    assert not line.training


def test_gradients_are_clipped():
    line = nn.Linear(1, 1, bias=False)
    before = line.weight.item()
    recipe = recipes.Polynomial(1, 1, learning_rate=1.0, optimiser="sgd", weight_decay=0, warmup=0, clip=0.25)
    steps.descend(line, recipe, 0, 1, lambda epoch: [1000 * line.weight.sum()])
    assert before - line.weight.item() == pytest.approx(0.25, rel=1e-4)


def test_a_loss_that_is_not_finite_is_reported():
    line = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="loss is nan in epoch 1: lower the learning rate"):
        steps.descend(line, recipes.Polynomial(1, 1, 0.1), 0, 1, lambda epoch: [line.weight.sum() * float("nan")])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("epochs", 0, "recipe.epochs is 0; allowed is a whole number from "
"1"), ("warmup", 1.0, "recipe.warmup is 1.0; allowed is a number from 0 up to"),
     ("optimiser", "adam", "unknown optimiser 'adam'.*did you mean 'adamw'")],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        recipes.Polynomial(**RECIPE | {field: value})


def test_training_learns_and_is_the_same_twice(street):
    states, histories = [], []
    for _ in range(2):
        network = models.build("pspnet_resnet18", 7, seed=0)
        histories.append(segmentation.fit(network, street, recipes.Polynomial(**RECIPE | {"epochs": 4}), seed=0))
        states.append(network.state_dict())
    assert histories[0] == histories[1] and histories[0][-1] < 0.8 * histories[0][0]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_labels_of_ignored_pixels_do_not_matter(street):
    half = street.masks.copy()
    half[:, :, 24:] = scenes.IGNORE
    logits = torch.randn(12, 7, 48, 48, generator=torch.Generator().manual_seed(0))
    ours = F.cross_entropy(logits, torch.from_numpy(half).long(), ignore_index=scenes.IGNORE)
    theirs = F.cross_entropy(logits[..., :24], torch.from_numpy(street.masks[..., :24]).long())
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    answers = street.masks.copy()
    answers[:, :, 24:] = 0
    assert segmentation.pixel_accuracy(segmentation.confusion(half, answers, 7)) == 100


def test_a_pretrained_network_comes_back_as_it_was(few_scenes):
    arrays = segmentation.pretrain(spec())
    assert arrays["n_classes"] == 5 and arrays["n_features"] == 64 and 0 < arrays["accuracy"] <= 100
    network = segmentation.restore(spec(), arrays).eval()
    test = scenes.load("roads", "test")
    assert segmentation.evaluate(network, test) == {
        key: arrays[key] for key in ("accuracy", "standard_error", "mean_iou")
    }


def test_the_error_of_pixel_accuracy_is_that_of_a_mean_over_images():
    right = np.array([8, 6, 9, 5])  # of 10 pixels each
    counts = [np.array([[n, 10 - n], [0, 0]]) for n in right]
    assert segmentation.pixel_error(counts) == pytest.approx(10 * right.std(ddof=1) / 4**0.5)
    assert np.isnan(segmentation.pixel_error(counts[:1]))


def test_fine_tuning_measures_both_and_its_seed_counts(few_scenes):
    pretrained = segmentation.pretrain(spec("nothing"))
    first, again, other = (segmentation.finetune(on_target(seed), spec("nothing"), pretrained) for seed in (0, 0, 1))
    assert {key for key, value in first.items() if value.ndim == 0} == {"accuracy", "standard_error", "mean_iou"}
    assert first["accuracy"] == again["accuracy"] != other["accuracy"]
    assert first["loss"].shape == (2,)


def test_the_source_nothing_keeps_the_first_weights(few_scenes):
    arrays = segmentation.pretrain(spec("nothing"))
    untouched = models.build("pspnet_resnet18", 2, seed=0).state_dict()
    assert all(np.array_equal(arrays["weights." + key], value.numpy()) for key, value in untouched.items())
    assert np.isnan(arrays["accuracy"])


def test_a_small_profile_takes_some_scenes_for_each_class(root):
    assert len(segmentation.load("street", "train", 2)) == 2 * 7


# The paper's data sets on disk ----------------------------------------------------------------------------------------

CITY = {entry.name: entry for entry in torchvision_datasets.Cityscapes.classes}
SIZE = (600, 500)  # width, height: the shorter side becomes 480, the middle 480 are seen


def photograph(path, colour=(200, 100, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, colour).save(path)


def halves(path, left, right, mode="L"):
    """A mask whose left half holds one value and whose right half another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new(mode, SIZE, left)
    if mode == "P":
        mask.putpalette(range(256))
    mask.paste(right, (SIZE[0] // 2, 0, *SIZE))
    mask.save(path)


def make_ade20k(place):
    for part in ("training", "validation"):
        photograph(place / f"ADEChallengeData2016/images/{part}/ADE_1.jpg")
        halves(place / f"ADEChallengeData2016/annotations/{part}/ADE_1.png", 0, 150)
    return 255, 149


def make_voc2012(place):
    voc = place / "VOCdevkit/VOC2012"
    photograph(voc / "JPEGImages/a.jpg")
    halves(voc / "SegmentationClass/a.png", 15, 255, mode="P")
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    for part in ("train", "val"):
        (voc / f"ImageSets/Segmentation/{part}.txt").write_text("a\n")
    return 15, 255


def make_voc_aug(place):
    sbd = place / "benchmark_RELEASE/dataset"
    photograph(sbd / "img/a.jpg")
    mask = np.full(SIZE[::-1], 3, np.uint8)
    mask[:, SIZE[0] // 2 :] = 0
    (sbd / "cls").mkdir()
    classes = np.empty((1, 1), [("Segmentation", object)])
    classes["Segmentation"][0, 0] = mask
    savemat(sbd / "cls/a.mat", {"GTcls": classes})
    for part in ("train", "val"):
        (sbd / f"{part}.txt").write_text("a\n")
    return 3, 0


def make_sbu_shadow(place):
    for part in ("SBUTrain4KRecoveredSmall", "SBU-Test"):
        photograph(place / f"SBU-shadow/{part}/ShadowImages/a.jpg")
        halves(place / f"SBU-shadow/{part}/ShadowMasks/a.png", 255, 0)
    return 1, 0


def make_coco(place):
    outline = [0, 0, SIZE[0] / 2 - 1, 0, SIZE[0] / 2 - 1, SIZE[1], 0, SIZE[1]]  # the left half
    annotations = [
        {"image_id": 7, "category_id": 18, "iscrowd": 0, "segmentation": [outline]},  # a dog
        {"image_id": 7, "category_id": 13, "iscrowd": 0, "segmentation": [outline]},  # a stop sign, not of VOC
        {"image_id": 7, "category_id": 1, "iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}},
    ]
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "nothing_in_it.jpg"}]
    for part in ("train", "val"):
        photograph(place / f"coco/{part}2017/a.jpg")
        (place / "coco/annotations").mkdir(exist_ok=True)
        written = json.dumps({"images": images, "annotations": annotations})
        (place / f"coco/annotations/instances_{part}2017.json").write_text(written)
    return segmentation_folders.VOC.index("dog"), 0


def make_lip(place):
    for part in ("train", "val"):
        photograph(place / f"LIP/TrainVal_images/{part}_images/a.jpg")
        halves(place / f"LIP/TrainVal_parsing_annotations/{part}_segmentations/a.png", 19, 0)
    return 19, 0


def make_kitti(place):
    for i in range(5):
        photograph(place / f"data_semantics/training/image_2/{i:06}_10.png")
        halves(place / f"data_semantics/training/semantic/{i:06}_10.png", CITY["road"].id, CITY["ego vehicle"].id)
    return CITY["road"].train_id, 255


def make_camvid(place):
    camvid = place / "CamVid"
    for name in ("0001TP_1", "Seq05VD_1"):
        photograph(camvid / f"701_StillsRaw_full/{name}.png")
        halves(camvid / f"LabeledApproved_full/{name}_L.png", (128, 0, 0), (0, 0, 0), mode="RGB")
    (camvid / "label_colors.txt").write_text("64 128 64\tAnimal\n128 0 0\t\tBuilding\n0 0 0\t\tVoid\n64 192 0\tWall\n")
    return 1, 255


def make_cityscapes(place):
    for part in ("train", "val"):
        photograph(place / f"cityscapes/leftImg8bit/{part}/ulm/ulm_1_2_leftImg8bit.png")
        labels = place / f"cityscapes/gtFine/{part}/ulm/ulm_1_2_gtFine_labelIds.png"
        halves(labels, CITY["bicycle"].id, CITY["caravan"].id)
    return CITY["bicycle"].train_id, 255


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", segmentation_folders.NAMES)
def test_the_official_folders_give_images_and_labels_from_0(name, split, place):
    left, right = globals()[f"make_{name}"](place)
    data = segmentation_folders.load(name, split)
    assert (data.name, data.split, data.n_classes) == (name, split, {"camvid": 3}.get(name, data.n_classes))
    image, mask = data[0]
    assert image.shape == (3, 480, 480) and image.dtype == torch.uint8
    np.testing.assert_allclose(image[:, 100, 100], [200, 100, 50], atol=3)  # JPEG
    assert mask.shape == (480, 480) and mask.dtype == torch.int64
    assert mask[:, :230].unique().tolist() == [left] and mask[:, 250:].unique().tolist() == [right]
    assert all(label == 255 or label < data.n_classes for label in (left, right))


@pytest.mark.parametrize(
    ("name", "n_classes"),
    [("ade20k", 150), ("voc2012", 21), ("voc_aug", 21), ("sbu_shadow", 2), ("coco", 21), ("lip", 20), ("kitti", 19),
     ("cityscapes", 19)],
)  # fmt: skip
def test_the_data_sets_have_the_classes_of_their_benchmarks(name, n_classes):
    assert len(set(segmentation_folders.LAYOUTS[name].classes)) == n_classes


@pytest.mark.parametrize("name", segmentation_folders.NAMES)
def test_what_is_not_there_is_answered_with_where_to_get_it(name, place):
    layout = segmentation_folders.LAYOUTS[name]
    with pytest.raises(FileNotFoundError) as refused:
        segmentation_folders.load(name, "train")
    assert all(part in str(refused.value) for part in (name, layout.folder, str(place), layout.url, "NCREPRO_DATA"))


@pytest.mark.parametrize("name", segmentation_folders.NAMES)
def test_half_an_archive_is_answered_with_what_is_missing(name, place):
    (place / segmentation_folders.LAYOUTS[name].folder).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f"{name} is incomplete: .*; unpack all of it, from http"):
        segmentation_folders.load(name, "train")


def test_what_a_system_hides_is_no_photograph_and_no_other_format_is_opened(place):
    make_sbu_shadow(place)
    folder = place / "SBU-shadow/SBU-Test/ShadowImages"
    (folder / "._a.jpg").write_bytes(b"\0\5\x16\7")
    data = segmentation_folders.load("sbu_shadow", "test")
    assert len(data) == 1
    (folder / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(OSError, match="cannot identify image file"):
        data.pairs[0]


def test_an_image_without_its_mask_is_named(place):
    make_lip(place)
    photograph(place / "LIP/TrainVal_images/train_images/b.jpg")
    with pytest.raises(FileNotFoundError, match="lip is incomplete: 1 of 2 masks are missing, the first is .*b.png"):
        segmentation_folders.load("lip", "train")


def test_a_folder_without_images_is_named(place):
    (place / "SBU-shadow/SBU-Test/ShadowImages").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="ShadowImages has no .jpg or .png of this split"):
        segmentation_folders.load("sbu_shadow", "test")


def test_without_a_place_named_data_are_looked_for_in_the_compendium(monkeypatch, root):
    monkeypatch.delenv("NCREPRO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=re.escape(str(root / "data" / "cache" / "downloads"))):
        unpacked_folders.require("LIP", "lip", "https://example.org")


def test_kitti_and_camvid_are_split_without_overlap(place):
    make_kitti(place), make_camvid(place)
    for name in ("kitti", "camvid"):
        train, test = (segmentation_folders.load(name, split).pairs.images for split in ("train", "test"))
        assert train and test and not set(train) & set(test)


def test_augmented_images_keep_their_labels_in_place_and_ignore_what_was_added(place):
    left, right = make_sbu_shadow(place)
    data = segmentation_folders.load("sbu_shadow", "train").augmented()
    torch.manual_seed(0)
    seen = [data[0] for _ in range(8)]
    assert all(image.shape == (3, 480, 480) and mask.shape == (480, 480) for image, mask in seen)
    assert len({tuple(mask.unique().tolist()) for _, mask in seen}) > 1  # some are padded, some not
    for image, mask in seen:
        assert (image.sum(0)[mask == 255] == 0).all() and (image.sum(0)[mask != 255] > 0).float().mean() > 0.99


def test_a_network_is_trained_from_the_folders(place, monkeypatch):
    make_sbu_shadow(place)
    monkeypatch.setattr(segmentation_folders.Folder, "loaders", 0)
    data = segmentation_folders.load("sbu_shadow", "train")
    network = models.build("pspnet_resnet18", 2, seed=0)
    history = segmentation.fit(network, data, recipes.Polynomial(1, 1, 1e-3, optimiser="sgd"), seed=0)
    assert np.isfinite(history).all()
    assert 0 <= segmentation.evaluate(network, data)["accuracy"] <= 100


def make_bands(place):
    """Street scenes of three classes in all."""
    for part in ("train", "val"):
        for i in range(2):
            photograph(place / f"cityscapes/leftImg8bit/{part}/ulm/ulm_{i}_9_leftImg8bit.png", (90 * i, 200, 50))
            labels = place / f"cityscapes/gtFine/{part}/ulm/ulm_{i}_9_gtFine_labelIds.png"
            halves(labels, CITY["road"].id, CITY[("sky", "car")[i]].id)


def test_the_papers_profile_runs_on_small_stand_ins_for_its_nine_data_sets(place, root, monkeypatch):
    """What differs: the smaller network, images of 48 pixels, one epoch. Folders, recipe and notebook's verbs are the
    profile's.
    """
    for name in segmentation_folders.NAMES:
        globals()[f"make_{name}"](place)
    make_bands(place)
    small = v2.Compose([v2.Resize(48), v2.CenterCrop(48)])
    monkeypatch.setattr(segmentation_folders, "_FRAMING", {True: small, False: small})
    monkeypatch.setattr(segmentation_folders.Folder, "loaders", 0)
    monkeypatch.setattr(segmentation, "PIXELS_PER_CLASS", 30)
    monkeypatch.setattr(ranking, "bootstrap_interval", lambda *_: (-1.0, 1.0))  # takes long, and is not what is tested
    profile = root / "notebooks" / "profiles" / "paper_segmentation.yaml"
    changed = {
        "pspnet_resnet50": "pspnet_resnet18",
        "epochs: 60": "epochs: 1",
        "seeds: 3": "seeds: 2",
        "disk_gb: 5": "disk_gb: 0.1",
    }
    text = profile.read_text()
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    profile.write_text(text)
    pipeline.check(profiles.load("paper_segmentation"))
    study = Experiment("segmentation", "paper_segmentation")
    for of in (study, Experiment("segmentation_scratch", "paper_segmentation")):
        of.pretrain(), of.finetune()
    study.extract(), study.score(), study.correlate()
    judged = figures.judge("paper_segmentation")
    assert set(judged["target"]) == {"pixel accuracy", "mean IoU"} and judged["weighted_kendall"].between(-1, 1).any()
    assert set(study.read("pretraining")["model"]) == {*segmentation_folders.NAMES} - {"cityscapes"}
    assert {entry.notebook for entry in index.of_profile("paper_segmentation")} == {"24_segmentation"}
    for draw in (figures.segmentation_scenes, figures.segmentation_accuracies):
        plt.close(draw("paper_segmentation").figure)


def test_without_its_data_the_papers_profile_stops_before_anything_starts(place, root):
    make_kitti(place)
    with pytest.raises(
        FileNotFoundError, match=r"for you: ade20k, voc2012,.* lip, camvid, cityscapes; `make data PROFILE=paper_seg"
    ):
        pipeline.check(profiles.load("paper_segmentation"))


def test_the_papers_networks_begin_with_imagenets_weights_and_the_demos_with_none(root):
    assert figures.start("paper_segmentation") == "ImageNet's weights" and figures.start("smoke") == "random weights"


def test_an_unknown_data_set_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown data set 'cityscape'.*did you mean 'cityscapes'"):
        segmentation_folders.load("cityscape", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        segmentation_folders.load("cityscapes", "val")


# What the notebook concludes ------------------------------------------------------------------------------------------


@pytest.fixture
def tables(root):
    """Six networks, of which mean IoU thinks the opposite of pixel accuracy; all scores side with the latter."""
    folder = paths.results("smoke", "segmentation")
    folder.mkdir(parents=True)
    known = pd.DataFrame({"model": ["figures", "shadows", "roads", "rooms", "things", "drives"]})
    measured = known.assign(
        target="street", seed=0, accuracy=[60.0, 70, 80, 85, 88, 90], mean_iou=[60.0, 50, 45, 42, 41, 40]
    )
    measured.to_csv(folder / "accuracies.csv", index=False)
    known.assign(source_accuracy=range(6), n_parameters=range(5, 11)).to_csv(folder / "pretraining.csv", index=False)
    terms = [(metric, "total") for metric in ("leep", "nce", "logme", "h_score", "gbc")]
    terms += [("face", term) for term in ("variance_collapse", "class_fairness")]
    scores = [
        known.assign(target="street", metric=metric, term=term, score=[1.0, 2, 3, 4, 5, 6]) for metric, term in terms
    ]
    pd.concat(scores).to_csv(folder / "scores.csv", index=False)


def test_one_ranking_is_judged_by_both_measures(tables):
    judged = figures.judge("smoke")
    found = judged.pivot(index="metric", columns="target", values="weighted_kendall").loc["leep"]
    assert found.to_dict() == pytest.approx({"pixel accuracy": 1, "mean IoU": -1})
    assert "n_parameters" not in set(judged["metric"])  # heads differ, networks do not
    assert figures.agreement("smoke") == pytest.approx(-1)
    pd.testing.assert_frame_equal(figures.judgements("smoke"), judged, check_dtype=False)


def test_claims_are_checked_against_what_was_found(tables):
    figures.judge("smoke")
    found = {claim: (text, verdict.word) for claim, text, verdict in figures.claims("smoke")}
    assert found["by mean IoU most methods do obviously worse"] == (
        "6 of 6 lose more than 0.1; mean loss 2.00",
        "holds",
    )
    assert found["LogME fails by mean IoU"] == ("τ_w -1.00", "holds")
    assert found["LEEP, GBC and FaCe rank similarly well by both"][1] == "does not hold"
    assert found["FaCe is best by mean IoU"][1] == "cannot be told here"  # all are equally bad
