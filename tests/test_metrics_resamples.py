"""A resample is a weighting of the samples, and gives what the copies of the samples would give."""

import numpy as np
import pytest
import torch

from ncrepro import metrics
from ncrepro.metrics import ClassStatistics, Samples, collapse, registry

pytestmark = pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning")


def gaussian(n, d, dtype, n_classes=4):
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n) % n_classes)
    return (2 + 3 * rng.standard_normal((n_classes, d))[y] + 3 * rng.standard_normal((n, d))).astype(dtype), y


def positions(y, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(y == k), (y == k).sum()) for k in np.unique(y)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n, d", [(300, 12), (150, 120), (120, 150), (40, 200)])
def test_a_resample_scores_like_copies_of_its_samples(n, d, dtype):
    H, y = gaussian(n, d, dtype)
    indices, rel = positions(y), 1e-8 if dtype == np.float64 else 2e-5
    base = Samples(H, y)
    for resample in (base.resampled(indices), base.resampled(np.arange(n)).resampled(indices)):
        assert metrics.all_scores(resample, None, nleep=False) == pytest.approx(
            metrics.all_scores(H[indices], y[indices], nleep=False), rel=rel
        )
        for metric, options in [
            (metrics.gbc, {"n_components": None}),
            (metrics.face, {"n_components": None}),
            (metrics.face, {"covariance": "full", "n_components": 7}),
            (metrics.ncti, {"variant": "printed"}),
            (collapse.nc2, {}),
        ]:
            assert metric(resample, None, **options) == pytest.approx(
                metric(H[indices], y[indices], **options), rel=rel
            )


def test_a_resample_has_the_mixture_of_its_copies():
    H, y = gaussian(120, 6, np.float64)
    indices = np.sort(positions(y))
    assert metrics.nleep(Samples(H, y).resampled(indices), None) == pytest.approx(
        metrics.nleep(H[indices], y[indices]), rel=1e-6
    )


def test_a_resample_of_torch_features_stays_torch():
    H, y = gaussian(300, 12, np.float32)
    indices = positions(y)
    resample = Samples(torch.tensor(H), y).resampled(indices)
    assert isinstance(resample.features, torch.Tensor)
    assert metrics.all_scores(resample, None, nleep=False) == pytest.approx(
        metrics.all_scores(H[indices], y[indices], nleep=False), rel=2e-5
    )


def test_a_part_of_the_samples_leaves_out_classes_that_it_does_not_hold():
    H, y = gaussian(60, 80, np.float64)
    kept = np.flatnonzero(y != 2)
    assert metrics.all_scores(Samples(H, y).resampled(kept), None, nleep=False) == pytest.approx(
        metrics.all_scores(H[kept], y[kept], nleep=False), rel=1e-8
    )
    with pytest.raises(ValueError, match="all labels are 2"):
        Samples(H, y).resampled(np.flatnonzero(y == 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_statistics_are_copies(dtype):
    H, y = gaussian(200, 10, dtype)
    weights = np.random.default_rng(3).integers(1, 4, 200)
    copies = ClassStatistics.of(np.repeat(H, weights, axis=0), np.repeat(y, weights))
    weighted = ClassStatistics.of(H, y, weights)
    assert (weighted.class_counts == copies.class_counts).all()
    for metric in (getattr(metrics, name) for name in registry.of_statistics()):
        assert metric(weighted) == pytest.approx(metric(copies), rel=1e-5 if dtype == np.float32 else 1e-10)
