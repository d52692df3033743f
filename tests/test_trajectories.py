"""Collapse followed through training: closed forms of what is measured, and that looking changes nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from ncrepro import metrics
from ncrepro.extraction import last_layer
from ncrepro.lab import datasets, models, point_clouds, profiles, training, trajectories
from ncrepro.lab.profiles import Model
from ncrepro.lab.tasks import classification

LABELS = np.repeat([0, 1, 2], 4)
SIMPLEX = np.eye(3) - 1 / 3  # three means at 120 degrees in a plane of space
NOISE = np.tile([[1.0], [-1.0], [0.0], [0.0]], (3, 1))  # adds up to nothing within each class


def test_a_collapsed_classifier_is_zero_in_every_measure():
    found = trajectories.collapse_of(SIMPLEX[LABELS] * 5 + 2, LABELS, SIMPLEX * 7, LABELS)
    assert tuple(found) == trajectories.MEASURES
    assert list(found.values()) == pytest.approx([0] * 6, abs=1e-12)


def test_collapsed_means_are_the_corners_of_the_upright_triangle():
    turned = SIMPLEX @ np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]  # any rotation will do
    table = trajectories.plane_of_means(3 * turned[LABELS] + 1, LABELS, 2 * turned)
    corners = [(0, 1), (-np.sqrt(3) / 2, -1 / 2), (np.sqrt(3) / 2, -1 / 2)]
    for kind in ("mean", "weight"):
        np.testing.assert_allclose(table.loc[table["kind"] == kind, ["x", "y"]], corners, atol=1e-12)
    assert (table["kind"] == "sample").sum() == 12


def test_the_plane_hides_what_is_orthogonal_to_it_and_keeps_the_proportions_within():
    normal, along = np.ones(3) / np.sqrt(3), SIMPLEX[0] / np.linalg.norm(SIMPLEX[0])
    out = trajectories.plane_of_means(SIMPLEX[LABELS] + NOISE * normal, LABELS, SIMPLEX).query("kind == 'sample'")
    np.testing.assert_allclose(out.groupby("label")[["x", "y"]].std(), 0, atol=1e-12)
    table = trajectories.plane_of_means(SIMPLEX[LABELS] + 0.3 * NOISE * along, LABELS, SIMPLEX)
    unit = np.sqrt(2 / 3)  # the length of each mean
    expected = [1 + 0.3 / unit, 1 - 0.3 / unit, 1, 1]
    assert table.query("kind == 'sample' and label == 0")["y"].tolist() == pytest.approx(expected)


def test_classes_that_are_not_shown_do_not_matter():
    rng = np.random.default_rng(1)
    H, labels, weights = rng.standard_normal((40, 6)), np.arange(40) % 4, rng.standard_normal((4, 6))
    moved = np.where(labels[:, None] == 3, H + 100, H)
    tables = (trajectories.plane_of_means(features, labels, weights) for features in (H, moved))
    pd.testing.assert_frame_equal(*tables)


def test_the_terminal_phase_begins_with_the_first_epoch_without_a_mistake():
    measures = pd.DataFrame({"epoch": [1, 2, 3, 4], "accuracy": [80.0, 100.0, 99.5, 100.0]})
    assert trajectories.terminal_epoch(measures) == 2
    assert trajectories.terminal_epoch(measures.iloc[:1]) is None


def test_one_swapped_pair_of_three_keeps_two_thirds_of_the_pairs():
    table = pd.DataFrame({"model": list("abc") * 3, "target": "t", "epoch": np.repeat([0, 1, 2], 3),
                          "variance_collapse": [-3.0, -2, -1, -2, -3, -1, -1, -2, -3]})  # fmt: skip
    kept = trajectories.order_kept(table).set_index("epoch")
    assert kept["pairs_kept"].tolist() == pytest.approx([1, 2 / 3, 0])
    assert kept["weighted_kendall"].iloc[[0, 2]].tolist() == pytest.approx([1, -1])


def test_families_are_recognised_by_their_names_and_the_last_named_stands_for_each():
    names = ("densenet201", "densenet121", "mobilenet_v2", "mobilenet_v1", "vgg16")
    pool = tuple(Model(name, name, "source", "cross_entropy") for name in names)
    assert [model.name for model in trajectories.families(pool)] == ["densenet121", "mobilenet_v1", "vgg16"]


def test_following_a_fine_tuning_does_not_change_it(root):
    recipe = {"epochs": 2, "batch_size": 16, "learning_rate": 0.03}
    origin = {"architecture": "resnet34", "source": "latin", "loss": "cross_entropy", "max_per_class": 2, "seed": 0}
    origin["recipe"] = recipe
    pretrained = classification.pretrain(origin)
    spec = {"target": "signs", "max_per_class": 3, "recipe": recipe, "seed": 0}
    followed = trajectories._follow(spec, origin, pretrained)
    assert followed["accuracy"] == classification.finetune(spec, origin, pretrained)["accuracy"]
    before = classification.extract({**spec, "split": "train"}, origin, pretrained)
    terms = metrics.face(before["features"], before["labels"])
    assert len(followed["class_fairness"]) == 1 + recipe["epochs"]
    assert followed["variance_collapse"][0] == terms.variance_collapse


def test_measuring_after_every_epoch_does_not_change_the_training(root):
    recipe = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05}
    spec = {**trajectories.TERMINAL, "max_per_class": 3, "snapshots": [2], "recipe": recipe}
    seen = trajectories._train(spec)
    data = datasets.load(spec["dataset"], "train", 3)
    alone = models.build(spec["architecture"], data.n_classes, spec["seed"])
    training.fit(alone, data.images, data.labels, training.Recipe(**spec["recipe"]), spec["seed"])
    np.testing.assert_array_equal(seen["weights.2"], last_layer.find(alone).weight.detach().numpy())
    assert seen["nc1"].shape == (2,)


def test_a_repetition_reaches_the_terminal_phase_from_a_seed_of_its_own(root, monkeypatch):
    seeds = []

    def job(self, kind, name, spec, step):
        seeds.append(spec["seed"])
        raise InterruptedError

    monkeypatch.setattr(trajectories.Trajectories, "_job", job)
    for profile in ("smoke", "smoke+2"):
        with pytest.raises(InterruptedError):
            trajectories.Trajectories(profile).reach_terminal_phase()
    assert seeds == [0, 2000]


def test_pairs_that_are_kept_are_counted_in_draws_of_the_models():
    rising, swapped = [1.0, 2, 3, 4, 5, 6], [2.0, 1, 3, 4, 5, 6]
    table = pd.concat(
        [
            pd.DataFrame({"model": [*"abcdef"], "target": target, "epoch": epoch, "variance_collapse": values})
            for target, last in {"t": rising, "u": swapped, "v": rising[::-1]}.items()
            for epoch, values in {0: rising, 3: last}.items()
        ]
    )
    kept = trajectories.pairs_kept(table)
    assert kept["t"].median() == pytest.approx(1, abs=0.01) and kept["v"].median() == pytest.approx(0, abs=0.01)
    assert kept["u"].mean() == pytest.approx(14 / 15, abs=0.02) and kept["u"].std() > 0.05
    assert trajectories.pairs_kept(table[table["model"] < "d"]).isna().all(axis=None)


# Fairness -------------------------------------------------------------------------------------------------------------


def test_every_arrangement_of_the_sweep_is_equally_collapsed_and_fairness_falls():
    sweep = point_clouds.fairness_at_equal_collapse(0.5, n_steps=3)
    assert sweep["variance_collapse"].tolist() == pytest.approx([sweep["variance_collapse"][0]] * 3, rel=1e-6)
    assert sweep["bias"].tolist() == [0, 0.5, 1]
    assert np.log(2) > sweep["class_fairness"][0] > sweep["class_fairness"][1] > sweep["class_fairness"][2] > 0


def test_a_sample_is_right_where_its_own_mean_is_nearest():
    features = np.array([[-1.0], [0.7], [2.3], [2.0], [2.0], [0.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])  # means 2/3 and 4/3, so the border is at 1
    assert point_clouds.right_by_class(features, labels).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_numbers_name_the_arrangements_between_even_and_biased():
    ends = point_clouds.centres_of(0.0), point_clouds.centres_of(1.0)
    for found, name in zip(ends, ("even", "biased"), strict=True):
        np.testing.assert_allclose(pdist(found), pdist(point_clouds.CENTRES[name]))
    np.testing.assert_allclose(point_clouds.centres_of(0.5), (ends[0] + ends[1]) / 2)


def test_every_profile_with_a_supervised_pool_can_be_followed():
    for name in (name for name in profiles.names() if "supervised" in profiles.load(name).pools):
        study = trajectories.Trajectories(name)
        assert len(trajectories.families(study.pool.models)) >= 3
        assert study.results.name == "neural_collapse"
