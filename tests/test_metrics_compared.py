"""PARC, ETran, kNN, the linear probe and F-OTCE: beside plain evaluations of the same formulas, and where the answer is
known.
"""

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from bench import plain
from ncrepro import metrics
from ncrepro.metrics import Samples
from ncrepro.metrics._subsample import subsample

SETS = sorted(Path(__file__).parent.glob("golden/*.npz"))
FEW = settings(max_examples=12, deadline=None, derandomize=True)
pytestmark = pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning")


def parc(H, y, n_components=32):
    """All pairs, both matrices of distances, and Spearman's correlation of SciPy."""
    z = H.astype(float)
    if n_components is not None:
        z = PCA(min(n_components, *H.shape), svd_solver="full").fit_transform(z)
        z = z[:, z.var(axis=0) > 1e-12 * z.var(axis=0).max()]
        z *= np.sign(z[np.abs(z).argmax(axis=0), range(z.shape[1])])
    one_hot, pairs = np.eye(y.max() + 1)[y], np.triu_indices(len(y), 1)
    distances = 1 - np.corrcoef(StandardScaler().fit_transform(z))
    return spearmanr(distances[pairs], (1 - np.corrcoef(one_hot)).round(9)[pairs]).statistic


def knn(H, y, k=5):
    """One sample after the other."""
    right = 0
    for i in range(len(y)):
        distances = ((H.astype(float) - H[i].astype(float)) ** 2).sum(axis=1)
        distances[i] = np.inf
        voters = y[np.argsort(distances, kind="stable")[: min(k, len(y) - 1)]]
        votes = Counter(voters)  # of equal counts, `max` takes the one that came first
        right += max(votes, key=votes.get) == y[i]
    return 100 * right / len(y)


def etran(H, y, released=False):
    """Energies by SciPy, and the discriminant written out; as released, with its directions and all."""
    H = H.astype(float)
    counts, d = np.bincount(y), H.shape[1]
    means = np.stack([H[y == k].mean(axis=0) for k in range(len(counts))])
    within = sum(n / len(y) * np.cov(H[y == k], rowvar=False, bias=True) for k, n in enumerate(counts))
    alpha = max(np.exp(-5 * np.linalg.eigvalsh(within)[-1]), 1e-10)
    energies = np.sort(logsumexp(H, axis=1))
    if not released:
        return energies.mean(), plain._discriminant(H, y, alpha)[0][np.arange(len(y)), y].mean()
    shrunk = (1 - alpha) * within + alpha * np.trace(within) / d * np.eye(d)
    total = np.cov(H, rowvar=False, bias=True)
    total = (1 - alpha) * total + alpha * np.trace(total) / d * np.eye(d)
    directions = np.linalg.eigh(np.linalg.inv(shrunk) @ (total - shrunk))[1]
    slopes = means @ directions @ directions.T
    logits = H @ slopes.T - 0.5 * (means * slopes).sum(axis=1) + np.log(counts / len(y))
    right = np.exp(logits - logsumexp(logits, axis=1)[:, None])[np.arange(len(y)), y]
    return energies[: max(1, len(y) * 5 // 1000)].mean(), right.mean()


def linear_probe(H, y, folds=3):
    """Ridge regression by its normal equations, fold by fold."""
    found = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(H, y):
        mean, spread = H[train].mean(axis=0), H[train].std(axis=0)
        X, Z = (
            (H[train] - mean) / np.where(spread > 0, spread, 1),
            (H[test] - mean) / np.where(spread > 0, spread, 1),
        )
        codes = 2 * np.eye(y.max() + 1)[y[train]] - 1
        weights = np.linalg.solve(X.T @ X + len(y) / 10 * np.eye(H.shape[1]), X.T @ (codes - codes.mean(axis=0)))
        found.append(100 * ((Z @ weights + codes.mean(axis=0)).argmax(axis=1) == y[test]).mean())
    return np.mean(found)


def otce(S, z, H, y):
    """Of equally many samples on both sides the best coupling is one of pairs."""
    cost = ((S[:, None].astype(float) - H) ** 2).sum(axis=2)
    rows, columns = linear_sum_assignment(cost)
    return metrics.nce(z[rows], y[columns])


def blobs(n=120, d=6, n_classes=3, seed=0, gap=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    return gap * rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n, d)), y


# Beside plain evaluations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, exact", [(np.float32, 1e-4), (np.float64, 1e-8)], ids=["float32", "float64"])
@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_score_of_the_golden_sets_is_that_of_a_plain_evaluation(path, dtype, exact):
    with np.load(path) as arrays:
        H, y = arrays["features"].astype(dtype), arrays["labels"]
    assert metrics.parc(H, y) == pytest.approx(parc(H, y), rel=exact, abs=1e-5)
    assert metrics.parc(H, y, n_components=None) == pytest.approx(parc(H, y, None), rel=exact, abs=1e-5)
    assert metrics.knn(H, y) == pytest.approx(knn(H, y), abs=0.3)  # a vote or two by rounding
    assert metrics.knn(H, y, k=1) == pytest.approx(knn(H, y, 1), abs=0.3)
    assert metrics.etran(H, y) == pytest.approx(etran(H, y), rel=exact)
    assert metrics.etran(H, y, released=True) == pytest.approx(etran(H, y, released=True), rel=exact)
    assert metrics.linear_probe(H.astype(float), y) == pytest.approx(linear_probe(H.astype(float), y), abs=1e-9)
    half = np.random.default_rng(0).permutation(len(y))[: len(y) // 2 * 2].reshape(2, -1)
    (S, z), (T, t) = ((H[part], y[part]) for part in half)
    assert metrics.otce(Samples(S, z), T, t) == pytest.approx(otce(S, z, T, t), rel=1e-6, abs=1e-9)


def test_two_halves_coupled_with_unequal_numbers_share_their_mass():
    H = np.array([[0.0], [10.0]])
    assert metrics.otce(Samples(H, [0, 1]), np.array([[1.0], [2.0], [11.0]]), [0, 0, 1]) == pytest.approx(
        # source 0 holds 1/2: all of the first and half of the second target; source 1 the rest of the second, the third
        1 / 6 * np.log(1 / 3) + 1 / 3 * np.log(2 / 3)
    )


# Where the answer is known --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [4, 6])
def test_parc_of_separated_classes_is_the_largest_that_so_many_classes_allow(n_classes):
    H, y = blobs(n=60, d=8, n_classes=n_classes, gap=100)
    n_pairs = 60 * 59 / 2
    p = n_classes * (60 / n_classes) * (60 / n_classes - 1) / 2 / n_pairs
    expected = np.sqrt(3 * p * (1 - p)) * n_pairs / np.sqrt(n_pairs**2 - 1)
    assert metrics.parc(H, y, n_components=n_classes - 1) == pytest.approx(expected, rel=1e-6)


def test_parc_of_a_single_direction_says_nothing():
    H = np.random.default_rng(0).standard_normal((30, 1)) * np.ones(4)
    assert metrics.parc(H, np.arange(30) % 3) == 0


def test_parc_needs_pairs_of_one_class():
    with pytest.raises(ValueError, match="every class has a single sample.*give two"):
        metrics.parc(np.eye(4), np.arange(4))


def test_knn_of_separated_classes_is_100_and_of_classes_of_one_sample_0():
    H, y = blobs(gap=1e3)
    assert metrics.knn(H, y) == 100
    assert metrics.knn(H, np.arange(120)) == 0


def test_of_classes_with_as_many_votes_the_one_with_the_nearest_sample_wins():
    H = np.array([[0.0], [1.0], [-2.0], [3.1], [-4.2], [100.0]])
    # the nearest of 0 are 1 (a), -2 (b), 3.1 (b), -4.2 (a): two votes each, and a is nearest
    for first, right in (("a", True), ("b", False)):
        y = np.array([first, "a", "b", "b", "a", "c"])
        alone = metrics.knn(H[:5], y[:5], k=4)
        others = np.mean([knn_of(H[:5], y[:5], i) for i in range(1, 5)])
        assert alone == pytest.approx(100 * (right + 4 * others) / 5)


def knn_of(H, y, i, k=4):
    order = np.argsort(np.abs(H - H[i]).ravel(), kind="stable")
    voters = y[order[order != i]][:k]
    votes = Counter(voters)
    return max(votes, key=votes.get) == y[i]


def test_energy_of_equal_features_is_their_value_and_the_logarithm_of_their_number():
    H = np.random.default_rng(0).standard_normal((20, 1)) @ np.ones((1, 5)) + np.arange(20)[:, None] % 2
    H[:, 0] += 1e-9 * np.random.default_rng(1).standard_normal(20)
    assert metrics.etran(H, np.arange(20) % 2).energy == pytest.approx(H.mean() + np.log(5), rel=1e-6)


def test_energy_as_released_is_that_of_the_strangest_samples():
    H, y = blobs(n=600)
    energies = np.sort(logsumexp(H, axis=1))
    assert metrics.etran(H, y, released=True).energy == pytest.approx(energies[:3].mean())
    assert metrics.etran(H[:100], y[:100], released=True).energy == pytest.approx(logsumexp(H[:100], axis=1).min())


def test_a_target_that_is_the_source_has_no_entropy_left():
    H, y = blobs()
    assert metrics.otce(Samples(H, y), H, y) == pytest.approx(0, abs=1e-12)
    assert metrics.otce(Samples(H, y), H, (y > 0).astype(int)) == pytest.approx(0, abs=1e-12)
    shuffled = np.random.default_rng(0).permutation(y)
    assert -np.log(3) <= metrics.otce(Samples(H, y), H, shuffled) < -0.9


def test_scores_rise_with_the_distance_of_the_classes():
    found = [
        [metrics.parc(H, y), metrics.knn(H, y), metrics.etran(H, y).classification, metrics.linear_probe(H, y)]
        for H, y in (blobs(gap=gap) for gap in (0.0, 0.7, 3.0))
    ]
    assert (np.diff(found, axis=0) > 0).all()


# What must not change a score -----------------------------------------------------------------------------------------


def invariant(H, y, S, z) -> list[float]:
    source = Samples(S, z)
    return [metrics.parc(H, y), metrics.knn(H, y), metrics.etran(H, y).classification, metrics.otce(source, H, y)]


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n_classes, d = draw(st.integers(2, 4)), draw(st.integers(3, 8))
    y, z = np.repeat(np.arange(n_classes), rng.integers(d + 3, 20, n_classes)), np.arange(20) % 3
    H = (3 * rng.standard_normal((n_classes, d))[y] + 3 * rng.standard_normal((len(y), d))) * rng.uniform(1, 3, d)
    return H, y, 3 * rng.standard_normal((20, d)), z, rng


@FEW
@given(problems())
def test_the_order_of_samples_their_classes_names_the_axes_and_the_origin_change_nothing(problem):
    H, y, S, z, rng = problem
    expected = pytest.approx(invariant(H, y, S, z), rel=1e-6, abs=1e-9)
    order = rng.permutation(len(y))
    assert invariant(H[order], y[order], S[::-1], z[::-1]) == expected
    assert invariant(H, np.array(["d", "a", "c", "b"])[y], S, z + 5) == expected
    rotation = np.linalg.qr(rng.standard_normal((H.shape[1],) * 2))[0]
    assert invariant(H @ rotation, y, S @ rotation, z) == expected
    far = 100 * rng.standard_normal(H.shape[1])
    assert invariant(H + far, y, S + far, z) == expected
    assert invariant(7 * H, y, 7 * S, z) == expected
    assert metrics.etran(H + 5, y).energy == pytest.approx(metrics.etran(H, y).energy + 5)
    axes = rng.permutation(H.shape[1])
    assert metrics.etran(H[:, axes], y).energy == pytest.approx(metrics.etran(H, y).energy)
    assert metrics.linear_probe(H[:, axes] * 3 - 7, y) == pytest.approx(metrics.linear_probe(H, y))


@FEW
@given(problems())
def test_every_score_lies_in_its_range(problem):
    H, y, S, z, _ = problem
    assert -1 <= metrics.parc(H, y) <= 1 and 0 <= metrics.etran(H, y).classification <= 1
    assert 0 <= metrics.knn(H, y) <= 100 and 0 <= metrics.linear_probe(H, y) <= 100
    assert -np.log(y.max() + 1) - 1e-9 <= metrics.otce(Samples(S, z), H, y) <= 1e-12


# Resamples, types, sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, d", [(120, 8), (60, 90)])
def test_a_resample_has_the_parc_and_the_etran_of_its_copies(n, d):
    H, y = blobs(n=n, d=d)
    indices = np.concatenate(
        [np.random.default_rng(1).choice(np.flatnonzero(y == k), (y == k).sum()) for k in range(3)]
    )
    for base in (Samples(H, y), Samples(H, y).resampled(np.arange(n))):
        resample = base.resampled(indices)
        assert metrics.parc(resample, None) == pytest.approx(metrics.parc(H[indices], y[indices]), rel=1e-6)
        assert metrics.etran(resample, None) == pytest.approx(metrics.etran(H[indices], y[indices]), rel=1e-8)


def test_copies_of_a_sample_neither_vote_for_it_nor_teach_the_probe_its_label():
    rng = np.random.default_rng(0)
    H, y = rng.standard_normal((200, 6)), np.arange(200) % 2  # nothing to be learned
    indices = rng.integers(0, 100, 400)
    resample = Samples(H, y).resampled(indices)
    assert metrics.knn(H[indices], y[indices], k=1) > 95  # what copies do
    assert metrics.knn(resample, None, k=1) < 70
    assert metrics.linear_probe(resample, None) < 70


def test_each_copy_of_another_sample_has_a_vote():
    H, y = np.array([[0.0], [1.0], [-2.0], [8.0]]), np.array([0, 1, 0, 1])
    once = Samples(H, y).resampled(np.arange(4))
    twice = Samples(H, y).resampled(np.array([0, 1, 2, 2, 3]))
    # three votes about 0: labels 1, 0, 1 of 1, -2, 8; with -2 counted twice 1, 0, 0, and then it alone is right
    assert metrics.knn(once, None, k=3) == pytest.approx(knn(H, y, 3))
    assert metrics.knn(twice, None, k=3) == pytest.approx(100 * 1 / 5)


@pytest.mark.parametrize("metric", [metrics.parc, metrics.knn, metrics.etran, metrics.linear_probe])
def test_float32_torch_and_memory_maps_score_like_the_same_numbers_in_numpy(metric, tmp_path):
    H, y = blobs(n=150, d=12)
    H = H.astype(np.float32)
    expected = pytest.approx(metric(H, y), rel=1e-6)
    np.save(tmp_path / "features.npy", H)
    assert metric(np.load(tmp_path / "features.npy", mmap_mode="r"), y) == expected
    assert metric(torch.tensor(H), torch.tensor(y)) == expected
    assert metric(H.astype(float), y) == pytest.approx(metric(H, y), rel=1e-4)
    assert np.isfinite(metric(torch.tensor(H).bfloat16(), y)).all()
    assert type(np.ravel(metric(H, y)).tolist()[0]) is float


@pytest.mark.parametrize("metric", [metrics.parc, metrics.knn])
def test_more_samples_than_are_compared_give_nearly_the_same_score(metric):
    H, y = blobs(n=900, d=10)
    option = "max_samples" if metric is metrics.parc else "max_queries"
    found = [metric(H, y, **{option: 300}, seed=seed) for seed in range(4)]
    assert found[0] == metric(H, y, **{option: 300}) and len(set(found)) > 1
    assert np.mean(found) == pytest.approx(metric(H, y), rel=0.1)
    assert metric(H, y, **{option: 900}) == metric(H, y)


def test_the_size_of_the_blocks_changes_no_neighbour(monkeypatch):
    H, y = blobs(n=200)
    expected = metrics.knn(H, y)
    for rows in (64, 100):
        monkeypatch.setattr(sys.modules["ncrepro.metrics.knn"], "BLOCK_ROWS", rows)
        assert metrics.knn(H, y) == expected


def test_a_part_of_the_samples_has_the_shares_of_the_classes_and_each_of_them():
    codes = np.repeat([0, 1, 2], [600, 299, 1])
    kept = subsample(codes, 90, seed=0)
    assert len(kept) == 90 and (np.diff(kept) > 0).all()
    assert np.bincount(codes[kept]).tolist() == pytest.approx([60, 29, 1], abs=1)
    assert (kept == subsample(codes, 90, 0)).all() and (kept != subsample(codes, 90, 1)).any()
    assert subsample(codes, 900, 0).tolist() == list(range(900))
    assert np.bincount(subsample(np.arange(9), 4, 0)).max() == 1  # every class, even if these are more


@pytest.mark.parametrize("kind", ["dead", "twins", "collapsed", "tiny", "huge", "one direction", "two samples"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degenerate_features_have_finite_scores(kind, dtype):
    H, y = blobs(n=40, d=5, n_classes=4)
    H = {
        "dead": np.pad(H, ((0, 0), (0, 3))), "twins": np.tile(H, 2), "tiny": 1e-12 * H, "huge": 1e12 * H,
        "collapsed": np.eye(4)[y] + 1e-5 * np.random.default_rng(0).standard_normal((40, 4)),
        "one direction": H[:, :1] * np.ones(3), "two samples": H[:8],
    }[kind].astype(dtype)  # fmt: skip
    y = y[: len(H)]
    source = Samples(H[::-1], y[::-1])
    for metric in (metrics.parc, metrics.knn, metrics.etran, metrics.linear_probe, partial(metrics.otce, source)):
        assert np.isfinite(metric(H, y)).all()


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call, message", [
    (lambda H, y: metrics.knn(H, y, k=0), "k is 0.*at least 1"),
    (lambda H, y: metrics.knn(H, y, max_queries=1), "max_queries is 1.*at least 2"),
    (lambda H, y: metrics.parc(H, y, n_components=0), "n_components is 0.*at least 1"),
    (lambda H, y: metrics.parc(H, y, max_samples=1), "max_samples is 1.*at least 2"),
    (lambda H, y: metrics.linear_probe(H, y, 1), "folds is 1.*at least 2"),
    (lambda H, y: metrics.knn(H, y, k=2.5), "k is 2.5.*an integer"),
    (lambda H, y: metrics.knn(H, y, max_queries=None), "max_queries is None.*an integer"),
    (lambda H, y: metrics.knn(H, y, seed=-1), "seed is -1.*at least 0"),
    (lambda H, y: metrics.parc(H, y, n_components=2.5), "n_components is 2.5.*an integer, or None"),
    (lambda H, y: metrics.linear_probe(H, y, 2.5), "folds is 2.5.*an integer"),
    (lambda H, y: metrics.linear_probe(H, np.where(np.arange(len(y)) == 5, 9, y)), "class 9 has a single sample"),
    (lambda H, y: metrics.otce((H, y), H, y), "source_samples are a tuple.*Samples"),
    (lambda H, y: metrics.otce(Samples(H[:, 1:], y), H, y), "have 5 dimensions, those of the target 6"),
    (lambda H, y: metrics.otce(Samples(H, y).resampled(np.arange(len(y))), H, y), "no resamples"),
    (lambda H, y: metrics.otce(Samples(np.where(np.arange(6) == 2, np.nan, H), y), H, y), "contain nan"),
])  # fmt: skip
def test_an_argument_out_of_its_range_is_named_with_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call(*blobs())


def test_a_class_smaller_than_the_folds_makes_them_fewer():
    H, y = blobs(n=42)
    y = np.where((y == 2) & (np.arange(42) > 5), 0, y)  # two samples of class 2
    assert metrics.linear_probe(H, y) == metrics.linear_probe(H, y, 2)


def test_without_the_package_for_transport_it_is_named(monkeypatch):
    for name in ("ot", "ot.lp"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"POT: pip install \"ncrepro\[otce\]\""):
        metrics.otce(Samples(*blobs()), *blobs())
