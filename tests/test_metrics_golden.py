"""What the authors' released code returns on six seeded feature sets (``tests/golden``), and what we return on them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ncrepro import metrics

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
SETS = sorted(EXPECTED)
pytestmark = [
    pytest.mark.parametrize("dtype, exact", [(np.float32, 1e-5), (np.float64, 1e-9)], ids=["float32", "float64"]),
    pytest.mark.parametrize("name", SETS),
    pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning"),
]


@pytest.fixture
def data(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays}


def test_ncti_terms_are_those_of_the_released_code(name, dtype, exact, data):
    terms, expected = metrics.ncti(data["features"].astype(dtype), data["labels"]), EXPECTED[name]["ncti"]
    assert terms == pytest.approx((expected["seli"], expected["ncc"], expected["log_vc"]), rel=exact)


@pytest.mark.parametrize("metric", ["sfda", "h_score", "regularized_h_score", "transrate"])
def test_a_score_is_that_of_the_released_code(name, dtype, exact, data, metric):
    assert getattr(metrics, metric)(data["features"].astype(dtype), data["labels"]) == pytest.approx(
        EXPECTED[name][metric], rel=exact
    )


def test_sfda_with_the_exact_largest_eigenvalue_is_near_the_released_three_power_iterations(name, dtype, exact, data):
    score = metrics.sfda(data["features"].astype(dtype), data["labels"], power_iterations=None)
    assert score == pytest.approx(EXPECTED[name]["sfda"], rel=1e-3)


def test_logme_is_the_release_that_is_right_for_fewer_samples_than_features(name, dtype, exact, data):
    assert metrics.logme(data["features"].astype(dtype), data["labels"]) == pytest.approx(
        EXPECTED[name]["logme_icml"], rel=exact
    )


def test_leep_and_nce_are_those_of_the_released_code(name, dtype, exact, data):
    probs, labels = data["source_probs"].astype(dtype), data["labels"]
    assert metrics.leep(probs, labels) == pytest.approx(EXPECTED[name]["leep"], rel=1e-9)
    assert metrics.nce(probs.argmax(axis=1), labels) == pytest.approx(EXPECTED[name]["nce"], rel=1e-9)


def test_gbc_is_the_printed_formula(name, dtype, exact, data):
    features, labels = data["features"].astype(dtype), data["labels"]
    diagonal = metrics.gbc(features, labels, covariance="diagonal", n_components=None)
    assert diagonal == pytest.approx(EXPECTED[name]["gbc_diagonal"], rel=exact)
    released = metrics.gbc(features, labels, n_components=None, released=True)
    assert released == pytest.approx(EXPECTED[name]["gbc_spherical"], rel=max(exact, 2e-6))


def test_face_is_the_printed_formula(name, dtype, exact, data):
    features, labels, expected = data["features"].astype(dtype), data["labels"], EXPECTED[name]["face"]
    for include_self, suffix in [(True, ""), (False, "_no_self")]:
        for covariance in ("diagonal", "full"):
            key = f"class_fairness_{covariance}{suffix}"
            if key in expected:
                terms = metrics.face(
                    features, labels, covariance=covariance, n_components=None, include_self=include_self
                )
                assert terms.class_fairness == pytest.approx(expected[key], rel=exact, abs=1e-12)
                assert terms.variance_collapse == pytest.approx(expected["variance_collapse"], rel=exact)


def test_all_scores_are_the_single_scores(name, dtype, exact, data):
    features, labels, probs = data["features"].astype(dtype), data["labels"], data["source_probs"]
    scores = metrics.all_scores(features, labels, probs, nleep=False)
    ncti, face = metrics.ncti(features, labels), metrics.face(features, labels)
    alone = {f"ncti_{term}": value for term, value in ncti._asdict().items()}
    alone |= {f"face_{term}": value for term, value in face._asdict().items()}
    for metric in ("logme", "sfda", "h_score", "regularized_h_score", "transrate", "gbc"):
        alone[metric] = getattr(metrics, metric)(features, labels)
    alone |= {"leep": metrics.leep(probs, labels), "nce": metrics.nce(probs.argmax(axis=1), labels)}
    assert scores == pytest.approx(alone, rel=1e-12)
    assert all(type(score) is float and math.isfinite(score) for score in scores.values())
