"""Values that can be worked out by hand: limits, bounds, published numbers, and the formulas evaluated literally."""

import math

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_iris

from ncrepro import metrics
from ncrepro.metrics import collapse
from ncrepro.metrics._gaussians import bhattacharyya


def simplex(n_classes: int, per_class: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes of equal size at the corners of a regular simplex, with isotropic noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), per_class)
    return 100.0 * np.eye(n_classes)[labels] + spread * rng.standard_normal((len(labels), n_classes)), labels


def blobs(n=120, d=6, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return rng.standard_normal((n_classes, d))[labels] + rng.standard_normal((n, d)), labels


def test_iris_has_the_known_logme_and_regularized_h_score():
    features, labels = load_iris(return_X_y=True)
    assert metrics.logme(features, labels) == pytest.approx(-0.16006022, rel=1e-6)
    assert metrics.regularized_h_score(features, labels) == pytest.approx(1.17784248, rel=2e-8)


@pytest.mark.parametrize("seed", range(5))
def test_h_scores_lie_between_zero_and_one_less_than_the_number_of_classes(seed):
    for n_classes in (2, 4):
        features, labels = blobs(n_classes=n_classes, seed=seed)
        assert 0 <= metrics.h_score(features, labels) <= n_classes - 1
        assert 0 <= metrics.regularized_h_score(features, labels) <= n_classes - 1


def test_h_score_of_classes_that_explain_everything_is_one_less_than_the_number_of_classes():
    features, labels = simplex(5, 20, 0.0)
    assert metrics.h_score(features, labels) == pytest.approx(5 - 1, rel=1e-9)


@pytest.mark.filterwarnings("ignore:h_score of no more samples than features:UserWarning")
def test_h_score_of_fewer_samples_than_features_is_its_maximum_whatever_the_features():
    features = np.random.default_rng(0).standard_normal((30, 50))
    assert metrics.h_score(features, np.arange(30) % 4) == pytest.approx(4 - 1, rel=1e-9)


def test_h_score_and_regularized_h_score_are_the_printed_traces():
    features, labels = blobs(n=90)
    expected = np.stack([features[labels == k].mean(axis=0) for k in range(3)])[labels]
    between = np.cov(expected, rowvar=False)
    assert metrics.h_score(features, labels) == pytest.approx(
        np.trace(np.linalg.inv(np.cov(features, rowvar=False)) @ between)
    )
    estimate = LedoitWolf().fit(features)
    literal = (1 - estimate.shrinkage_) * np.trace(np.linalg.inv(estimate.covariance_) @ between)
    assert metrics.regularized_h_score(features, labels) == pytest.approx(literal, rel=1e-10)


def test_face_fairness_of_separated_classes_is_that_of_equal_overlap_without_self_and_nothing_with_self():
    features, labels = simplex(10, 30, 0.1)
    assert metrics.face(features, labels).class_fairness == pytest.approx(math.log(10 - 1), rel=1e-9)
    odds = math.exp(-1 / 0.05)  # of each other class against the class itself: B is 1 on the diagonal, 0 elsewhere
    p, q = 1 / (1 + 9 * odds), odds / (1 + 9 * odds)
    with_self = metrics.face(features, labels, include_self=True).class_fairness
    assert with_self == pytest.approx(-p * math.log(p) - 9 * q * math.log(q), rel=1e-9)
    assert with_self == pytest.approx(4e-7, rel=0.1)


def test_face_fairness_of_classes_that_coincide_is_the_largest_with_self():
    one_class = np.random.default_rng(0).standard_normal((50, 4))
    features = np.concatenate([one_class + 1e-4 * k for k in range(10)])
    labels = np.repeat(np.arange(10), 50)
    assert metrics.face(features, labels, include_self=True).class_fairness == pytest.approx(math.log(10), abs=1e-4)
    assert metrics.face(features, labels).class_fairness == pytest.approx(math.log(10 - 1), abs=1e-4)


def test_face_fairness_falls_when_one_pair_of_classes_is_closer_than_the_others():
    features, labels = simplex(6, 40, 1.0)
    features[labels == 1] += 99.5 * (np.eye(6)[0] - np.eye(6)[1])  # class 1 moves next to class 0
    assert metrics.face(features, labels).class_fairness < math.log(6 - 1) - 0.1


def test_face_variance_collapse_of_two_classes_on_a_line_is_the_ratio_of_the_variances():
    features, labels = np.array([[-1.5], [-0.5], [0.5], [1.5]]), [0, 0, 1, 1]
    within, between = 0.5**2, 1.0**2
    assert metrics.face(features, labels).variance_collapse == pytest.approx(-within / between / 2)


def test_face_variance_collapse_is_the_printed_trace_when_classes_are_unequal():
    features, labels = blobs(n=100)
    features, labels = features[20:], np.where(labels == 2, 1, labels)[20:]
    means = np.stack([features[labels == k].mean(axis=0) for k in (0, 1)])
    within = sum(np.cov(features[labels == k], rowvar=False, bias=True) for k in (0, 1)) / 2
    offsets = means - features.mean(axis=0)
    literal = -np.trace(within @ np.linalg.pinv(offsets.T @ offsets / 2, rcond=1e-10)) / 2
    assert metrics.face(features, labels).variance_collapse == pytest.approx(literal, rel=1e-9)


def test_face_variance_collapse_improves_as_classes_shrink_and_is_zero_when_they_are_points():
    scores = [metrics.face(*simplex(4, 25, spread)).variance_collapse for spread in (10.0, 1.0, 0.1, 0.0)]
    assert scores == sorted(scores) and scores[-1] == pytest.approx(0, abs=1e-12)


def test_gbc_runs_from_no_overlap_to_full_overlap_of_all_pairs():
    features, labels = simplex(5, 20, 0.1)
    assert metrics.gbc(features, labels) == pytest.approx(0, abs=1e-12)
    same = np.tile(np.random.default_rng(0).standard_normal((20, 3)), (5, 1))
    assert metrics.gbc(same, labels) == pytest.approx(-5 * (5 - 1), rel=1e-9)


def test_spherical_gbc_of_two_classes_is_the_formula_with_every_dimension_counted():
    features = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2], [9, 9], [13, 9], [9, 13], [13, 13]])
    labels, average = [0] * 4 + [1] * 4, (1 + 4) / 2
    distance = (10**2 + 10**2) / average / 8 + 2 / 2 * math.log(average / math.sqrt(1 * 4))
    assert metrics.gbc(features, labels, n_components=None) == pytest.approx(-2 * math.exp(-distance))
    released = (10**2 + 10**2) / average / 8 + 1 / 2 * math.log(average / math.sqrt(1 * 4))
    assert metrics.gbc(features, labels, n_components=None, released=True) == pytest.approx(-2 * math.exp(-released))


@pytest.mark.parametrize("q", [1, 7])
def test_bhattacharyya_distances_of_full_covariances_are_the_formula_pair_by_pair(q):
    rng = np.random.default_rng(0)
    means, roots = 3 * rng.standard_normal((6, q)), rng.standard_normal((6, q, 2 * q))
    covariances = roots @ roots.swapaxes(1, 2) * 10.0 ** np.arange(-3, 3)[:, None, None]
    distances = bhattacharyya(means, covariances)
    for i in range(6):
        for j in range(6):
            average, delta = (covariances[i] + covariances[j]) / 2, means[i] - means[j]
            ratio = np.linalg.det(average) / math.sqrt(np.linalg.det(covariances[i]) * np.linalg.det(covariances[j]))
            literal = delta @ np.linalg.inv(average) @ delta / 8 + math.log(ratio) / 2
            assert distances[i, j] == pytest.approx(literal, rel=1e-9, abs=1e-12)


def test_full_diagonal_and_spherical_distances_agree_where_the_covariances_are_spherical():
    rng = np.random.default_rng(0)
    means, variances = rng.standard_normal((5, 4)), rng.uniform(0.5, 2, (5, 1))
    spherical = bhattacharyya(means, variances)
    assert bhattacharyya(means, variances * np.ones(4)) == pytest.approx(spherical)
    assert bhattacharyya(means, variances[:, :, None] * np.eye(4)) == pytest.approx(spherical)


def test_leep_of_certain_and_right_predictions_is_zero_and_of_useless_ones_minus_the_label_entropy():
    labels = np.array([0, 0, 1, 2])
    assert metrics.leep(np.eye(5)[labels], labels) == pytest.approx(0, abs=1e-12)
    entropy = -(2 / 4 * math.log(2 / 4) + 2 * 1 / 4 * math.log(1 / 4))
    assert metrics.leep(np.full((4, 5), 1 / 5), labels) == pytest.approx(-entropy)


def test_leep_ignores_a_source_class_without_mass():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    padded = np.insert(probs, 1, 0.0, axis=1)
    assert metrics.leep(padded, [0, 0, 1]) == pytest.approx(metrics.leep(probs, [0, 0, 1]), rel=1e-12)


def test_nce_is_minus_the_conditional_entropy():
    source, labels = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]  # source class 0 leaves one bit open, class 1 nothing
    assert metrics.nce(source, labels) == pytest.approx(4 / 6 * -math.log(2), rel=1e-12)
    assert metrics.nce(labels, labels) == pytest.approx(0, abs=1e-12)
    assert metrics.nce([7] * 6, labels) == pytest.approx(2 / 6 * math.log(2 / 6) + 4 / 6 * math.log(4 / 6), rel=1e-12)


def test_leep_of_certain_predictions_is_nce():
    rng = np.random.default_rng(0)
    source, labels = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    assert metrics.leep(np.eye(4)[source], labels) == pytest.approx(metrics.nce(source, labels), rel=1e-12)


def test_nleep_is_repeatable_and_near_zero_for_separated_classes():
    features, labels = simplex(3, 20, 0.1)
    assert metrics.nleep(features, labels) == metrics.nleep(features, labels)
    assert metrics.nleep(features, labels) == pytest.approx(0, abs=1e-6)
    assert metrics.nleep(features, np.random.default_rng(0).permutation(labels)) < -0.3


def test_ncti_of_separated_classes_is_certain_of_every_label():
    features, labels = simplex(6, 30, 0.5)
    terms = metrics.ncti(features, labels)
    assert terms.ncc == pytest.approx(1, rel=1e-9)
    assert terms.log_vc == pytest.approx(math.log(6 * math.sqrt(30)), rel=1e-6)  # every P_k has one column of 30 ones


def test_ncti_changes_branch_when_the_same_features_are_made_small():
    features, labels = blobs(n=300, d=40, n_classes=4)
    as_they_are, larger, smaller = (metrics.ncti(features * scale, labels) for scale in (1, 10, 0.1))
    assert larger == pytest.approx(as_they_are, rel=1e-8)  # the plain discriminant does not know the scale
    assert smaller.seli < 0.95 * as_they_are.seli  # the shrunk one does


def test_printed_ncti_is_the_printed_equations():
    features, labels = blobs(n=150, d=5, n_classes=3)
    features = features * 0.1
    terms = metrics.ncti(features, labels, variant="printed")
    assert terms.seli == pytest.approx(np.linalg.norm(features, ord="nuc"), rel=1e-9)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    within = sum(np.cov(features[labels == k], rowvar=False, bias=True) for k in range(3)) / 3
    alpha = math.exp(np.linalg.eigvalsh(np.cov(features, rowvar=False)).sum())
    sigma = (1 - alpha) * within + alpha * np.eye(5)
    offsets = features[:, None, :] - means
    logits = 0.5 * np.einsum("nkd,de,nke->nk", offsets, sigma, offsets) + math.log(1 / 3)
    z = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert terms.ncc == pytest.approx(z[np.arange(150), labels].mean(), rel=1e-9)
    assert terms.log_vc == pytest.approx(sum(np.linalg.norm(z[labels == k], ord="nuc") for k in range(3)), rel=1e-6)


def test_logme_of_a_class_without_activations_is_the_limit_of_small_ones():
    features, labels = blobs()
    noise = np.random.default_rng(1).standard_normal(features.shape)
    dead = (labels == 0)[:, None]
    for dtype, rel in ((np.float64, 1e-9), (np.float32, 1e-6)):
        found = metrics.logme(np.where(dead, 0, features).astype(dtype), labels)
        assert found == pytest.approx(metrics.logme(np.where(dead, 1e-8 * noise, features), labels), rel=rel)


def test_logme_of_classes_whose_means_are_zero_is_the_evidence_of_noise_alone():
    features, labels = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]] * 3), np.array([0, 0, 1, 1] * 3)
    assert metrics.logme(features, labels) == pytest.approx((math.log(2 / (2 * math.pi)) - 1) / 2)


@pytest.mark.parametrize("n, d", [(60, 150), (300, 20)])
def test_logme_is_the_evidence_of_its_own_alpha_and_beta_computed_with_all_eigenvalues(n, d):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    features = rng.standard_normal((4, d))[labels] + 3 * rng.standard_normal((n, d)) + 1
    evidences = []
    sigma = np.linalg.eigvalsh(features.T @ features)
    for k in range(4):
        y, alpha, beta = (labels == k).astype(float), 1.0, 1.0
        for _ in range(11):
            before = alpha / beta
            m = np.linalg.solve(alpha / beta * np.eye(d) + features.T @ features, features.T @ y)
            gamma = (sigma / (sigma + before)).sum()
            alpha, beta = gamma / (m @ m), (n - gamma) / ((features @ m - y) ** 2).sum()
            if abs(alpha / beta - before) / before < 1e-2:
                break
        log_det = np.linalg.slogdet(alpha * np.eye(d) + beta * features.T @ features)[1]
        fit = beta * ((features @ m - y) ** 2).sum() + alpha * m @ m
        evidences.append(n / 2 * math.log(beta / 2 / math.pi) + d / 2 * math.log(alpha) - log_det / 2 - fit / 2)
    assert metrics.logme(features, labels) == pytest.approx(np.mean(evidences) / n, rel=1e-9)


@pytest.mark.parametrize("n, d", [(40, 8), (40, 64)])
def test_transrate_is_the_printed_difference_of_coding_rates(n, d):
    features, labels = blobs(n=n, d=d, n_classes=2)

    def rate(z):
        return 0.5 * np.linalg.slogdet(np.eye(d) + z.T @ z / (len(z) * 1e-4))[1]

    centred = features - features.mean(axis=0)
    literal = rate(centred) - (rate(centred[labels == 0]) + rate(centred[labels == 1])) / 2
    assert metrics.transrate(features, labels) == pytest.approx(literal, rel=1e-9)


def test_sfda_lies_in_the_unit_interval_and_rises_with_separation():
    scores = [metrics.sfda(*simplex(4, 40, spread)) for spread in (200.0, 50.0, 5.0)]
    assert 0 <= scores[0] < scores[1] < scores[2] <= 1


def test_collapsed_features_show_all_four_signs_of_neural_collapse():
    features, labels = simplex(5, 20, 0.0)
    features += 1e-6 * np.random.default_rng(0).standard_normal(features.shape)
    assert collapse.nc1(features, labels) == pytest.approx(0, abs=1e-12)
    assert collapse.nc2(features, labels) == pytest.approx((0, 0, 0), abs=1e-6)
    assert collapse.nc2_a(features, labels) == pytest.approx(0, abs=1e-6)
    weights = 3 * (np.eye(5) - 1 / 5)
    assert collapse.nc3(features, weights, labels) == pytest.approx(0, abs=1e-9)
    assert collapse.nc4(features, labels, labels) == 0


def test_nc4_counts_the_predictions_that_are_not_the_nearest_mean():
    features, labels = simplex(3, 4, 0.0)
    predictions = labels.copy()
    predictions[:3] = 1
    assert collapse.nc4(features, labels, predictions) == pytest.approx(3 / 12)
    names = np.array(["ant", "bee", "cat"])
    assert collapse.nc4(features, names[labels], names[predictions]) == pytest.approx(3 / 12)


def test_nc2_of_two_opposite_means_is_that_of_a_simplex_and_of_a_right_angle_is_not():
    features, labels = np.array([[1.0, 0], [-1, 0], [1, 0], [-1, 0]]), [0, 1, 0, 1]
    assert collapse.nc2(features, labels) == pytest.approx((0, 0, 0), abs=1e-12)
    features = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    terms = collapse.nc2(features, [0, 1, 2, 3])  # cosines 0, 0, -1: -1/3 on average, which is the maximal angle
    assert terms.equinorm == pytest.approx(0, abs=1e-12)
    assert terms.maximal_angle == pytest.approx((2 * 1 / 3 + 2 / 3) / 3)


def test_nc3_takes_weights_in_the_precision_that_they_have():
    rng, labels = np.random.default_rng(0), np.arange(40) % 4
    features, weights = rng.standard_normal((40, 9)), rng.standard_normal((4, 9)).astype(np.float32)
    means = np.array([features[labels == k].mean(axis=0) for k in range(4)]) - features.mean(axis=0)
    size = np.float64(np.linalg.norm(weights))  # a sum of float32
    differences = weights / size - means / np.linalg.norm(means)
    assert collapse.nc3(features, weights, labels) == pytest.approx((differences**2).sum(), rel=1e-12)


def test_nc3_of_a_classifier_that_points_away_from_the_means_is_four():
    features, labels = simplex(4, 10, 0.0)
    assert collapse.nc3(features, -(np.eye(4) - 1 / 4), labels) == pytest.approx(4)
