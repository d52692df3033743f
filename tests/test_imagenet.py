"""The paper's scale on stand-ins: photographs are painted, networks are small or random, everything else is as it will
be.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY
from matplotlib import pyplot as plt
from PIL import Image
from test_selfsupervised import LAYOUTS, backbone
from torch import nn

from ncrepro import ranking
from ncrepro.commands.run import run_notebook
from ncrepro.extraction import features, last_layer, networks
from ncrepro.extraction.folders import Photos
from ncrepro.extraction.preprocessing import Transform
from ncrepro.figures import loss_functions, selfsupervised
from ncrepro.lab import models as reduced
from ncrepro.lab import published, training_loop
from ncrepro.lab.datasets import torchvision_datasets as datasets
from ncrepro.lab.experiment import Experiment
from ncrepro.lab.models import FACE_POOL, NCTI_POOL
from ncrepro.lab.models import selfsupervised as releases
from ncrepro.lab.tasks import imagenet
from ncrepro.store import artifacts, schema

matplotlib.use("agg")
TINY = Transform(16, 16, "bilinear", (0.5,) * 3, (0.25,) * 3)
RECIPE = imagenet.Recipe(epochs=6, batch_size=8, learning_rate=0.05)


def tiny(n_classes=3, seed=0):
    """A network that trains in no time."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, n_classes)
    ).eval()


def patches(n=48, n_classes=3, seed=0, **changed):
    """Noisy images whose class is their colour."""
    draws = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    images = draws.integers(0, 80, (n, 20, 24, 3))
    images[np.arange(n), :, :, labels % 3] += 120
    return Photos("patches", "train", images.astype(np.uint8), labels, tuple("abc"[:n_classes]), "all", **changed)


# Extraction -----------------------------------------------------------------------------------------------------------


def test_extraction_gives_what_one_plain_forward_pass_gives():
    network, photos = tiny(), patches()
    images = TINY.normalise(
        torch.tensor(np.stack([TINY(photos.image(i)) for i in range(len(photos))])).permute(0, 3, 1, 2)
    )
    with torch.no_grad():
        H, logits = network[:-1](images), network(images)
    found = features.of_photos(network, photos, TINY)
    assert np.allclose(found.features, H, atol=1e-5) and found.features.dtype == np.float32
    assert np.allclose(found.source_probs, logits.softmax(1), atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 48, 100])
def test_batches_and_threads_change_nothing_but_rounding(size, monkeypatch):
    network, photos = tiny(), patches()
    expected = features.of_photos(network, photos, TINY)
    monkeypatch.setitem(features.BATCH, "cpu", size)
    monkeypatch.setenv("NCREPRO_LOADERS", "4")
    found = features.of_photos(network, photos, TINY)
    assert np.allclose(found.features, expected.features, atol=1e-5)


def test_bfloat16_is_close_and_comes_out_as_float32():
    full, half = (features.of_photos(tiny(), patches(), TINY, precision) for precision in features.PRECISIONS)
    assert half.features.dtype == half.source_probs.dtype == np.float32
    assert 0 < np.abs(half.features - full.features).max() < 0.05 * np.abs(full.features).max()
    with pytest.raises(ValueError, match="unknown precision 'float16': choose one of bfloat16, float32"):
        features.of_photos(tiny(), patches(), TINY, "float16")


def test_features_that_are_not_finite_are_refused_with_model_data_and_image():
    network = tiny()
    network.name = "net"
    network[2].weight.data[0, 0] = float("nan")
    with pytest.raises(
        ValueError, match=r"net on patches: features of 48 of 48 images are NaN or infinite, the first of image 0"
    ):
        features.of_photos(network, patches(), TINY)


def test_a_corrupt_image_stops_the_extraction_in_its_own_words(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for file in files:
        Image.new("RGB", (9, 9)).save(file)
    files[33].write_bytes(b"no image")
    photos = Photos("broken", "train", files, np.zeros(40, dtype=np.int64), ("k",), "all")
    with pytest.raises(ValueError, match=rf"^{files[33]} of broken cannot be read as an image") as caught:
        features.of_photos(tiny(), photos, TINY)
    assert "Traceback" not in str(caught.value)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="patches: 0 images; allowed is one or more"):
        features.of_photos(tiny(), patches().take([]), TINY)


# Training and judging -------------------------------------------------------------------------------------------------


def test_fine_tuning_learns_and_the_same_seed_learns_the_same():
    histories = []
    for seed in (0, 0, 1):
        network = tiny()
        histories.append(imagenet.train_photos(network, TINY, patches(), RECIPE, seed))
    assert histories[0] == histories[1] != histories[2]
    assert histories[0][-1] < 0.5 * histories[0][0]
    assert imagenet.measure(network, TINY, patches(seed=1))[0] > 90


def test_a_grid_takes_the_pair_that_does_best_on_held_out_images():
    recipe = imagenet.Recipe(epochs=4, batch_size=8, learning_rate=[1e-6, 0.05], weight_decay=[0.0, 1e-4])
    assert len(recipe.grid()) == 4
    start, network, photos = tiny(seed=1), tiny(seed=1), patches(160)
    assert imagenet.measure(start, TINY, photos)[0] < 90
    assert imagenet._best(network, TINY, photos, recipe, 0, "cross_entropy").learning_rate == 0.05
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), network.parameters(), strict=True))  # put back


def test_the_learning_rate_stays_and_nothing_is_clipped():
    recipe = imagenet.Recipe(epochs=2, batch_size=8, learning_rate=0.1)
    assert training_loop.learning_rates(recipe, 4, training_loop.constant) == [0.1] * 4
    with pytest.raises(ValueError, match="unknown key 'clip'"):
        schema.read(imagenet.Recipe, "finetune", {"epochs": 1, "batch_size": 8, "learning_rate": 0.1, "clip": 1.0})
    line = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(line.weight)
    sgd = torch.optim.SGD
    training_loop.descend(
        line, imagenet.Recipe(1, 1, 1.0), 1, lambda _: [1000 * line.weight.sum()], sgd, training_loop.constant
    )
    assert line.weight.item() == -1000


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_training_that_diverges_says_so():
    with pytest.raises(FloatingPointError, match="loss is .* in epoch .*: lower the learning rate"):
        imagenet.train_photos(tiny(), TINY, patches(), imagenet.Recipe(30, 8, 1e12), 0)


def test_images_that_show_several_classes_are_learnt_with_all_of_them():
    photos = patches()
    present = np.eye(3, dtype=bool)[photos.labels] | (np.arange(3) == 2)  # class 2 is on every image
    photos = replace(photos, present=present, measure="map")
    network = tiny()
    imagenet.train_photos(network, TINY, photos, imagenet.Recipe(20, 8, 0.2), 0)
    logits = features.of_photos(network, photos, TINY, logits=True).source_probs
    assert ((logits > 0) == present).mean() > 0.95
    assert imagenet.measure(network, TINY, photos)[0] > 95 and np.isnan(imagenet.measure(network, TINY, photos)[1])


def test_the_measure_is_the_benchmarks_own():
    network = tiny(2)
    nn.init.zeros_(network[-1].weight)
    network[-1].bias.data = torch.tensor([1.0, 0.0])  # says class 0 always
    photos = patches(40, 2).take([*range(0, 40, 2), 1, 3, 5, 7])  # 20 of class 0, 4 of class 1
    assert imagenet.measure(network, TINY, photos) == pytest.approx((100 * 20 / 24, 100 * 20 / 24))
    assert imagenet.measure(network, TINY, replace(photos, measure="mean_per_class")) == pytest.approx(
        (50, 100 * 20 / 24)
    )


def test_average_precision_is_that_of_voc_2007():
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    present = np.array([[True], [False], [True], [False]])
    # found 1 of 2 at precision 1, 2 of 2 at 2/3: six recalls up to 0.5, five above
    assert imagenet.mean_average_precision(scores, present) == pytest.approx(100 * (6 * 1 + 5 * 2 / 3) / 11)
    assert imagenet.mean_average_precision(-scores, present) == pytest.approx(100 * (6 * 1 / 2 + 5 * 1 / 2) / 11)
    both = imagenet.mean_average_precision(np.hstack([scores, scores]), np.hstack([present, ~present]))
    assert both == pytest.approx(100 * ((6 * 1 + 5 * 2 / 3) / 11 + (6 * 1 / 2 + 5 * 1 / 2) / 11) / 2)


def test_published_accuracies_are_those_of_the_table_and_nan_elsewhere():
    table = published.load("supervised_finetuned_accuracy")
    found = imagenet.published_accuracy("resnet50", "imagenet", "cross_entropy", "pets")
    assert found == table.at["resnet50", "pets"] == 93.88
    for architecture, source, target in (
        ("vgg16", "imagenet", "pets"),
        ("resnet50", "imagenet", "cub"),
        ("resnet50", "cub", "pets"),
    ):
        assert np.isnan(imagenet.published_accuracy(architecture, source, "cross_entropy", target))
    of_releases = published.load("selfsupervised_finetuned_accuracy")
    assert imagenet.published_accuracy("resnet50", "imagenet", "moco_v2", "pets") == of_releases.at["moco-v2", "pets"]


# A pool, from weights to correlations ---------------------------------------------------------------------------------

PROFILE = """
description: stand-ins for the paper's scale
workers: 1
disk_gb: 0.1
pools:
  supervised:
    task: imagenet
    architectures: [timm/test_resnet, timm/test_byobnet, timm/test_efficientnet]
    sources: [imagenet]
    targets: [folder/colours, folder/more, folder/last, cars]
    subsets:
      ncti: {models: [timm/test_resnet, timm/test_byobnet], targets: [folder/more, folder/last, cars], truth: published}
      face: [timm/test_resnet, timm/test_byobnet, timm/test_efficientnet]
    pretrain: {weights: local, transform: own}
    extract: {split: released, precision: float32}
    finetune: {ground_truth: finetune, epochs: 2, batch_size: 30, learning_rate: 0.001}
    finetune_of:
      folder/last: {ground_truth: published}
    seeds: 1
    more_seeds: {folder/colours: 2}
  sources:
    task: imagenet
    architectures: [timm/test_efficientnet]
    sources: [folder/colours, folder/more]
    targets: [folder/last]
    pretrain: {weights: local, transform: own, epochs: 2, batch_size: 30, learning_rate: 0.001}
    extract: {split: trainval, precision: float32}
    finetune: {ground_truth: finetune, epochs: 2, batch_size: 30, learning_rate: 0.001}
"""


@pytest.fixture(scope="module")
def standins(tmp_path_factory):
    """Folders of painted images, and random networks whose statistics fit them, as if they were published."""
    place = tmp_path_factory.mktemp("standins")
    for name, n_train in (("colours", 90), ("more", 105), ("last", 90)):
        for part, n in (("train", n_train), ("test", 15)):
            photos = patches(n, seed=n + len(name))
            for i, k in enumerate(photos.labels):
                file = (
                    place / name / part / "abc"[(k + (i % 5 == 0)) % 3] / f"{i}.png"
                )  # every fifth in the wrong folder
                file.parent.mkdir(parents=True, exist_ok=True)
                photos.image(i).save(file)
    (place / "checkpoints/timm").mkdir(parents=True)
    images = [np.asarray(patches().image(i).resize((32, 32))) for i in range(8)]
    images = TINY.normalise(torch.tensor(np.stack(images)).permute(0, 3, 1, 2))
    for i, name in enumerate(("timm/test_resnet", "timm/test_byobnet", "timm/test_efficientnet")):
        torch.manual_seed(i)
        network = networks.build(name, 5)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            network.train()(images)
        torch.save(network.state_dict(), place / "checkpoints" / f"{name}.pth")
        facts = {"accuracy": 60 + i, "resize": 32, "crop": 32, "interpolation": "bicubic"}
        (place / "checkpoints" / f"{name}.json").write_text(json.dumps(facts))
    return place


def settle(root: Path, downloads: Path, patch: pytest.MonkeyPatch) -> None:
    """An empty place for results, the stand-ins, and a table of published accuracies that knows them."""
    (root / "notebooks" / "profiles").mkdir(parents=True)
    (root / "notebooks" / "profiles" / "standin.yaml").write_text(PROFILE)
    shutil.copytree(REPOSITORY / "data" / "published", root / "data" / "published")
    table = pd.DataFrame(
        {"model": ["timm/test_resnet", "timm/test_byobnet"], "folder/more": [81.25, 79.5], "folder/last": [60.5, 70.25]}
    )
    table.to_csv(root / "data" / "published" / "supervised_finetuned_accuracy.csv", index=False)
    patch.setenv("NCREPRO_ROOT", str(root))
    patch.setenv("NCREPRO_DATA", str(downloads))
    patch.setenv("NCREPRO_PROFILE", "standin")


@pytest.fixture
def place(standins, tmp_path, monkeypatch):
    settle(tmp_path, standins, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def finished(standins, tmp_path_factory):
    """A place in which the pool has been trained and extracted."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("finished")
        settle(root, standins, patch)
        study = Experiment("supervised")
        yield root, study, {step: getattr(study, step)() for step in ("pretrain", "finetune", "extract")}


def test_published_networks_are_recorded(finished):
    _, study, tables = finished
    assert list(study.left_out) == ["cars"] and study.pool.targets == ("folder/colours", "folder/more", "folder/last")
    pretraining = tables["pretrain"].set_index("model")
    assert pretraining["source_accuracy"].to_dict() == {
        "timm/test_resnet": 60,
        "timm/test_byobnet": 61,
        "timm/test_efficientnet": 62,
    }
    assert pretraining["n_features"].to_dict() == {
        "timm/test_resnet": 96,
        "timm/test_byobnet": 256,
        "timm/test_efficientnet": 256,
    }


def test_the_ground_truth_is_tuned_here_or_published_and_says_which(finished):
    accuracies = finished[2]["finetune"]
    assert len(accuracies) == 3 * (2 + 1 + 1)
    tuned = accuracies[accuracies["target"] == "folder/colours"]
    assert (
        tuned["seed"].tolist() == [0, 1] * 3
        and tuned["accuracy"].between(0, 100).all()
        and tuned["published"].isna().all()
    )
    both = accuracies[accuracies["target"] == "folder/more"].set_index("model")
    assert (
        both["published"].dropna().to_dict() == {"timm/test_resnet": 81.25, "timm/test_byobnet": 79.5}
        and both["accuracy"].notna().all()
    )
    printed = accuracies[accuracies["target"] == "folder/last"].set_index("model")
    assert printed["accuracy"].dropna().to_dict() == {"timm/test_resnet": 60.5, "timm/test_byobnet": 70.25}
    assert printed["published"].equals(printed["accuracy"]) and np.isnan(
        printed.at["timm/test_efficientnet", "accuracy"]
    )


def test_every_feature_matrix_says_where_it_comes_from(finished):
    _, study, tables = finished
    assert tables["extract"]["n_samples"].tolist() == [90, 105, 90] * 3
    row = tables["extract"].iloc[0]
    assert row["samples"] == "all images in train/" and row["split"] == "released"
    assert row["transform"] == "shorter side to 32 px, bicubic, centre 32 px"
    assert (
        row["weights"] == "local (test_resnet.pth)" and len(row["sha256"]) == 64 and row["torch"] == torch.__version__
    )
    arrays = study.features_of("timm/test_byobnet", "folder/more")
    assert arrays["labels"].tolist() == [0] * 35 + [1] * 35 + [2] * 35
    assert np.allclose(arrays["source_probs"].sum(axis=1), 1, atol=1e-5) and arrays["source_probs"].shape == (105, 5)


def test_each_subset_is_ranked_on_its_own_targets_by_its_own_truth(finished, monkeypatch):
    _, study, _ = finished
    monkeypatch.setattr(ranking, "bootstrap_interval", lambda *_: (-1.0, 1.0))  # takes long, and is not what is tested
    scores = study.score()
    assert {"ncti", "face", "logme", "leep", "nce"} <= set(scores["metric"]) and scores["score"].notna().all()
    study.correlate()
    ncti, face = (study.read(f"correlations_{subset}").set_index(["target", "metric"]) for subset in ("ncti", "face"))
    assert set(ncti.index.levels[0]) == {
        "folder/more",
        "folder/last",
        "average",
    }  # cars is missing, colours is not NCTI's
    assert set(face.index.levels[0]) == {
        "folder/colours",
        "folder/more",
        "average",
    }  # last has no accuracy of all three
    sizes = study.read("pretraining").set_index("model")["n_parameters"]
    larger = sizes["timm/test_resnet"] > sizes["timm/test_byobnet"]
    assert ncti.at[("folder/more", "n_parameters"), "weighted_kendall"] == (1 if larger else -1)
    assert ncti.at[("folder/last", "n_parameters"), "weighted_kendall"] == (-1 if larger else 1)


def test_what_is_made_is_not_made_again(finished, monkeypatch):
    for step in ("pretrain", "finetune", "extract"):
        monkeypatch.setattr(imagenet, step, lambda *_: pytest.fail("made again"))
    study = Experiment("supervised")
    for step in ("finetune", "extract"):
        assert getattr(study, step)().equals(finished[2][step])


@pytest.mark.parametrize("name", ["10_train_pool", "11_extract_features"])
def test_the_notebooks_of_a_pool_run_unchanged(finished, name):
    cells = json.loads((REPOSITORY / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    names: dict = {}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):  # here, as a kernel takes long to start
        exec("".join(cell["source"]), names)
    plt.close("all")
    assert names["study"].profile.name == "standin"


def test_the_analysis_runs_unchanged_through_papermill(finished):
    root, _, _ = finished
    shutil.copy(REPOSITORY / "notebooks" / "20_supervised.ipynb", root / "notebooks")
    run_notebook(root / "notebooks" / "20_supervised.ipynb", root / "build" / "20_supervised.ipynb", {})
    assert "data/results/standin/supervised/" in (root / "build" / "20_supervised.ipynb").read_text()


def test_a_pool_with_several_sources_trains_on_them_first(place):
    study = Experiment("sources")
    pretraining = study.pretrain()
    assert pretraining["model"].tolist() == ["folder/colours", "folder/more"]
    assert pretraining["source_accuracy"].between(0, 100).all()
    jobs = study.jobs()
    assert {step: len(made) for step, made in jobs.items()} == {"pretrain": 2, "finetune": 2, "extract": 2, "score": 2}
    assert study.extract()["weights"].tolist() == [
        f"local (test_efficientnet.pth), then {s}" for s in study.pool.sources
    ]
    _, _, job = jobs["pretrain"][1]
    arrays = artifacts.load(job.path, job.spec)
    network, transform = imagenet.restore(job.spec, arrays)
    assert last_layer.find(network).out_features == int(arrays["n_classes"]) == 3
    photos = datasets.load("folder/more", "test")
    assert imagenet.measure(network, transform, photos)[0] == pytest.approx(float(arrays["accuracy"]))
    assert study.features_of("folder/more", "folder/last")["source_probs"].shape == (90, 3)


def test_weights_that_changed_after_they_were_recorded_are_refused(place, standins, tmp_path, monkeypatch):
    study = Experiment("supervised")
    study.pretrain()
    copy = tmp_path / "downloads"
    copy.mkdir()
    for name in ("colours", "more", "last"):
        (copy / name).symlink_to(standins / name)
    (copy / "checkpoints/timm").mkdir(parents=True)
    monkeypatch.setenv("NCREPRO_DATA", str(copy))
    for name in ("timm/test_resnet", "timm/test_byobnet", "timm/test_efficientnet"):
        torch.save(networks.build(name, 5).state_dict(), copy / "checkpoints" / f"{name}.pth")
    with pytest.raises(
        ValueError, match="the weights of timm/test_resnet have changed since 10_train_pool recorded them"
    ):
        study.extract()
    assert not list(place.rglob("features/**/*.safetensors"))  # nothing was stored


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{ground_truth: published}",
            "{ground_truth: publishd}",
            "unknown ground_truth 'publishd': .*did you mean 'published'",
        ),
        ("transform: own}", "transform: ownn}", "unknown transform 'ownn'.*did you mean 'own'"),
        ("split: released", "split: trainvl", "extract: unknown split 'trainvl'"),
        ("precision: float32", "precision: float16", "extract: unknown precision 'float16'"),
        ("epochs: 2,", "precision: float61, epochs: 2,", "finetune: unknown precision 'float61'"),
        (
            "epochs: 2",
            "epoch: 2",
            "standin.yaml: pools.supervised.finetune: unknown key 'epoch'.*did you mean 'epochs'",
        ),
        ("epochs: 2, ", "", "standin.yaml: pools.supervised.finetune: the key 'epochs' is missing"),
    ],
)
def test_a_mistyped_recipe_is_refused_before_any_work(place, old, new, message):
    path = place / "notebooks" / "profiles" / "standin.yaml"
    path.write_text(PROFILE.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        Experiment("supervised")


def test_a_pool_that_trains_on_its_sources_says_how(place):
    path = place / "notebooks" / "profiles" / "standin.yaml"
    path.write_text(PROFILE.replace("transform: own, epochs: 2, batch_size: 30", "transform: own, epochs: 2"))
    with pytest.raises(ValueError, match="standin.yaml: pools.sources.pretrain: the key 'batch_size' is missing"):
        Experiment("sources")


def test_a_subset_with_a_target_that_is_not_in_the_pool_is_refused(place):
    path = place / "notebooks" / "profiles" / "standin.yaml"
    path.write_text(PROFILE.replace("targets: [folder/more, folder", "targets: [folder/moore, folder"))
    with pytest.raises(
        ValueError,
        match="standin.yaml: pools.supervised.subsets.ncti.targets: unknown target 'folder/moore'.*did you mean "
        "'folder/more'",
    ):
        Experiment("supervised")


def test_names_are_checked_before_any_work(place):
    path = place / "notebooks" / "profiles" / "standin.yaml"
    for old, new, message in (
        (
            "architectures: [timm/test_resnet,",
            "architectures: [timm/test_resnet, resnet5,",
            "unknown architecture 'resnet5'",
        ),
        ("folder/last, cars]\n    subsets", "folder/last, cars, crs]\n    subsets", "unknown data set 'crs'"),
    ):
        path.write_text(PROFILE.replace(old, new))
        with pytest.raises(ValueError, match=message):
            Experiment("supervised")


def test_losses_that_alter_images_are_shown_on_photographs_too():
    seen = loss_functions._as_seen(reduced.build("mobilenet_v1", 3, seed=0), "mixup", patches(6))
    assert seen.images.shape == (6, 3, 32, 32) and seen.labels.tolist() == [0, 1, 2, 0, 1, 2]


# Networks that learned without labels ---------------------------------------------------------------------------------

WITHOUT_LABELS = """
description: stand-ins for the authors' checkpoints
workers: 1
disk_gb: 0.1
pools:
  selfsupervised:
    task: imagenet
    architectures: [resnet50]
    sources: [imagenet]
    losses: [swav, pcl_v2, byol]
    targets: [folder/more]
    pretrain: {weights: authors, transform: released}
    extract: {split: released, precision: float32}
    finetune: {ground_truth: published}
    max_per_class: 4
"""


@pytest.fixture
def released(standins, tmp_path, monkeypatch):
    """A pool of two releases, each in its authors' layout; that of BYOL has not been converted. Images are shown
    small.
    """
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "more").symlink_to(standins / "more")
    settle(tmp_path, downloads, monkeypatch)
    (tmp_path / "notebooks" / "profiles" / "standin.yaml").write_text(WITHOUT_LABELS)
    table = published.load("selfsupervised_finetuned_accuracy")
    table = table.assign(**{"folder/more": table["dtd"]})
    table.to_csv(tmp_path / "data" / "published" / "selfsupervised_finetuned_accuracy.csv")
    network = networks.build("resnet50")
    for seed, name in enumerate(("swav", "pcl-v2")):
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        place = releases.place(name)
        place.parent.mkdir(exist_ok=True)
        torch.save(LAYOUTS[name](backbone(network)), place)
    real = networks.checkpoint
    monkeypatch.setattr(networks, "checkpoint", lambda *given, **named: replace(real(*given, **named), transform=TINY))
    measure = imagenet.representation_collapse.measure
    monkeypatch.setattr(
        imagenet.representation_collapse, "measure", lambda features: measure(features[:, :64])
    )  # of all 2,048 it takes long
    return Experiment("selfsupervised")


def test_an_objective_names_the_checkpoint_that_its_authors_published(released):
    assert list(released.left_out) == ["byol"] and "byol-convert" in released.left_out["byol"]
    assert [model.name for model in released.pool.models] == ["swav", "pcl_v2"]
    pretraining = released.pretrain()
    assert (pretraining["n_features"] == 2048).all() and pretraining["source_accuracy"].isna().all()
    accuracies = released.finetune().set_index(["model", "target"])
    truth = published.load("selfsupervised_finetuned_accuracy")
    assert accuracies.at[("pcl_v2", "folder/more"), "accuracy"] == truth.at["pcl-v2", "dtd"]
    extracted = released.extract()
    assert extracted["weights"].str.startswith("authors' (").all() and extracted["sha256"].nunique() == 2
    assert (extracted["effective_rank"] > 1).all()
    assert released.features_of("swav", "folder/more").keys() >= {"features", "labels"}
    assert "source_probs" not in released.features_of("swav", "folder/more")
    known = selfsupervised.pretraining_summary(None)
    assert known["random_accuracy"].isna().all() and known["effective_rank"].notna().all()
    sentence, holds = selfsupervised._probes_hold("standin")
    assert sentence.startswith("No linear probe was run") and holds.word == "cannot be told here"
    assert len(selfsupervised.selfsupervised_probes("standin").figure.axes) == 1
    plt.close("all")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("losses: [swav,", "losses: [mixup,", "weights authors: unknown loss 'mixup'"),
        ("architectures: [resnet50]", "architectures: [resnet34]", "weights authors: unknown architecture 'resnet34'"),
        ("sources: [imagenet]", "sources: [folder/last]", "weights authors: unknown source 'folder/last'"),
        ("weights: authors", "weights: IMAGENET1K_V1", "weights IMAGENET1K_V1: unknown loss 'swav'"),
    ],
)
def test_only_the_authors_weights_know_objectives_without_labels(old, new, message, place):
    (place / "notebooks" / "profiles" / "standin.yaml").write_text(WITHOUT_LABELS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        Experiment("selfsupervised")


# The profile of the paper itself --------------------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """The paper's pool where every data set is taken to be there."""
    monkeypatch.setattr(imagenet, "unobtainable", lambda names: {})
    monkeypatch.setenv("NCREPRO_ROOT", str(REPOSITORY))
    return Experiment("supervised", "paper")


def test_the_papers_pools_are_those_of_its_tables(paper):
    assert set(paper.pool.subset("ncti")) == set(NCTI_POOL) and set(paper.pool.subset("face")) == set(FACE_POOL)
    for subset, table in (("ncti", "ncti_table1"), ("face", "face_table1")):
        assert set(paper.pool.subsets[subset].targets) == set(published.wide(table).columns.drop("average"))
    assert set(paper.pool.targets) == {t for s in paper.pool.subsets.values() for t in s.targets}


def test_every_cell_of_both_tables_gets_its_ground_truth(paper):
    table = published.load("supervised_finetuned_accuracy")
    ncti = paper.pool.subsets["ncti"]
    assert table.loc[list(ncti.models), list(ncti.targets)].notna().all(axis=None) and ncti.truth == "published"
    for target in paper.pool.subsets["face"].targets:
        recipe = paper.pool.finetune_on(target)
        assert recipe == {"ground_truth": "finetune", "epochs": 20, "batch_size": 64, "learning_rate": 0.01}
        assert len(paper.pool.seeds_of(target)) == 3
        imagenet.Recipe(**{key: value for key, value in recipe.items() if key != "ground_truth"})


def test_table_two_ranks_the_sources_that_the_text_lists(paper):
    study = paper.profile.pool("multi_source")
    listed = published.load("listed")
    assert set(study.sources) == set(listed[listed["list"] == "face_multi_source_sources"]["name"])
    assert set(study.architectures) == set(listed[listed["list"] == "face_multi_source_architectures"]["name"])
    assert set(study.targets) == set(published.wide("face_table2").columns.drop("average"))
    assert len(paper.profile.pool("loss_functions").models) == 3 * 7


def test_table_two_of_ncti_ranks_every_checkpoint_with_a_published_accuracy(paper):
    pool = Experiment("selfsupervised", "paper").pool
    table = published.load("selfsupervised_finetuned_accuracy")
    assert {imagenet.RELEASED[loss] for loss in pool.losses} == set(table.index) and set(pool.targets) == set(
        table.columns
    )
    assert set(pool.targets) == set(published.wide("ncti_table2").columns.drop("average"))


def test_its_results_are_written_below_its_own_folder(paper):
    assert paper.results == Path(REPOSITORY) / "data" / "results" / "paper" / "supervised"
