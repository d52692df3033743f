"""Ranking a reader's own models on a reader's own data: the answer, the inputs, and what is refused."""

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import ncrepro
from ncrepro import metrics, ranking
from ncrepro.commands import cli as pipeline
from ncrepro.commands import rank_and_score, report, variables
from ncrepro.extraction import last_layer, networks
from ncrepro.extraction.features import BATCH, ImageModel, extract
from ncrepro.extraction.preprocessing import IMAGENET, REDUCED
from ncrepro.lab import models
from ncrepro.metrics import ClassStatistics, registry
from ncrepro.rank_your_own.data import Target, open_target
from ncrepro.rank_your_own.models import resolve
from ncrepro.rank_your_own.rank import MEANING, Settings, _agreement, _resamples
from ncrepro.store import artifacts

SIZE = REDUCED  # 32 pixels: small enough for tests


def rank(data, *arguments, **options):
    options = {"n_bootstrap": 0, "progress": False, "cache": False} | options
    return ncrepro.rank(data, *arguments, **options)


def classes(n=60, d=6, k=3, spread=1.0, seed=0):
    """Features of k Gaussian classes, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return rng.standard_normal((n, d)) + spread * rng.standard_normal((k, d))[y], y


@pytest.fixture
def pool():
    """Features of four models, the later the better, and their labels."""
    return {f"model{i}": classes(spread=i)[0] for i in range(4)}, classes()[1]


@pytest.fixture
def pictures(root):
    """A folder of images, five of each of three classes in train/, one in test/; the colour tells the class."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 5), ("test", 1)):
        for k in range(3):
            for i in range(n):
                pixels = rng.integers(0, 120, (40, 36, 3), dtype=np.uint8)
                pixels[..., k] += 100
                path = root / "pictures" / split / f"class{k}" / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root / "pictures"


class Tiny(nn.Module):
    """A network with seven source classes."""

    def __init__(self, seed=0, head=True):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(5, 7) if head else nn.Identity()

    def forward(self, x):
        return self.fc(self.body(x))


def tiny(n=2, **options):
    return {f"tiny{i}": (Tiny(i, **options), SIZE) for i in range(n)}


# The answer -----------------------------------------------------------------------------------------------------------


def test_rank_needs_no_import_but_the_package_and_the_metrics_need_no_torch():
    code = "import sys, ncrepro, ncrepro.metrics; assert 'torch' not in sys.modules; assert callable(ncrepro.rank)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_the_total_is_the_mean_of_the_metrics_each_from_0_to_1_over_the_pool(pool):
    features, y = pool
    table = rank(features, labels=y, metrics=["ncti", "logme"]).set_index("model")
    ncti = ranking.total({name: metrics.ncti(H, y) for name, H in features.items()})
    logme = pd.Series({name: metrics.logme(H, y) for name, H in features.items()})
    expected = (
        (ncti - ncti.min()) / (ncti.max() - ncti.min()) + (logme - logme.min()) / (logme.max() - logme.min())
    ) / 2
    np.testing.assert_allclose(table["ncti"], ncti[table.index], rtol=1e-6)
    np.testing.assert_allclose(table["logme"], logme[table.index], rtol=1e-6)
    np.testing.assert_allclose(table["total"], expected[table.index], rtol=1e-6)


def test_the_best_model_comes_first(pool):
    table = rank(pool[0], labels=pool[1])
    assert table["model"].tolist() == ["model3", "model2", "model1", "model0"]
    assert table["rank"].tolist() == [1, 2, 3, 4] and table["total"].is_monotonic_decreasing


def test_agreement_is_1_where_all_metrics_give_one_rank_and_0_where_they_are_opposed():
    scores = pd.DataFrame({"a": [1.0, 2, 3], "b": [3.0, 2, 1]}, index=["x", "y", "z"])
    assert _agreement(scores).tolist() == [1 - 2 / 2, 1 - 0 / 2, 1 - 2 / 2]
    assert ranking.mutual_agreement(scores) == pytest.approx(-1)


def test_the_interval_is_the_total_and_1_96_standard_errors_to_either_side(pool):
    table = rank(pool[0], labels=pool[1], n_bootstrap=20)
    np.testing.assert_allclose(table["high"] - table["total"], table["total"] - table["low"])
    assert (table["high"] > table["low"]).all()
    assert rank(pool[0], labels=pool[1], n_bootstrap=20)["low"].tolist() == table["low"].tolist()


def test_the_interval_is_narrower_with_more_samples():
    def width(n):
        y = classes(n)[1]
        table = rank(
            {f"m{i}": classes(n, spread=i, seed=i)[0] for i in range(3)}, labels=y, metrics="logme", n_bootstrap=30
        )
        return (table["high"] - table["low"]).mean()

    assert width(1600) < 0.7 * width(100)


def test_resamples_keep_the_number_of_each_class_and_shrink_with_large_data():
    settings = Settings(("logme",), 2, 0, None, None, None)
    y = np.repeat([0, 1, 2], [10, 20, 5])
    first, second = _resamples(y, settings)
    assert np.bincount(y[first]).tolist() == [10, 20, 5] and not np.array_equal(first, second)
    y = np.repeat([0, 1], [6000, 2000])
    assert np.bincount(y[next(iter(_resamples(y, settings)))]).tolist() == [6000 // 2, 2000 // 2]


def test_resamples_that_cannot_be_scored_leave_out_the_interval_and_not_the_ranking():
    rng, y = np.random.default_rng(0), np.arange(6) % 3  # a resample of two samples may hold copies of one
    few = {name: rng.standard_normal((6, 4)) + i * np.eye(3, 4)[y] for i, name in enumerate("ab")}
    table = ncrepro.rank(few, labels=y, metrics=["linear_probe", "logme"], progress=False)
    assert table["low"].isna().all() and table["total"].between(0, 1).all()
    assert any(caution.startswith("there are no intervals") for caution in table.attrs["cautions"])


def test_it_says_when_the_evidence_is_thin():
    features, y = {f"m{i}": classes(30, 40, seed=i)[0] for i in range(3)}, classes(30)[1]
    table = rank(features, labels=y, n_bootstrap=10)
    cautions = "\n".join(table.attrs["cautions"])
    assert "there are 3 models only" in cautions and "the smallest class has 10 samples" in cautions
    assert f"{table['model'][0]} leads, but within the interval it is tied with" in cautions
    assert set(table["caution"]) == {"d >= n: 40 features of 30 samples"}
    (wide,) = [line for line in table.attrs["cautions"] if "d >= n" in line]  # once, with all models and a remedy
    assert all(model in wide for model in features) and "max_per_class" in wide
    assert "not an accuracy" in table.attrs["meaning"]


def test_a_clear_winner_is_not_called_tied():
    features = {f"m{i}": classes(300, spread=4 * i)[0] for i in range(5)}
    table = rank(features, labels=classes(300)[1], metrics="logme", n_bootstrap=20)
    assert table.attrs["cautions"] == []


def test_a_term_that_is_the_same_for_all_models_is_left_out_with_a_caution(pool):
    shifted = {
        "a": pool[0]["model1"],
        "b": pool[0]["model1"] + 3,
    }  # every metric but NLEEP's and TransRate's rounding is equal
    with pytest.raises(ValueError, match="every metric gives all models the same score"):
        rank(shifted, labels=pool[1], metrics=["face"])
    far = {f"m{i}": classes(spread=100 * (i + 1))[0] for i in range(3)}  # posteriors are all 1: ncc is constant
    table = rank(far, labels=pool[1], metrics=["ncti"])
    assert "left out of the totals: ncti ncc" in "\n".join(table.attrs["cautions"])
    assert table["model"][0] == "m2"


def test_cautions_and_the_sentence_are_shown_only_with_progress(pool, capsys):
    rank(pool[0], labels=pool[1], progress=True)
    output = capsys.readouterr().err
    assert "caution: there are 4 models only" in output and MEANING in output
    rank(pool[0], labels=pool[1])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["nctl"]}, "unknown metric 'nctl'.*did you mean 'ncti'"),
        ({"metrics": []}, "no metrics; choose some of"),
        ({"on_error": "ignore"}, "unknown on_error 'ignore'"),
        ({"metrics": None}, "metrics is None; allowed is the name of a metric, or a list"),
        ({"metrics": ["ncti", 3]}, r"metrics is \['ncti', 3\]; allowed is the name"),
        ({"n_bootstrap": 1}, "n_bootstrap is 1; allowed are 0 and 2 to 10000"),
        ({"n_bootstrap": 2.5}, "n_bootstrap is 2.5; allowed are 0 and 2 to 10000"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1, an integer, or None"),
        ({"batch_size": 2.5}, "batch_size is 2.5; it must be at least 1, an integer, or None"),
        ({"seed": -1}, "seed is -1; it must be at least 0, an integer"),
        ({"seed": None}, "seed is None; it must be at least 0, an integer"),
        ({"models": ["resnet50"]}, "the data are features already"),
        ({"metrics": "leep"}, "has no source classifier, which metric 'leep' needs"),
        ({"max_per_class": 1}, "max_per_class is 1; it must be at least 2, an integer"),
        ({"max_per_class": 2.5}, "max_per_class is 2.5; it must be at least 2, an integer"),
        ({"max_per_class": "5"}, "max_per_class is '5'; it must be at least 2, an integer"),
        ({"n_bootstrap": 10**9}, "n_bootstrap is 1000000000; allowed are 0 and 2 to 10000"),
    ],
)
def test_options_that_cannot_be_are_named(pool, options, message):
    with pytest.raises(ValueError, match=message):
        rank(pool[0], labels=pool[1], **options)


# Features -------------------------------------------------------------------------------------------------------------


def test_npz_files_a_folder_of_them_and_arrays_give_the_same_table(pool, tmp_path):
    features, y = pool
    for name, H in features.items():
        np.savez(tmp_path / f"{name}.npz", features=H, labels=y)
    np.savez(tmp_path / "all.npy.npz", labels=y, **features)
    expected = rank(features, labels=y).drop(columns=["seconds", "peak_mb"])
    files = [tmp_path / f"{name}.npz" for name in features]
    together = tmp_path / "all.npy.npz"
    pairs = {name: (H, y) for name, H in features.items()}
    for data in (files, together, pairs, dict(zip(features, files, strict=True))):
        pd.testing.assert_frame_equal(rank(data).drop(columns=["seconds", "peak_mb"]), expected)
    together.unlink()
    pd.testing.assert_frame_equal(rank(tmp_path).drop(columns=["seconds", "peak_mb"]), expected)


def test_source_probabilities_in_a_file_make_leep_possible(tmp_path):
    H, y = classes()
    for i in range(2):
        np.savez(
            tmp_path / f"m{i}.npz", features=H, labels=y, source_probs=np.eye(4)[(y + i * (np.arange(60) % 2)) % 4]
        )
    table = rank(tmp_path, metrics=["leep", "nce"]).set_index("model")
    assert table.loc["m0", "nce"] == pytest.approx(0) and table["nce"].idxmax() == "m0"


def test_shards_merge_to_the_scores_of_the_whole(pool, tmp_path):
    features, y = pool
    expected = rank(features, labels=y, metrics=registry.of_statistics())
    shards = {}
    for name, H in features.items():
        np.savez(tmp_path / f"{name}.npz", features=H[:20], labels=y[:20])
        shards[name] = [
            tmp_path / f"{name}.npz",
            (H[20:45], y[20:45]),
            ClassStatistics("float64").update(H[45:], y[45:]),
        ]
    table = rank(shards, metrics=registry.of_statistics())
    assert table["model"].tolist() == expected["model"].tolist() and table["n_samples"].tolist() == [60] * 4
    np.testing.assert_allclose(table["total"], expected["total"], rtol=1e-6)
    with pytest.raises(ValueError, match="statistics only.*not \\['ncti'\\]"):
        rank(shards)


def test_a_sub_sample_has_at_most_so_many_of_each_class(pool):
    assert rank(pool[0], labels=pool[1], max_per_class=7)["n_samples"].tolist() == [7 * 3] * 4


def test_features_that_cannot_be_ranked_are_refused(pool, tmp_path):
    features, y = pool
    H = features["model0"]
    np.savez(tmp_path / "nolabels.npz", features=H)
    np.savez(tmp_path / "objects.npz", features=H, labels=y.astype(object))
    (tmp_path / "torn.npz").write_bytes(b"PK\3\4 half of it")
    for data, options, message in (
        (features, {}, "labels are missing: give labels"),
        (features, {"labels": y[:-1]}, "60 samples of model0 but 59 labels"),
        ({"a": (H, y), "b": (H, y[::-1])}, {}, "a pool|different labels"),
        ({"a": H}, {"labels": y}, "at least 2 models, found 1"),
        ({}, {}, "there are no features"),
        ([tmp_path / "nolabels.npz"], {}, "labels are missing: .*nolabels.npz holds features"),
        ([tmp_path / "objects.npz"], {}, "objects.npz is not a .npz file of plain arrays"),
        ([tmp_path / "torn.npz"], {}, "torn.npz is not a .npz file"),
        ([tmp_path / "none.npz"], {}, "there is no file .*none.npz"),
    ):
        with pytest.raises(ValueError, match=message):
            rank(data, **options)


# Images ---------------------------------------------------------------------------------------------------------------


def test_train_is_used_where_there_are_train_and_test(pictures):
    assert rank(pictures, tiny())["n_samples"].tolist() == [15, 15]
    assert rank(pictures / "test" / "..", tiny(), max_per_class=3)["n_samples"].tolist() == [9, 9]


def test_the_features_are_those_of_the_penultimate_layer_under_the_models_own_transform(pictures):
    network, _ = tiny(1)["tiny0"]
    model = resolve({"it": (network, SIZE)}, "images")[0].load()
    target = open_target(pictures)
    found = extract(model, target.data, torch.device("cpu"), 4)
    x = torch.stack([torch.tensor(SIZE(target.data.image(i))) for i in range(15)]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        H = network.body(SIZE.normalise(x))
        probs = network.fc(H).softmax(1)
    np.testing.assert_allclose(found.features, H, atol=1e-5)
    np.testing.assert_allclose(found.source_probs, probs, atol=1e-5)


def test_a_network_without_a_classifier_gives_what_it_returns(pictures):
    table = rank(pictures, tiny(head=False))
    assert table["n_features"].tolist() == [5, 5]
    with pytest.raises(ValueError, match="tiny0 has no source classifier, which metric 'leep' needs"):
        rank(pictures, tiny(head=False), metrics=["leep"])


def test_outputs_used_as_classes_that_may_be_an_embedding_get_a_caution(pictures):
    warning = "its outputs were taken for source classes: if they are an embedding, leave out leep and nce"
    assert all(warning in caution for caution in rank(pictures, tiny(), ["leep", "logme", "nce"])["caution"])
    assert not rank(pictures, tiny())["caution"].str.contains("embedding").any()
    H, y = classes()
    for seed in (0, 1):
        probs = np.random.default_rng(seed).dirichlet(np.ones(4), len(y))
        np.savez(pictures / f"{seed}.npz", features=H, labels=y, source_probs=probs)
    table = rank([pictures / "0.npz", pictures / "1.npz"], metrics=["leep"])
    assert not table["caution"].str.contains("embedding").any()  # whose source probabilities are given


def test_any_callable_from_an_image_to_a_tensor_is_a_transform(pictures):
    def transform(image):
        return torch.tensor(np.array(image.resize((32, 32)))).permute(2, 0, 1) / 255

    pool = {name: (network, transform) for name, (network, _) in tiny().items()}
    assert len(rank(pictures, pool)) == 2
    with pytest.raises(ValueError, match="the transform gives shape .*; allowed is \\(3, height, width\\)"):
        rank(pictures, {"a": (Tiny(), lambda image: torch.zeros(4)), "b": (Tiny(1), SIZE)})


@pytest.mark.parametrize("share", [0.1, 0.0])
def test_a_random_part_that_acts_seldom_is_found_in_transforms_and_data_sets(pictures, share):
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    torch.manual_seed(0)
    seldom = transforms.RandomApply([transforms.RandomInvert(1)], share)
    sized = transforms.Compose([transforms.Resize((32, 32)), seldom, transforms.ToTensor()])
    for data, transform in (
        (pictures, sized),
        (ImageFolder(pictures / "train", transform=seldom), transforms.ToTensor()),
    ):
        table = rank(data, {"a": (Tiny(0), transform), "b": (Tiny(1), transform)})
        assert table["caution"].str.contains("not the same twice").tolist() == [share > 0] * 2


def test_a_bare_module_gets_imagenets_transform_and_a_caution(pictures):
    first, second = Tiny(0), Tiny(1)
    first.name, second.name, second.transform = "first", "second", SIZE
    cautions = rank(pictures, [first, second]).set_index("model")["caution"]
    assert (
        cautions["first"] == "no transform was given with it, so ImageNet's was used (224 pixels)"
        and cautions["second"] == ""
    )


def test_a_data_set_arrays_and_the_folder_give_the_same_features(pictures):
    from torchvision.datasets import ImageFolder

    dataset = ImageFolder(pictures / "train")
    arrays = np.stack([np.asarray(image) for image, _ in dataset])  # (n, 40, 36, 3)
    expected = rank(pictures, tiny()).drop(columns=["seconds", "peak_mb"])
    for data, labels in ((dataset, None), (arrays, dataset.targets), (arrays.transpose(0, 3, 1, 2), dataset.targets)):
        pd.testing.assert_frame_equal(rank(data, tiny(), labels=labels).drop(columns=["seconds", "peak_mb"]), expected)
    subset = torch.utils.data.Subset(dataset, range(1, 14))  # has no list of labels
    assert rank(subset, tiny())["n_samples"].tolist() == [13, 13]


def test_an_unreadable_image_stops_the_ranking_before_any_network_sees_one(pictures, monkeypatch):
    broken = pictures / "train" / "class1" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    (pictures / "train" / "class2" / "0.jpg").write_text("not an image")
    monkeypatch.setattr("ncrepro.rank_your_own.rank.extract", lambda *_: pytest.fail("a network was run"))
    with pytest.raises(
        ValueError, match="2 of 15 images cannot be read, the first is .*class1/3.jpg .*on_error='skip'"
    ):
        rank(pictures, tiny())


def test_unreadable_images_are_left_out_and_counted_on_request(pictures):
    (pictures / "train" / "class2" / "0.jpg").write_text("not an image")
    table = rank(pictures, tiny(), on_error="skip")
    assert table["n_samples"].tolist() == [14, 14]
    assert "1 images could not be read and were left out, the first" in "\n".join(table.attrs["cautions"])
    for path in (pictures / "train" / "class2").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        ValueError,
        match="no image of class 'class2' can be read, and two are needed; the first that cannot: .*class2/0.jpg",
    ):
        rank(pictures, tiny(), on_error="skip")


def test_data_that_are_no_images_are_refused(pictures, tmp_path):
    for name in ("empty", "one/cats", "gap/cats", "gap/dogs", "single/cats", "single/dogs"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(("one/cats", "gap/cats", "single/cats", "single/cats", "single/dogs")):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
    one_class = torch.utils.data.TensorDataset(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4))
    floats = torch.utils.data.TensorDataset(torch.zeros(4, 3, 8, 8), torch.arange(4) % 2)
    unlabelled = torch.utils.data.TensorDataset(torch.zeros(4, 3, 8, 8))
    for data, message in (
        (tmp_path / "nowhere", "there is no folder .*nowhere"),
        (pictures / "train" / "class0" / "0.jpg", "0.jpg is a file, not a folder"),
        (tmp_path / "empty", "empty holds no folders, so there are no classes"),
        (tmp_path / "one", "one holds 1 folder, so there is one class"),
        (tmp_path / "gap", "gap/dogs holds no images"),
        (tmp_path / "single", "class 'dogs' of single has 1 sample"),
        (one_class, "all 4 samples of TensorDataset are of class '0'"),
        (floats, "item 0 of TensorDataset is float32 .*make the data set without a transform"),
        (unlabelled, "labels are missing: item 0 of TensorDataset"),
        (np.zeros((4, 8, 8, 3), np.uint8), "labels are missing: give labels=..., one per sample of the 4 images"),
        (3, "data is a int; allowed are a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            rank(data, tiny())


# Models ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def resnet(tmp_path):
    """A state dict of torchvision's resnet18 with four classes, in a file."""
    torch.save(networks.build("resnet18", 4).state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), "models is a Sequential; allowed are a list of models, a dict"),
        (3, "models is a int; allowed are a list"),
        ({"a": (nn.Flatten(), None, 1)}, "model 'a' is a tuple; allowed are"),
        ({"a": (nn.Flatten(), "x")}, "model 'a': its transform is 'x'; allowed is a function"),
        ([()], "model 'tuple' is a tuple; allowed are"),
    ],
)
def test_what_is_no_model_is_answered(models, message):
    with pytest.raises(ValueError, match=message):
        resolve(models, "images")


def test_a_misspelt_model_is_answered_with_near_names(pictures):
    for name, near in (
        ("resnet5O", "'resnet50'"),
        ("mobilenetv3_large", "'mobilenet_v3_large'"),
        ("timm/vit_smal_patch16_224", "vit_small_patch16_224"),
    ):
        with pytest.raises(ValueError, match=near):
            rank(pictures, ["resnet18", name])
    with pytest.raises(ValueError, match="two models are called 'resnet18'"):
        rank(pictures, ["resnet18", "resnet18"])
    with pytest.raises(ValueError, match="at least 2 models, found 0"):
        rank(pictures, [])


def test_weights_in_files_are_read_whatever_holds_them(pictures, resnet, tmp_path):
    state = torch.load(resnet, weights_only=True)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "nested.pt"
    )
    save_file(state, tmp_path / "safe.safetensors")
    pool = [
        f"resnet18={resnet}",
        f"nested=resnet18:{tmp_path / 'nested.pt'}",
        f"safe=resnet18:{tmp_path / 'safe.safetensors'}",
    ]
    loaded = [candidate.load().network.state_dict() for candidate in resolve(pool, "images")]
    assert all(torch.equal(one[key], state[key]) for one in loaded for key in state)


def test_files_that_hold_no_weights_of_that_network_are_refused_before_the_work(
    pictures, resnet, tmp_path, monkeypatch
):
    monkeypatch.setattr(Target, "checked", lambda *_: pytest.fail("images were read"))
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(print))
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    (tmp_path / "torn.pth").write_bytes(resnet.read_bytes()[:1000])
    (tmp_path / "torn.safetensors").write_bytes(b"half of it")
    for name in ("evil.pth", "whole.pth", "torn.pth", "torn.safetensors"):
        with pytest.raises(ValueError, match=f"{name} is not a state dict .*save network.state_dict"):
            rank(pictures, [f"resnet18={tmp_path / name}", f"mine=resnet18:{resnet}"])
    for what, message in (
        (f"resnet18={tmp_path / 'epoch.pth'}", "epoch.pth holds a dict, not a state dict"),
        (f"vgg11={resnet}", "does not fit vgg11 .*it holds another network"),
        (f"vgg11={tmp_path / 'none.pth'}", "there is no file .*none.pth"),
        (f"{resnet}", "which architecture do the weights in mine.pth belong to.*write resnet50=mine.pth"),
        (f"resnet19={resnet}", "'resnet19' is none; did you mean 'resnet"),
        (3, "model 'int' is a int; allowed are a name"),
    ):
        with pytest.raises(ValueError, match=message):
            rank(pictures, [what, "other=resnet18:" + str(resnet)])


def test_missing_weights_without_a_network_say_which_files_to_put_where(pictures, root, monkeypatch):
    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(root / "hub"))
    with pytest.raises(
        OSError, match="(?s)put it at .*resnet18-f37072fd.pth by hand.*put it at .*squeezenet1_1-b8a52dc0.pth by hand"
    ):
        rank(pictures, ["resnet18", "squeezenet1_1"])


def test_published_weights_are_found_where_torch_hub_keeps_them(pictures, root, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(root / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_: pytest.fail("a download was tried"))
    original = networks._of_torchvision
    monkeypatch.setattr(
        networks, "_of_torchvision", lambda *a: replace(original(*a), sha256="")
    )  # random weights have another hash
    (root / "torch/hub/checkpoints").mkdir(parents=True)
    for name in ("resnet18", "squeezenet1_1"):
        torch.save(
            networks.build(name).state_dict(),
            root / "torch/hub/checkpoints" / original(name, "IMAGENET1K_V1").file.name,
        )
    table = rank(pictures, "resnet18 squeezenet1_1", ["logme", "leep"], max_per_class=2).set_index("model")
    assert not table["caution"].str.contains("embedding").any()  # published weights are classifiers'
    assert table["n_features"].to_dict() == {"resnet18": 512, "squeezenet1_1": 512}


def test_networks_of_timm_are_looked_up_by_name():
    pytest.importorskip("timm")
    network = networks.build("timm/vit_tiny_patch16_224", 5)
    model = ImageModel("vit", network, IMAGENET)
    with torch.inference_mode():
        H, probs = model(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    assert H.shape == (2, 192) and probs.shape == (2, 5)


def test_a_file_that_the_demo_trained_says_its_own_architecture(pictures, root):
    from ncrepro.lab.experiment import Experiment

    study = Experiment("supervised", "smoke")
    job = study._pretraining(study.pool.models[0])
    network = models.build(study.pool.architectures[0], 7, seed=3)
    arrays = {f"weights.{key}": value.numpy() for key, value in network.state_dict().items()}
    artifacts.save(job.path, arrays | {"n_classes": np.array(7)}, job.spec)
    candidate, other = resolve([study.checkpoint("resnet34"), f"mine={job.path}"], "images")
    assert (candidate.name, other.name) == ("resnet34-source-cross_entropy", "mine")
    assert candidate.is_classifier and other.is_classifier
    with pytest.raises(ValueError, match="says of itself that it is a resnet34, not a resnet50"):
        resolve([f"mine=resnet50:{job.path}"], "images")
    loaded = candidate.load().network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())
    artifacts.save(
        root / "taylor.safetensors", arrays | {"n_classes": np.array(7)}, job.spec | {"loss": "taylor_softmax"}
    )
    model = resolve([f"it={root / 'taylor.safetensors'}"], "images")[
        0
    ].load()  # it returns what its last layer gives, changed
    H, probs = model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert H.shape == (2, last_layer.width(network)) and probs.shape == (2, 7)


# What is kept ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def extractions(monkeypatch):
    """The names of the models whose features are taken, as they are."""
    seen = []
    monkeypatch.setattr(
        "ncrepro.rank_your_own.rank.extract", lambda model, *rest: (seen.append(model.name), extract(model, *rest))[1]
    )
    return seen


def test_the_same_folder_and_models_need_no_second_pass(pictures, root, extractions):
    first = rank(pictures, tiny(3), cache=True)
    assert extractions == ["tiny0", "tiny1", "tiny2"] and (root / "data/cache/rank/features").is_dir()
    pd.testing.assert_frame_equal(rank(pictures, tiny(3), cache=True), first)
    rank(pictures.rename(root / "moved"), tiny(3), cache=True, metrics=["logme"])
    assert len(extractions) == 3


def test_other_images_other_weights_and_another_transform_need_one(pictures, root, extractions):
    rank(pictures, tiny(), cache=root / "kept")
    rank(pictures, {"tiny0": tiny()["tiny0"], "tiny1": (Tiny(9), SIZE)}, cache=root / "kept")
    rank(pictures, {"tiny0": tiny()["tiny0"], "tiny1": (Tiny(1), replace(SIZE, resize=40))}, cache=root / "kept")
    assert extractions == ["tiny0", "tiny1", "tiny1", "tiny1"]
    Image.new("RGB", (40, 36)).save(pictures / "train" / "class0" / "0.jpg")
    rank(pictures, tiny(), cache=root / "kept")
    assert extractions[4:] == ["tiny0", "tiny1"]


def test_an_interrupted_ranking_goes_on_with_the_model_it_stopped_at(pictures, root, extractions, monkeypatch):
    whole = ImageModel.__call__

    def interrupted(model, batch):
        if model.name == "tiny2":
            raise KeyboardInterrupt
        return whole(model, batch)

    monkeypatch.setattr(ImageModel, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rank(pictures, tiny(3), cache=True)
    monkeypatch.setattr(ImageModel, "__call__", whole)
    del extractions[:]
    rank(pictures, tiny(3), cache=True)
    assert extractions == ["tiny2"]


def test_a_batch_that_does_not_fit_is_halved_until_it_does(pictures, monkeypatch):
    whole, sizes = ImageModel.__call__, []

    def small_memory(model, batch):
        sizes.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(model, batch)

    monkeypatch.setattr(ImageModel, "__call__", small_memory)
    monkeypatch.setitem(BATCH, "cpu", 15)
    assert rank(pictures, tiny())["n_samples"].tolist() == [15, 15]
    assert sizes == [15, 7, 3, 3, 3, 3, 3, 2] * 2  # in the end two again, to see whether they come out the same
    with pytest.raises(torch.OutOfMemoryError):
        rank(pictures, tiny(), batch_size=8)


def test_a_device_that_is_not_there_is_named(pictures):
    with pytest.raises(ValueError, match="device is 'tpu'; available here: .*cpu"):
        rank(pictures, tiny(), device="tpu")


def test_features_that_are_not_finite_name_the_model_and_the_sample(pictures):
    broken = Tiny()
    broken.body[0].weight.data[:] = float("nan")
    with pytest.raises(ValueError, match="a: features of 15 of 15 samples are NaN or infinite, the first of sample 0"):
        rank(pictures, {"a": (broken, SIZE), "b": (Tiny(), SIZE)})


# Many models, many machines -------------------------------------------------------------------------------------------


def test_processes_give_what_one_process_gives(pictures):
    expected = rank(pictures, tiny(), n_bootstrap=3).drop(columns=["seconds", "peak_mb"])
    with joblib.parallel_config("loky", n_jobs=2):
        table = rank(pictures, tiny(), n_bootstrap=3).drop(columns=["seconds", "peak_mb"])
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.filterwarnings("default")  # those of dask are not ours
def test_a_dask_cluster_of_two_workers_gives_what_one_process_gives(pool):
    distributed = pytest.importorskip("distributed")
    features, y = pool
    expected = rank(features, labels=y, n_bootstrap=3).drop(columns=["seconds", "peak_mb"])
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        with joblib.parallel_config("dask"):
            table = rank(features, labels=y, n_bootstrap=3).drop(columns=["seconds", "peak_mb"])
    pd.testing.assert_frame_equal(table, expected)


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def berts(tmp_path_factory):
    """Two folders as `save_pretrained` writes them, with random weights."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("berts")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a good bad film it was the not very".split()
    (folder / "vocab.txt").write_text("\n".join(words))
    for i in range(2):
        torch.manual_seed(i)
        config = transformers.BertConfig(
            vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
        transformers.BertModel(config).save_pretrained(folder / f"bert{i}")
        transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / f"bert{i}")
    return [f"bert{i}={folder / f'bert{i}'}" for i in range(2)]


TEXTS = ["a good film", "it was bad", "the film was very good", "not a good film", "good", "bad bad"]
LABELS = ["yes", "no", "yes", "no", "yes", "no"]


def test_a_table_of_texts_is_ranked_from_csv_json_lines_and_lists(berts, tmp_path):
    table = pd.DataFrame({"review": TEXTS, "stars": LABELS})
    table.to_csv(tmp_path / "it.csv", index=False)
    table.to_json(tmp_path / "it.jsonl", orient="records", lines=True)
    columns = {"text": "review", "label": "stars"}
    expected = rank(TEXTS, berts, labels=LABELS).drop(columns=["seconds", "peak_mb"])
    assert expected["n_features"].tolist() == [8, 8] and expected["n_samples"].tolist() == [6, 6]
    for data in (tmp_path / "it.csv", str(tmp_path / "it.jsonl"), table):
        pd.testing.assert_frame_equal(rank(data, berts, **columns).drop(columns=["seconds", "peak_mb"]), expected)


def test_the_feature_of_a_text_does_not_depend_on_the_texts_beside_it(berts):
    model = resolve(berts, "texts")[0].load()
    texts = open_target(TEXTS, LABELS).data
    one, all_ = (extract(model, texts, torch.device("cpu"), size).features for size in (1, 6))
    np.testing.assert_allclose(one, all_, atol=1e-5)


def test_texts_that_cannot_be_ranked_are_refused(berts, tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    for data, message in (
        (write("columns.csv", "txt,label\na,0\nb,1\n"), "columns.csv: unknown text column 'text'.*did you mean 'txt'"),
        (write("nolabel.jsonl", '{"text": "a"}\n{"text": "b"}\n'), "nolabel.jsonl: unknown label column 'label'"),
        (
            write("gap.csv", "text,label\na,0\nb,\n"),
            "labels are missing: 1 of the 2 rows of .*gap.csv have none, the first is number 2",
        ),
        (write("one.csv", "text,label\na,0\nb,0\n"), "all 2 samples of .*one.csv are of class '0'"),
        (write("torn.jsonl", '{"text": "a", '), "torn.jsonl cannot be read as jsonl"),
        (tmp_path / "none.csv", "there is no file .*none.csv"),
        (TEXTS, "labels are missing"),
    ):
        with pytest.raises(ValueError, match=message):
            rank(data, berts)
    with pytest.raises(ValueError, match="metric 'leep' needs a source classifier"):
        rank(TEXTS, berts, labels=LABELS, metrics=["leep"])


def test_a_text_model_that_cannot_be_had_says_what_to_do(berts, tmp_path, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("huggingface_hub").constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    with pytest.raises(
        OSError, match="bert-base-uncasd: neither a folder here.*did you mean 'bert-base-uncased'.*hf download"
    ):
        rank(TEXTS, [berts[0], "bert-base-uncasd"], labels=LABELS)
    with pytest.raises(OSError, match="hollow: this folder holds no model that transformers can read"):
        rank(TEXTS, [berts[0], f"hollow={tmp_path / 'hollow'}"], labels=LABELS)


# make rank ------------------------------------------------------------------------------------------------------------


def test_make_rank_writes_notebook_table_and_figure(make, checkout, pool):
    for name, H in pool[0].items():
        np.savez(checkout / f"{name}.npz", features=H, labels=pool[1])
    result = make("rank", "FEATURES=model0.npz model1.npz", "METRICS=logme sfda", "N_BOOTSTRAP=2")
    assert result.returncode == 0, result.stderr
    place, figure = re.search("written: (.*)/ranking.csv, rank.ipynb; (.*), .pdf", result.stdout).groups()
    assert re.fullmatch("data/results/rank/model0-[0-9a-f]{6}", place)
    table = pd.read_csv(checkout / place / "ranking.csv")
    assert table["model"].tolist() == ["model1", "model0"] and {"logme", "sfda"} < set(table.columns)
    assert re.search("^1 +model1 ", result.stdout, re.MULTILINE) and "caution: there are 2 models" in result.stdout
    assert (checkout / figure).exists()
    assert json.loads((checkout / place / "rank.ipynb").read_text())["cells"]


def test_make_rank_answers_a_mistake_with_one_clear_line(make, pictures):
    result = make("rank", f"IMAGES={pictures}", "MODELS=resnet18 resnet5O", f"OUT={pictures / 'out'}")
    assert result.returncode != 0
    assert "error: 41_rank.ipynb: ValueError: unknown model 'resnet5O': did you mean 'resnet50'" in result.stderr
    assert "Traceback" not in result.stderr
    assert "error: 0 data sets are named; name one: make rank IMAGES=folder" in make("rank", "MODELS=resnet18").stderr


@pytest.fixture
def rank_call(monkeypatch, capsys, pool):
    """What `make rank` would run 41_rank with, and the folder of its results."""
    seen, ranked = [], report.as_json(rank(pool[0], labels=pool[1], metrics="logme"))

    def run(notebook, output, parameters, cwd):
        seen.append((parameters, output.parent))
        artifacts.write(output.parent / "ranking.json", ranked)

    monkeypatch.setattr(rank_and_score, "run_notebook", run)

    def call(*arguments):
        seen.clear()
        status = pipeline.main(["rank", "--notebook", *arguments])
        streams = capsys.readouterr()
        assert status == (0 if seen else 2)
        return seen[0] if seen else streams.err

    return call


def test_a_list_is_parted_by_blanks_unless_they_are_quoted_or_all_of_it_is_one_path(rank_call, root, tmp_path):
    for value, expected in (
        ("one.npz two.npz", ["one.npz", "two.npz"]), ("'my one.npz'  two.npz", ["my one.npz", "two.npz"]),
        ('"it\'s.npz" two.npz', ["it's.npz", "two.npz"]), ("one.npz", "one.npz"), ("'my one.npz'", "my one.npz"),
    ):  # fmt: skip
        assert rank_call("--features", value)[0]["features"] == expected
    for name in ("my features", "it's", "'quoted'"):
        (tmp_path / name).mkdir()
        assert rank_call("--features", str(tmp_path / name))[0]["features"] == str(tmp_path / name)
    models = rank_call("--images=it's", "--models", "resnet50 'mine=resnet50:my weights.pth'")[0]["models"]
    assert models == ["resnet50", "mine=resnet50:my weights.pth"]
    assert (
        len(rank_call("--images=x", "--models", "resnet50 " * 500)[0]["models"]) == 500
    )  # too long to be asked for as a path
    message = rank_call("--features", "it's.npz two.npz")
    assert (
        message.startswith("error: FEATURES is it's.npz two.npz: a quote in it does not end; put a path")
        and message.count("\n") == 1
    )


def test_results_of_two_data_sets_never_share_a_folder(rank_call, root, tmp_path):
    places = ["my pets/cats", "my pets/dogs", "other/cats", "other/cats.v1", "other/cats.v2", "one/.", "two/."]
    for place in places:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
    folders = [rank_call("--images", str(tmp_path / place))[1] for place in places]
    folders += [
        rank_call("--features", files)[1] for files in ("a/m.npz", "b/m.npz", "a/m.npz b/m.npz", "a/m.npz b/n.npz")
    ]
    assert len(set(folders)) == len(folders)
    assert [re.sub("-[0-9a-f]{6}$", "", folder.name) for folder in folders[:6]] == [
        "cats",
        "dogs",
        "cats",
        "cats.v1",
        "cats.v2",
        "one",
    ]
    assert rank_call("--images", str(tmp_path / "other/../my pets/cats"))[1] == folders[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images=", "--models=a"], "IMAGES is empty; give it a value, or leave it out"),
        (["--images=x", "--models= "], "MODELS is empty"),
        (["--images=x", "--out="], "OUT is empty"),
        (["--images=x", "--text=y"], "2 data sets are named; name one"),
    ],
)
def test_a_value_that_is_missing_is_one_clear_line(arguments, message, rank_call, root):
    assert re.fullmatch(f"error: {message}[^\n]*\n", rank_call(*arguments))


def test_a_number_that_is_none_is_one_clear_line(rank_call, capsys):
    with pytest.raises(SystemExit):
        rank_call("--images=x", "--n_bootstrap=many")
    assert capsys.readouterr().err == "error: argument --n_bootstrap: invalid int value: 'many'\n"


HOSTILE = [
    "it's",
    "my folder",
    "x'; touch y; '",
    'x"; touch y; "',
    "$(shell touch y)",
    "`touch y`",
    "$(touch y)",
    "$HOME $$ ${PATH}",
    "--out",
    "a\\",
    "#no comment",
    "* ?",
    "caf\u00e9",
    "a\nb",
    "$(error no)",
    "-n",
]


def test_make_hands_every_value_on_as_it_is(make, checkout, monkeypatch):
    """Through make, to the options of `ncrepro rank`; nothing of it is executed, expanded or split."""
    code = (
        "import json, os, sys\nif 'rank' in sys.orig_argv: print(json.dumps(os.environ['MAKEFLAGS']), "
        "flush=True), os._exit(0)\n"
    )
    (checkout / "sitecustomize.py").write_text(code)
    for value in HOSTILE:
        result = make("-s", "rank", f"IMAGES={value}", f"MODELS={value} b=c", f"OUT={value}")
        assert result.returncode == 0, result.stderr
        monkeypatch.setenv("MAKEFLAGS", json.loads(result.stdout))
        assert sorted(variables.of_rank()) == [f"--images={value}", f"--models={value} b=c", f"--out={value}"]
    assert not (checkout / "y").exists()


@pytest.mark.parametrize(
    ("assignment", "suggestion"),
    [
        ("METRIC=ncti", "METRICS"),
        ("PROFLE=smoke", "PROFILE"),
        ("Out=x", "OUT"),
        ("images=x", "IMAGES"),
        ("it's=1", None),
    ],
)
def test_a_mistyped_variable_of_make_is_refused_whatever_the_target(assignment, suggestion, make, checkout):
    for target in ("rank", "all", "help"):
        result = make(target, assignment)
        assert result.returncode != 0 and not result.stdout
        name = assignment.partition("=")[0]
        assert result.stderr.startswith("error: unknown variable") and name in result.stderr
        assert result.stderr.splitlines()[1:] == [result.stderr.splitlines()[-1]]  # which is make's own
        assert (f"did you mean '{suggestion}'" in result.stderr) == bool(suggestion)
    assert make("help", "NCREPRO_DATA=$(shell touch y)", METRIC="in the environment").returncode == 0
    assert not (checkout / "y").exists()
