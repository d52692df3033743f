"""Items of an image and a text, pairs of encoders, and what is asked of them."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib import pyplot as plt
from torch.nn import functional as F

from ncrepro import metrics
from ncrepro.extraction import last_layer
from ncrepro.extraction.samples import Captioned
from ncrepro.figures import data_examples
from ncrepro.figures import modalities as figures
from ncrepro.lab import experiment, models
from ncrepro.lab.analyses import modalities as measured
from ncrepro.lab.datasets import captioned
from ncrepro.lab.models import text as text_models
from ncrepro.lab.tasks import modalities as task
from ncrepro.ranking.verdicts import FAILS, HOLDS

matplotlib.use("agg")

RECIPE = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3}
NAME = {"architecture": "resnet34+nezha", "seed": 0}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


# Items ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "train", "test", "n_classes"), [("numbers", 12, 60, 10), ("symbols", 20, 60, 5)])
def test_every_class_has_as_many_items_as_it_should(name, train, test, n_classes):
    for split, n in (("train", train), ("test", test)):
        data = captioned.load(name, split)
        assert np.bincount(data.labels).tolist() == [n] * n_classes and len(data.texts) == len(data.images) == len(data)
        assert all(text.strip() for text in data.texts)


def test_the_facts_about_a_number_are_true_and_never_say_which_number_it_is():
    data = captioned.load("numbers", "test")
    for text, label in zip(data.texts, data.labels, strict=True):
        one, other = (captioned.FACTS[fact] for fact in text.split(", "))
        assert label in one & other and one != other
    assert min(map(len, captioned.FACTS.values())) >= 3


@pytest.mark.parametrize("fact", captioned.FACTS)
def test_a_fact_is_true_of_the_numbers_it_names(fact):
    words, found = fact.split(), captioned.FACTS[fact]
    if words[1] == "than":
        bound = captioned.DIGITS.index(words[2])
        assert found == {k for k in range(10) if (k < bound if words[0] == "less" else k > bound)}
    else:
        is_true = {
            "even": lambda k: k % 2 == 0, "odd": lambda k: k % 2 == 1, "multiple": lambda k: k % 3 == 0,
            "prime": lambda k: k > 1 and all(k % d for d in range(2, k)), "square": lambda k: int(k**0.5) ** 2 == k,
            "power": lambda k: k in (1, 2, 4, 8),
        }[words[1]]  # fmt: skip
        assert found == set(filter(is_true, range(10)))


def test_the_word_of_a_symbol_is_of_its_name_and_does_not_say_the_kind():
    known = captioned.collect()
    assert list(known) == list(captioned.BLOCKS)
    for split in ("train", "test"):
        data = captioned.load("symbols", split)
        part = slice(captioned.N_TEST) if split == "test" else slice(captioned.N_TEST, None)
        for text, label in zip(data.texts, data.labels, strict=True):
            assert not captioned.TELLING.search(text.upper())
            assert any(text in captioned.words(c) for c in known[data.classes[label]][part])


def test_no_item_of_the_test_split_is_in_the_train_split():
    train, test = (captioned.load("numbers", split).images for split in ("train", "test"))
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    characters = [c for own in captioned.collect().values() for c in own]
    assert len(characters) == len(set(characters))  # each split takes its own part of them
    assert all(len(own) >= captioned.N_TRAIN + captioned.N_TEST for own in captioned.collect().values())


@pytest.mark.parametrize("name", captioned.NAMES)
def test_items_are_the_same_every_time_and_the_parts_stay_together(name):
    data, again = captioned.load(name, "train"), captioned.MAKERS[name]("train")
    np.testing.assert_array_equal(data.images, again.images)
    assert data.texts == again.texts and data.classes == again.classes
    few = data.limited(2)
    places = [next(i for i in range(len(data)) if (data.images[i] == image).all()) for image in few.images]
    assert few.texts == tuple(data.texts[i] for i in places) and (few.labels == data.labels[places]).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"texts": ("a",)}, "2 images and 1 texts; allowed is one text per image"),
        ({"images": np.zeros((2, 3, 4, 4))}, "images are float64 of shape"),
        ({"labels": np.array([0, 2])}, "labels run from 0 to 2"),
    ],
)
def test_items_that_do_not_fit_together_are_refused(changed, message):
    fields = {"images": np.zeros((2, 3, 4, 4), np.uint8), "texts": ("a", "b"), "labels": np.array([0, 1])}
    with pytest.raises(ValueError, match=message):
        Captioned("it", "train", **fields | changed, classes=("x", "y"))


def test_unknown_names_and_splits_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'number': choose one of .*did you mean 'numbers'"):
        captioned.load("number", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        captioned.load("symbols", "val")


# Pairs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def encoders():
    """Untrained encoders, as their own tasks leave them: specs and arrays."""
    networks = models.build("resnet34", 4, 0), text_models.build("nezha", 3, 0)
    made = []
    for network, n_classes, accuracy in zip(networks, (4, 3), (40.0, 60.0), strict=True):
        arrays = task.weights.arrays(network) | {"seconds": np.array(1.0), "n_classes": np.array(n_classes)}
        arrays |= {"accuracy": np.array(accuracy), "n_features": np.array(last_layer.width(network))}
        made += [{}, arrays | {"n_parameters": np.array(sum(p.numel() for p in network.parameters()))}]
    return made


def test_a_pair_holds_both_encoders(encoders):
    made = task.pretrain(NAME, *encoders)
    images, texts = encoders[1], encoders[3]
    assert made["accuracy"] == 50 and made["images_accuracy"] == 40 and made["texts_accuracy"] == 60
    assert made["n_features"] == images["n_features"] + texts["n_features"]
    assert made["n_parameters"] == images["n_parameters"] + texts["n_parameters"]
    pair = task.restore(NAME, made)
    for network, arrays in ((pair.images, images), (pair.texts, texts)):
        for key, value in task.weights.arrays(network).items():
            np.testing.assert_array_equal(value, arrays[key])


def test_features_stand_side_by_side_and_source_probabilities_are_of_pairs_of_classes(encoders):
    spec = {"target": "symbols", "split": "train", "max_per_class": 4}
    made = task.extract(spec, NAME, task.pretrain(NAME, *encoders))
    data, (wide, narrow) = task.load("symbols", "train", 4), made["widths"]
    assert made["features"].shape == (20, wide + narrow) and made["source_probs"].shape == (20, 4 * 3)
    np.testing.assert_allclose(made["source_probs"].sum(1), 1, rtol=1e-5)
    pair = task.restore(NAME, task.pretrain(NAME, *encoders)).eval()
    with torch.inference_mode():
        tokens = text_models.tokenize("nezha", data.texts)
        read = pair.texts.features(task.text.without_padding(tokens))
        seen = pair.images(task.training.prepare(data.images))
    np.testing.assert_allclose(made["features"][:, wide:], read.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        made["source_probs"].reshape(20, 4, 3).sum(2), seen.softmax(1).numpy(), atol=1e-5, rtol=1e-4
    )


def test_side_by_side_is_one_linear_layer_on_both_features():
    rng = torch.Generator().manual_seed(0)
    h_i, h_t, labels = torch.randn(6, 5, generator=rng), torch.randn(6, 4, generator=rng), torch.arange(6) % 3
    one, other = torch.nn.Linear(5, 3), torch.nn.Linear(4, 3)
    whole = torch.nn.Linear(9, 3)
    with torch.no_grad():
        whole.weight.copy_(torch.cat([one.weight, other.weight], 1))
        whole.bias.copy_(one.bias + other.bias)
    expected = F.cross_entropy(whole(torch.cat([h_i, h_t], 1)), labels)
    torch.testing.assert_close(task.side_by_side(torch.stack([one(h_i), other(h_t)]), labels), expected)


def test_in_late_fusion_no_encoder_learns_from_the_other():
    logits = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.arange(6) % 3
    (together,) = torch.autograd.grad(task.late(logits, labels), logits)
    for i in (0, 1):
        (alone,) = torch.autograd.grad(F.cross_entropy(logits[i], labels), logits)
        torch.testing.assert_close(together[i], alone[i])


@pytest.mark.parametrize("fusion", task.FUSIONS)
def test_training_takes_the_loss_down_and_is_the_same_every_time(encoders, fusion):
    data, made = task.load("symbols", "train", 8), task.pretrain(NAME, *encoders)
    recipe = task.Recipe(epochs=4, batch_size=8, learning_rate=5e-3)
    pairs = [task.restore(NAME, made) for _ in range(2)]
    for pair in pairs:
        for network in (pair.images, pair.texts):
            last_layer.replace(network, data.n_classes, 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    history, again = (task.fit(pair, task.inputs(pair, data), data.labels, recipe, 0, fusion) for pair in pairs)
    assert history == again and history[-1] < 0.9 * history[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_missing_modality_would_add_is_replaced_by_its_mean(monkeypatch, encoders):
    labels = np.array([0, 1, 2, 2])
    data = Captioned("it", "test", np.zeros((4, 3, 32, 32), np.uint8), labels, ("a", "b", "c"), ("x",) * 4)
    by_image = torch.tensor([[5.0, 0, 0], [0, 5.0, 0], [1, 0, 0], [0, 1, 0]])
    by_text = torch.tensor([[0, 0, 3.0], [0, 0, 3.0], [0, 0, 3.0], [0, 0, 3.0]])
    monkeypatch.setattr(task, "load", lambda *_: data)
    monkeypatch.setattr(
        task, "restore", lambda *_: task.Pair(*(torch.nn.Sequential(torch.nn.Linear(1, 3)) for _ in "ab"))
    )
    monkeypatch.setattr(task, "inputs", lambda *_: None)
    monkeypatch.setattr(task, "fit", lambda *_: [0.0])
    monkeypatch.setattr(task, "logits", lambda *_: torch.stack([by_image, by_text]))
    spec = {"target": "it", "max_per_class": None, "recipe": RECIPE, "seed": 0}
    found = {key: float(value) for key, value in task.finetune(spec, NAME, {}).items() if value.ndim == 0}
    assert found["accuracy"] == 100  # image for two, text for two
    assert found["images"] == 50 and found["texts"] == 50
    assert found["late"] == 100
    # The text's mean says class c by 3, and what the image says counts beside it, so the same as with all texts.
    assert found["without_texts"] == 100
    assert found["without_images"] == 50  # the image's mean is the same for all, so all are put into class c
    assert found["standard_error"] == 0


def test_every_encoder_has_its_own_pool_and_what_no_pool_has_trained_is_refused(root):
    study = experiment.Experiment("modalities", "smoke")
    jobs = study._encoders(study.pool.models[0])
    trained = [experiment.Experiment(pool, "smoke") for pool in ("multi_source", "text")]
    for job, of in zip(jobs, trained, strict=True):
        assert job.path in {of._pretraining(model).path for model in of.pool.models}
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    for changed, message in (
        ({"sources": ["greek+parameters_sklearn"]}, "modalities: multi_source: unknown model 'resnet34 on greek'"),
        ({"sources": ["hues+parameters_matplotlib"]}, "text: unknown model 'nezha on parameters_matplotlib'"),
        ({"architectures": ["resnet34"], "subsets": {}}, "unknown architecture 'resnet34'"),
        ({"pretrain": {"images": "multisource", "texts": "text"}}, "unknown pool 'multisource'.*'multi_source'"),
        ({"pretrain": {"images": "multi_source"}}, "pretrain.*texts"),
    ):
        raw = yaml.safe_load(text := path.read_text())
        raw["pools"]["modalities"] |= changed
        path.write_text(yaml.safe_dump(raw))
        with pytest.raises(ValueError, match=message):
            experiment.Experiment("modalities", "smoke")
        path.write_text(text)


def test_the_demo_has_every_image_encoder_with_every_text_encoder(root):
    parts = figures.encoders("demo")
    assert parts["images"].nunique() >= 4 and parts["texts"].nunique() >= 4
    assert len(parts) == len(parts.drop_duplicates()) == parts["images"].nunique() * parts["texts"].nunique()


# What changes the scores ----------------------------------------------------------------------------------------------


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 5)).astype(np.float32), 10 * rng.standard_normal((12, 3)).astype(np.float32)


def test_features_are_arranged_as_their_names_say(parts):
    images, texts = parts
    found = {name: measured.arrange_features(images, texts, name) for name in measured.FEATURES}
    np.testing.assert_array_equal(found["side by side"], np.hstack([images, texts]))
    np.testing.assert_allclose(found["texts × 10"], np.hstack([images, 10 * texts]), rtol=1e-6)
    np.testing.assert_allclose(found["texts × 0.1"], np.hstack([images, texts / 10]), rtol=1e-6)
    for part in (found["length 1"][:, :5], found["length 1"][:, 5:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-5)
    assert found["images alone"] is images and found["texts alone"] is texts
    half = found["half the texts missing"]
    np.testing.assert_array_equal(half[:, :5], images)
    np.testing.assert_array_equal(half[::2, 5:], texts[::2])
    np.testing.assert_allclose(half[1::2, 5:], np.tile(texts.mean(0), (6, 1)), rtol=1e-5)
    np.testing.assert_array_equal(found["half the images missing"][:, 5:], texts)


def test_shrinkage_is_ncti_s_and_follows_the_scale():
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((40, 6)), np.arange(40) % 4
    variances = np.linalg.eigvalsh(np.cov(features.T))
    assert measured.shrinkage(metrics.Samples(features, labels)) == pytest.approx(np.exp(-variances.sum()), rel=1e-6)
    assert measured.shrinkage(metrics.Samples(10 * features, labels)) == 1e-10  # its floor
    assert measured.shrinkage(metrics.Samples(0.01 * features, labels)) > 0.99


def test_each_encoder_counts_alone_as_the_mean_over_its_partners(root):
    study = experiment.Experiment("modalities", "smoke")
    rows = [(m.name, t, 0, 50.0, i, 10 * i) for i, m in enumerate(study.pool.models) for t in study.pool.targets]
    study.write("accuracies", pd.DataFrame(rows, columns=["model", "target", "seed", "accuracy", "images", "texts"]))
    found = measured.single_encoder_accuracies("smoke").query("target == 'numbers'").set_index("model")
    names, parts = [m.name for m in study.pool.models], figures.encoders("smoke")
    for name in names:
        for part, scale in (("images", 1), ("texts", 10)):
            partners = [scale * i for i, other in enumerate(names) if parts.loc[other, part] == parts.loc[name, part]]
            assert found.loc[name, part] == np.mean(partners)


def test_pairs_that_share_encoders_count_as_their_encoders(monkeypatch):
    names = [f"{i}+{t}" for i in "abcd" for t in "wxyz"]
    parts = pd.DataFrame([name.split("+") for name in names], names, ["images", "texts"])
    monkeypatch.setattr(figures, "encoders", lambda _: parts)
    effect = parts["images"].map(dict(zip("abcd", (9.0, 0, 0, 0), strict=True)))  # one encoder of four is better
    words = [verdict.word for verdict in figures._mean_above("smoke", effect + 0.1 * np.arange(16) % 0.3)]
    assert words[1] == HOLDS and words[0] not in (HOLDS, FAILS)


def test_the_pool_runs_from_its_encoders_to_every_figure(monkeypatch):
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    study = experiment.Experiment("modalities", "smoke")
    if not (study.results / "correlations.csv").exists():
        pytest.skip("make PROFILE=smoke all has not run here; make test runs it first")
    assert {*study.pool.targets, "average"} == set(study.read("correlations")["target"])
    assert {"without_images", "without_texts", "late", "images", "texts"} <= set(study.read("accuracies"))
    scores = study.read("by_features")
    assert set(scores["features"]) == {*measured.FEATURES, measured.ADDED}
    whole = study.read("scores").query("term == 'total' and metric == 'logme'").set_index(["model", "target"])["score"]
    side = scores.query("features == 'side by side' and metric == 'logme'").set_index(["model", "target"])["score"]
    np.testing.assert_allclose(side.loc[whole.index], whole, rtol=1e-6)
    added = scores[scores["features"] == measured.ADDED]["score"]
    assert added.between(0, 2).all()
    for name in [name for name in vars(figures) if name.startswith("modalities_")]:
        shown = getattr(figures, name)("smoke")
        assert shown.figure.get_figwidth() <= 7 and (shown.verdict is not None) == bool(shown.entry.claim)


def test_every_item_is_drawn_with_its_class_and_its_text():
    rng = np.random.default_rng(0)
    data = Captioned(
        "it", "train", rng.integers(0, 256, (4, 3, 8, 8)).astype(np.uint8), np.array([1, 0, 1, 0]), ("up", "down"),
        ("one", "two", "three", "four"),
    )  # fmt: skip
    axes = data_examples.captioned([data], "title", n=4).axes
    assert [ax.get_title() for ax in axes] == ["up", "down", "up", "down"]
    assert [ax.texts[0].get_text() for ax in axes] == ["two", "one", "four", "three"]
    np.testing.assert_array_equal(axes[1].images[0].get_array(), data.images[0].transpose(1, 2, 0))
