"""What is left of the digits where features are nearly singular, far apart, huge or tiny; references from singular
values.
"""

import sys

import numpy as np
import pytest

from bench import plain
from bench.measure import relu_features
from ncrepro import metrics
from ncrepro.metrics import ClassStatistics

pytestmark = pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning")


def ill_conditioned(n, d, n_classes, dtype, condition=1e8):
    """Gaussian classes along rotated axes whose scales fall to 1 / condition."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    z = rng.standard_normal((n, d)) + rng.standard_normal((n_classes, d))[y]
    return ((z * np.logspace(0, -np.log10(condition), d)) @ rotation * 3 + 1).astype(dtype), y


def centred(H):
    return H - H.mean(axis=0)


def transrate(H, y):
    def rate(z):
        return np.log1p(np.linalg.svd(z, compute_uv=False) ** 2 / (len(z) * 1e-4)).sum() / 2

    X = centred(H)
    return rate(X) - np.mean([rate(X[y == k]) for k in np.unique(y)])


def axes(H):
    """Left singular vectors and singular values of the centred features, without the one that centring empties."""
    left, values, _ = np.linalg.svd(centred(H), full_matrices=False)
    return (left, values) if len(H) > H.shape[1] else (left[:, :-1], values[:-1])


def h_score(H, y):
    left, _ = axes(H)
    return sum((left[y == k].sum(axis=0) ** 2).sum() / (y == k).sum() for k in np.unique(y))


def logme(H, y, steps=20000):
    (n, d), evidences = H.shape, []
    left, s, _ = np.linalg.svd(H, full_matrices=False)
    for k in np.unique(y):
        x = left.T @ (y == k)
        outside, t = (((y == k) - left @ x) ** 2).sum() if n > d else 0.0, 1.0
        for _ in range(steps):
            length, before = (s**2 * x**2 / (s**2 + t) ** 2).sum(), t
            residual, gamma = (x**2 / (1 + s**2 / t) ** 2).sum() + outside, (s**2 / (s**2 + t)).sum()
            alpha, beta = gamma / length, (n - gamma) / residual
            t = alpha / beta
            if abs(t - before) < 1e-2 * before:
                break
        log_det = np.log(alpha + beta * s**2).sum() + (d - len(s)) * np.log(alpha)
        fit = n * np.log(beta / 2 / np.pi) + d * np.log(alpha) - log_det - beta * residual - alpha * length
        evidences.append(fit / 2 / n)
    return np.mean(evidences)


def invariant(scores):
    """The scores that do not depend on the axes."""
    return {name: score for name, score in scores.items() if name != "sfda"}


@pytest.mark.filterwarnings("ignore:logme has not converged")  # its own steps are not asked for here
@pytest.mark.parametrize("dtype, rel", [(np.float64, 1e-6), (np.float32, 1e-4)])
@pytest.mark.parametrize("n, d, n_classes", [(400, 40, 4), (300, 100, 5), (120, 300, 5)])
def test_a_condition_number_of_1e8_leaves_every_score_its_digits(n, d, n_classes, dtype, rel):
    H, y = ill_conditioned(n, d, n_classes, dtype)
    exact = H.astype(np.float64)
    for ours, theirs in ((metrics.transrate, transrate), (metrics.h_score, h_score)):
        assert ours(H, y) == pytest.approx(theirs(exact, y), rel=rel)
    assert metrics.logme(H, y, iterations=20000) == pytest.approx(logme(exact, y), rel=rel)
    # along their principal axes the features' products are exact, whatever the condition number
    left, values = axes(exact)
    rotated = np.pad(left * values, ((0, 0), (0, max(0, d - len(values)))))
    rotated_scores = metrics.all_scores(rotated, y, nleep=False)
    scores = metrics.all_scores(H, y, nleep=False)
    rotated_scores.pop("logme"), scores.pop("logme")  # it has no intercept, so the mean counts
    assert invariant(scores) == pytest.approx(invariant(rotated_scores), rel=rel)
    sfda = [metrics.sfda(features, y, power_iterations=None) for features in (H, rotated)]
    assert sfda[0] == pytest.approx(sfda[1], rel=rel)


@pytest.mark.parametrize("gap", [50, 300, 3000])
def test_float32_features_of_classes_far_apart_score_like_their_values_in_float64(gap):
    rng, y = np.random.default_rng(0), np.arange(900) % 6
    H = (gap * np.eye(6)[y] @ rng.standard_normal((6, 48)) + rng.standard_normal((900, 48))).astype(np.float32)
    exact = H.astype(np.float64)
    assert metrics.transrate(H, y) == pytest.approx(transrate(exact, y), rel=1e-4)
    assert metrics.h_score(H, y) == pytest.approx(h_score(exact, y), rel=1e-6)
    assert metrics.all_scores(H, y, nleep=False) == pytest.approx(
        metrics.all_scores(exact, y, nleep=False), rel=1e-4, abs=1e-9
    )


def test_classes_apart_in_float64_keep_their_spread():
    rng, y = np.random.default_rng(0), np.arange(300) % 3
    noise = rng.standard_normal((300, 8))
    H = 1e9 * np.eye(3)[y] @ rng.standard_normal((3, 8)) + noise
    means = np.stack([noise[y == k].mean(axis=0) for k in range(3)])
    within = (noise - means[y]).T @ (noise - means[y])
    np.testing.assert_allclose(ClassStatistics.of(H, y).within_scatter, within, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
def test_logme_of_nearly_collapsed_features_keeps_its_residual(spread):
    rng, y = np.random.default_rng(1), np.arange(300) % 5
    H = np.eye(5)[y] @ rng.standard_normal((5, 12)) + spread * rng.standard_normal((300, 12))
    assert metrics.logme(H, y) == pytest.approx(logme(H, y), abs=1e-3)


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e3])
def test_logme_iterates_until_it_has_converged_whatever_the_scale(scale):
    rng, y = np.random.default_rng(0), np.arange(150) % 3
    H = rng.standard_normal((3, 9))[y] + rng.standard_normal((150, 9))
    assert metrics.logme(scale * H, y) == pytest.approx(logme(H, y), abs=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_units_that_never_fire_do_not_end_the_iteration_of_logme_in_silence(scale):
    rng, y = np.random.default_rng(0), np.arange(90) % 7
    H = scale * (rng.standard_normal((90, 30)) @ rng.standard_normal((30, 30)) + rng.standard_normal((7, 30))[y])
    padded = np.pad(H, ((0, 0), (0, 2)))
    with pytest.warns(UserWarning, match="logme has not converged after 11 iterations"):
        metrics.logme(padded, y)
    assert metrics.logme(padded, y, iterations=1000) == pytest.approx(metrics.logme(H, y), abs=1e-5)


def test_logme_that_has_not_converged_says_so(monkeypatch):
    rng, y = np.random.default_rng(0), np.arange(150) % 3
    H = rng.standard_normal((3, 9))[y] + rng.standard_normal((150, 9))
    monkeypatch.setattr(sys.modules["ncrepro.metrics.logme"], "MOST_ITERATIONS", 1)
    with pytest.warns(UserWarning, match="has not converged after 1 iterations"):
        metrics.logme(H, y)


@pytest.mark.parametrize("shape", [(90, 7), (60, 80)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_features_of_an_extreme_scale_score_as_their_formula_says(shape, dtype, scale):
    rng, y = np.random.default_rng(0), np.arange(shape[0]) % 3
    H = rng.standard_normal((3, shape[1]))[y] + rng.standard_normal(shape)
    H = (scale * H).astype(dtype)
    scores = metrics.all_scores(H, y, nleep=False)
    assert np.isfinite(list(scores.values())).all()
    unscaled = metrics.all_scores(H.astype(np.float64) / scale, y, nleep=False)
    for name in ("h_score", "regularized_h_score", "face_variance_collapse"):
        assert scores[name] == pytest.approx(unscaled[name], rel=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e12, 1e15, 1e18])
def test_third_moments_of_large_features_do_not_overflow_unseen(dtype, scale):
    rng, y = np.random.default_rng(0), np.arange(3000) % 4
    H = rng.standard_normal((4, 10))[y] + rng.standard_normal((3000, 10))
    H[1500:] += 3  # so that the mean is not where the pass put it, and the third moments count
    expected = metrics.regularized_h_score(H, y)
    assert metrics.regularized_h_score((scale * H).astype(dtype), y) == pytest.approx(expected, rel=1e-6)
    if dtype == np.float32:
        with pytest.raises(ValueError, match="too large.*or pass them as float64"):
            ClassStatistics().update((scale * H).astype(dtype), y)


@pytest.mark.parametrize("dtype, scale", [
    (np.float64, 1e-30), (np.float64, 1e-8), (np.float64, 1e-3), (np.float64, 1e8), (np.float64, 1e30),
    (np.float32, 1e-8), (np.float32, 1e8),
])  # fmt: skip
def test_nleep_does_not_see_the_scale_of_the_features(dtype, scale):
    rng, y = np.random.default_rng(0), np.arange(160) % 4
    H = rng.standard_normal((4, 12))[y] + rng.standard_normal((160, 12))
    expected = metrics.nleep(H, y)
    assert -1 < expected < -0.01
    assert metrics.nleep((scale * H).astype(dtype), y) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(90, 7), (60, 80)])
def test_features_too_small_for_their_fourth_powers_are_refused(shape):
    H = 1e-120 * np.random.default_rng(0).standard_normal(shape)
    with pytest.raises(ValueError, match="too small.*multiply"):
        metrics.regularized_h_score(H, np.arange(len(H)) % 3)


@pytest.mark.parametrize("shape", [(120, 200), (300, 40)])
@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-6])
def test_ncti_of_nearly_collapsed_features_keeps_their_spread(shape, spread):
    rng, y = np.random.default_rng(0), np.arange(shape[0]) % 4
    H = np.eye(4)[y] @ rng.standard_normal((4, shape[1])) + spread * rng.standard_normal(shape)
    assert metrics.ncti(H, y) == pytest.approx(plain.ncti(H, y), rel=1e-8)


@pytest.mark.parametrize("signal", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("n", [2000, 20000])
def test_transrate_of_float32_features_is_right_where_it_is_a_small_difference(n, signal):
    """At a condition number of 80 float32 products are trusted; alike classes leave a thousandth of either rate."""
    rng, y = np.random.default_rng(0), np.arange(n) % 4
    z = rng.standard_normal((n, 40)) + signal * rng.standard_normal((4, 40))[y]
    H = z * np.logspace(0, -1.9, 40) @ np.linalg.qr(rng.standard_normal((40, 40)))[0] + 1
    H = H.astype(np.float32)
    assert ClassStatistics.of(H, y).dtype == "float32"
    assert metrics.transrate(H, y) == pytest.approx(transrate(H.astype(np.float64), y), rel=1e-4)


@pytest.mark.parametrize("middle", ["kept", "taken out"])
def test_logme_in_the_row_space_keeps_its_digits(middle):
    H, y = relu_features(120, 200, 4)
    H = H.astype(np.float64) if middle == "kept" else centred(H.astype(np.float64))
    twice = np.r_[np.arange(60), np.arange(60)]  # copies whose labels differ, so that nothing fits them
    for features, labels in [(H, y), (H[twice], np.random.default_rng(0).permutation(y))]:
        expected = logme(features, labels, steps=11)
        assert metrics.logme(features, labels, iterations=11) == pytest.approx(expected, rel=1e-8)
