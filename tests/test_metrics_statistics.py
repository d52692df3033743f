"""The one pass: precision, blocks, batches, shards."""

import sys

import numpy as np
import pytest

from ncrepro import metrics
from ncrepro.metrics import ClassStatistics


def gaussian(n=400, d=20, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    return rng.standard_normal((n_classes, d))[labels] + rng.standard_normal((n, d)), labels


def scores(features, labels):
    return metrics.all_scores(features, labels, nleep=False)


def with_collinear_features(features, share):
    """The features twice over, the second time with independent noise of standard deviation ``share``."""
    return np.concatenate(
        [features, features + share * np.random.default_rng(1).standard_normal(features.shape)], axis=1
    )


def test_statistics_are_the_sums_that_their_names_say():
    features, labels = gaussian()
    statistics = ClassStatistics.of(features, labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(4)])
    centred, within = features - features.mean(axis=0), features - means[labels]
    assert statistics.n_samples == 400 and statistics.n_features == 20 and statistics.n_classes == 4
    np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.centred_class_means, means - features.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(statistics.total_scatter, centred.T @ centred, atol=1e-9)
    np.testing.assert_allclose(statistics.within_scatter, within.T @ within, atol=1e-9)
    np.testing.assert_allclose(statistics.between_scatter, centred.T @ centred - within.T @ within, atol=1e-9)
    np.testing.assert_allclose(statistics.raw_gram, features.T @ features, atol=1e-9)
    assert statistics.fourth_moment == pytest.approx(((centred**2).sum(axis=1) ** 2).sum())
    assert statistics.priors == pytest.approx(np.bincount(labels) / 400)


def test_float32_features_far_from_the_origin_lose_nothing():
    features, labels = gaussian()
    far = (features + 1e4).astype(np.float32)
    assert scores(far, labels) == pytest.approx(scores(far.astype(np.float64), labels), rel=1e-4)


def test_float32_is_enough_where_it_resolves_the_features_and_float64_takes_over_where_not():
    features, labels = gaussian()
    assert ClassStatistics.of(features.astype(np.float32), labels).dtype == "float32"
    for share in (1e-2, 1e-4):
        collinear = with_collinear_features(features, share).astype(np.float32)
        assert ClassStatistics.of(collinear, labels).dtype == "float64"
        assert scores(collinear, labels) == pytest.approx(scores(collinear.astype(np.float64), labels), rel=1e-9)


def test_h_score_of_nearly_collinear_float32_features_stays_within_its_bound():
    features, labels = gaussian(n=2000, d=40)
    collinear = with_collinear_features(features, 1e-3).astype(np.float32)
    assert metrics.h_score(collinear, labels) == pytest.approx(
        metrics.h_score(collinear.astype(np.float64), labels), rel=1e-9
    )
    assert metrics.h_score(collinear, labels) <= 4 - 1


def test_statistics_that_do_not_resolve_their_features_are_warned_of_when_used():
    features, labels = gaussian()
    collinear = with_collinear_features(features, 1e-3).astype(np.float32)
    with pytest.warns(UserWarning, match=r"ClassStatistics\('float64'\)"):
        metrics.h_score(ClassStatistics().update(collinear, labels))
    assert metrics.h_score(ClassStatistics("float64").update(collinear, labels)) == metrics.h_score(collinear, labels)


def test_batches_may_come_class_by_class_and_bring_new_classes():
    features, labels = gaussian()
    names = np.array(["d", "b", "c", "a"])[labels]
    statistics = ClassStatistics()
    for name in ("c", "a", "d", "b"):
        statistics.update(features[names == name], names[names == name])
    assert list(statistics.classes) == ["a", "b", "c", "d"]
    assert metrics.logme(statistics) == pytest.approx(metrics.logme(features, labels), rel=1e-9)


def test_merging_leaves_both_parts_as_they_were_and_joins_different_classes():
    features, labels = gaussian()
    left, right = (
        ClassStatistics.of(features[part] + offset, labels[part]) for part, offset in [(labels < 2, 0), (labels > 0, 3)]
    )
    before = left.gram.copy(), right.sums.copy(), left.class_counts.copy()
    merged = left.merge(right)
    assert (left.gram == before[0]).all() and (right.sums == before[1]).all() and (left.class_counts == before[2]).all()
    together = np.concatenate([features[labels < 2], features[labels > 0] + 3])
    expected = ClassStatistics.of(together, np.concatenate([labels[labels < 2], labels[labels > 0]]))
    np.testing.assert_allclose(merged.within_scatter, expected.within_scatter, atol=1e-9)
    assert metrics.regularized_h_score(merged) == pytest.approx(metrics.regularized_h_score(expected), rel=1e-9)


def test_derived_matrices_follow_an_update():
    features, labels = gaussian()
    statistics = ClassStatistics.of(features[:200], labels[:200])
    metrics.logme(statistics), metrics.h_score(statistics)
    statistics.update(features[200:], labels[200:])
    assert metrics.logme(statistics) == pytest.approx(metrics.logme(features, labels), rel=1e-9)
    assert metrics.h_score(statistics) == pytest.approx(metrics.h_score(features, labels), rel=1e-9)


def modules():
    return [module for name, module in sys.modules.items() if name.startswith("ncrepro.metrics.")]


@pytest.mark.parametrize("step", [1, 7, 64])
def test_the_size_of_the_blocks_changes_nothing(monkeypatch, step):
    features, labels = gaussian(n=150, d=30, n_classes=3)
    probs = np.random.default_rng(0).dirichlet(np.ones(5), 150)
    whole = (
        metrics.all_scores(features, labels, probs),
        metrics.face(features, labels, covariance="full", n_components=8),
    )

    def short_slices(n, row_bytes, block_bytes=None):
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    for module in modules():
        if hasattr(module, "slices"):
            monkeypatch.setattr(module, "slices", short_slices)
    blocked = (
        metrics.all_scores(features, labels, probs),
        metrics.face(features, labels, covariance="full", n_components=8),
    )
    assert blocked[0] == pytest.approx(whole[0], rel=1e-9)
    assert blocked[1] == pytest.approx(whole[1], rel=1e-9)


def test_projections_too_large_to_keep_are_computed_again_with_the_same_result(monkeypatch):
    features, labels = gaussian()
    kept = scores(features, labels)
    monkeypatch.setattr(sys.modules["ncrepro.metrics.samples"], "KEPT_BYTES", 0)
    again = scores(features, labels)
    # A nuclear norm is a sum of roots of eigenvalues: rounding of 1e-16 in one that is nearly 0 becomes 1e-8, see
    # `ncti`.
    assert again.pop("ncti_log_vc") == pytest.approx(kept.pop("ncti_log_vc"), rel=1e-8)
    assert again == pytest.approx(kept, rel=1e-12)
