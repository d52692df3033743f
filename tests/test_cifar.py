"""CIFAR divided into sources and targets, from generated files in both of its layouts; networks of full size for it."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision.datasets as tv
from PIL import Image

from ncrepro.commands import plan
from ncrepro.extraction import last_layer
from ncrepro.lab import datasets, models, profiles
from ncrepro.lab.datasets import cifar, torchvision_datasets
from ncrepro.lab.models import full_size
from ncrepro.lab.tasks import classification
from ncrepro.lab.tasks import full_size as task
from ncrepro.store import artifacts

CLASSES = {
    "cifar100": tuple(sorted(k for theme in cifar.THEMES.values() for names, _ in theme for k in names.split())),
    "cifar10": cifar.CIFAR10_CLASSES,
}
N = {"train": 3, "test": 2}  # images of each class
REPEATED = ("apple", 2, 1)  # this training image is that test image again, but for its noise


def made(archive: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Noise, with the position of its class in the first pixel: (n, 32, 32, 3) and labels (n,)."""
    labels = np.repeat(np.arange(len(CLASSES[archive])), N[split])
    images = np.random.default_rng(len(archive + split)).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0] = labels[:, None]
    return images, labels


def both(archive: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {split: made(archive, split) for split in N}
    if archive == "cifar100":
        kind, of_train, of_test = REPEATED
        first = {split: N[split] * CLASSES[archive].index(kind) for split in N}
        again = found["test"][0][first["test"] + of_test]
        found["train"][0][first["train"] + of_train] = np.where(again < 250, again + np.arange(32)[:, None] % 3, again)
        found["train"][0][first["train"] + of_train, 0, 0] = again[0, 0]
    return found


def as_folders(data, monkeypatch):
    for archive, classes in CLASSES.items():
        for split, (images, labels) in both(archive).items():
            for i, (image, k) in enumerate(zip(images, labels, strict=True)):
                place = data / archive / split / classes[k]
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(place / f"{i:04d}.png")


def as_batches(data, monkeypatch):
    """torchvision's pickled batches, without their checksums."""
    for archive, kind, key, names in (
        ("cifar100", tv.CIFAR100, "fine_labels", "fine_label_names"),
        ("cifar10", tv.CIFAR10, "labels", "label_names"),
    ):
        place = data / kind.base_folder
        place.mkdir()
        for split, (images, labels) in both(archive).items():
            files = [name for name, _ in getattr(kind, f"{split}_list")]
            monkeypatch.setattr(kind, f"{split}_list", [[name, None] for name in files])
            flat = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            for name, part, of_part in zip(
                files, np.array_split(flat, len(files)), np.array_split(labels, len(files)), strict=True
            ):
                (place / name).write_bytes(pickle.dumps({"data": part, key: of_part.tolist()}))
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
        (place / kind.meta["filename"]).write_bytes(pickle.dumps({names: list(CLASSES[archive])}))
        entry = torchvision_datasets.ENTRIES[archive]
        n = len(CLASSES[archive])
        monkeypatch.setitem(
            torchvision_datasets.ENTRIES, archive, replace(entry, n_train=N["train"] * n, n_test=N["test"] * n)
        )


@pytest.fixture(params=[as_folders, as_batches])
def cifar_folder(request, tmp_path, monkeypatch):
    """Small CIFARs where the data lie, in one of their layouts; returns the compendium's folder."""
    (tmp_path / "cifar").mkdir()
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path / "cifar"))
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    request.param(tmp_path / "cifar", monkeypatch)
    datasets.load.cache_clear()
    yield tmp_path
    datasets.load.cache_clear()


# The division ---------------------------------------------------------------------------------------------------------


def test_half_of_cifar100_is_source_and_half_is_five_targets_of_ten():
    classes = {name: set(found) for name, (_, found, _, _) in cifar.SETS.items()}
    targets = [classes[theme] for theme in cifar.THEMES]
    sources = [classes[f"{theme}_source"] for theme in cifar.THEMES]
    assert all(len(part) == 10 for part in targets + sources) and len(classes["all_themes"]) == 50
    assert set.union(*sources) == classes["all_themes"] and classes["all_themes"].isdisjoint(set.union(*targets))
    assert len(set.union(*sources, *targets)) == 100
    assert classes["mammals"] == set(
        "leopard tiger porcupine raccoon camel chimpanzee kangaroo hamster rabbit squirrel".split()
    )
    assert classes["home"] == set("bowl cup chair table clock lamp television baby girl woman".split())
    assert classes["cifar10_subset"].isdisjoint(classes["all_themes"])


def test_each_image_keeps_its_class_whatever_the_layout(cifar_folder):
    for name, (archive, classes, _, _) in cifar.SETS.items():
        data = datasets.load(name, "test")
        assert data.classes == classes and data.images.shape == (2 * len(classes), 3, 32, 32)
        assert [data.classes[k] for k in data.labels] == [CLASSES[archive][k] for k in data.images[:, 0, 0, 0]]


def test_a_training_image_that_a_test_image_repeats_is_left_out_and_listed(cifar_folder):
    garden = datasets.load("garden", "train")
    kept = {k: int((garden.labels == i).sum()) for i, k in enumerate(garden.classes)}
    assert kept == {k: N["train"] - (k == "apple") for k in garden.classes}
    listed = pd.read_csv(cifar_folder / "data/photographs/near_duplicates.csv")
    assert listed[["data_set", "class", "train", "test"]].values.tolist() == [["cifar100", *REPEATED]]
    assert 0 < listed["difference"].item() < cifar.ALIKE


def test_what_each_data_set_is_made_of_is_written_down(cifar_folder):
    datasets.load("home", "train")
    splits = pd.read_csv(cifar_folder / "data/photographs/splits.csv").set_index(["data_set", "split"])
    assert set(splits.index.get_level_values(0)) == set(cifar.NAMES)
    assert splits.loc[("all_themes", "train"), "images"] == 50 * N["train"]
    assert set(splits["origin"]) == {cifar.origin()} <= {"image folders", "torchvision"}


def test_a_target_has_no_more_images_per_class_than_its_limits(cifar_folder, monkeypatch):
    monkeypatch.setitem(cifar.SETS, "home", ("cifar100", cifar._TARGETS["home"], 1, 2))
    assert (len(datasets.load("home", "train")), len(datasets.load("home", "test"))) == (10, 20)


def test_a_copy_without_a_class_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    for split in N:
        for kind in ("apple", "bear"):
            (tmp_path / "cifar100" / split / kind).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / "cifar100" / split / kind / "0.png")
    with pytest.raises(ValueError, match="cifar100, train: there are no images of .*wolf.*; is the copy complete"):
        cifar.load("mammals", "train")


def test_unknown_names_and_splits_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'mamals': .*did you mean 'mammals'"):
        cifar.load("mamals", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        cifar.load("mammals", "val")


def test_images_are_near_duplicates_only_below_the_threshold():
    grey = np.full((1, 3, 32, 32), 100, dtype=np.uint8)
    steps = {step: cifar.near_duplicates(grey, grey + np.uint8(step)) for step in (0, 10, 11)}
    assert {step: len(found) for step, found in steps.items()} == {0: 1, 10: 1, 11: 0}
    assert steps[10]["difference"].item() == pytest.approx(10 / 255, abs=1e-4)


def test_a_model_remembers_which_photographs_it_was_trained_on_and_drawn_data_change_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))

    def rests_on(name):
        return datasets.provenance(datasets.reader(name), name)

    provenance = rests_on("source")
    assert rests_on("all_themes")["content"] == {"origin": "torchvision"}
    file = tmp_path / "cifar100" / "train" / "one.png"
    file.parent.mkdir(parents=True)
    file.write_text("an image")
    before = rests_on("all_themes")["content"]
    assert before["origin"] == "image folders"
    file.write_text("another image")
    assert rests_on("all_themes")["content"] != before
    assert rests_on("source") == provenance


# The profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["photos", "photos_full"])
def test_the_profiles_have_one_source_and_several_and_two_fine_tunings_of_every_model(profile):
    pools = profiles.load(profile).pools
    assert len(pools["supervised"].models) == 19 and pools["supervised"].sources == ("all_themes",)
    assert len(pools["multi_source"].sources) == 6 and len(pools["multi_source"].architectures) >= 2
    assert all(pool.seeds >= 2 for pool in pools.values())
    assert {name for pool in pools.values() for name in (*pool.sources, *pool.targets)} <= set(cifar.NAMES)


# Networks of full size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_a_network_of_full_size_still_has_a_picture_where_it_begins_to_average(name):
    with torch.device("meta"):
        network = full_size.build(name, 7, seed=0).eval()
    sides, widths = [], []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: sides.append(max(inputs[0].shape[-2:])))
    head = last_layer.find(network)
    head.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape))
    assert network(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 7)
    assert widths == [(2, head.in_features)] and head.in_features >= 512
    assert sides[0] == 32 and sides[1] >= 28  # the first stage sees the whole picture
    spatial = [side for side in sides if side > 1]  # what squeeze-and-excitation looks at has one position
    assert spatial[-1] >= 2


def test_a_network_of_full_size_is_the_same_for_the_same_seed():
    one, again, other = (full_size.build("mobilenet_v2", 3, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_the_task_of_full_size_trains_restores_and_extracts(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    data = datasets.Images("home", "train", images, np.tile([0, 1], 4), ("a", "b"))
    monkeypatch.setattr(datasets, "load", lambda *_: data)
    recipe = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01}
    spec = {
        "architecture": "resnet34",
        "source": "home_source",
        "loss": "cross_entropy",
        "max_per_class": None,
        "recipe": recipe,
        "seed": 0,
    }
    pretrained = task.pretrain(spec)
    artifacts.save(tmp_path / "model.safetensors", pretrained, {})
    kept = artifacts.load(tmp_path / "model.safetensors", {})
    target = {"target": "home", "split": "train", "max_per_class": None, "recipe": recipe, "seed": 1}
    assert task.extract(target, spec, kept)["features"].shape == (8, 512)
    assert 0 <= task.finetune(target, spec, kept)["accuracy"] <= 100
    assert pretrained["n_parameters"] > 2e7 and set(task.DATASETS) == set(classification.DATASETS)


def test_the_archives_are_listed_and_image_folders_count_as_present(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    assert plan.data(profiles.load("photos"))[["name", "state"]].values.tolist() == [
        ["cifar100", "missing"],
        ["cifar10", "missing"],
    ]
    (tmp_path / "cifar100" / "train").mkdir(parents=True)
    assert plan.data(profiles.load("photos"))["state"].tolist() == ["present", "missing"]
