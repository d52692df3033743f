"""The leading eigenvalues that are found without the others are the leading ones, or none."""

import numpy as np
import pytest

from bench.measure import relu_features
from ncrepro import metrics
from ncrepro.metrics import _linalg, statistics
from ncrepro.metrics._linalg import lanczos


def scatters():
    rng = np.random.default_rng(0)
    decaying = rng.standard_normal((300, 400)) * np.arange(1, 401) ** -0.7
    flat, few = rng.standard_normal((2000, 600)), rng.standard_normal((600, 40))
    return {
        "decaying": decaying @ decaying.T,
        "each twice": np.kron(np.eye(2), decaying @ decaying.T),
        "flat": flat.T @ flat,
        "fewer than asked for": few @ few.T,
        "all equal": np.eye(600),
    }


@pytest.mark.parametrize("dtype, rel", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name", scatters())
def test_leading_eigenvalues_are_those_of_the_full_decomposition(name, dtype, rel):
    matrix = scatters()[name].astype(dtype)
    values, vectors = lanczos(matrix, 64)
    expected = np.linalg.eigvalsh(matrix.astype(float))[::-1][:64]
    np.testing.assert_allclose(values, expected, rtol=0, atol=rel * expected[0])
    np.testing.assert_allclose(matrix @ vectors, vectors * values, rtol=0, atol=rel * expected[0])
    again = lanczos(matrix, 64)
    assert (again[0] == values).all() and (again[1] == vectors).all()


def test_an_eigenvalue_that_was_passed_over_is_noticed(monkeypatch):
    matrix = scatters()["decaying"]
    values, vectors = np.linalg.eigh(matrix)
    for left_out in (len(matrix) - 1, len(matrix) - 2, len(matrix) - 64):
        kept = np.setdiff1d(np.arange(len(matrix)), left_out)[-64:]
        monkeypatch.setattr(_linalg, "eigsh", lambda *_, kept=kept, **__: (values[kept], vectors[:, kept]))
        assert lanczos(matrix, 64) is None


def test_an_iteration_that_has_not_converged_gives_way_to_the_full_decomposition(monkeypatch):
    features, labels = relu_features(1200, 600, 5)
    monkeypatch.setattr(statistics, "MANY_FEATURES", 600)
    scores = metrics.ncti(features.astype(float), labels)
    monkeypatch.setattr(_linalg, "MOST_RESTARTS", 1)
    assert lanczos(metrics.ClassStatistics.of(features.astype(float), labels).total_scatter, 64) is None
    assert metrics.ncti(features.astype(float), labels) == pytest.approx(scores, rel=1e-9)


@pytest.mark.parametrize("dtype, rel", [("float32", 1e-4), ("float64", 1e-9)])
def test_ncti_of_many_features_is_that_of_all_their_principal_components(monkeypatch, dtype, rel):
    features, labels = relu_features(1500, 1100, 5)
    features = features.astype(dtype)
    few = metrics.ncti(features, labels)
    monkeypatch.setattr(statistics, "MANY_FEATURES", 10**9)
    assert few == pytest.approx(metrics.ncti(features, labels), rel=rel)
