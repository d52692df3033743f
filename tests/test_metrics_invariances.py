"""What must not change a score does not, and what must scale it does (hypothesis)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncrepro import metrics
from ncrepro.metrics import ClassStatistics, registry

FEW = settings(max_examples=12, deadline=None, derandomize=True)


def all_of(features, labels) -> dict[str, float]:
    """Every score of features and labels that is invariant where its formula is (SFDA with the exact eigenvalue, no
    NLEEP).
    """
    scores = metrics.all_scores(features, labels, nleep=False)
    scores["sfda"] = metrics.sfda(features, labels, power_iterations=None)
    scores["face_full"] = metrics.face(features, labels, covariance="full").class_fairness
    scores["gbc_diagonal"] = metrics.gbc(features, labels, covariance="diagonal")
    return scores


def same(scores, expected, rel=1e-6):
    assert scores == pytest.approx(expected, rel=rel, abs=1e-9)


@st.composite
def problems(draw):
    """Features (n, d), labels and a generator: Gaussian classes of unequal sizes and scales."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n_classes, d = draw(st.integers(2, 5)), draw(st.integers(2, 9))
    counts = rng.integers(d + 4, 30, n_classes)
    labels = np.repeat(np.arange(n_classes), counts)
    means, scales = rng.standard_normal((n_classes, d)), rng.uniform(0.5, 2, d)
    features = (means[labels] + rng.standard_normal((len(labels), d))) * scales
    order = rng.permutation(len(labels))
    return features[order], labels[order], rng


@FEW
@given(problems())
def test_permuting_the_samples_changes_nothing(problem):
    features, labels, rng = problem
    order = rng.permutation(len(labels))
    same(all_of(features[order], labels[order]), all_of(features, labels))


@FEW
@given(problems())
def test_renaming_the_classes_changes_nothing(problem):
    features, labels, rng = problem
    names = rng.permutation(["auk", "bat", "cod", "dog", "elk"])
    same(all_of(features, names[labels]), all_of(features, labels))
    same(all_of(features, 7 - 100 * labels), all_of(features, labels))


@FEW
@given(problems())
def test_rotating_the_feature_space_changes_nothing(problem):
    features, labels, rng = problem
    rotation = np.linalg.qr(rng.standard_normal((features.shape[1],) * 2))[0]
    same(all_of(features @ rotation, labels), all_of(features, labels))


@FEW
@given(problems(), st.sampled_from([1.0, 1e3, 1e6]))
def test_moving_the_features_changes_nothing_but_logme_which_has_no_intercept(problem, distance):
    features, labels, rng = problem
    moved = all_of(features + distance * rng.standard_normal(features.shape[1]), labels)
    expected = all_of(features, labels)
    moved.pop("logme"), expected.pop("logme")
    same(moved, expected, rel=1e-5)


@FEW
@given(problems())
def test_h_score_does_not_change_under_any_invertible_map(problem):
    features, labels, rng = problem
    d = features.shape[1]
    mapping = np.linalg.qr(rng.standard_normal((d, d)))[0] * 10.0 ** rng.uniform(-4, 4, d)
    assert metrics.h_score(features @ mapping, labels) == pytest.approx(metrics.h_score(features, labels), rel=1e-6)


@FEW
@given(problems(), st.sampled_from([2.0, 100.0]))
def test_scaling_the_features_changes_only_the_scores_that_have_a_scale(problem, factor):
    features, labels, _ = problem
    features = 10 * features  # large enough for NCTI and SFDA not to shrink
    scores, scaled = all_of(features, labels), all_of(factor * features, labels)
    for name in (
        "ncti_seli",
        "ncti_ncc",
        "ncti_log_vc",
        "face_variance_collapse",
        "face_class_fairness",
        "h_score",
        "gbc",
    ):
        assert scaled[name] == pytest.approx(scores[name], rel=1e-6, abs=1e-9)
    assert scaled["regularized_h_score"] == pytest.approx(scores["regularized_h_score"], rel=1e-6)


@FEW
@given(problems())
def test_duplicating_the_data_set_changes_only_what_counts_samples(problem):
    features, labels, _ = problem
    features = 10 * features
    once, twice = all_of(features, labels), all_of(np.tile(features, (2, 1)), np.tile(labels, 2))
    for name in ("ncti_ncc", "face_variance_collapse", "face_class_fairness", "sfda", "h_score", "transrate", "gbc"):
        assert twice[name] == pytest.approx(once[name], rel=1e-6, abs=1e-9)
    assert twice["ncti_seli"] == pytest.approx(math.sqrt(2) * once["ncti_seli"], rel=1e-6)
    assert twice["ncti_log_vc"] == pytest.approx(once["ncti_log_vc"] + math.log(math.sqrt(2)), rel=1e-6)


@FEW
@given(problems(), st.integers(1, 6))
def test_statistics_do_not_depend_on_batches_nor_on_who_gathered_them(problem, n_batches):
    features, labels, rng = problem
    whole = ClassStatistics.of(features, labels)
    batches = np.array_split(rng.permutation(len(labels)), n_batches)
    streamed, merged = ClassStatistics(), None
    for batch in batches:
        streamed.update(features[batch], labels[batch])
        shard = ClassStatistics.of(features[batch] + 0.0, labels[batch])
        merged = shard if merged is None else shard.merge(merged)
    for other in (streamed, merged):
        assert (other.classes == whole.classes).all() and (other.class_counts == whole.class_counts).all()
        for name in ("mean", "centred_class_means", "total_scatter", "within_scatter", "between_scatter", "raw_gram"):
            np.testing.assert_allclose(getattr(other, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
        assert other.fourth_moment == pytest.approx(whole.fourth_moment, rel=1e-9)
        for metric in (getattr(metrics, name) for name in registry.of_statistics()):
            assert metric(other) == pytest.approx(metric(features, labels), rel=1e-6)


@FEW
@given(problems())
def test_leep_and_nce_do_not_change_when_source_classes_are_permuted_or_the_data_set_is_duplicated(problem):
    _, labels, rng = problem
    probs = rng.dirichlet(np.ones(6), len(labels))
    order = rng.permutation(6)
    assert metrics.leep(probs[:, order], labels) == pytest.approx(metrics.leep(probs, labels), rel=1e-9)
    assert metrics.leep(np.tile(probs, (2, 1)), np.tile(labels, 2)) == pytest.approx(
        metrics.leep(probs, labels), rel=1e-9
    )
    source = probs.argmax(axis=1)
    assert metrics.nce(order[source], labels) == pytest.approx(metrics.nce(source, labels), rel=1e-9)
    assert metrics.nce(np.tile(source, 2), np.tile(labels, 2)) == pytest.approx(metrics.nce(source, labels), rel=1e-9)


@FEW
@given(problems())
def test_every_score_lies_in_its_range(problem):
    features, labels, rng = problem
    scores, n_classes = (
        metrics.all_scores(features, labels, rng.dirichlet(np.ones(4), len(labels)), nleep=False),
        labels.max() + 1,
    )
    assert (
        scores["ncti_seli"] >= 0
        and 0 <= scores["ncti_ncc"] <= 1
        and 0 <= scores["ncti_log_vc"] <= math.log(len(labels))
    )
    assert (
        scores["face_variance_collapse"] <= 0
        and 0 <= scores["face_class_fairness"] <= math.log(max(n_classes - 1, 1)) + 1e-9
    )
    assert 0 <= scores["sfda"] <= 1 and 0 <= scores["h_score"] <= n_classes - 1 + 1e-9
    assert 0 <= scores["regularized_h_score"] <= n_classes - 1 and -n_classes * (n_classes - 1) <= scores["gbc"] <= 0
    assert scores["leep"] <= 0 and -math.log(n_classes) <= scores["nce"] <= 0
