"""The time-series pool: the archives' format, its networks and their masks, and what its figures say."""

import lzma

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from ncrepro.extraction.samples import Series
from ncrepro.figures import data_examples
from ncrepro.figures import time_series as figures
from ncrepro.lab import experiment, profiles
from ncrepro.lab.datasets import time_series as datasets
from ncrepro.lab.models import time_series as models
from ncrepro.lab.tasks import time_series as task

matplotlib.use("agg")

RECIPE = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3}
HEAD = "# about it\n@problemName It\n@timeStamps false\n@classLabel true walk run\n@data\n"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def file(tmp_path):
    """Write lines below the usual head of a file, and read it."""

    def read(*lines, head=HEAD, name="it.ts"):
        path = tmp_path / name
        text = (head + "\n".join(lines) + "\n").encode()
        path.write_bytes(lzma.compress(text) if name.endswith(".xz") else text)
        return datasets.read(path)

    return read


# The archives' format -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["it.ts", "it.ts.xz"])
def test_series_of_several_channels_and_lengths_are_read_with_their_classes(file, name):
    series, labels, classes = file("1,2,3:4,5,6:run", "", "-1.5,2e1:0,0:walk", name=name)
    assert [one.tolist() for one in series] == [[[1, 2, 3], [4, 5, 6]], [[-1.5, 20], [0, 0]]]
    assert labels.tolist() == [1, 0] and classes == ("walk", "run")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("1,?,3,?,?,9:run", [[1, 2, 3, 5, 7, 9]]),  # on the line between its neighbours
        ("?,2,NaN,4:run", [[2, 2, 3, 4]]),  # nothing before it: the nearest
        ("1,2,?,NaN:run", [[1, 2]]),  # the end of a shorter series
        ("1,2,?,?:1,2,3,?:run", [[1, 2, 2], [1, 2, 3]]),  # missing in one channel alone: no end
    ],
)
def test_missing_values_are_filled_and_missing_ends_cut_off(file, line, found):
    assert file(line)[0][0].tolist() == found


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (["1,2:rum"], HEAD, "it.ts, line 6: unknown class 'rum': .*did you mean 'run'"),
        (["1,2:run", "1,x:run"], HEAD, "it.ts, line 7: could not convert string to float: 'x'"),
        (["1,2:1:run"], HEAD, r"line 6: channels of \[1, 2\] points; allowed is one length in a series"),
        (["1,2:run", "1,2:1,2:run"], HEAD, "line 7: 2 channels; allowed is 1, as in the first series"),
        (["?,?:run"], HEAD, "line 6: a channel without any value; leave the series out"),
        (["run"], HEAD, "line 6: no values; allowed is"),
        ([], HEAD, "it.ts holds no series; allowed is one or more below a line @data"),
        (["1,2:run"], "@data\n", "line 1: no line '@classLabel true ...' before @data"),
        (["(0,1):run"], HEAD.replace("false", "true"), "line 3: series with time stamps; allowed are values"),
    ],
)
def test_what_is_not_of_the_format_is_answered_with_its_line(file, lines, head, message):
    with pytest.raises(ValueError, match=message):
        file(*lines, head=head)


def test_a_long_series_is_resampled_to_means_over_equal_shares():
    series = np.array([[1.0, 3, 5, 7, 9, 11], [0, 0, 6, 0, 0, 0]])
    assert datasets.resample(series, 6) is series
    np.testing.assert_allclose(datasets.resample(series, 3), [[2, 6, 10], [0, 3, 0]])
    np.testing.assert_allclose(datasets.resample(series, 4)[0], [5 / 3, 13 / 3, 23 / 3, 31 / 3])  # 1.5 points each


@pytest.mark.parametrize(
    ("name", "channels", "train", "test", "n_classes"),
    [
        ("acsf1", 1, 100, 100, 10), ("osu_leaf", 1, 200, 242, 6), ("arrow_head", 1, 36, 175, 3),
        ("gun_point", 1, 50, 150, 2), ("italy_power_demand", 1, 67, 1029, 2), ("japanese_vowels", 12, 270, 370, 9),
        ("signals", 1, 240, 240, 24),
    ],
)  # fmt: skip
def test_the_data_sets_have_the_published_sizes_and_each_channel_one_scale(name, channels, train, test, n_classes):
    parts = [datasets.load(name, split) for split in ("train", "test")]
    assert [part.values.shape[:2] for part in parts] == [(train, channels), (test, channels)]
    assert all(part.n_classes == n_classes == len(np.unique(part.labels)) for part in parts)
    assert all(part.values.shape[2] <= datasets.LONGEST for part in parts)
    known = np.arange(parts[0].values.shape[2]) < parts[0].lengths[:, None]
    measured = parts[0].values.transpose(0, 2, 1)[known]  # (points, channels)
    np.testing.assert_allclose(measured.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(measured.std(0), 1, atol=1e-4)
    assert not parts[0].values.transpose(0, 2, 1)[~known].any()


def test_speech_has_series_of_unequal_length():
    lengths = datasets.load(datasets.SPEECH, "test").lengths
    assert lengths.min() == 7 and lengths.max() == 29


def test_signals_are_drawn_alike_every_time_and_the_splits_differ():
    (one, labels, classes), (again, _, _), (other, _, _) = (datasets.signals(s) for s in ("train", "train", "test"))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one[: len(other)], other)
    assert set(np.bincount(labels)) == {10} and len(classes) == len(set(classes)) == 24


def test_an_autoregressive_process_has_the_correlation_of_its_weight():
    x = datasets.KINDS["AR(1) 0.7"].draw(np.random.default_rng(0), 400)
    assert np.corrcoef(x[:, :-1].ravel(), x[:, 1:].ravel())[0, 1] == pytest.approx(0.7, abs=0.03)


def test_unknown_names_and_splits_are_refused():
    with pytest.raises(ValueError, match="unknown data set 'gunpoint': choose one of .*did you mean 'gun_point'"):
        datasets.load("gunpoint", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        datasets.load("gun_point", "val")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": np.zeros((2, 1, 3))}, "values are float64 of shape"),
        ({"lengths": np.array([3, 4])}, "lengths have to be 2 integers .* from 1 to 3"),
        ({"lengths": np.array([0, 3])}, "lengths have to be"),
        ({"labels": np.array([0, 2])}, "labels run from 0 to 2"),
    ],
)
def test_series_that_do_not_fit_together_are_refused(changed, message):
    fields = {"values": np.zeros((2, 1, 3), np.float32), "lengths": np.array([3, 1]), "labels": np.array([0, 1])}
    with pytest.raises(ValueError, match=message):
        Series("it", "train", **fields | changed, classes=("a", "b"))


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch():
    """Four series of two channels that end after 12, 9, 5 and 2 points."""
    lengths = torch.tensor([12, 9, 5, 2])
    values = torch.randn(4, 2, 12, generator=torch.Generator().manual_seed(0))
    return values * (torch.arange(12) < lengths[:, None])[:, None], lengths


def trained_a_little(name, batch):
    """In training mode the normalisation moves away from its start."""
    network = models.build(name, 3, seed=0)
    models.replace_classifier(network, 2, 3, seed=0)
    network.train()(*batch)
    return network.eval()


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_features_are_those_of_the_channels_side_by_side(name, batch):
    network = trained_a_little(name, batch)
    with torch.no_grad():
        features, logits = network.features(*batch), network(*batch)
        assert features.shape == (4, 2 * models.WIDTH) and logits.shape == (4, 3)
        for channel in (0, 1):
            alone = network.features(batch[0][:, channel : channel + 1], batch[1])
            part = features[:, channel * models.WIDTH : (channel + 1) * models.WIDTH]
            torch.testing.assert_close(part, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_what_lies_behind_the_end_of_a_series_is_not_seen(name, batch):
    values, lengths = batch
    network = trained_a_little(name, batch)
    behind = torch.where(torch.arange(12) < lengths[:, None], 0.0, 7.0)[:, None]
    with torch.no_grad():
        alone = torch.cat([network.features(values[i : i + 1, :, :n], n[None]) for i, n in enumerate(lengths)])
        torch.testing.assert_close(network.features(values, lengths), alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(network.features(values + behind, lengths), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_padding_does_not_change_training(name, batch):
    """Neither gradients nor the statistics of a normalisation."""
    values, lengths = batch
    longer = torch.nn.functional.pad(values, (0, 5))
    states = []
    for given in (values, longer):
        network = models.build(name, 3, seed=0).train()
        network.features(given, lengths).square().sum().backward()
        states.append({**dict(network.named_buffers()), **{n: p.grad for n, p in network.named_parameters()}})
    for key, value in states[0].items():
        if value is not None:
            torch.testing.assert_close(value, states[1][key], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_the_order_of_the_points_matters(name):
    network = models.build(name, 3, seed=0).eval()
    values, lengths = torch.randn(2, 1, 20, generator=torch.Generator().manual_seed(1)), torch.tensor([20, 20])
    with torch.no_grad():
        assert not torch.allclose(
            network.features(values, lengths), network.features(values.flip(-1), lengths), atol=1e-4
        )


def test_the_seed_draws_the_weights_and_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (models.build("gru", 3, seed) for seed in (0, 0, 1))
    models.replace_classifier(other, 2, 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.encoder.unit.weight_ih_l0, again.encoder.unit.weight_ih_l0)
    assert not torch.equal(first.encoder.unit.weight_ih_l0, other.encoder.unit.weight_ih_l0)


@pytest.mark.parametrize(
    ("name", "n_classes", "message"),
    [("grv", 3, "unknown model 'grv': .*'gru'"), ("gru", 1, "n_classes is 1; allowed")],
)
def test_what_cannot_be_built_is_refused(name, n_classes, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, n_classes, seed=0)


# The task -------------------------------------------------------------------------------------------------------------


def spec(**fields):
    return {"architecture": "fcn", "max_per_class": 4, "recipe": RECIPE, "seed": 0, **fields}


def test_training_takes_the_loss_down_and_is_the_same_every_time():
    data = datasets.load("signals", "train").limited(8)
    recipe = task.Recipe(epochs=4, batch_size=16, learning_rate=5e-3)
    networks = [models.build("fcn", 24, seed=0) for _ in range(2)]
    history, again = (task.fit(network, data, recipe, seed=0) for network in networks)
    assert history == again and history[-1] < 0.8 * history[0]
    assert task.evaluate(networks[0], data)["accuracy"] > 100 / 12  # twice what guessing reaches


def test_a_network_of_one_channel_is_fine_tuned_for_twelve():
    pretrained_spec = spec(source="signals")
    pretrained = task.pretrain(pretrained_spec)
    assert pretrained["n_features"] == models.WIDTH and pretrained["n_classes"] == 24
    tuned = task.finetune(spec(target=datasets.SPEECH), pretrained_spec, pretrained)
    assert 0 <= tuned["accuracy"] <= 100 and np.isfinite(tuned["loss"]).all()
    made = task.extract(spec(target=datasets.SPEECH, split="train"), pretrained_spec, pretrained)
    assert made["features"].shape == (36, 12 * models.WIDTH) and made["labels"].shape == (36,)
    assert made["source_probs"].shape == (36, 24)
    np.testing.assert_allclose(made["source_probs"].sum(1), 1, rtol=1e-5)


def test_without_a_source_the_first_weights_stay():
    made = task.pretrain(spec(source=task.NOTHING))
    first = models.build("fcn", 2, seed=0).classifier.weight
    assert np.isnan(made["accuracy"]) and torch.equal(task.restore(spec(), made).classifier.weight, first)


def test_a_source_of_several_channels_is_refused():
    with pytest.raises(ValueError, match="japanese_vowels has 12 channels; allowed is 1: a source has one"):
        task.pretrain(spec(source=datasets.SPEECH))


def test_no_class_of_a_target_is_in_a_source():
    pool = profiles.load("demo").pool("time_series")
    assert not set(pool.sources) & set(pool.targets) and len(pool.models) >= 15 and len(pool.targets) >= 4
    assert datasets.SPEECH in pool.targets


def test_the_pool_runs_from_training_to_correlations(root):
    study, scratch = (experiment.Experiment(pool, "smoke") for pool in ("time_series", "time_series_scratch"))
    for of in (study, scratch):
        of.pretrain(), of.finetune()
    study.extract(), study.score()
    table = study.correlate()
    assert {*study.pool.targets, "average"} == set(table["target"])
    assert table.loc[table["metric"] == "leep", "weighted_kendall"].notna().all()
    assert list(figures.gains("smoke").index) == [model.name for model in study.pool.models]
    for draw in (figures.time_series_examples, figures.time_series_accuracies, figures.time_series_speech):
        assert draw("smoke").figure.get_figwidth() <= 7


# Figures --------------------------------------------------------------------------------------------------------------


def test_gains_are_over_the_same_architecture_from_random_weights(root):
    study, scratch = (experiment.Experiment(pool, "smoke") for pool in ("time_series", "time_series_scratch"))
    for of, level in ((study, 50), (scratch, 40)):
        rows = [
            (model.name, target, seed, level + 3 * i + j + seed)
            for i, model in enumerate(of.pool.models)
            for j, target in enumerate(of.pool.targets)
            for seed in (0, 1)
        ]
        of.write("accuracies", pd.DataFrame(rows, columns=["model", "target", "seed", "accuracy"]))
    found = figures.gains("smoke")
    names = list(scratch.pool.architectures)
    for i, model in enumerate(study.pool.models):
        assert found.loc[model.name].tolist() == [10 + 3 * (i - names.index(model.architecture))] * 2


def test_the_nearest_series_is_found_by_its_values(monkeypatch, root):
    values = np.array([[[0, 0, 0]], [[5, 5, 0]]], np.float32)
    train = Series("t", "train", values, np.array([3, 2]), np.array([0, 1]), ("a", "b"))
    longer = np.pad(values, [(0, 0), (0, 0), (0, 1)])
    test = Series("t", "test", longer, np.array([4, 4]), np.array([0, 0]), ("a", "b"))
    monkeypatch.setattr(task, "load", lambda _, split, __: train if split == "train" else test)
    assert figures.nearest_neighbour("smoke").tolist() == [50, 50]


def test_every_channel_is_drawn_up_to_the_end_of_the_series():
    values = np.arange(24, dtype=np.float32).reshape(2, 2, 6)
    data = Series("it", "train", values, np.array([6, 4]), np.array([0, 1]), ("up", "down"))
    axes = data_examples.series([data], "title", n=2).axes
    assert [[len(line.get_ydata()) for line in ax.lines] for ax in axes] == [[6, 6], [4, 4]]
    assert [ax.get_title() for ax in axes] == ["up", "down"]
